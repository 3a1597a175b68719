// References that must lead somewhere (referential-integrity = on), in every kind of write and under parallel ones; and
// histories whose pages hold every version once while others write.
import test, { before, after, describe } from 'node:test';
import assert from 'node:assert/strict';
import { start, call } from './lib/server.mjs';

let server, admin;
before(async () => { server = await start({ plugins: { fhir: { 'referential-integrity': 'on' } } }); admin = server.admin; });
after(async () => { await server.stop(); server.remove(); });

const fhir = (method, path, body, headers = {}) => call(method, path ? `${server.fhir}/${path}` : server.fhir, body, { ...admin, ...headers });
const run = (type, ...entry) => fhir('POST', '', { resourceType: 'Bundle', type, entry });
const patient = (id) => ({ resourceType: 'Patient', id, identifier: [{ system: 'http://i', value: id }] });
const basic = (id, to) => ({ resourceType: 'Basic', id, code: { text: 'x' }, ...(to ? { subject: { reference: to } } : {}) });
const put = (resource) => ({ resource, request: { method: 'PUT', url: `${resource.resourceType}/${resource.id}` } });
const remove = (url) => ({ request: { method: 'DELETE', url } });
const outcome = (r, status) => { assert.equal(r.status, status, r.text); assert.equal(r.json.resourceType, 'OperationOutcome'); assert.ok(r.json.issue[0].diagnostics.length > 10); };
const made = async (...resources) => { for (const r of resources) { const a = await fhir('PUT', `${r.resourceType}/${r.id}`, r); assert.ok(a.status < 300, a.text); } };

describe('with referential integrity', () => {
  test('no write leaves a reference to nothing: 422', async () => {
    await made(patient('p1'), basic('b1', 'Patient/p1'));
    outcome(await fhir('PUT', 'Basic/b2', basic('b2', 'Patient/none')), 422);
    outcome(await fhir('POST', 'Basic', basic(undefined, 'Patient/none')), 422);
    outcome(await fhir('PUT', 'Basic/b1', basic('b1', 'Patient/none')), 422);
    outcome(await fhir('PATCH', 'Basic/b1', [{ op: 'replace', path: '/subject/reference', value: 'Patient/none' }], { 'content-type': 'application/json-patch+json' }), 422);
    outcome(await run('transaction', put(basic('b3', 'Patient/none')), put(patient('p2'))), 422);
    assert.equal((await fhir('GET', 'Patient/p2')).status, 404);
    const batch = await run('batch', put(basic('b3', 'Patient/none')), put(patient('p2')));
    assert.deepEqual(batch.json.entry.map((e) => e.response.status), ['422', '201']);
    assert.equal((await fhir('GET', 'Basic/b1')).json.meta.versionId, '1');
  });
  test('entries of a transaction may refer to each other, in a circle too', async () => {
    const uuid = (n) => `urn:uuid:00000000-0000-4000-8000-00000000000${n}`;
    const r = await run('transaction', { fullUrl: uuid(1), resource: basic(undefined, uuid(2)), request: { method: 'POST', url: 'Basic' } }, { fullUrl: uuid(2), resource: { resourceType: 'Patient', link: [{ other: { reference: uuid(2) }, type: 'seealso' }], generalPractitioner: [{ reference: uuid(3) }] }, request: { method: 'POST', url: 'Patient' } }, { fullUrl: uuid(3), resource: { resourceType: 'Organization', name: 'x' }, request: { method: 'POST', url: 'Organization' } });
    assert.equal(r.status, 200, r.text);
  });
  test('what is referred to cannot be deleted: 409; together with what refers to it, it can', async () => {
    await made(patient('p4'), basic('b4', 'Patient/p4'));
    outcome(await fhir('DELETE', 'Patient/p4'), 409);
    outcome(await fhir('DELETE', 'Patient?identifier=http://i|p4'), 409);
    outcome(await run('transaction', remove('Patient/p4'), put(patient('p5'))), 409);
    outcome(await run('transaction', remove('Patient?identifier=http://i|p4')), 409);
    assert.deepEqual((await run('batch', remove('Patient/p4'))).json.entry.map((e) => e.response.status), ['409']);
    assert.equal((await fhir('GET', 'Patient/p5')).status, 404);
    outcome(await run('transaction', remove('Patient/p4'), remove('Basic/b4'), put(basic('b5', 'Patient/p4'))), 422);
    assert.equal((await run('transaction', remove('Patient/p4'), remove('Basic/b4'))).status, 200);
    await made(patient('p6'), basic('b6', 'Patient/p6'));
    assert.equal((await run('transaction', remove('Patient/p6'), put(basic('b6')))).status, 200);
  });
  test('a large transaction deletes what its other entries no longer refer to, beside conditional references', async () => {
    const text = { status: 'generated', div: `<div xmlns="http://www.w3.org/1999/xhtml">${'x'.repeat(800)}</div>` }, many = 150;
    await made(patient('kept'), patient('leaves'));
    const first = await run('transaction', ...Array.from({ length: many }, (_, i) => put({ ...basic(`l${i}`, i % 2 ? 'Patient/leaves' : 'Patient/kept'), text })));
    assert.equal(first.status, 200, first.text.slice(0, 500));
    // All that is not asked for again is let go of while it is written: each entry must still have its own.
    const turned = (last) => Array.from({ length: last }, (_, i) => put({ ...basic(`l${i}`, 'Patient?identifier=http://i|kept'), text, created: `20${String(10 + i % 90)}-01-01` }));
    for (const prefer of [{}, { prefer: 'return=minimal' }]) {
      const refused = await fhir('POST', '', { resourceType: 'Bundle', type: 'transaction', entry: [...turned(many - 1), remove('Patient/leaves')] }, prefer);
      outcome(refused, 409); // the last one refers to it still
      assert.match(refused.json.issue[0].expression[0], new RegExp(`^Bundle\\.entry\\[${many - 1}\\]`));
    }
    outcome(await run('transaction', ...turned(many), remove('Patient/kept')), 412); // what the conditional references lead to
    assert.equal((await fhir('GET', 'Basic/l1')).json.meta.versionId, '1');
    assert.equal((await fhir('GET', 'Patient/leaves')).status, 200);
    const r = await run('transaction', remove('Patient/leaves'), ...turned(many), { request: { method: 'GET', url: 'Patient/leaves' } });
    assert.equal(r.status, 200, r.text.slice(0, 500));
    assert.deepEqual([...new Set(r.json.entry.map((e) => e.response.status))], ['204', '200', '410']);
    for (const i of [0, 1, many - 1]) {
      const { json } = await fhir('GET', `Basic/l${i}`);
      assert.deepEqual([json.subject.reference, json.created, json.meta.versionId, json.text.div.length], ['Patient/kept', `20${10 + i % 90}-01-01`, '2', text.div.length]);
    }
    assert.equal((await fhir('GET', 'Basic?subject=Patient/kept&_summary=count')).json.total, many);
    assert.equal((await fhir('GET', 'Basic?subject=Patient/leaves&_summary=count')).json.total, 0);
    assert.deepEqual((await fhir('GET', 'Patient/leaves/_history')).json.entry.map((e) => e.request.method), ['DELETE', 'PUT']);
  });
  test('references to elsewhere, to contained resources and by identifier are free', async () => {
    for (const subject of [{ reference: 'http://elsewhere.example/fhir/Patient/1' }, { identifier: { value: 'x' } }, { reference: '#c' }]) {
      const r = await fhir('PUT', 'Basic/b7', { ...basic('b7'), subject, ...(subject.reference === '#c' ? { contained: [{ resourceType: 'Patient', id: 'c' }] } : {}) });
      assert.ok(r.status < 300, r.text);
    }
  });
  test('64 at once, deleting and referring, leave nothing that leads nowhere', async () => {
    await made(patient('p8'));
    const answers = await Promise.all(Array.from({ length: 64 }, (_, i) => [
      () => fhir('DELETE', 'Patient/p8'), () => fhir('PUT', `Basic/r${i}`, basic(`r${i}`, 'Patient/p8')), () => fhir('PUT', 'Patient/p8', patient('p8')), () => run('transaction', put(basic(`r${i}`, 'Patient/p8'))),
    ][i % 4]()));
    for (const r of answers) assert.ok([200, 201, 204, 409, 422].includes(r.status), r.text);
    const there = (await fhir('GET', 'Patient/p8')).status === 200;
    const referring = answers.filter((r, i) => i % 2 && r.status < 300).length;
    if (referring > 0) assert.ok(there, 'something refers to it');
  });
});

describe('a history while others write', () => {
  test('has on its pages every earlier version once, on all levels', async () => {
    for (let i = 0; i < 60; i++) await made(patient(`h${i % 7}`));
    const key = (e) => `${e.fullUrl} ${e.response.etag}`;
    const whole = async (path) => {
      const before = new Set((await fhir('GET', `${path}?_count=1000`)).json.entry.map(key)), seen = [];
      for (let url = `${server.fhir}/${path}?_count=7`; url;) {
        const { json } = await call('GET', url, undefined, admin);
        seen.push(...(json.entry ?? []).map(key));
        url = json.link.find((l) => l.relation === 'next')?.url;
      }
      assert.equal(new Set(seen).size, seen.length, 'none twice');
      assert.deepEqual([...before].filter((k) => !seen.includes(k)), [], 'none left out');
    };
    let stop = false;
    const writing = Promise.all([0, 1, 2, 3].map(async (w) => { for (let i = 0; !stop; i++) await made(patient(`h${(i + w) % 7}`), basic(`hb${w}-${i}`)); }));
    for (const path of ['_history', 'Patient/_history', 'Patient/h1/_history']) await whole(path);
    const since = (await fhir('GET', 'Patient/h1/_history?_count=5')).json.entry.at(-1).resource.meta.lastUpdated;
    for (const query of [`_since=${encodeURIComponent(since)}`, `_at=${encodeURIComponent(since)}`]) {
      const seen = [];
      for (let url = `${server.fhir}/_history?_count=7&${query}`; url;) {
        const { json } = await call('GET', url, undefined, admin);
        seen.push(...(json.entry ?? []).map(key));
        url = json.link.find((l) => l.relation === 'next')?.url;
      }
      assert.equal(new Set(seen).size, seen.length, query);
      assert.ok(seen.some((k) => k.includes('/Patient/h1 ')), query);
    }
    stop = true;
    await writing;
  });
});
