// FHIR's interactions on single resources, on FHIR types and on platform types.
import test, { before, after, describe } from 'node:test';
import assert from 'node:assert/strict';
import { start, call, raw, basic } from './lib/server.mjs';

let server, admin;
before(async () => { server = await start(); admin = server.admin; });
after(async () => { await server.stop(); server.remove(); });

const fhir = (method, path, body, headers = {}) => call(method, `${server.fhir}/${path}`, body, { ...admin, ...headers });
const root = (method, path, body, headers = {}) => call(method, `${server.base}/${path}`, body, { ...admin, ...headers });
const outcome = (r, status, code) => {
  assert.equal(r.status, status, r.text);
  assert.equal(r.json?.resourceType, 'OperationOutcome', r.text);
  assert.ok(r.json.issue.length > 0 && r.json.issue.every((i) => i.severity && i.code), r.text);
  if (code) assert.equal(r.json.issue[0].code, code, r.text);
};
const put = async (id, extra = {}) => {
  const r = await fhir('PUT', `Patient/${id}`, { resourceType: 'Patient', id, ...extra });
  assert.ok(r.status === 201 || r.status === 200, r.text);
  return r;
};

describe('create', () => {
  test('gives an id, a version and a location', async () => {
    const r = await fhir('POST', 'Patient', { resourceType: 'Patient', id: 'ignored', active: true });
    assert.equal(r.status, 201, r.text);
    assert.match(r.json.id, /^[0-9a-f-]{36}$/);
    assert.equal(r.json.meta.versionId, '1');
    assert.match(r.json.meta.lastUpdated, /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z$/);
    assert.equal(r.headers.get('location'), `${server.fhir}/Patient/${r.json.id}/_history/1`);
    assert.equal(r.headers.get('etag'), 'W/"1"');
    assert.equal(new Date(r.headers.get('last-modified')).getTime(), Math.floor(Date.parse(r.json.meta.lastUpdated) / 1000) * 1000);
    const again = await fhir('GET', `Patient/${r.json.id}`);
    assert.equal(again.text, r.text);
  });
  test('a body of another type is refused with the place', async () => {
    const r = await fhir('POST', 'Patient', { resourceType: 'Observation' });
    outcome(r, 400);
    assert.deepEqual(r.json.issue[0].expression, ['Patient.resourceType']);
    outcome(await fhir('POST', 'Patient', { active: true }), 400);
  });
  test('all violations of the JSON rules come at once, each with its place', async () => {
    const r = await fhir('POST', 'Patient', '{"resourceType":"Patient","language":"","maritalStatus":{"coding":[]},"birthDate":null,"name":[{}]}');
    outcome(r, 400, 'structure');
    assert.deepEqual(r.json.issue.map((i) => i.expression[0]), ['Patient.language', 'Patient.maritalStatus.coding', 'Patient.birthDate', 'Patient.name[0]']);
  });
  test('a SUBSETTED resource is refused', async () => {
    outcome(await fhir('POST', 'Patient', { resourceType: 'Patient', meta: { tag: [{ code: 'SUBSETTED' }] } }), 422);
  });
  test('bodies that are no JSON are refused with a position', async () => {
    for (const body of ['{', '{"resourceType":"Patient",}', '{"a":1,"a":2}', '[01]', '{"resourceType":"Patient"} x', '﻿{}', 'NaN']) outcome(await fhir('POST', 'Patient', body), 400);
    outcome(await fhir('POST', 'Patient', '{"resourceType":"Patient","name":[{"text":"a\\u0000b"}]}'), 400);
    outcome(await fhir('POST', 'Patient', new Uint8Array([0x7b, 0x22, 0xff, 0x22, 0x3a, 0x31, 0x7d])), 400);
    outcome(await fhir('POST', 'Patient', ''), 400);
    outcome(await fhir('POST', 'Patient', '[]'), 400);
  });
  test('the media type of the body counts', async () => {
    const body = '{"resourceType":"Patient"}';
    outcome(await fhir('POST', 'Patient', body, { 'content-type': 'text/plain' }), 415);
    outcome(await fhir('POST', 'Patient', body, { 'content-type': 'application/fhir+xml' }), 415);
    assert.equal((await fhir('POST', 'Patient', body, { 'content-type': 'application/fhir+json; charset=UTF-8' })).status, 201);
  });
  test('Prefer chooses what comes back', async () => {
    const body = { resourceType: 'Patient' };
    const minimal = await fhir('POST', 'Patient', body, { prefer: 'return=minimal' });
    assert.equal(minimal.status, 201);
    assert.equal(minimal.text, '');
    assert.ok(minimal.headers.get('location'));
    const said = await fhir('POST', 'Patient', body, { prefer: 'return=OperationOutcome' });
    assert.equal(said.json.resourceType, 'OperationOutcome');
    assert.equal(said.json.issue[0].severity, 'information');
  });
});

describe('what is stored', () => {
  test('the text comes back as it was sent, but for blanks, id and meta', async () => {
    const sent = `{ "resourceType" : "Observation", "id":"text-1",
      "status": "final", "code": {"text": "c"},
      "valueSampledData": {"origin": {"value": 1.00, "code": "x"}, "period": 1e2, "factor": -0.0, "lowerLimit": 9007199254740993, "upperLimit": 0.1234567890123456789012345678901234567890, "dimensions": 1},
      "contained": [{"resourceType": "Patient", "name": [{"given": ["A", null], "_given": [null, {"extension": [{"url": "u", "valueCode": "x"}]}]}]}], "note": [{"text": "\\u00e9 \\/ \\" \\t  two  blanks"}], "issued": "2014-05-11T12:39:55.513+04:00" }`;
    const r = await fhir('PUT', 'Observation/text-1', sent);
    assert.equal(r.status, 201, r.text);
    const got = (await fhir('GET', 'Observation/text-1')).text;
    const expected = '{"resourceType":"Observation",META"id":"text-1","status":"final","code":{"text":"c"},"valueSampledData":{"origin":{"value":1.00,"code":"x"},"period":1e2,"factor":-0.0,"lowerLimit":9007199254740993,"upperLimit":0.1234567890123456789012345678901234567890,"dimensions":1},"contained":[{"resourceType":"Patient","name":[{"given":["A",null],"_given":[null,{"extension":[{"url":"u","valueCode":"x"}]}]}]}],"note":[{"text":"\\u00e9 \\/ \\" \\t  two  blanks"}],"issued":"2014-05-11T12:39:55.513+04:00"}';
    assert.equal(got.replace(/"meta":\{[^}]*\},/, 'META'), expected);
  });
  test('meta keeps what the client sent except version and time', async () => {
    const r = await fhir('PUT', 'Patient/meta-1', { resourceType: 'Patient', id: 'meta-1', meta: { versionId: '77', lastUpdated: '2001-01-01T00:00:00Z', tag: [{ code: 't' }], extension: [{ url: 'http://x', valueCode: 'c' }] } });
    assert.equal(r.json.meta.versionId, '1');
    assert.notEqual(r.json.meta.lastUpdated, '2001-01-01T00:00:00Z');
    assert.deepEqual(r.json.meta.tag, [{ code: 't' }]);
    assert.deepEqual(r.json.meta.extension, [{ url: 'http://x', valueCode: 'c' }]);
    assert.equal(r.json.meta.createdAt, undefined);
  });
  test('a Bundle put to /Bundle is a resource', async () => {
    const r = await fhir('PUT', 'Bundle/b1', { resourceType: 'Bundle', id: 'b1', type: 'collection', entry: [{ resource: { resourceType: 'Patient', id: 'never' } }] });
    assert.equal(r.status, 201, r.text);
    assert.equal((await fhir('GET', 'Bundle/b1')).json.type, 'collection');
    outcome(await fhir('GET', 'Patient/never'), 404);
  });
});

describe('update', () => {
  test('of a new id creates, of an old one makes a version, also with equal content', async () => {
    const first = await put('u1');
    assert.equal(first.status, 201);
    assert.equal(first.headers.get('location'), `${server.fhir}/Patient/u1/_history/1`);
    const second = await put('u1');
    assert.equal(second.status, 200);
    assert.equal(second.json.meta.versionId, '2');
    assert.equal(second.headers.get('etag'), 'W/"2"');
    assert.ok(second.json.meta.lastUpdated > first.json.meta.lastUpdated);
  });
  test('the id in the body must be the one in the URL', async () => {
    outcome(await fhir('PUT', 'Patient/u2', { resourceType: 'Patient' }), 400);
    outcome(await fhir('PUT', 'Patient/u2', { resourceType: 'Patient', id: 'other' }), 400);
    outcome(await fhir('PUT', 'Patient/not_an_id', { resourceType: 'Patient', id: 'not_an_id' }), 400);
    outcome(await fhir('PUT', `Patient/${'x'.repeat(65)}`, { resourceType: 'Patient', id: 'x'.repeat(65) }), 400);
    outcome(await fhir('GET', 'Patient/u2'), 404, 'not-found');
  });
  test('If-Match guards against lost updates', async () => {
    await put('u3');
    await put('u3');
    const body = { resourceType: 'Patient', id: 'u3' };
    outcome(await fhir('PUT', 'Patient/u3', body, { 'if-match': 'W/"1"' }), 412);
    assert.equal((await fhir('PUT', 'Patient/u3', body, { 'if-match': 'W/"2"' })).status, 200);
    outcome(await fhir('PUT', 'Patient/u3-new', { resourceType: 'Patient', id: 'u3-new' }, { 'if-match': 'W/"1"' }), 412);
    outcome(await fhir('DELETE', 'Patient/u3', undefined, { 'if-match': 'W/"1"' }), 412);
    outcome(await fhir('PUT', 'Patient/u3', body, { 'if-match': 'three' }), 400);
  });
  test('If-None-Match: * only creates', async () => {
    const body = { resourceType: 'Patient', id: 'u4' };
    assert.equal((await fhir('PUT', 'Patient/u4', body, { 'if-none-match': '*' })).status, 201);
    outcome(await fhir('PUT', 'Patient/u4', body, { 'if-none-match': '*' }), 412);
  });
});

describe('delete', () => {
  test('leaves 410, keeps old versions, and a PUT revives', async () => {
    await put('d1', { active: true });
    const gone = await fhir('DELETE', 'Patient/d1');
    assert.equal(gone.status, 204);
    assert.equal(gone.text, '');
    outcome(await fhir('GET', 'Patient/d1'), 410, 'deleted');
    outcome(await fhir('GET', 'Patient/d1/_history/2'), 410);
    assert.equal((await fhir('GET', 'Patient/d1/_history/1')).json.active, true);
    assert.equal((await fhir('DELETE', 'Patient/d1')).status, 204);
    const revived = await put('d1', { active: false });
    assert.equal(revived.json.meta.versionId, '3');
    assert.equal((await fhir('GET', 'Patient/d1')).json.active, false);
    const history = (await fhir('GET', 'Patient/d1/_history')).json;
    assert.deepEqual(history.entry.map((e) => [e.request.method, e.response.etag, !!e.resource]), [['PUT', 'W/"3"', true], ['DELETE', 'W/"2"', false], ['PUT', 'W/"1"', true]]);
  });
  test('of an unknown id is 204', async () => {
    assert.equal((await fhir('DELETE', 'Patient/never-there')).status, 204);
    outcome(await fhir('GET', 'Patient/never-there'), 404);
  });
});

describe('read', () => {
  test('a current copy is 304, with its ETag', async () => {
    const r = await put('r1');
    const tag = r.headers.get('etag');
    for (const headers of [{ 'if-none-match': tag }, { 'if-none-match': `"x", ${tag}` }, { 'if-modified-since': r.headers.get('last-modified') }]) {
      const not = await fhir('GET', 'Patient/r1', undefined, headers);
      assert.equal(not.status, 304, JSON.stringify(headers));
      assert.equal(not.text, '');
      assert.equal(not.headers.get('etag'), tag);
    }
    assert.equal((await fhir('GET', 'Patient/r1', undefined, { 'if-none-match': 'W/"9"', 'if-modified-since': r.headers.get('last-modified') })).status, 200);
    assert.equal((await fhir('GET', 'Patient/r1', undefined, { 'if-modified-since': 'Sun, 06 Nov 1994 08:49:37 GMT' })).status, 200);
  });
  test('HEAD is GET without a body', async () => {
    await put('r2');
    const [get, head] = [await fhir('GET', 'Patient/r2'), await fhir('HEAD', 'Patient/r2')];
    assert.equal(head.status, 200);
    assert.equal(head.text, '');
    for (const h of ['etag', 'last-modified', 'content-type', 'content-length']) assert.equal(head.headers.get(h), get.headers.get(h), h);
  });
  test('versions are read by number', async () => {
    await put('r3', { active: true });
    await put('r3', { active: false });
    const one = await fhir('GET', 'Patient/r3/_history/1');
    assert.equal(one.json.active, true);
    assert.equal(one.headers.get('etag'), 'W/"1"');
    for (const v of ['3', '0', 'x', '01', '99999999999999999999']) outcome(await fhir('GET', `Patient/r3/_history/${v}`), 404);
  });
  test('the media type is negotiated', async () => {
    await put('r4');
    const type = async (accept, query = '') => { const r = await fhir('GET', 'Patient/r4' + query, undefined, { accept }); return r.status === 200 ? r.headers.get('content-type').split(';')[0] : r.status; };
    assert.equal(await type('*/*'), 'application/fhir+json');
    assert.equal(await type('application/json'), 'application/json');
    assert.equal(await type('application/fhir+json'), 'application/fhir+json');
    assert.equal(await type('text/html;q=0.9, application/*;q=0.1'), 'application/fhir+json');
    assert.equal(await type('application/fhir+xml'), 406);
    assert.equal(await type('application/fhir+xml', '?_format=json'), 'application/fhir+json');
    assert.equal(await type('*/*', '?_format=application%2Ffhir%2Bjson'), 'application/fhir+json');
    assert.equal(await type('*/*', '?_format=application/fhir+json'), 'application/fhir+json');
    assert.equal(await type('*/*', '?_format=xml'), 406);
    assert.equal(await type('*/*', '?unknown=x'), 'application/fhir+json');
  });
  test('_pretty indents', async () => {
    const r = await fhir('GET', 'Patient/r4?_pretty=true');
    assert.match(r.text, /^\{\n {2}"resourceType": "Patient",\n/);
    assert.equal(JSON.stringify(r.json), (await fhir('GET', 'Patient/r4')).text);
  });
  test('_summary and _elements cut down a read too', async () => {
    await put('r5', { active: true, text: { status: 'generated', div: '<div xmlns="http://www.w3.org/1999/xhtml">x</div>' } });
    const some = (await fhir('GET', 'Patient/r5?_elements=active')).json;
    assert.deepEqual(Object.keys(some).sort(), ['active', 'id', 'meta', 'resourceType']);
    assert.equal(some.meta.tag[0].code, 'SUBSETTED');
    assert.equal((await fhir('GET', 'Patient/r5?_summary=text')).json.active, undefined);
    assert.equal((await fhir('GET', 'Patient/r5?_summary=false')).json.meta.tag, undefined);
    outcome(await fhir('GET', 'Patient/r5?_summary=maybe'), 400);
  });
  test('unknown types and ids are 404, whatever the method', async () => {
    for (const [method, path] of [['GET', 'Nothing'], ['GET', 'Nothing/1'], ['POST', 'Nothing'], ['PUT', 'Nothing/1'], ['DELETE', 'Nothing/1'], ['GET', 'patient/1'], ['GET', 'Patient/no_id'], ['GET', 'Patient/unknown']]) outcome(await fhir(method, path, method === 'POST' || method === 'PUT' ? { resourceType: 'Nothing', id: '1' } : undefined), 404);
    outcome(await fhir('POST', 'Patient/r4', []), 405);
    assert.equal((await fhir('POST', 'Patient/r4', [])).headers.get('allow'), 'GET, HEAD, PUT, PATCH, DELETE');
  });
});

describe('history', () => {
  test('has pages, newest first, and takes _since inclusively', async () => {
    const versions = [];
    for (let i = 0; i < 5; i++) versions.push((await put('h1', { gender: i % 2 ? 'male' : 'female' })).json);
    let url = `${server.fhir}/Patient/h1/_history?_count=2`;
    const seen = [];
    while (url) {
      const r = await call('GET', url, undefined, admin);
      assert.equal(r.json.type, 'history');
      assert.ok(r.json.entry.length <= 2);
      assert.equal(r.json.link[0].relation, 'self');
      seen.push(...r.json.entry.map((e) => e.resource.meta.versionId));
      url = r.json.link.find((l) => l.relation === 'next')?.url;
    }
    assert.deepEqual(seen, ['5', '4', '3', '2', '1']);
    const since = await fhir('GET', `Patient/h1/_history?_since=${encodeURIComponent(versions[3].meta.lastUpdated)}`);
    assert.deepEqual(since.json.entry.map((e) => e.resource.meta.versionId), ['5', '4']);
    const at = await fhir('GET', `Patient/h1/_history?_at=${encodeURIComponent(versions[2].meta.lastUpdated)}`);
    assert.ok(at.json.entry.some((e) => e.resource.meta.versionId === '3'));
    assert.ok(at.json.entry.every((e) => e.resource.meta.lastUpdated.slice(0, 19) <= versions[2].meta.lastUpdated.slice(0, 19) || e.resource.meta.versionId === '3'));
    outcome(await fhir('GET', 'Patient/h1/_history?_count=x'), 400);
    outcome(await fhir('GET', 'Patient/h1/_history?_since=yesterday'), 400);
    outcome(await fhir('GET', 'Patient/h-unknown/_history'), 404);
  });
});

describe('conditional create', () => {
  const body = (v) => ({ resourceType: 'Patient', identifier: [{ system: 'http://ids', value: v }] });
  test('makes one, then answers with it', async () => {
    const criteria = { 'if-none-exist': 'identifier=http://ids|cc1' };
    const first = await fhir('POST', 'Patient', body('cc1'), criteria);
    assert.equal(first.status, 201, first.text);
    const second = await fhir('POST', 'Patient', body('cc1'), criteria);
    assert.equal(second.status, 200, second.text);
    assert.equal(second.text, first.text);
    assert.equal(second.headers.get('location'), first.headers.get('location'));
  });
  test('eight at once make exactly one', async () => {
    const all = await Promise.all(Array.from({ length: 8 }, () => fhir('POST', 'Patient', body('cc2'), { 'if-none-exist': 'identifier=http://ids|cc2' })));
    assert.deepEqual(all.map((r) => r.status).sort(), [200, 200, 200, 200, 200, 200, 200, 201]);
    assert.equal(new Set(all.map((r) => r.json.id)).size, 1);
  });
  test('several matches are 412; criteria that say nothing, or nothing known, are 400', async () => {
    await fhir('POST', 'Patient', body('cc3'));
    await fhir('POST', 'Patient', body('cc3'));
    outcome(await fhir('POST', 'Patient', body('cc3'), { 'if-none-exist': 'identifier=http://ids|cc3' }), 412, 'multiple-matches');
    for (const criteria of ['', '_count=1', 'nonsense=1', 'identifier=', '_sort=name&_format=json']) outcome(await fhir('POST', 'Patient', body('cc4'), { 'if-none-exist': criteria }), 400);
  });
});

describe('platform types', () => {
  const client = { grant_types: ['basic'], secret: 'a secret of some length' };
  test('are served below both bases, each in its own form', async () => {
    assert.equal((await root('PUT', 'Client/p1', client)).status, 201);
    const policy = await root('PUT', 'AccessPolicy/p1', { engine: 'allow', link: [{ reference: 'Client/p1' }] });
    assert.equal(policy.status, 201, policy.text);
    assert.equal(policy.headers.get('location'), `${server.base}/AccessPolicy/p1/_history/1`);
    assert.equal(policy.headers.get('content-type').split(';')[0], 'application/json');
    assert.deepEqual(policy.json.link, [{ resourceType: 'Client', id: 'p1' }]);
    assert.equal(policy.json.meta.createdAt, policy.json.meta.lastUpdated);
    const below = await fhir('GET', 'AccessPolicy/p1');
    assert.deepEqual(below.json.link, [{ reference: 'Client/p1' }]);
    assert.equal(below.json.meta.createdAt, undefined);
    assert.equal(below.json.meta.versionId, '1');
    outcome(await root('GET', 'Patient'), 404);
    outcome(await root('GET', 'Patient/1'), 404);
  });
  test('equal content makes no new version; the time of creation stays', async () => {
    const first = await root('PUT', 'AccessPolicy/p2', { engine: 'allow', link: [{ resourceType: 'Client', id: 'p1' }] });
    const same = await root('PUT', 'AccessPolicy/p2', { link: [{ reference: 'Client/p1' }], engine: 'allow', id: 'p2' });
    assert.equal(same.status, 200, same.text);
    assert.equal(same.text, first.text);
    const changed = await root('PUT', 'AccessPolicy/p2', { engine: 'allow', description: 'x', link: [{ resourceType: 'Client', id: 'p1' }] });
    assert.equal(changed.json.meta.versionId, '2');
    assert.equal(changed.json.meta.createdAt, first.json.meta.createdAt);
    outcome(await root('PUT', 'AccessPolicy/p2', { engine: 'allow', link: [{ resourceType: 'Client', id: 'p1' }] }, { 'if-match': 'W/"1"' }), 412);
  });
  test('a POST honours the id in the body, once', async () => {
    const r = await root('POST', 'Client', { id: 'p3', ...client });
    assert.equal(r.status, 201, r.text);
    assert.equal(r.json.id, 'p3');
    outcome(await root('POST', 'Client', { id: 'p3', ...client }), 409);
    const generated = await root('POST', 'Client', client);
    assert.match(generated.json.id, /^[0-9a-f-]{36}$/);
  });
  test('secrets never come back', async () => {
    for (const r of [await root('GET', 'Client/p1'), await fhir('GET', 'Client/p1'), await root('GET', 'Client'), await root('GET', 'Client/p1/_history')]) {
      assert.equal(r.status, 200, r.text);
      assert.ok(!r.text.includes('"secret"') && !r.text.includes(client.secret), r.text);
    }
  });
  test('what the owner refuses is 422 with the place', async () => {
    const r = await root('PUT', 'AccessPolicy/p4', { engine: 'no-such-engine' });
    assert.equal(r.status, 422, r.text);
    outcome(await root('PUT', 'Client/p4', { resourceType: 'Patient' }), 400);
    outcome(await root('PUT', 'Client/p4', { id: 'other', ...client }), 400);
    outcome(await root('GET', 'Client/p4'), 404);
  });
  test('Operation lists what policies can be linked to, and cannot be written', async () => {
    const list = await root('GET', 'Operation');
    const ids = list.json.entry.map((e) => e.resource.id);
    for (const id of ['FhirRead', 'FhirSearch', 'FhirCreate', 'FhirConditionalCreate', 'FhirTransaction', 'Read', 'Token']) assert.ok(ids.includes(id), id);
    assert.deepEqual((await root('GET', 'Operation/FhirRead')).json, { resourceType: 'Operation', id: 'FhirRead', request: ['GET', '/fhir/{type}/{id}'], public: false, module: 'fhir' });
    outcome(await root('PUT', 'Operation/FhirRead', { resourceType: 'Operation', id: 'FhirRead' }), 405);
  });
});

describe('search', () => {
  before(async () => { for (let i = 0; i < 5; i++) await fhir('PUT', `Observation/s${i}`, { resourceType: 'Observation', id: `s${i}`, status: 'final', code: { coding: [{ system: 'http://loinc.org', code: 'search-1' }] }, subject: { reference: 'Patient/u1' }, valueQuantity: { value: i } }); });
  test('pages hold every match once, with absolute URLs', async () => {
    let url = `${server.fhir}/Observation?code=search-1&_count=2`;
    const seen = [];
    for (let page = 0; url; page++) {
      const r = await call('GET', url, undefined, admin);
      assert.equal(r.status, 200, r.text);
      assert.equal(r.json.type, 'searchset');
      assert.ok(r.json.entry.length <= 2);
      for (const e of r.json.entry) {
        assert.equal(e.fullUrl, `${server.fhir}/Observation/${e.resource.id}`);
        assert.deepEqual(e.link, [{ relation: 'self', url: e.fullUrl }]);
        assert.deepEqual(e.search, { mode: 'match' });
        seen.push(e.resource.id);
      }
      const link = Object.fromEntries(r.json.link.map((l) => [l.relation, l.url]));
      if (page === 0) assert.equal(link.self, url);
      else assert.equal(link.first, `${server.fhir}/Observation?code=search-1&_count=2`);
      url = link.next;
    }
    assert.deepEqual(seen.sort(), ['s0', 's1', 's2', 's3', 's4']);
  });
  test('POST _search equals GET', async () => {
    const get = await fhir('GET', 'Observation?code=search-1&_count=2');
    const post = await fhir('POST', 'Observation/_search', 'code=search-1&_count=2', { 'content-type': 'application/x-www-form-urlencoded' });
    assert.equal(post.text, get.text);
    const mixed = await fhir('POST', 'Observation/_search?_count=2', 'code=search-1', { 'content-type': 'application/x-www-form-urlencoded' });
    assert.deepEqual(mixed.json.entry, get.json.entry);
    outcome(await fhir('POST', 'Observation/_search', '{}'), 415);
  });
  test('an empty result has no entry', async () => {
    const r = await fhir('GET', 'Observation?code=no-such-code');
    assert.equal(r.json.total, 0);
    assert.equal('entry' in r.json, false);
  });
  test('unknown parameters are named when lenient, refused when strict', async () => {
    const lenient = await fhir('GET', 'Observation?code=search-1&nonsense=1&_count=1');
    assert.equal(lenient.status, 200);
    assert.ok(!lenient.json.link[0].url.includes('nonsense'));
    const told = lenient.json.entry.find((e) => e.search.mode === 'outcome');
    assert.match(told.resource.issue[0].diagnostics, /nonsense/);
    outcome(await fhir('GET', 'Observation?nonsense=1', undefined, { prefer: 'handling=strict' }), 400);
  });
  test('_include adds what is referred to, once', async () => {
    await put('u1');
    const r = await fhir('GET', 'Observation?code=search-1&_include=Observation:subject');
    const included = r.json.entry.filter((e) => e.search.mode === 'include');
    assert.deepEqual(included.map((e) => e.fullUrl), [`${server.fhir}/Patient/u1`]);
  });
  test('_elements and _summary cut down and say so', async () => {
    const r = await fhir('GET', 'Observation?code=search-1&_elements=value&_count=1');
    const o = r.json.entry[0].resource;
    assert.deepEqual(Object.keys(o).sort(), ['code', 'id', 'meta', 'resourceType', 'status', 'valueQuantity']);
    assert.ok(o.meta.tag.some((t) => t.code === 'SUBSETTED'));
    outcome(await fhir('PUT', `Observation/${o.id}`, o), 422);
    const count = await fhir('GET', 'Observation?code=search-1&_summary=count');
    assert.equal(count.json.total, 5);
    assert.equal('entry' in count.json, false);
  });
});

describe('metadata', () => {
  test('needs no credentials and names what works', async () => {
    const r = await call('GET', `${server.fhir}/metadata`);
    assert.equal(r.status, 200, r.text);
    const { json } = r;
    assert.equal(json.resourceType, 'CapabilityStatement');
    assert.equal(json.fhirVersion, '4.0.1');
    assert.equal(json.kind, 'instance');
    assert.ok(json.format.includes('json'));
    assert.deepEqual(json.patchFormat, ['application/json-patch+json', 'application/merge-patch+json', 'application/fhir+json']);
    assert.equal(json.implementation.url, server.fhir);
    assert.equal(json.rest[0].mode, 'server');
    assert.equal(json.rest[0].resource.length, 146);
    const observation = json.rest[0].resource.find((x) => x.type === 'Observation');
    assert.deepEqual(observation.interaction.map((i) => i.code).sort(), ['create', 'delete', 'history-instance', 'history-type', 'patch', 'read', 'search-type', 'update', 'vread']);
    assert.ok(observation.searchParam.some((p) => p.name === 'code' && p.type === 'token' && p.definition === 'http://hl7.org/fhir/SearchParameter/clinical-code'));
    assert.ok(observation.searchInclude.includes('Observation:subject'));
    assert.ok(json.rest[0].resource.find((x) => x.type === 'Patient').searchRevInclude.includes('Observation:subject'));
    assert.deepEqual(json.rest[0].interaction.map((i) => i.code), ['transaction', 'batch', 'search-system', 'history-system']);
    assert.equal(json.rest[0].security.service[0].coding[0].code, 'SMART-on-FHIR');
    assert.equal((await call('GET', `${server.fhir}/metadata`, undefined, { accept: 'application/fhir+xml' })).status, 406);
  });
  test('every search parameter answers under strict handling', async () => {
    const { json } = await call('GET', `${server.fhir}/metadata`);
    const wrong = [];
    const value = { token: 'x', string: 'x', reference: 'x', date: '2020', number: '1', quantity: '1', uri: 'http://x', composite: 'x$x', special: '1|1|1|km' };
    for (const type of json.rest[0].resource.filter((x) => ['Patient', 'Observation', 'Location', 'Bundle', 'Binary'].includes(x.type))) {
      for (const p of type.searchParam) {
        const r = await fhir('GET', `${type.type}?${p.name}=${encodeURIComponent(p.type === 'composite' ? 'x$1' : value[p.type])}&_count=1`, undefined, { prefer: 'handling=strict' });
        if (r.status !== 200 && !(p.type === 'composite' && r.status === 400 && !/not known|unknown/i.test(r.text))) wrong.push([type.type, p.name, r.status, r.json?.issue?.[0]?.diagnostics]);
      }
    }
    assert.deepEqual(wrong, []);
  });
});

test('anonymous requests are refused before anything is looked up', async () => {
  await put('a1');
  for (const [method, path] of [['GET', 'Patient/a1'], ['GET', 'Patient/unknown'], ['GET', 'Patient'], ['DELETE', 'Patient/a1'], ['GET', 'Patient/a1/_history']]) {
    const r = await call(method, `${server.fhir}/${path}`);
    outcome(r, 401);
    assert.equal(r.headers.get('etag'), null);
  }
});

test('no path whatever gives 500', async () => {
  const auth = `Authorization: ${admin.authorization}\r\nHost: x\r\nConnection: close\r\n`;
  for (const path of ['/fhir/Patient/%00', '/fhir//Patient', '/fhir/Patient/..', '/fhir/Patient/1/_history/', '/fhir/Patient/1/2/3/4/5', '/fhir/%F0%9F%98%80', '/fhir/Patient?%', '/fhir/Patient?_count=-1', '/fhir/Patient?=&=&&', '/fhir/Patient/$nothing', '/fhir/_history', '/fhir/Patient?_id=%FF', '/fhir/Patient/1?_format=%00', '/Client?_sort=%25', '/fhir/Patient/_search?x', '/fhir/metadata/x', '/_history', '/x', '/fhir/Observation?value-quantity=%7C%7C%7C', '/fhir/Patient?_include=::::&_has=:::']) {
    const answer = await raw(server.port, `GET ${path} HTTP/1.1\r\n${auth}\r\n`);
    assert.match(answer, /^HTTP\/1\.1 [2-4]\d\d /, path);
  }
});

test('deleting what is not there changes nothing for what comes later', async () => {
  const policy = { engine: 'allow', link: [{ resourceType: 'Client', id: 'late' }] };
  await root('PUT', 'Client/late', { grant_types: ['basic'], secret: 'a secret of some length' });
  const late = { authorization: basic('late', 'a secret of some length') };
  const remove = async () => assert.equal((await root('DELETE', 'AccessPolicy/late')).status, 204);
  await remove();
  await root('PUT', 'AccessPolicy/late', policy);
  assert.equal((await call('GET', `${server.fhir}/Patient?_count=1`, undefined, late)).status, 200);
  await remove();
  assert.equal((await call('GET', `${server.fhir}/Patient?_count=1`, undefined, late)).status, 403);
  await remove();
  await root('PUT', 'AccessPolicy/late', policy);
  assert.equal((await call('GET', `${server.fhir}/Patient?_count=1`, undefined, late)).status, 200);
});

describe('a token with scopes', () => {
  let token;
  before(async () => {
    await root('PUT', 'Client/scoped', { grant_types: ['client_credentials'], secret: 'a secret of some length', scope: ['system/Observation.read', 'system/Patient.read'], auth: { client_credentials: { token_format: 'jwt' } } });
    await root('PUT', 'AccessPolicy/scoped', { engine: 'allow', link: [{ resourceType: 'Client', id: 'scoped' }] });
    const r = await call('POST', `${server.base}/auth/token`, 'grant_type=client_credentials&scope=system/Observation.read', { authorization: basic('scoped', 'a secret of some length'), 'content-type': 'application/x-www-form-urlencoded' });
    assert.equal(r.status, 200, r.text);
    token = { authorization: `Bearer ${r.json.access_token}` };
    await fhir('PUT', 'Patient/hidden', { resourceType: 'Patient', id: 'hidden', gender: 'male' });
    await fhir('PUT', 'Observation/seen', { resourceType: 'Observation', id: 'seen', status: 'final', code: { coding: [{ code: 'scoped-1' }] }, subject: { reference: 'Patient/hidden' } });
  });
  test('includes only what it may search, and says that something was left out', async () => {
    const r = await call('GET', `${server.fhir}/Observation?code=scoped-1&_include=Observation:subject`, undefined, token);
    assert.equal(r.status, 200, r.text);
    assert.deepEqual(r.json.entry.map((e) => [e.search.mode, e.resource.resourceType]), [['match', 'Observation'], ['outcome', 'OperationOutcome']]);
    assert.equal(r.json.entry[1].resource.issue[0].code, 'suppressed');
  });
  test('cannot probe other types by chains', async () => {
    outcome(await call('GET', `${server.fhir}/Observation?subject:Patient.gender=male`, undefined, token), 403);
    outcome(await call('GET', `${server.fhir}/Observation?_has:DiagnosticReport:result:code=x`, undefined, token), 403);
  });
  test('reads its types and nothing else', async () => {
    assert.equal((await call('GET', `${server.fhir}/Observation/seen`, undefined, token)).status, 200);
    outcome(await call('GET', `${server.fhir}/Patient/hidden`, undefined, token), 403);
    outcome(await call('POST', `${server.fhir}/Observation`, { resourceType: 'Observation' }, token), 403);
    outcome(await call('GET', `${server.fhir}/Client/scoped`, undefined, token), 403);
  });
});

describe('configured', () => {
  let other;
  const at = (method, path, body) => call(method, `${other.fhir}/${path}`, body, other.admin);
  before(async () => { other = await start({ plugins: { fhir: { 'referential-integrity': 'on', 'created-at-url': 'http://created', 'search-handling': 'strict', instantiates: 'http://a http://b', 'supported-profiles': 'Patient=http://p' } } }); });
  after(async () => { await other.stop(); other.remove(); });
  test('with referential integrity, references must lead somewhere', async () => {
    const observation = { resourceType: 'Observation', id: 'i1', status: 'final', code: { text: 'x' }, subject: { reference: 'Patient/i1' } };
    const refused = await at('PUT', 'Observation/i1', observation);
    assert.ok(refused.status === 422 || refused.status === 409, refused.text);
    await at('PUT', 'Patient/i1', { resourceType: 'Patient', id: 'i1' });
    assert.equal((await at('PUT', 'Observation/i1', observation)).status, 201);
    outcome(await at('DELETE', 'Patient/i1'), 409);
    await at('DELETE', 'Observation/i1');
    assert.equal((await at('DELETE', 'Patient/i1')).status, 204);
  });
  test('with a url, the time of creation is an extension that stays', async () => {
    const first = (await at('PUT', 'Patient/c1', { resourceType: 'Patient', id: 'c1' })).json;
    assert.deepEqual(first.meta.extension, [{ url: 'http://created', valueInstant: first.meta.lastUpdated }]);
    const second = (await at('PUT', 'Patient/c1', { ...first, active: true })).json;
    assert.deepEqual(second.meta.extension, first.meta.extension);
    assert.notEqual(second.meta.lastUpdated, first.meta.lastUpdated);
    const client = (await at('GET', 'Client/root')).json;
    assert.equal(client.meta.extension[0].url, 'http://created');
  });
  test('strict handling is the default then; metadata says what was configured', async () => {
    outcome(await at('GET', 'Patient?nonsense=1'), 400);
    const { json } = await at('GET', 'metadata');
    assert.deepEqual(json.instantiates, ['http://a', 'http://b', 'http://hl7.org/fhir/uv/bulkdata/CapabilityStatement/bulk-data']);
    assert.deepEqual(json.rest[0].resource.find((r) => r.type === 'Patient').supportedProfile, ['http://p']);
    assert.deepEqual(json.rest[0].resource[0].referencePolicy, ['literal', 'enforced']);
  });
});
