// Entries of bundles that name what they write by criteria, and entries that patch.
import test, { before, after, describe } from 'node:test';
import assert from 'node:assert/strict';
import { start, call } from './lib/server.mjs';

let server, admin;
before(async () => { server = await start(); admin = server.admin; });
after(async () => { await server.stop(); server.remove(); });

const fhir = (method, path, body, headers = {}) => call(method, path ? `${server.fhir}/${path}` : server.fhir, body, { ...admin, ...headers });
const run = (type, entry, headers) => fhir('POST', '', { resourceType: 'Bundle', type, entry }, headers);
const outcome = (r, status) => {
  assert.equal(r.status, status, r.text);
  assert.equal(r.json?.resourceType, 'OperationOutcome', r.text);
};
const statuses = (r) => { assert.equal(r.status, 200, r.text); return r.json.entry.map((e) => e.response.status); };
const idOf = (e) => e.response.location.match(/\/fhir\/[A-Za-z]+\/([^/]+)\/_history\/\d+$/)[1];
const uuid = (n) => `urn:uuid:00000000-0000-4000-8000-${String(n).padStart(12, '0')}`;
const patient = (v, extra = {}) => ({ resourceType: 'Patient', identifier: [{ system: 'http://b', value: v }], ...extra });
const by = (v) => `Patient?identifier=http://b|${v}`;
const binary = (patch, contentType = 'application/json-patch+json') => ({ resourceType: 'Binary', contentType, data: Buffer.from(typeof patch === 'string' ? patch : JSON.stringify(patch)).toString('base64') });
const fhirpath = (path, value) => ({ resourceType: 'Parameters', parameter: [{ name: 'operation', part: [{ name: 'type', valueCode: 'replace' }, { name: 'path', valueString: path }, { name: 'value', ...value }] }] });
const put = async (id, v) => { const r = await fhir('PUT', `Patient/${id}`, patient(v, { id, active: true })); assert.ok(r.status < 300, r.text); };

for (const type of ['transaction', 'batch']) describe(`a ${type}`, () => {
  const t = type[0];
  test('updates what criteria match, or makes it', async () => {
    const entry = [{ resource: patient(`${t}1`), request: { method: 'PUT', url: by(`${t}1`) } }];
    const first = await run(type, entry);
    assert.deepEqual(statuses(first), ['201']);
    const second = await run(type, entry);
    assert.deepEqual(statuses(second), ['200']);
    assert.equal(idOf(second.json.entry[0]), idOf(first.json.entry[0]));
    assert.equal(second.json.entry[0].response.etag, 'W/"2"');
    const named = await run(type, [{ resource: patient(`${t}2`, { id: `${t}-named` }), request: { method: 'PUT', url: by(`${t}2`) } }]);
    assert.deepEqual(statuses(named), ['201']);
    assert.equal(idOf(named.json.entry[0]), `${t}-named`);
  });
  test('deletes what criteria match, and nothing without a match', async () => {
    await put(`${t}3`, `${t}3`);
    const entry = [{ request: { method: 'DELETE', url: by(`${t}3`) } }];
    assert.deepEqual(statuses(await run(type, entry)), ['204']);
    assert.equal((await fhir('GET', `Patient/${t}3`)).status, 410);
    assert.deepEqual(statuses(await run(type, entry)), ['204']);
  });
  test('patches by id and by criteria, in each kind', async () => {
    await put(`${t}4`, `${t}4`);
    const r = await run(type, [{ resource: binary([{ op: 'replace', path: '/active', value: false }]), request: { method: 'PATCH', url: `Patient/${t}4`, ifMatch: 'W/"1"' } }], { prefer: 'return=representation' });
    assert.deepEqual(statuses(r), ['200']);
    assert.equal(r.json.entry[0].resource.active, false);
    assert.deepEqual(statuses(await run(type, [{ resource: fhirpath('Patient.active', { valueBoolean: true }), request: { method: 'PATCH', url: by(`${t}4`) } }])), ['200']);
    assert.deepEqual(statuses(await run(type, [{ resource: binary({ gender: 'male' }, 'application/merge-patch+json'), request: { method: 'PATCH', url: by(`${t}4`) } }])), ['200']);
    const { json } = await fhir('GET', `Patient/${t}4`);
    assert.deepEqual([json.active, json.gender, json.meta.versionId], [true, 'male', '4']);
  });
});

describe('a transaction', () => {
  test('fails as a whole over any condition, and stores nothing', async () => {
    await put('t5', 't5');
    await put('t6a', 't6');
    await put('t6b', 't6');
    const wrong = [
      [{ resource: patient('t6'), request: { method: 'PUT', url: by('t6') } }, 412],
      [{ request: { method: 'DELETE', url: by('t6') } }, 412],
      [{ resource: patient('t5', { id: 'other' }), request: { method: 'PUT', url: by('t5') } }, 400],
      [{ resource: patient('t7', { id: 't5' }), request: { method: 'PUT', url: by('t7') } }, 409],
      [{ resource: patient('t5'), request: { method: 'PUT', url: 'Patient?nonsense=1' } }, 400],
      [{ resource: patient('t5'), request: { method: 'PUT', url: 'Patient?' } }, 400],
      [{ request: { method: 'DELETE', url: 'Patient' } }, 400],
      [{ resource: patient('t5'), request: { method: 'PUT', url: by('t5'), ifMatch: 'W/"9"' } }, 412],
      [{ resource: patient('t5'), request: { method: 'PUT', url: by('t5'), ifNoneMatch: '*' } }, 412],
      [{ resource: binary([]), request: { method: 'PATCH', url: 'Patient/unknown' } }, 404],
      [{ resource: binary([]), request: { method: 'PATCH', url: by('none') } }, 404],
      [{ resource: binary([{ op: 'test', path: '/active', value: false }]), request: { method: 'PATCH', url: 'Patient/t5' } }, 422],
      [{ resource: binary('{'), request: { method: 'PATCH', url: 'Patient/t5' } }, 400],
      [{ resource: binary([], 'text/plain'), request: { method: 'PATCH', url: 'Patient/t5' } }, 400],
      [{ resource: { ...binary([]), data: 'W10' }, request: { method: 'PATCH', url: 'Patient/t5' } }, 400],
      [{ resource: patient('t5'), request: { method: 'PATCH', url: 'Patient/t5' } }, 400],
      [{ resource: binary([]), request: { method: 'PATCH', url: 'Patient/t5', ifMatch: 'W/"9"' } }, 412],
    ];
    for (const [entry, status] of wrong) {
      const r = await run('transaction', [{ resource: { resourceType: 'Basic', id: 'never', code: { text: 'x' } }, request: { method: 'PUT', url: 'Basic/never' } }, entry]);
      outcome(r, status);
    }
    outcome(await fhir('GET', 'Basic/never'), 404);
    assert.equal((await fhir('GET', 'Patient/t5')).json.meta.versionId, '1');
  });
  test('the same resource by id and by criteria is one too many', async () => {
    await put('t8', 't8');
    outcome(await run('transaction', [{ resource: patient('t8', { id: 't8' }), request: { method: 'PUT', url: 'Patient/t8' } }, { resource: patient('t8'), request: { method: 'PUT', url: by('t8') } }]), 400);
    outcome(await run('transaction', [{ resource: binary([]), request: { method: 'PATCH', url: 'Patient/t8' } }, { request: { method: 'DELETE', url: by('t8') } }]), 400);
  });
  test('nothing is made twice by the same criteria', async () => {
    const twice = (a, b) => run('transaction', [{ resource: patient('t8b', a), request: { method: 'PUT', url: by('t8b') } }, { resource: patient('t8b', b), request: { method: 'PUT', url: by('t8b') } }]);
    for (const [a, b] of [[{}, {}], [{ id: 't8b-1' }, { id: 't8b-2' }]]) outcome(await twice(a, b), 400);
    assert.equal((await fhir('GET', by('t8b'))).json.total, 0);
  });
  test('references lead to what criteria matched, and patches may hold them', async () => {
    await put('t9', 't9');
    const r = await run('transaction', [
      { fullUrl: uuid(1), resource: patient('t9'), request: { method: 'PUT', url: by('t9') } },
      { fullUrl: uuid(2), resource: patient('t10'), request: { method: 'PUT', url: by('t10') } },
      { resource: { resourceType: 'Observation', status: 'final', code: { text: 'x' }, subject: { reference: uuid(1) }, focus: [{ reference: uuid(2) }] }, request: { method: 'POST', url: 'Observation' } },
    ]);
    assert.deepEqual(statuses(r), ['200', '201', '201']);
    const made = idOf(r.json.entry[1]);
    const { json } = await fhir('GET', `Observation/${idOf(r.json.entry[2])}`);
    assert.deepEqual([json.subject.reference, json.focus[0].reference], ['Patient/t9', `Patient/${made}`]);
    const patch = await run('transaction', [
      { fullUrl: uuid(3), resource: patient('t11'), request: { method: 'POST', url: 'Patient' } },
      { resource: binary([{ op: 'replace', path: '/subject', value: { reference: uuid(3) } }]), request: { method: 'PATCH', url: `Observation/${json.id}` } },
    ]);
    assert.deepEqual(statuses(patch), ['201', '200']);
    assert.equal((await fhir('GET', `Observation/${json.id}`)).json.subject.reference, `Patient/${idOf(patch.json.entry[0])}`);
  });
  test('eight at once make exactly one', async () => {
    const all = await Promise.all(Array.from({ length: 8 }, () => run('transaction', [{ resource: patient('t12'), request: { method: 'PUT', url: by('t12') } }])));
    for (const r of all) assert.ok(r.status === 200 || r.status === 409 || r.status === 412, r.text);
    assert.equal((await fhir('GET', by('t12'))).json.total, 1);
  });
  test('numbers keep their text through a patch', async () => {
    await fhir('PUT', 'Observation/t13', '{"resourceType":"Observation","id":"t13","status":"final","code":{"text":"x"},"valueQuantity":{"value":1.00}}');
    assert.deepEqual(statuses(await run('transaction', [{ resource: binary('[{"op":"add","path":"/component","value":[{"code":{"text":"y"},"valueQuantity":{"value":2.50}}]}]'), request: { method: 'PATCH', url: 'Observation/t13' } }])), ['200']);
    const { text } = await fhir('GET', 'Observation/t13');
    assert.ok(text.includes('"value":1.00') && text.includes('"value":2.50'), text);
  });
});

test('with versioned updates, entries name the version they change', async () => {
  const other = await start({ plugins: { fhir: { 'versioned-updates': 'required' } } });
  try {
    const at = (type, entry) => call('POST', other.fhir, { resourceType: 'Bundle', type, entry }, other.admin);
    const put = (more = {}) => ({ resource: patient('v', { id: 'v' }), request: { method: 'PUT', url: 'Patient/v', ...more } });
    assert.deepEqual(statuses(await at('transaction', [put()])), ['201']);
    outcome(await at('transaction', [put()]), 428);
    assert.deepEqual(statuses(await at('batch', [put(), put({ ifMatch: 'W/"1"' })])), ['428', '200']);
    outcome(await at('transaction', [{ resource: binary([]), request: { method: 'PATCH', url: 'Patient/v' } }]), 428);
    outcome(await at('transaction', [{ resource: patient('v'), request: { method: 'PUT', url: by('v') } }]), 428);
    assert.deepEqual(statuses(await at('transaction', [{ resource: patient('v'), request: { method: 'PUT', url: by('v'), ifMatch: 'W/"2"' } }])), ['200']);
  } finally { await other.stop(); other.remove(); }
});
