// What a plugin's RECEIVE hook refuses for now (a limit, a full disk) is refused with that status inside Bundles, too.
import { test, before, after } from 'node:test';
import assert from 'node:assert/strict';
import fs from 'node:fs';
import path from 'node:path';
import { configure, start, call, modules } from './lib/server.mjs';

let server;
before(async () => {
  const fixtures = path.join(path.dirname(modules), 'fixtures');
  const at = await configure({ core: { core: { 'module-path': `${modules} ${fixtures}` } } });
  fs.writeFileSync(path.join(at.etc, 'plugins.d/90-refuse.conf'), '[plugin refuse]\nmodule = refuse.so\n');
  server = await start({ at });
});
after(async () => { await server.stop(); server.remove(); });

const bundle = (type, ...entry) => call('POST', server.fhir, { resourceType: 'Bundle', type, entry }, server.admin);
const put = (id, more = {}) => ({ request: { method: 'PUT', url: `Patient/${id}` }, resource: { resourceType: 'Patient', id, ...more } });

test('a transaction has the status with which an entry is refused, and its Retry-After', async () => {
  for (const status of [503, 429, 507, 409]) {
    const r = await bundle('transaction', put('fine'), put(`refused-${status}`));
    assert.equal(r.status, status, r.text);
    assert.equal(r.headers.get('retry-after'), '7');
    assert.equal(r.json.resourceType, 'OperationOutcome');
    assert.deepEqual(r.json.issue[0].expression, ['Bundle.entry[1].request.url']);
    assert.equal((await call('GET', `${server.fhir}/Patient/fine`, undefined, server.admin)).status, 404, 'nothing is written');
  }
});

test('an entry of a batch has it for itself', async () => {
  const r = await bundle('batch', put('fine-2'), put('refused-503'));
  assert.deepEqual(r.json.entry.map((e) => e.response.status), ['201', '503'], r.text);
});

test('so has what needs a further search: a chain, a conditional reference', async () => {
  let r = await call('GET', `${server.fhir}/Patient?_has:Basic:subject:code=x`, undefined, server.admin);
  assert.deepEqual([r.status, r.headers.get('retry-after')], [429, '3'], r.text);
  r = await bundle('transaction', put('p', { link: [{ other: { reference: 'Basic?identifier=x' }, type: 'seealso' }] }));
  assert.deepEqual([r.status, r.headers.get('retry-after')], [429, '3'], r.text);
});

test('of more wrong entries than issues are kept each is refused all the same', async () => {
  const wrong = [{ request: { method: 'GET' } }, { request: { method: 'NONE', url: 'Patient/1' } }, {}, { request: { method: 'PUT', url: 'Patient/1' } }];
  const entry = Array.from({ length: 200 }, (_, i) => wrong[i % wrong.length]);
  const r = await bundle('batch', ...entry, put('last'));
  assert.equal(r.status, 200, r.text);
  assert.deepEqual([...new Set(r.json.entry.slice(0, 200).map((e) => e.response.status))], ['400']);
  assert.equal(r.json.entry[200].response.status, '201');
  assert.equal((await bundle('transaction', ...entry)).status, 400);
});
