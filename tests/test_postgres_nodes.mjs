// Two nodes over one database act as one: what is changed on the one is in force on the other, names are taken once, and
// the one goes on when the other is gone.
import { test, describe, before, after } from 'node:test';
import assert from 'node:assert/strict';
import fs from 'node:fs';
import { startPostgres } from './lib/postgres.mjs';
import { start, call, basic, sleep } from './lib/server.mjs';

describe('two nodes', () => {
  let pg, a, b;
  const secret = 'a secret of some length';
  before(async () => {
    pg = await startPostgres();
    const plugins = { 'store-postgres': { dsn: pg.database('nodes') } };
    // Both at once: one makes the tables and applies the init bundle, the other waits for it.
    [a, b] = await Promise.all([start({ quick: true, plugins }), start({ quick: true, plugins })]);
  });
  after(async () => {
    for (const s of [a, b]) { await s?.stop(); s?.remove(); }
    await pg?.stop();
  });
  const put = async (node, path, body) => {
    const r = await call('PUT', `${node.fhir}/${path}`, body, a.admin);
    assert.ok(r.status < 300, r.text);
    return r;
  };
  // Milliseconds until a request is answered so; fails after some seconds.
  const until = async (status, ask) => {
    const begun = Date.now();
    for (;;) {
      const r = await ask();
      if (r.status === status) return Date.now() - begun;
      assert.ok(Date.now() - begun < 8000, `${r.status} ${r.text}`);
      await sleep(10);
    }
  };
  const get = (node, path, headers) => call('GET', `${node.fhir}/${path}`, undefined, headers);
  const client = (id, more = {}) => ({ resourceType: 'Client', id, secret, grant_types: ['basic'], ...more });
  const allow = (id) => ({ resourceType: 'AccessPolicy', id, engine: 'allow', link: [{ resourceType: 'Client', id }] });

  test('the init bundle is applied once', async () => {
    assert.equal((await get(a, 'Client/root', a.admin)).json.meta.versionId, '1');
    assert.equal(pg.sql("SELECT count(*) FROM andiron.resource WHERE id = 'root' AND st = 0", 'nodes')[0], '2'); // Client and AccessPolicy
  });

  test('what one writes the other reads and finds at once', async () => {
    for (let i = 0; i < 10; i++) {
      const [one, other] = i % 2 ? [a, b] : [b, a];
      await put(one, `Patient/seen-${i}`, { resourceType: 'Patient', id: `seen-${i}`, identifier: [{ value: `seen-${i}` }] });
      assert.equal((await get(other, `Patient/seen-${i}`, a.admin)).status, 200);
      assert.equal((await get(other, `Patient?identifier=seen-${i}`, a.admin)).json.entry.length, 1);
    }
  });

  test('clients and policies: new, changed and deleted ones are in force on the other node within a second', async () => {
    const mine = { authorization: basic('ward', secret) }, ask = () => get(b, 'Patient/seen-1', mine), took = [];
    assert.equal((await ask()).status, 401);
    await put(a, 'Client/ward', client('ward'));
    took.push(await until(403, ask));
    await put(a, 'AccessPolicy/ward', allow('ward'));
    took.push(await until(200, ask));
    await put(a, 'AccessPolicy/ward', { ...allow('ward'), engine: 'matcho', matcho: { 'request-method': 'delete' } });
    took.push(await until(403, ask));
    await put(a, 'AccessPolicy/ward', allow('ward'));
    took.push(await until(200, ask));
    assert.ok((await call('DELETE', `${a.fhir}/AccessPolicy/ward`, undefined, a.admin)).status < 300);
    took.push(await until(403, ask));
    assert.ok((await call('DELETE', `${a.fhir}/Client/ward`, undefined, a.admin)).status < 300);
    took.push(await until(401, ask));
    // Told at once; a machine that is busy may need longer, but never the seconds of a poll that fails.
    assert.ok(took.sort((x, y) => x - y)[3] < 1000, String(took));
  });

  test('two conditional creates at both nodes make one resource', async () => {
    for (let i = 0; i < 8; i++) {
      const body = { resourceType: 'Patient', identifier: [{ system: 'urn:x', value: `once-${i}` }] };
      const all = await Promise.all([a, b, a, b].map((n) => call('POST', `${n.fhir}/Patient`, body, { ...a.admin, 'if-none-exist': `identifier=urn:x|once-${i}` })));
      assert.deepEqual(all.map((r) => r.status).sort(), [200, 200, 200, 201], all.map((r) => r.text).join('\n'));
      assert.equal((await get(b, `Patient?identifier=urn:x|once-${i}`, a.admin)).json.entry.length, 1);
    }
  });

  test('updates of one resource at both nodes are versions without a gap', async () => {
    await put(a, 'Patient/hot', { resourceType: 'Patient', id: 'hot' });
    const all = await Promise.all(Array.from({ length: 40 }, (_, i) => call('PUT', `${(i % 2 ? a : b).fhir}/Patient/hot`, { resourceType: 'Patient', id: 'hot', name: [{ family: `n${i}` }] }, a.admin)));
    assert.deepEqual(all.filter((r) => r.status !== 200).map((r) => r.text), []);
    const seen = all.map((r) => Number(r.json.meta.versionId)).sort((x, y) => x - y);
    assert.deepEqual(seen, Array.from({ length: 40 }, (_, i) => i + 2));
  });

  test('the other goes on when one is killed, and the one is back at once', async () => {
    await a.kill();
    await put(b, 'Patient/alone', { resourceType: 'Patient', id: 'alone' });
    fs.rmSync(a.control, { force: true });
    const again = await start({ at: { dir: a.dir, etc: a.etc, port: a.port, adminPort: a.adminPort, base: a.base, fhir: a.fhir, adminBase: a.adminBase, control: a.control } });
    assert.equal((await get(again, 'Patient/alone', a.admin)).status, 200);
    a = again;
  });
});
