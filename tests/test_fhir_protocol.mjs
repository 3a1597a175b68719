// The protocol around resources: methods, headers, formats, statuses and their OperationOutcomes.
import test, { before, after, describe } from 'node:test';
import assert from 'node:assert/strict';
import zlib from 'node:zlib';
import { start, call } from './lib/server.mjs';

let server, admin;
before(async () => {
  server = await start({ core: { http: { 'max-body': '2m' } } });
  admin = server.admin;
  await fhir('PUT', 'Patient/a', patient);
  await fhir('PUT', 'Observation/o', { resourceType: 'Observation', id: 'o', status: 'final', code: { text: 'x' }, subject: { reference: 'Patient/a' } });
  await fhir('PUT', 'Patient/gone', { resourceType: 'Patient', id: 'gone' });
  await fhir('DELETE', 'Patient/gone');
});
after(async () => { await server.stop(); server.remove(); });

const patient = { resourceType: 'Patient', id: 'a', active: true, name: [{ text: 'x' }], photo: [{ title: 'not in the summary' }], text: { status: 'generated', div: '<div xmlns="http://www.w3.org/1999/xhtml">x</div>' } };
const fhir = (method, path, body, headers = {}) => call(method, path ? `${server.fhir}/${path}` : server.fhir, body, { ...admin, ...headers });
const readable = ['Patient/a', 'Patient/a/_history', 'Patient/a/_history/1', 'Patient', 'Patient/_history', '_history', '', 'metadata', 'Patient/a/Observation', 'Patient/a/$everything', 'Patient/a/$meta', '$versions', 'Patient/a/$validate'];

describe('methods', () => {
  test('HEAD is answered wherever GET is, with the same headers and no body', async () => {
    for (const path of readable) {
      const [get, head] = [await fhir('GET', path), await fhir('HEAD', path)];
      assert.deepEqual([head.status, head.text], [200, ''], path);
      assert.equal(get.status, 200, get.text);
      for (const name of ['content-type', 'content-length', 'etag', 'last-modified', 'content-location']) assert.equal(head.headers.get(name), get.headers.get(name), `${path} ${name}`);
    }
  });
  test('OPTIONS says what a path allows, and other methods are 405 with the same list', async () => {
    const allowed = { '': 'POST GET HEAD', metadata: 'GET HEAD', _history: 'GET HEAD', Patient: 'GET HEAD POST PUT PATCH DELETE', 'Patient/_search': 'POST', 'Patient/a': 'GET HEAD PUT PATCH DELETE', 'Patient/a/_history': 'GET HEAD', 'Patient/a/_history/1': 'GET HEAD', 'Patient/a/Observation': 'GET HEAD', 'Patient/a/$everything': 'GET HEAD POST', 'Patient/a/$meta': 'GET HEAD POST', 'Patient/a/$meta-add': 'POST', 'Patient/$validate': 'POST', 'Patient/a/$validate': 'POST GET HEAD', '$versions': 'GET HEAD POST' };
    const list = (r) => r.headers.get('allow').split(', ').filter((m) => m !== 'OPTIONS').sort();
    for (const [path, methods] of Object.entries(allowed)) {
      const [options, other] = [await fhir('OPTIONS', path), await fhir('PURGE', path)];
      assert.equal(options.status, 204, path);
      assert.deepEqual(list(options), methods.split(' ').sort(), path);
      assert.equal(other.status, 405, path);
      assert.deepEqual(list(other), methods.split(' ').sort(), path);
      assert.equal(other.json.resourceType, 'OperationOutcome');
    }
  });
});

describe('headers of versions', () => {
  test('Location and Content-Location name the version, ETag and Last-Modified describe it', async () => {
    const url = (r) => `${server.fhir}/Patient/l/_history/${r.json.meta.versionId}`;
    const made = await fhir('PUT', 'Patient/l', { resourceType: 'Patient', id: 'l' });
    for (const r of [made, await fhir('GET', 'Patient/l'), await fhir('GET', 'Patient/l/_history/1')]) {
      assert.equal(r.headers.get('content-location'), url(made));
      assert.equal(r.headers.get('location'), r === made ? url(made) : null);
      assert.equal(r.headers.get('etag'), 'W/"1"');
      assert.equal(Date.parse(r.headers.get('last-modified')), Math.floor(Date.parse(r.json.meta.lastUpdated) / 1000) * 1000);
    }
    const minimal = await fhir('PUT', 'Patient/l', { resourceType: 'Patient', id: 'l' }, { prefer: 'return=minimal' });
    assert.deepEqual([minimal.text, minimal.headers.get('location'), minimal.headers.get('content-location')], ['', `${server.fhir}/Patient/l/_history/2`, null]);
  });
  // method, headers, status; every one that succeeds makes a version of its own
  test('If-Match and If-None-Match take an ETag, a list, or *', async () => {
    const there = [
      [{ 'if-match': '*' }, 200], [{ 'if-match': 'W/"N"' }, 200], [{ 'if-match': '"N"' }, 200], [{ 'if-match': 'W/"999", W/"N"' }, 200],
      [{ 'if-match': 'W/"999", "foreign"' }, 412], [{ 'if-match': 'W/"999"' }, 412], [{ 'if-match': '"foreign"' }, 412],
      [{ 'if-none-match': '*' }, 412], [{ 'if-none-match': 'W/"N"' }, 412], [{ 'if-none-match': 'W/"999", W/"N"' }, 412], [{ 'if-none-match': 'W/"999", "foreign"' }, 200], [{ 'if-none-match': 'W/"999"' }, 200],
      [{ 'if-match': 'x' }, 400], [{ 'if-match': 'W/"1" W/"2"' }, 400], [{ 'if-match': '*, W/"1"' }, 400], [{ 'if-none-match': 'x' }, 400],
    ];
    const by = 'Patient?identifier=http://p|tags', tagged = { resourceType: 'Patient', id: 'tags', identifier: [{ system: 'http://p', value: 'tags' }] };
    const patch = { 'content-type': 'application/json-patch+json' };
    await fhir('PUT', 'Patient/tags', tagged);
    const current = async () => (await fhir('GET', 'Patient/tags')).json.meta.versionId;
    for (const [headers, status] of there) {
      for (const [method, path, body, more] of [['PUT', 'Patient/tags', tagged], ['PUT', by, tagged], ['PATCH', 'Patient/tags', [], patch], ['PATCH', by, [], patch]]) {
        const n = await current(), [[name, value]] = Object.entries(headers);
        const r = await fhir(method, path, body, { ...more, [name]: value.replaceAll('N', n) });
        assert.equal(r.status, status, `${method} ${path} ${name}: ${value} ${r.text}`);
        assert.equal(await current(), status === 200 ? String(Number(n) + 1) : n);
      }
      const n = await current(), [[name, value]] = Object.entries(headers);
      const request = { method: 'PUT', url: 'Patient/tags', [name === 'if-match' ? 'ifMatch' : 'ifNoneMatch']: value.replaceAll('N', n) };
      for (const type of ['transaction', 'batch']) {
        if (type === 'batch' && status === 200) continue;
        const r = await fhir('POST', '', { resourceType: 'Bundle', type, entry: [{ resource: tagged, request }] });
        assert.equal(type === 'batch' ? Number(r.json.entry[0].response.status) : r.status, status, `${type} ${name}: ${value} ${r.text}`);
      }
    }
    for (const [headers, status] of [[{ 'if-match': 'W/"999", W/"998"' }, 412], [{ 'if-match': '*' }, 204], [{ 'if-match': '*' }, 412]]) {
      const r = await fhir('DELETE', 'Patient/tags', undefined, headers);
      assert.equal(r.status, status, r.text);
    }
    for (const [headers, status] of [[{ 'if-match': '*' }, 412], [{ 'if-match': 'W/"1", W/"2"' }, 412], [{ 'if-none-match': 'W/"1", W/"2"' }, 201]]) assert.equal((await fhir('PUT', 'Patient/tags', tagged, headers)).status, status);
  });
});

describe('formats', () => {
  test('Accept is weighed, _format goes before it', async () => {
    const cases = [
      ['application/fhir+json', '', 'application/fhir+json'], ['application/json', '', 'application/json'], ['text/json', '', 'application/json'], ['*/*', '', 'application/fhir+json'], ['application/*', '', 'application/fhir+json'],
      ['application/json;q=0.5, application/fhir+json;q=0.1', '', 'application/json'], ['text/html, */*;q=0.1', '', 'application/fhir+json'], ['application/json;q=0.1, application/fhir+json;q=0.9', '', 'application/fhir+json'],
      ['text/html', '?_format=json', 'application/fhir+json'], ['application/json', '?_format=application%2Ffhir%2Bjson', 'application/fhir+json'], ['text/html', '?_format=text/json', 'application/fhir+json'], ['application/json', '?_format=', 'application/json'],
      ['text/html', '', 406], ['application/fhir+xml', '', 406], ['application/fhir+json;q=0', '', 406], ['*/*;q=0', '', 406], ['application/fhir+json; fhirVersion=5.0', '', 406], ['application/json', '?_format=xml', 406],
    ];
    for (const path of ['Patient/a', 'Patient/a/_history/1', 'Patient', 'Patient/a/_history', '_history', 'Patient/a/$everything'])
      for (const [accept, query, expected] of cases) {
        const r = await fhir('GET', path + query, undefined, { accept });
        assert.equal(r.status === 200 ? r.headers.get('content-type') : r.status, expected, `${path} ${accept} ${query}`);
        assert.match(r.headers.get('vary') ?? 'Accept', /Accept/);
      }
  });
  test('a body is FHIR JSON by its Content-Type or its absence', async () => {
    for (const type of ['application/fhir+json', 'application/json', 'text/json', 'application/fhir+json; charset=utf-8; fhirVersion=4.0', '']) assert.equal((await fhir('PUT', 'Patient/t', { resourceType: 'Patient', id: 't' }, { 'content-type': type })).status < 300, true, type);
    for (const type of ['text/plain', 'application/fhir+xml', 'application/json; charset=latin1', 'application/x-www-form-urlencoded', 'application/fhir+json; fhirVersion=5.0']) assert.equal((await fhir('PUT', 'Patient/t', { resourceType: 'Patient', id: 't' }, { 'content-type': type })).status, 415, type);
  });
  test('_pretty indents, the text stays', async () => {
    for (const path of ['Patient/a', 'Patient', '_history', 'metadata', 'Patient/a/$meta']) {
      const [plain, pretty] = [await fhir('GET', path), await fhir('GET', `${path}?_pretty=true`)];
      assert.match(pretty.text, /^\{\n {2}"/, path);
      if (path !== 'Patient' && path !== '_history') assert.deepEqual(pretty.json, plain.json);
    }
  });
  test('gzip comes in, within its limit, and goes out', async () => {
    const zipped = (value) => new Uint8Array(zlib.gzipSync(typeof value === 'string' ? value : JSON.stringify(value)));
    const gzip = { 'content-encoding': 'gzip' };
    assert.equal((await fhir('PUT', 'Patient/a', zipped(patient), gzip)).status, 200);
    assert.equal((await fhir('PUT', 'Patient/a', 'no gzip', gzip)).status, 400);
    assert.equal((await fhir('PUT', 'Patient/a', zipped(patient), { 'content-encoding': 'br' })).status, 415);
    assert.equal((await fhir('PUT', 'Patient/a', zipped(' '.repeat(70 << 20) + JSON.stringify(patient)), gzip)).status, 413);
    const r = await fhir('GET', 'metadata', undefined, { 'accept-encoding': 'gzip' });
    assert.equal(r.headers.get('content-encoding'), 'gzip');
    assert.equal(r.json.resourceType, 'CapabilityStatement');
  });
  test('_summary and _elements cut down reads, vreads, searches and histories alike', async () => {
    const parts = { '_summary=true': ['active', 'id', 'meta', 'name', 'resourceType'], '_summary=text': ['id', 'meta', 'resourceType', 'text'], '_summary=data': ['active', 'id', 'meta', 'name', 'photo', 'resourceType'], '_elements=photo': ['id', 'meta', 'photo', 'resourceType'], '_elements=Patient.photo,active': ['active', 'id', 'meta', 'photo', 'resourceType'] };
    for (const [query, names] of Object.entries(parts))
      for (const path of ['Patient/a', 'Patient/a/_history/1', 'Patient?_id=a', 'Patient/a/_history', 'Patient/_history', '_history', '?_id=a&_type=Patient']) {
        const { json } = await call('GET', `${server.fhir}${path.startsWith('?') ? '' : '/'}${path}${path.includes('?') ? '&' : '?'}${query}`, undefined, admin);
        const resource = json.entry?.find((e) => e.resource?.id === 'a')?.resource ?? json;
        assert.deepEqual(Object.keys(resource).sort(), names, `${path} ${query}`);
        assert.ok(resource.meta.tag.some((t) => t.code === 'SUBSETTED'), path);
        if (json.link) assert.ok(decodeURIComponent(json.link[0].url).includes(query), json.link[0].url);
      }
    for (const path of ['Patient/a', 'Patient', 'Patient/_history', '_history']) assert.equal((await fhir('GET', `${path}?_summary=some`)).status, 400, path);
    const whole = (await fhir('GET', 'Patient/a/_history?_summary=false')).json.entry[0].resource;
    assert.equal(whole.meta.tag, undefined);
  });
  test('Prefer: return and handling, apart or together', async () => {
    const write = async (prefer) => [await fhir('PUT', 'Patient/w', { resourceType: 'Patient', id: 'w' }, { prefer }), await fhir('POST', 'Patient', { resourceType: 'Patient' }, { prefer }), await fhir('PATCH', 'Patient/w', [], { prefer, 'content-type': 'application/json-patch+json' })];
    for (const r of await write('return=minimal')) assert.deepEqual([r.status < 300, r.text], [true, '']);
    for (const r of await write('handling=strict; return=representation')) assert.equal(r.json.resourceType, 'Patient');
    for (const r of await write('return=OperationOutcome')) assert.deepEqual([r.json.resourceType, r.json.issue[0].severity], ['OperationOutcome', 'information']);
    assert.equal((await fhir('GET', 'Patient?nonsense=1', undefined, { prefer: 'handling=strict' })).status, 400);
    assert.equal((await fhir('GET', 'Patient?nonsense=1', undefined, { prefer: 'handling=lenient' })).status, 200);
  });
});

test('each failure is an OperationOutcome with severity, code, diagnostics, and the element at fault', async () => {
  const json = { 'content-type': 'application/json-patch+json' };
  // status, issue code, expression of the first issue (undefined: no element is at fault), request
  const cases = [
    [400, 'structure', undefined, 'PUT', 'Patient/a', '{"resourceType":"Patient",'],
    [400, 'structure', 'Patient', 'PUT', 'Patient/a', '[]'],
    [400, 'structure', 'Patient.name', 'PUT', 'Patient/a', { ...patient, name: [] }],
    [400, 'invalid', 'Patient.id', 'PUT', 'Patient/b', patient],
    [400, 'invalid', 'Observation.resourceType', 'POST', 'Observation', patient],
    [400, 'invalid', 'Bundle.type', 'POST', '', { resourceType: 'Bundle', type: 'searchset' }],
    [400, 'invalid', 'Bundle.entry[0].request.url', 'POST', '', { resourceType: 'Bundle', type: 'transaction', entry: [{ request: { method: 'GET' } }] }],
    [400, 'invalid', undefined, 'DELETE', 'Patient'],
    [400, 'invalid', undefined, 'GET', 'Patient?birthdate=2013-13'],
    [401, 'security', undefined, 'GET', 'Patient/a', undefined, { authorization: '' }],
    [404, 'not-found', undefined, 'GET', 'Patient/none'],
    [404, 'not-found', undefined, 'GET', 'Nothing/1'],
    [404, 'not-found', undefined, 'GET', 'Patient/a/_history/99'],
    [405, 'not-supported', undefined, 'POST', 'Patient/a', patient],
    [406, 'not-supported', undefined, 'GET', 'Patient/a', undefined, { accept: 'text/html' }],
    [409, 'conflict', undefined, 'PUT', 'Patient?identifier=x|none', { resourceType: 'Patient', id: 'a' }],
    [410, 'deleted', undefined, 'GET', 'Patient/gone'],
    [412, 'conflict', undefined, 'PUT', 'Patient/a', patient, { 'if-match': 'W/"99"' }],
    [412, 'multiple-matches', undefined, 'PUT', 'Patient?_lastUpdated=gt2000', { resourceType: 'Patient' }],
    [413, 'too-long', undefined, 'PUT', 'Patient/a', ' '.repeat(3 << 20)],
    [415, 'not-supported', undefined, 'PUT', 'Patient/a', 'x', { 'content-type': 'text/plain' }],
    [422, 'value', 'Patient.birthDate', 'PUT', 'Patient/a', { ...patient, birthDate: '2020-13-01' }],
    [422, 'code-invalid', 'Patient.gender', 'PUT', 'Patient/a', { ...patient, gender: 'x' }],
    [422, 'structure', 'Patient.foo', 'PUT', 'Patient/a', { ...patient, foo: 1 }],
    [422, 'required', 'Observation.status', 'POST', 'Observation', { resourceType: 'Observation', code: { text: 'x' } }],
    [422, 'value', 'Observation.status', 'PATCH', 'Observation/o', [{ op: 'replace', path: '/status', value: 1 }], json],
    [422, 'value', 'Bundle.entry[1].resource.birthDate', 'POST', '', { resourceType: 'Bundle', type: 'transaction', entry: [{ resource: { resourceType: 'Patient' }, request: { method: 'POST', url: 'Patient' } }, { resource: { resourceType: 'Patient', birthDate: 'x' }, request: { method: 'POST', url: 'Patient' } }] }],
  ];
  for (const [status, code, expression, method, path, body, headers] of cases) {
    const r = await fhir(method, path, body, headers);
    const of = `${method} ${path} ${r.status} ${r.text}`;
    assert.equal(r.status, status, of);
    assert.equal(r.json?.resourceType, 'OperationOutcome', of);
    for (const issue of r.json.issue) {
      assert.ok(['fatal', 'error'].includes(issue.severity), of);
      assert.ok(issue.diagnostics.length > 5, of);
    }
    assert.deepEqual([r.json.issue[0].code, r.json.issue[0].expression?.[0]], [code, expression], of);
  }
});
