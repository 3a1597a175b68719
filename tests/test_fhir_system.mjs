// Histories of types and of the system, searches of the system and of compartments, and what scopes leave of them.
import test, { before, after, describe } from 'node:test';
import assert from 'node:assert/strict';
import { start, call, basic, sleep } from './lib/server.mjs';

let server, admin;
before(async () => { server = await start(); admin = server.admin; });
after(async () => { await server.stop(); server.remove(); });

const fhir = (method, path, body, headers = {}) => call(method, path.startsWith('?') || path === '' ? server.fhir + path : `${server.fhir}/${path}`, body, { ...admin, ...headers });
const root = (method, path, body, headers = {}) => call(method, `${server.base}/${path}`, body, { ...admin, ...headers });
const outcome = (r, status, code) => {
  assert.equal(r.status, status, r.text);
  assert.equal(r.json?.resourceType, 'OperationOutcome', r.text);
  if (code) assert.equal(r.json.issue[0].code, code, r.text);
};
const put = async (type, id, extra = {}) => {
  const r = await fhir('PUT', `${type}/${id}`, { resourceType: type, id, ...extra });
  assert.ok(r.status === 201 || r.status === 200, r.text);
  return r.json;
};
// Follows next links; every page holds at most `most` entries.
const all = async (url, most = Infinity, headers = admin) => {
  const entries = [];
  for (let pages = 0; url; pages++) {
    assert.ok(pages < 200);
    const r = await call('GET', url, undefined, headers);
    assert.equal(r.status, 200, r.text);
    assert.ok((r.json.entry ?? []).length <= most, r.text);
    assert.equal(r.json.link[0].relation, 'self');
    entries.push(...(r.json.entry ?? []));
    url = r.json.link.find((l) => l.relation === 'next')?.url;
  }
  return entries;
};
const version = (e) => e.fullUrl.slice(server.fhir.length + 1) + '/' + e.response.etag.match(/\d+/)[0];

describe('history', () => {
  let first, made;
  before(async () => {
    first = await put('Basic', 'b0', { code: { text: 'x' } });
    for (let i = 0; i < 5; i++) await put('Basic', `b${i % 2}`, { code: { text: `${i}` } });
    await put('Flag', 'f0', { status: 'active', code: { text: 'x' }, subject: { reference: 'Patient/x' } });
    await fhir('DELETE', 'Basic/b1');
    made = ['Basic/b1/3', 'Flag/f0/1', 'Basic/b0/4', 'Basic/b1/2', 'Basic/b0/3', 'Basic/b1/1', 'Basic/b0/2', 'Basic/b0/1'];
  });
  test('of a type: newest first, deletions too, pages to the end without gap or repeat', async () => {
    const expected = made.filter((v) => v.startsWith('Basic'));
    for (const count of [1, 2, 3, 100]) assert.deepEqual((await all(`${server.fhir}/Basic/_history?_count=${count}`, count)).map(version), expected, `${count}`);
    const [deleted] = await all(`${server.fhir}/Basic/_history`);
    assert.deepEqual([deleted.request.method, deleted.resource, deleted.response.status], ['DELETE', undefined, '204']);
    const entries = await all(`${server.fhir}/Basic/_history`);
    assert.ok(entries.every((e) => e.request.url && e.response.lastModified && e.fullUrl));
    assert.deepEqual(entries.at(-1).resource, first);
  });
  test('of the system: all of FHIR\'s types and no others', async () => {
    for (const count of [3, 100]) assert.deepEqual((await all(`${server.fhir}/_history?_count=${count}`, count)).map(version), made);
  });
  test('_since is inclusive, on all levels', async () => {
    const { meta } = (await fhir('GET', 'Basic/b0/_history/3')).json;
    const since = `_history?_since=${encodeURIComponent(meta.lastUpdated)}&_count=2`;
    assert.deepEqual((await all(`${server.fhir}/${since}`, 2)).map(version), made.slice(0, 5));
    assert.deepEqual((await all(`${server.fhir}/Basic/${since}`, 2)).map(version), made.slice(0, 5).filter((v) => v.startsWith('Basic')));
    assert.deepEqual((await all(`${server.fhir}/Basic/b0/${since}`, 2)).map(version), ['Basic/b0/4', 'Basic/b0/3']);
  });
  test('_at gives what was current then, on all levels and page sizes', async () => {
    const { meta } = (await fhir('GET', 'Basic/b1/_history/1')).json;
    for (const count of [1, 2, 3, 10]) {
      const at = `_history?_at=${encodeURIComponent(meta.lastUpdated)}&_count=${count}`;
      assert.deepEqual((await all(`${server.fhir}/${at}`, count)).map(version), ['Basic/b1/1', 'Basic/b0/2'], `${count}`);
      assert.deepEqual((await all(`${server.fhir}/Basic/b0/${at}`, count)).map(version), ['Basic/b0/2']);
    }
  });
  test('of platform types, in each base\'s form, without secrets', async () => {
    await root('PUT', 'Client/h1', { grant_types: ['basic'], secret: 'a secret of some length' });
    for (const r of [await root('GET', 'Client/_history'), await fhir('GET', 'Client/_history')]) {
      assert.equal(r.status, 200, r.text);
      assert.ok(r.json.entry.some((e) => e.resource.id === 'h1'));
      assert.ok(!r.text.includes('"secret"'));
    }
    assert.ok(!(await fhir('GET', '_history')).text.includes('"Client"'));
    outcome(await root('GET', 'Patient/_history'), 404);
    outcome(await fhir('GET', 'Nothing/_history'), 404);
    outcome(await fhir('GET', 'Basic/_history?_count=x'), 400);
    outcome(await fhir('GET', 'Basic/_history?_cursor=wrong'), 400);
    outcome(await fhir('GET', '_history?_at=2020&_cursor=at.wrong'), 400);
  });
});

describe('searches of the system and of compartments', () => {
  before(async () => {
    await put('Patient', 'c1', { identifier: [{ value: 'sys' }] });
    await put('Patient', 'c2');
    for (let i = 0; i < 3; i++) await put('Observation', `c${i}`, { status: 'final', code: { text: 'x' }, subject: { reference: `Patient/c${i < 2 ? 1 : 2}` }, identifier: [{ value: 'sys' }] });
    await put('Condition', 'c1', { subject: { reference: 'Patient/c1' } });
    await put('Encounter', 'c1', { status: 'finished', class: { code: 'x' }, subject: { reference: 'Patient/c1' } });
    await put('Organization', 'c1', { identifier: [{ value: 'sys' }] });
  });
  const names = (entries) => entries.map((e) => `${e.resource.resourceType}/${e.resource.id}`).sort();
  test('_type chooses, pages end, links keep their base', async () => {
    const entries = await all(`${server.fhir}?_type=Patient,Organization&_count=2`, 2);
    assert.deepEqual(names(entries), ['Organization/c1', 'Patient/c1', 'Patient/c2']);
    const r = await fhir('GET', '?_type=Patient&_count=1');
    assert.equal(r.json.link[0].url, `${server.fhir}?_type=Patient&_count=1`);
    assert.equal(r.json.entry[0].search.mode, 'match');
    const post = await fhir('POST', '_search', '_type=Patient&_count=1', { 'content-type': 'application/x-www-form-urlencoded' });
    assert.equal(post.text, r.text);
    outcome(await fhir('GET', '?_type=Nothing'), 400);
    outcome(await fhir('POST', '_search', '{}'), 415);
    outcome(await fhir('GET', '?nonsense=1', undefined, { prefer: 'handling=strict' }), 400);
  });
  test('without _type all types are searched', async () => {
    const entries = await all(`${server.fhir}?_id=c1&_count=3`, 3);
    assert.deepEqual(names(entries), ['Condition/c1', 'Encounter/c1', 'Observation/c1', 'Organization/c1', 'Patient/c1']);
    assert.ok(!(await all(`${server.fhir}?_count=50`)).some((e) => e.resource.resourceType === 'Client'));
  });
  test('a compartment holds what its definition says', async () => {
    assert.deepEqual(names(await all(`${server.fhir}/Patient/c1/Observation?_count=1`, 1)), ['Observation/c0', 'Observation/c1']);
    const r = await fhir('GET', 'Patient/c1/Observation?status=final&_count=1');
    assert.equal(r.json.link[0].url, `${server.fhir}/Patient/c1/Observation?status=final&_count=1`);
    assert.equal((await fhir('GET', 'Patient/c1/Observation?status=amended')).json.total, 0);
    assert.deepEqual(names(await all(`${server.fhir}/Patient/c1/*`)), ['Condition/c1', 'Encounter/c1', 'Observation/c0', 'Observation/c1', 'Patient/c1']);
    assert.deepEqual(names(await all(`${server.fhir}/Patient/c1/*?_type=Condition,Organization`)), ['Condition/c1']);
    assert.deepEqual(names(await all(`${server.fhir}/Patient/c2/Patient`)), ['Patient/c2']);
    assert.equal((await fhir('GET', 'Patient/c1/Organization')).json.total, 0);
    assert.equal((await fhir('GET', 'Patient/nobody/Observation')).json.total, 0);
    const post = await fhir('POST', 'Patient/c1/Observation/_search', 'status=final&_count=1', { 'content-type': 'application/x-www-form-urlencoded' });
    assert.equal(post.text, r.text);
  });
  test('what is no compartment is no path', async () => {
    for (const path of ['Observation/c1/Patient', 'Nothing/1/Patient', 'Patient/c1/Nothing', 'Patient/no_id/Observation', 'Patient/c1/Client', 'Client/root/Patient', 'Patient/c1/Operation']) outcome(await fhir('GET', path), 404);
  });
});

describe('a token with scopes', () => {
  let token;
  before(async () => {
    await root('PUT', 'Client/scoped', { grant_types: ['client_credentials'], secret: 'a secret of some length', scope: ['system/Observation.cruds', 'system/Condition.read'], auth: { client_credentials: { token_format: 'jwt' } } });
    await root('PUT', 'AccessPolicy/scoped', { engine: 'allow', link: [{ resourceType: 'Client', id: 'scoped' }] });
    const r = await call('POST', `${server.base}/auth/token`, 'grant_type=client_credentials&scope=system/Observation.cruds system/Condition.read', { authorization: basic('scoped', 'a secret of some length'), 'content-type': 'application/x-www-form-urlencoded' });
    assert.equal(r.status, 200, r.text);
    token = { authorization: `Bearer ${r.json.access_token}` };
  });
  const get = (path) => call('GET', path.startsWith('?') ? server.fhir + path : `${server.fhir}/${path}`, undefined, token);
  const types = (entries) => [...new Set(entries.map((e) => e.resource.resourceType))].sort();
  test('sees its types only, at system level', async () => {
    assert.deepEqual(types(await all(`${server.fhir}?_count=2`, 2, token)), ['Condition', 'Observation']);
    assert.deepEqual(types(await all(`${server.fhir}/_history`, Infinity, token)), ['Condition', 'Observation']);
    assert.deepEqual(types(await all(`${server.fhir}/Patient/c1/*`, Infinity, token)), ['Condition', 'Observation']);
    const r = await get('?_count=0&_total=accurate');
    assert.equal(r.json.total, 4);
    assert.equal((await get('?_type=Observation&_total=accurate')).json.total, 3);
  });
  test('is refused what it names and has no scope for', async () => {
    outcome(await get('?_type=Patient'), 403);
    outcome(await get('?_type=Observation,Patient'), 403);
    outcome(await get('Patient/_history'), 403);
    outcome(await get('Patient/c1/Encounter'), 403);
    assert.equal((await get('Patient/c1/Observation')).json.total, 2);
    assert.equal((await get('Observation/_history')).status, 200);
  });
  test('includes nothing of other types', async () => {
    const entries = await all(`${server.fhir}?_type=Observation&_include=Observation:subject`, Infinity, token);
    assert.deepEqual(types(entries), ['Observation', 'OperationOutcome']);
  });
  test('cannot probe other types by the conditions of writes', async () => {
    const observation = { resourceType: 'Observation', status: 'final', code: { text: 'x' } };
    for (const [method, body, headers] of [['PUT', observation, {}], ['DELETE', undefined, {}], ['PATCH', [], { 'content-type': 'application/json-patch+json' }]])
      outcome(await call(method, `${server.fhir}/Observation?subject:Patient.identifier=sys`, body, { ...token, ...headers }), 403);
    outcome(await call('DELETE', `${server.fhir}/Condition?subject=Patient/c1`, undefined, token), 403);
    assert.equal((await call('DELETE', `${server.fhir}/Observation?_id=c2`, undefined, token)).status, 204);
  });
});

test('Operation knows the names of all interactions', async () => {
  const ids = (await root('GET', 'Operation')).json.entry.map((e) => e.resource.id);
  for (const id of ['FhirRead', 'FhirVread', 'FhirSearch', 'FhirSystemSearch', 'FhirCompartmentSearch', 'FhirHistory', 'FhirTypeHistory', 'FhirSystemHistory', 'FhirTransaction', 'FhirUpdate', 'FhirConditionalUpdate', 'FhirPatch', 'FhirConditionalPatch', 'FhirDelete', 'FhirConditionalDelete', 'Patch']) assert.ok(ids.includes(id), id);
});
