// PATCH in its three kinds, conditional update, patch and delete, and updates that must name a version.
import test, { before, after, describe } from 'node:test';
import assert from 'node:assert/strict';
import { start, call, basic } from './lib/server.mjs';

let server, admin;
before(async () => { server = await start(); admin = server.admin; });
after(async () => { await server.stop(); server.remove(); });

const fhir = (method, path, body, headers = {}) => call(method, `${server.fhir}/${path}`, body, { ...admin, ...headers });
const root = (method, path, body, headers = {}) => call(method, `${server.base}/${path}`, body, { ...admin, ...headers });
const outcome = (r, status, code) => {
  assert.equal(r.status, status, r.text);
  assert.equal(r.json?.resourceType, 'OperationOutcome', r.text);
  if (code) assert.equal(r.json.issue[0].code, code, r.text);
};
const put = async (id, extra = {}) => {
  const r = await fhir('PUT', `Patient/${id}`, { resourceType: 'Patient', id, ...extra });
  assert.ok(r.status === 201 || r.status === 200, r.text);
  return r;
};
const json = { 'content-type': 'application/json-patch+json' };
const merge = { 'content-type': 'application/merge-patch+json' };
const fhirpath = { 'content-type': 'application/fhir+json' };
const operation = (type, path, ...more) => ({ name: 'operation', part: [{ name: 'type', valueCode: type }, { name: 'path', valueString: path }, ...more] });
const parameters = (...parameter) => ({ resourceType: 'Parameters', parameter });

describe('patch', () => {
  test('each kind makes a new version and answers with it', async () => {
    await put('p1', { active: true, gender: 'male' });
    let r = await fhir('PATCH', 'Patient/p1', [{ op: 'replace', path: '/active', value: false }], json);
    assert.equal(r.status, 200, r.text);
    assert.equal(r.json.meta.versionId, '2');
    assert.equal(r.json.active, false);
    assert.equal(r.headers.get('etag'), 'W/"2"');
    r = await fhir('PATCH', 'Patient/p1', { gender: null, birthDate: '1930-01-01' }, merge);
    assert.equal(r.json.meta.versionId, '3');
    assert.deepEqual([r.json.gender, r.json.birthDate, r.json.active], [undefined, '1930-01-01', false]);
    r = await fhir('PATCH', 'Patient/p1', parameters(operation('add', 'Patient', { name: 'name', valueString: 'name' }, { name: 'value', valueHumanName: { family: 'X' } })), fhirpath);
    assert.equal(r.json.meta.versionId, '4');
    assert.deepEqual(r.json.name, [{ family: 'X' }]);
    assert.equal((await fhir('GET', 'Patient/p1')).text, r.text);
    assert.equal((await fhir('GET', 'Patient?family=x&_id=p1')).json.total, 1);
    assert.deepEqual((await fhir('GET', 'Patient/p1/_history')).json.entry.length, 4);
  });
  test('what is not touched keeps its bytes', async () => {
    const sent = '{"resourceType":"Observation","id":"n1","status":"final","code":{"text":"\\u00e9 \\/ x"},"valueQuantity":{"value":1.00},"component":[{"code":{"text":"a"},"valueQuantity":{"value":1e2}},{"code":{"text":"b"},"valueQuantity":{"value":-0.0}},{"code":{"text":"c"},"valueQuantity":{"value":9007199254740993}}]}';
    await fhir('PUT', 'Observation/n1', sent);
    const strip = (text) => text.replace(/"meta":\{[^}]*\},?/, '');
    for (const [patch, type] of [[[{ op: 'add', path: '/issued', value: '2020-01-01T00:00:00.000+04:00' }], json], [{ issued: '2020-01-01T00:00:00.000+04:00' }, merge], [parameters(operation('replace', 'Observation.issued', { name: 'value', valueInstant: '2020-01-01T00:00:00.000+04:00' })), fhirpath]]) {
      const r = await fhir('PATCH', 'Observation/n1', patch, type);
      assert.equal(r.status, 200, r.text);
      assert.equal(strip(r.text), strip(sent.slice(0, -1) + ',"issued":"2020-01-01T00:00:00.000+04:00"}'));
    }
  });
  test('malformed patches are 400, those that do not fit are 422, nothing is stored', async () => {
    await put('p2', { active: true });
    outcome(await fhir('PATCH', 'Patient/p2', '[{"op":', json), 400);
    outcome(await fhir('PATCH', 'Patient/p2', { op: 'remove' }, json), 400);
    outcome(await fhir('PATCH', 'Patient/p2', [{ op: 'remove' }], json), 400);
    outcome(await fhir('PATCH', 'Patient/p2', '[]', merge), 400);
    outcome(await fhir('PATCH', 'Patient/p2', { resourceType: 'Patient' }, fhirpath), 400);
    outcome(await fhir('PATCH', 'Patient/p2', '', json), 400);
    outcome(await fhir('PATCH', 'Patient/p2', [{ op: 'test', path: '/active', value: false }], json), 422);
    outcome(await fhir('PATCH', 'Patient/p2', [{ op: 'remove', path: '/gender' }], json), 422);
    outcome(await fhir('PATCH', 'Patient/p2', [{ op: 'add', path: '/name', value: [] }], json), 422);
    outcome(await fhir('PATCH', 'Patient/p2', [{ op: 'replace', path: '/id', value: 'other' }], json), 422);
    outcome(await fhir('PATCH', 'Patient/p2', [{ op: 'replace', path: '/resourceType', value: 'Observation' }], json), 422);
    outcome(await fhir('PATCH', 'Patient/p2', [{ op: 'replace', path: '', value: 7 }], json), 422);
    outcome(await fhir('PATCH', 'Patient/p2', { resourceType: null }, merge), 422);
    outcome(await fhir('PATCH', 'Patient/p2', Array(1001).fill({ op: 'test', path: '/active', value: true }), json), 413);
    assert.equal((await fhir('GET', 'Patient/p2')).json.meta.versionId, '1');
  });
  test('the media type must be one of a patch', async () => {
    await put('p3');
    for (const type of ['application/xml-patch+xml', 'text/plain']) outcome(await fhir('PATCH', 'Patient/p3', [], { 'content-type': type }), 415);
  });
  test('If-Match is honoured; what is not there is 404, what was deleted 410', async () => {
    await put('p4');
    await put('p4');
    outcome(await fhir('PATCH', 'Patient/p4', { active: true }, { ...merge, 'if-match': 'W/"1"' }), 412);
    assert.equal((await fhir('PATCH', 'Patient/p4', { active: true }, { ...merge, 'if-match': 'W/"2"' })).status, 200);
    outcome(await fhir('PATCH', 'Patient/p-unknown', {}, merge), 404);
    outcome(await fhir('PATCH', 'Patient/no_id', {}, merge), 404);
    await fhir('DELETE', 'Patient/p4');
    outcome(await fhir('PATCH', 'Patient/p4', { active: true }, merge), 410);
  });
  test('eight at once lose nothing', async () => {
    await put('p5', { identifier: [] .concat({ value: '0' }) });
    const all = await Promise.all(Array.from({ length: 8 }, (_, i) => fhir('PATCH', 'Patient/p5', [{ op: 'add', path: '/identifier/-', value: { value: `x${i}` } }], json)));
    const made = all.filter((r) => r.status === 200).length;
    assert.ok(made > 0 && all.every((r) => r.status === 200 || r.status === 412 || r.status === 409), all.map((r) => r.status).join());
    assert.equal((await fhir('GET', 'Patient/p5')).json.identifier.length, 1 + made);
  });
  test('platform types take JSON Patch and Merge Patch, and no secret is seen by them', async () => {
    const secret = 'a secret of some length';
    await root('PUT', 'Client/patched', { grant_types: ['basic'], secret });
    let r = await root('PATCH', 'Client/patched', [{ op: 'add', path: '/name', value: 'x' }], json);
    assert.equal(r.status, 200, r.text);
    assert.equal(r.json.name, 'x');
    outcome(await root('PATCH', 'Client/patched', [{ op: 'copy', from: '/secret', path: '/description' }], json), 422);
    r = await fhir('PATCH', 'Client/patched', { description: 'y' }, merge);
    assert.equal(r.json.description, 'y', r.text);
    const same = await root('PATCH', 'Client/patched', { description: 'y' }, merge);
    assert.equal(same.json.meta.versionId, r.json.meta.versionId);
    outcome(await root('PATCH', 'Client/patched', parameters(), fhirpath), 415);
    outcome(await root('PATCH', 'Client/patched', { active: 7 }, merge), 422);
    await root('PUT', 'AccessPolicy/patched', { engine: 'allow', link: [{ resourceType: 'Client', id: 'patched' }] });
    assert.equal((await call('GET', `${server.fhir}/Patient?_count=0`, undefined, { authorization: basic('patched', secret) })).status, 200);
  });
});

describe('conditional update', () => {
  const body = (v, extra = {}) => ({ resourceType: 'Patient', identifier: [{ system: 'http://cu', value: v }], ...extra });
  const url = (v) => `Patient?identifier=http://cu|${v}`;
  test('without a match creates, with one updates', async () => {
    const first = await fhir('PUT', url('1'), body('1'));
    assert.equal(first.status, 201, first.text);
    const second = await fhir('PUT', url('1'), body('1', { active: true }));
    assert.equal(second.status, 200, second.text);
    assert.equal(second.json.id, first.json.id);
    assert.equal(second.json.meta.versionId, '2');
    const named = await fhir('PUT', url('1'), body('1', { id: first.json.id }));
    assert.equal(named.json.meta.versionId, '3');
  });
  test('an id in the body is that of the match, or of the resource to be made', async () => {
    const made = await fhir('PUT', url('2'), body('2', { id: 'cu2' }));
    assert.equal(made.status, 201, made.text);
    assert.equal(made.json.id, 'cu2');
    outcome(await fhir('PUT', url('2'), body('2', { id: 'other' })), 400);
    outcome(await fhir('PUT', url('none'), body('none', { id: 'cu2' })), 409);
    outcome(await fhir('PUT', url('none'), body('none', { id: 'no_id' })), 400);
    assert.equal((await fhir('GET', 'Patient/cu2')).json.meta.versionId, '1');
  });
  test('several matches are 412; criteria that say nothing, or nothing known, are 400', async () => {
    await fhir('POST', 'Patient', body('3'));
    await fhir('POST', 'Patient', body('3'));
    outcome(await fhir('PUT', url('3'), body('3')), 412, 'multiple-matches');
    for (const criteria of ['', '?', '?_count=1', '?nonsense=1', '?identifier=', '?_sort=name&_format=json']) outcome(await fhir('PUT', 'Patient' + criteria, body('4')), 400);
    outcome(await fhir('PUT', 'Nothing?x=1', body('4')), 404);
  });
  test('If-Match and If-None-Match hold for the match', async () => {
    outcome(await fhir('PUT', url('5'), body('5'), { 'if-match': 'W/"1"' }), 412);
    await fhir('PUT', url('5'), body('5'));
    outcome(await fhir('PUT', url('5'), body('5'), { 'if-match': 'W/"2"' }), 412);
    assert.equal((await fhir('PUT', url('5'), body('5'), { 'if-match': 'W/"1"' })).status, 200);
    outcome(await fhir('PUT', url('5'), body('5'), { 'if-none-match': '*' }), 412);
    assert.equal((await fhir('PUT', url('5b'), body('5b'), { 'if-none-match': '*' })).status, 201);
  });
  test('eight at once make exactly one', async () => {
    const all = await Promise.all(Array.from({ length: 8 }, () => fhir('PUT', url('6'), body('6'))));
    assert.equal(new Set(all.map((r) => r.json.id)).size, 1, all.map((r) => r.status).join());
    assert.equal(all.filter((r) => r.status === 201).length, 1);
    assert.equal((await fhir('GET', url('6'))).json.total, 1);
  });
  test('platform types too, below /fhir', async () => {
    const client = { grant_types: ['basic'], secret: 'a secret of some length', name: 'cu-client' };
    const first = await fhir('PUT', 'Client?name=cu-client', client);
    assert.equal(first.status, 201, first.text);
    const second = await fhir('PUT', 'Client?name=cu-client', { ...client, description: 'x' });
    assert.equal(second.status, 200, second.text);
    assert.equal(second.json.id, first.json.id);
    assert.equal((await fhir('DELETE', 'Client?name=cu-client')).status, 204);
    outcome(await fhir('GET', `Client/${first.json.id}`), 410);
  });
});

describe('conditional patch', () => {
  test('patches the match', async () => {
    const { json: made } = await fhir('POST', 'Patient', { resourceType: 'Patient', identifier: [{ system: 'http://cp', value: '1' }] });
    const r = await fhir('PATCH', 'Patient?identifier=http://cp|1', [{ op: 'add', path: '/active', value: true }], json);
    assert.equal(r.status, 200, r.text);
    assert.deepEqual([r.json.id, r.json.active], [made.id, true]);
    outcome(await fhir('PATCH', 'Patient?identifier=http://cp|2', [], json), 404);
    await fhir('POST', 'Patient', { resourceType: 'Patient', identifier: [{ system: 'http://cp', value: '1' }] });
    outcome(await fhir('PATCH', 'Patient?identifier=http://cp|1', [], json), 412);
    outcome(await fhir('PATCH', 'Patient', [], json), 400);
    outcome(await fhir('PATCH', 'Patient?nonsense=1', [], json), 400);
  });
});

describe('conditional delete', () => {
  const make = (v) => fhir('POST', 'Patient', { resourceType: 'Patient', identifier: [{ system: 'http://cd', value: v }] });
  test('removes the single match, and nothing without one', async () => {
    const { json: made } = await make('1');
    assert.equal((await fhir('DELETE', 'Patient?identifier=http://cd|1')).status, 204);
    outcome(await fhir('GET', `Patient/${made.id}`), 410);
    assert.equal((await fhir('DELETE', 'Patient?identifier=http://cd|1')).status, 204);
  });
  test('several matches are 412, and none is removed', async () => {
    await make('2');
    await make('2');
    outcome(await fhir('DELETE', 'Patient?identifier=http://cd|2'), 412, 'multiple-matches');
    assert.equal((await fhir('GET', 'Patient?identifier=http://cd|2')).json.total, 2);
  });
  test('never means all', async () => {
    const { json: { total } } = await fhir('GET', 'Patient?_summary=count');
    for (const criteria of ['', '?', '?_count=1', '?nonsense=1', '?identifier=', '?_id']) outcome(await fhir('DELETE', 'Patient' + criteria), 400);
    assert.equal((await fhir('GET', 'Patient?_summary=count')).json.total, total);
  });
});

test('several kinds of issues: the status and the first issue go together, whatever the order', async () => {
  const tag = [{ code: 'SUBSETTED' }];
  for (const body of [{ resourceType: 'Patient', meta: { tag }, name: [] }, { resourceType: 'Patient', name: [], meta: { tag } }]) {
    const r = await fhir('POST', 'Patient', body);
    outcome(r, 400, 'structure');
    assert.deepEqual(r.json.issue.map((i) => i.code), ['structure', 'business-rule']);
  }
});

describe('configured', () => {
  let other;
  const at = (method, path, body, headers = {}) => call(method, `${other.fhir}/${path}`, body, { ...other.admin, ...headers });
  before(async () => { other = await start({ plugins: { fhir: { 'versioned-updates': 'required', 'conditional-delete-multiple': 'on', 'created-at-url': 'http://created' } } }); });
  after(async () => { await other.stop(); other.remove(); });
  test('what exists is updated only with If-Match', async () => {
    const body = { resourceType: 'Patient', id: 'v1', identifier: [{ value: 'v1' }] };
    assert.equal((await at('PUT', 'Patient/v1', body)).status, 201);
    outcome(await at('PUT', 'Patient/v1', body), 428, 'required');
    assert.equal((await at('PUT', 'Patient/v1', body, { 'if-match': 'W/"1"' })).status, 200);
    outcome(await at('PATCH', 'Patient/v1', { active: true }, merge), 428);
    assert.equal((await at('PATCH', 'Patient/v1', { active: true }, { ...merge, 'if-match': 'W/"2"' })).status, 200);
    outcome(await at('PUT', 'Patient?identifier=v1', body), 428);
    const r = await at('PUT', 'Patient?identifier=v1', body, { 'if-match': 'W/"3"' });
    assert.equal(r.status, 200, r.text);
    assert.equal(r.json.meta.extension[0].valueInstant, (await at('GET', 'Patient/v1/_history/1')).json.meta.lastUpdated);
    assert.equal((await at('PUT', 'Patient?identifier=v2', { resourceType: 'Patient', identifier: [{ value: 'v2' }] })).status, 201);
    assert.equal((await at('DELETE', 'Patient/v1')).status, 204);
    assert.equal((await at('PUT', 'Patient/v1', body)).status, 201);
  });
  test('a conditional delete may remove several', async () => {
    for (let i = 0; i < 3; i++) await at('POST', 'Patient', { resourceType: 'Patient', identifier: [{ value: 'many' }] });
    assert.equal((await at('DELETE', 'Patient?identifier=many')).status, 204);
    assert.equal((await at('GET', 'Patient?identifier=many')).json.total, 0);
    outcome(await at('DELETE', 'Patient'), 400);
  });
});
