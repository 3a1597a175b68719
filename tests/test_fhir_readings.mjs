// What is easy to misread in R4 about the text of resources, single interactions, Bundles and the CapabilityStatement:
// a test for each.
import test, { before, after, describe } from 'node:test';
import assert from 'node:assert/strict';
import { start, call } from './lib/server.mjs';

let server, admin;
before(async () => { server = await start(); admin = server.admin; });
after(async () => { await server.stop(); assert.doesNotMatch(server.output(), /Sanitizer|runtime error/); server.remove(); });

const fhir = (method, path, body, headers = {}) => call(method, path ? `${server.fhir}/${path}` : server.fhir, body, { ...admin, ...headers });
const run = (type, ...entry) => fhir('POST', '', { resourceType: 'Bundle', type, entry });
const ok = (r) => { assert.ok(r.status < 300, `${r.status} ${r.text}`); return r; };
const outcome = (r, status, place) => {
  assert.equal(r.status, status, r.text);
  assert.equal(r.json?.resourceType, 'OperationOutcome', r.text);
  if (place) assert.equal(r.json.issue[0].expression?.[0], place, r.text);
};
const patient = (id, more = {}) => ({ resourceType: 'Patient', id, ...more });
const by = (value) => [{ system: 'http://readings', value }];
const put = (resource) => ({ resource, request: { method: 'PUT', url: `${resource.resourceType}/${resource.id}` } });
const uuid = (n) => `urn:uuid:00000000-0000-4000-9000-${String(n).padStart(12, '0')}`;
const idOf = (e) => e.response.location.match(/\/fhir\/([A-Za-z]+\/[^/]+)\/_history\/\d+$/)[1];

describe('the text of a resource', () => {
  const meta = (r) => `"versionId":"${r.json.meta.versionId}","lastUpdated":"${r.json.meta.lastUpdated}"`;
  test('id and meta stay where they stand, all else in its place', async () => {
    const r = ok(await fhir('PUT', 'Patient/t1', '{"active":true , "meta":{"tag":[{"code":"a"}],"source":"http://s"},"gender":"male","id":"t1","resourceType":"Patient","birthDate":"1970-01-01"}'));
    const { text } = await fhir('GET', 'Patient/t1');
    assert.equal(text.replace(/"(versionId|lastUpdated)":"[^"]*",?/g, '').replace(',}', '}'), '{"active":true,"meta":{"tag":[{"code":"a"}],"source":"http://s"},"gender":"male","id":"t1","resourceType":"Patient","birthDate":"1970-01-01"}');
    assert.equal(text, r.text);
  });
  test('where they are absent they stand behind resourceType', async () => {
    const r = ok(await fhir('POST', 'Patient', '{"active":true,"resourceType":"Patient","gender":"male"}'));
    assert.equal(r.text, `{"active":true,"resourceType":"Patient","id":"${r.json.id}","meta":{${meta(r)}},"gender":"male"}`);
  });
  const numbers = ['1.0', '1.00', '1e2', '-0.0', '1234567890123456789012345678901234567890', '9007199254740993'];
  const components = numbers.map((n) => `{"code":{"text":"c"},"valueQuantity":{"value":${n}}}`).join();
  const observation = (id) => `{"resourceType":"Observation","id":"${id}","status":"final","code":{"text":"c"},"component":[${components}]}`;
  const kept = (text, what) => assert.ok(text.includes(`"component":[${components}]`), `${what}: ${text.slice(0, 900)}`);
  test('numbers keep theirs on every way in and out', async () => {
    const bundle = (type, id) => `{"resourceType":"Bundle","type":"${type}","entry":[{"resource":${observation(id)},"request":{"method":"PUT","url":"Observation/${id}"}},{"request":{"method":"GET","url":"Observation/${id}"}}]}`;
    ok(await fhir('PUT', 'Observation/n-put', observation('n-put')));
    for (const type of ['transaction', 'batch']) {
      const r = ok(await fhir('POST', '', bundle(type, `n-${type}`), { prefer: 'return=representation' }));
      assert.equal(r.text.split(`"component":[${components}]`).length, 3, r.text);
    }
    for (const id of ['n-put', 'n-transaction', 'n-batch'])
      for (const path of [`Observation/${id}`, `Observation/${id}/_history/1`, `Observation/${id}/_history`, `Observation?_id=${id}`, `?_id=${id}&_type=Observation`, `Observation/${id}?_elements=component`])
        kept(ok(await call('GET', `${server.fhir}${path.startsWith('?') ? '' : '/'}${path}`, undefined, admin)).text, path);
    for (const path of ['_history', 'Observation/_history', 'Observation/$export-stream']) assert.equal((await fhir('GET', path)).text.split(`"component":[${components}]`).length, 4, path);
  });
  test('numbers keep theirs in patches, too', async () => {
    const patches = {
      'application/json-patch+json': [`[{"op":"add","path":"/component","value":[${components}]}]`, `[{"op":"add","path":"/extension","value":[]},{"op":"remove","path":"/extension"},{"op":"add","path":"/component","value":[${components}]}]`],
      'application/merge-patch+json': [`{"component":[${components}]}`],
    };
    for (const [type, texts] of Object.entries(patches))
      for (const text of texts) {
        ok(await fhir('PUT', 'Observation/n-patch', '{"resourceType":"Observation","id":"n-patch","status":"final","code":{"text":"c"}}'));
        kept(ok(await fhir('PATCH', 'Observation/n-patch', text, { 'content-type': type })).text, text);
      }
    const part = (path, number) => `{"name":"operation","part":[{"name":"type","valueCode":"replace"},{"name":"path","valueString":"${path}"},{"name":"value","valueDecimal":${number}}]}`;
    ok(await fhir('PUT', 'Observation/n-path', observation('n-path').replaceAll(/"value":[^}]*/g, '"value":7')));
    kept(ok(await fhir('PATCH', 'Observation/n-path', `{"resourceType":"Parameters","parameter":[${numbers.map((n, i) => part(`Observation.component[${i}].value.value`, n)).join()}]}`, { 'content-type': 'application/fhir+json' })).text, 'FHIRPath Patch');
    // What is moved and copied is the text, not a value.
    const r = ok(await fhir('PATCH', 'Observation/n-path', [{ op: 'copy', from: '/component/2/valueQuantity', path: '/valueQuantity' }, { op: 'move', from: '/component/4', path: '/component/0' }], { 'content-type': 'application/json-patch+json' }));
    assert.ok(r.text.includes('"valueQuantity":{"value":1e2}}') && r.text.includes(`"component":[{"code":{"text":"c"},"valueQuantity":{"value":${numbers[4]}}},{`), r.text);
  });
  test('what is no FHIR JSON is refused with its place', async () => {
    for (const body of ['{"resourceType":"Patient"} x', '{"resourceType":"Patient","active":01}', '{"resourceType":"Patient","active":NaN}', '{"resourceType":"Patient",}', Buffer.from('{"resourceType":"Patient","gender":"\xff"}', 'latin1')]) {
      const r = await fhir('POST', 'Patient', typeof body === 'string' ? body : new Uint8Array(body));
      outcome(r, 400);
      assert.match(r.json.issue[0].diagnostics, /line 1, column \d+/, r.text);
    }
    const places = { '"active":null': 'Patient.active', '"name":[null]': 'Patient.name[0]', '"maritalStatus":{}': 'Patient.maritalStatus', '"name":[]': 'Patient.name', '"gender":""': 'Patient.gender', '"name":[{"given":[null]}]': 'Patient.name[0].given[0]' };
    for (const [member, place] of Object.entries(places)) outcome(await fhir('POST', 'Patient', `{"resourceType":"Patient",${member}}`), 400, place);
  });
  test('ids differ by case; all their signs, 64 of them', async () => {
    for (const id of ['Case', 'cASE', `A-z.0${'9'.repeat(59)}`]) ok(await fhir('PUT', `Patient/${id}`, patient(id, { identifier: by(id) })));
    for (const id of ['Case', 'cASE']) {
      assert.equal((await fhir('GET', `Patient/${id}`)).json.identifier[0].value, id);
      assert.deepEqual((await fhir('GET', `Patient?_id=${id}`)).json.entry.map((e) => e.resource.id), [id]);
    }
    outcome(await fhir('GET', 'Patient/CASE'), 404);
  });
  test('a reference to nothing is stored, and followed once there is something', async () => {
    ok(await fhir('PUT', 'Observation/early', { resourceType: 'Observation', id: 'early', status: 'final', code: { text: 'x' }, subject: { reference: 'Patient/late' } }));
    const found = async () => (await fhir('GET', 'Observation?subject:Patient.family=Late&_include=Observation:subject')).json.entry?.map((e) => e.resource.id).sort() ?? [];
    assert.deepEqual(await found(), []);
    ok(await fhir('PUT', 'Patient/late', patient('late', { name: [{ family: 'Late' }] })));
    assert.deepEqual(await found(), ['early', 'late']);
    ok(await fhir('DELETE', 'Patient/late'));
    assert.deepEqual(await found(), []);
    ok(await fhir('PUT', 'Patient/late', patient('late', { name: [{ family: 'Late' }] })));
    assert.deepEqual(await found(), ['early', 'late']);
  });
});

describe('an interaction', () => {
  test('HEAD has the status of GET: 304, 404, 406, 410', async () => {
    const { headers } = ok(await fhir('PUT', 'Patient/h', patient('h')));
    ok(await fhir('PUT', 'Patient/h-gone', patient('h-gone')));
    ok(await fhir('DELETE', 'Patient/h-gone'));
    for (const [path, more, status] of [['Patient/h', { 'if-none-match': headers.get('etag') }, 304], ['Patient/h', { 'if-modified-since': headers.get('last-modified') }, 304], ['Patient/h-none', {}, 404], ['Patient/h', { accept: 'text/html' }, 406], ['Patient/h-gone', {}, 410]])
      for (const method of ['GET', 'HEAD']) assert.equal((await fhir(method, path, undefined, more)).status, status, `${method} ${path}`);
  });
  test('If-None-Match: * creates what was deleted', async () => {
    ok(await fhir('PUT', 'Patient/again', patient('again')));
    ok(await fhir('DELETE', 'Patient/again'));
    const r = await fhir('PUT', 'Patient/again', patient('again'), { 'if-none-match': '*' });
    assert.deepEqual([r.status, r.headers.get('location')], [201, `${server.fhir}/Patient/again/_history/3`]);
  });
  test('criteria with one unknown parameter are refused, however lenient the client', async () => {
    ok(await fhir('PUT', 'Patient/only', patient('only', { identifier: by('only') })));
    const body = patient(undefined, { identifier: by('only') }), criteria = 'identifier=http://readings|only&nonsense=1', lenient = { prefer: 'handling=lenient' };
    outcome(await fhir('POST', 'Patient', body, { ...lenient, 'if-none-exist': criteria }), 400);
    outcome(await fhir('PUT', `Patient?${criteria}`, body, lenient), 400);
    outcome(await fhir('DELETE', `Patient?${criteria}`, undefined, lenient), 400);
    outcome(await fhir('PATCH', `Patient?${criteria}`, [], { ...lenient, 'content-type': 'application/json-patch+json' }), 400);
    for (const request of [{ method: 'POST', url: 'Patient', ifNoneExist: criteria }, { method: 'PUT', url: `Patient?${criteria}` }, { method: 'DELETE', url: `Patient?${criteria}` }]) {
      const entry = { request, ...(request.method === 'DELETE' ? {} : { resource: body }) };
      outcome(await fhir('POST', '', { resourceType: 'Bundle', type: 'transaction', entry: [entry] }, lenient), 400);
      assert.equal((await run('batch', entry)).json.entry[0].response.status, '400');
    }
    assert.equal((await fhir('GET', 'Patient/only/_history')).json.entry.length, 1);
  });
  test('a read, a vread and a history pass over parameters that mean nothing', async () => {
    for (const path of ['Patient/only', 'Patient/only/_history/1', 'Patient/only/_history']) assert.equal((await fhir('GET', `${path}?nonsense=1`, undefined, { prefer: 'handling=lenient' })).status, 200, path);
  });
  test('a transaction posted to /Bundle is stored, not run', async () => {
    const bundle = { resourceType: 'Bundle', type: 'transaction', entry: [put(patient('never-run'))] };
    const r = ok(await fhir('POST', 'Bundle', bundle));
    assert.equal((await fhir('GET', `Bundle/${r.json.id}`)).json.type, 'transaction');
    outcome(await fhir('GET', 'Patient/never-run'), 404);
  });
  test('each entry of a history tells request and response, on all levels', async () => {
    ok(await fhir('POST', 'Basic', { resourceType: 'Basic', code: { text: 'x' } }));
    ok(await fhir('PUT', 'Basic/his', { resourceType: 'Basic', id: 'his', code: { text: 'x' } }));
    ok(await fhir('DELETE', 'Basic/his'));
    for (const path of ['Basic/his/_history', 'Basic/_history', '_history'])
      for (const e of (await fhir('GET', path)).json.entry) {
        assert.ok(['POST', 'PUT', 'DELETE'].includes(e.request.method) && e.request.url && e.fullUrl, JSON.stringify(e));
        assert.match(e.response.status, /^20[014]/);
        assert.match(e.response.etag, /^W\/"\d+"$/);
        assert.ok(Date.parse(e.response.lastModified));
        assert.equal(e.resource === undefined, e.request.method === 'DELETE');
      }
  });
});

describe('a transaction', () => {
  test('deletes before it looks whether something exists', async () => {
    ok(await fhir('PUT', 'Patient/first', patient('first', { identifier: by('first') })));
    const r = ok(await run('transaction', { resource: patient(undefined, { identifier: by('first') }), request: { method: 'POST', url: 'Patient', ifNoneExist: 'identifier=http://readings|first' } }, { request: { method: 'DELETE', url: 'Patient/first' } }));
    assert.deepEqual(r.json.entry.map((e) => e.response.status), ['201', '204']);
    assert.equal((await fhir('GET', 'Patient?identifier=http://readings|first')).json.total, 1);
  });
  test('rewrites references of urn:oid as of urn:uuid, and links of a Bundle', async () => {
    const oid = 'urn:oid:1.2.3.4.5', collection = { resourceType: 'Bundle', type: 'collection', link: [{ relation: 'self', url: uuid(1) }, { relation: 'related', url: oid }], entry: [{ fullUrl: 'http://elsewhere.example/Basic/1', resource: { resourceType: 'Basic', code: { text: 'x' }, subject: { reference: uuid(1) } } }] };
    const r = ok(await run('transaction', { resource: collection, request: { method: 'POST', url: 'Bundle' } }, { fullUrl: uuid(1), resource: patient(undefined, { managingOrganization: { reference: oid } }), request: { method: 'POST', url: 'Patient' } }, { fullUrl: oid, resource: { resourceType: 'Organization', name: 'x' }, request: { method: 'POST', url: 'Organization' } }));
    const [bundle, one, two] = r.json.entry.map(idOf);
    assert.equal((await fhir('GET', one)).json.managingOrganization.reference, two);
    const { json } = await fhir('GET', bundle);
    assert.deepEqual(json.link.map((l) => l.url), [one, two]);
    assert.equal(json.entry[0].resource.subject.reference, one);
  });
  test('that fails leaves no version, no history and no gap', async () => {
    ok(await fhir('PUT', 'Patient/rolled', patient('rolled')));
    ok(await fhir('PUT', 'Patient/rolled-too', patient('rolled-too')));
    const before = (await fhir('GET', '_history?_count=1000')).json.entry.length;
    outcome(await run('transaction', put(patient('rolled', { active: true })), { request: { method: 'DELETE', url: 'Patient/rolled-too' } }, put(patient('rolled-new')), { ...put(patient('only')), request: { method: 'PUT', url: 'Patient/only', ifMatch: 'W/"77"' } }), 412);
    assert.equal((await fhir('GET', '_history?_count=1000')).json.entry.length, before);
    assert.equal((await fhir('GET', 'Patient/rolled')).json.active, undefined);
    assert.equal((await fhir('GET', 'Patient/rolled-too')).status, 200);
    outcome(await fhir('GET', 'Patient/rolled-new/_history'), 404);
    outcome(await fhir('GET', 'Patient/rolled/_history/2'), 404);
    assert.equal(ok(await fhir('PUT', 'Patient/rolled', patient('rolled'))).headers.get('etag'), 'W/"2"');
  });
});

test('the CapabilityStatement names the exports by their canonical definitions', async () => {
  const { json } = await fhir('GET', 'metadata'), canonical = 'http://hl7.org/fhir/uv/bulkdata/OperationDefinition/';
  const of = (list) => list.find((o) => o.name === 'export')?.definition;
  assert.equal(of(json.rest[0].operation), `${canonical}export`);
  assert.equal(of(json.rest[0].resource.find((r) => r.type === 'Patient').operation), `${canonical}patient-export`);
  assert.equal(of(json.rest[0].resource.find((r) => r.type === 'Group').operation), `${canonical}group-export`);
});
