// Engines of access policies over HTTP: each by a policy linked to a client; what cannot run is refused when written.
import { describe, test, before, after } from 'node:test';
import assert from 'node:assert/strict';
import { start, call, basic, sleep } from './lib/server.mjs';
import { bearer, getToken, keyPair, keyServer, putClient, seedClient } from './lib/smart.mjs';

let server;
before(async () => { server = await start(); });
after(async () => { if (server) { await server.stop(); server.remove(); } });

let made = 0;
// A client of its own with policies linked to it; call it like fhir('GET', 'Patient').
const clientWith = async (...policies) => {
  const id = `c${made += 1}`;
  const put = async (path, body) => {
    const r = await call('PUT', `${server.base}/${path}`, body, server.admin);
    assert.ok(r.status === 200 || r.status === 201, r.text);
  };
  await put(`Client/${id}`, { secret: 'secret', grant_types: ['basic'], details: { device: 'd1' } });
  for (const [i, policy] of policies.entries()) await put(`AccessPolicy/${id}-${i}`, { ...policy, link: [{ resourceType: 'Client', id }] });
  return (method, path, body) => call(method, `${server.fhir}/${path}`, body, { authorization: basic(id, 'secret') }).then((r) => r.status);
};
const refused = async (policy, where) => {
  const r = await call('PUT', `${server.base}/AccessPolicy/refused`, policy, server.admin);
  assert.equal(r.status, 422, r.text);
  assert.equal(r.json.issue[0].expression?.[0], where, r.text);
  return r.json.issue[0].diagnostics;
};

describe('sql', () => {
  const put = async (path, body) => { const r = await call('PUT', `${server.fhir}/${path}`, body, server.admin); assert.ok(r.status < 300, r.text); };
  before(async () => {
    await put('Patient/sql-1', { resourceType: 'Patient', id: 'sql-1', active: true });
    await put('Encounter/sql-e', { resourceType: 'Encounter', id: 'sql-e', status: 'planned', class: { code: 'AMB' }, subject: { reference: 'Patient/sql-1' } });
  });
  const sql = (query) => ({ engine: 'sql', sql: { query } });
  test('grants what the stored resources say of values of the request, at once', async () => {
    const c = await clientWith(sql("SELECT true FROM patient p WHERE p.id = {{params.resource/id}} AND CAST(p.resource->>'active' AS text) IN ('true', '1') AND EXISTS (SELECT 1 FROM encounter e WHERE e.resource->'subject'->>'reference' = 'Patient/' || p.id)"));
    assert.equal(await c('GET', 'Patient/sql-1'), 200);
    assert.equal(await c('GET', 'Patient/sql-2'), 403);
    assert.equal(await c('GET', 'Patient'), 403); // the value is missing: NULL
    await put('Patient/sql-1', { resourceType: 'Patient', id: 'sql-1', active: false });
    assert.equal(await c('GET', 'Patient/sql-1'), 403);
  });
  test('values are never text of the query', async () => {
    const c = await clientWith(sql('SELECT count(*) > 0 FROM patient WHERE id = {{params.name}}'));
    assert.equal(await c('GET', 'Patient?name=sql-1'), 200);
    for (const name of ["x' OR '1'='1", "x') OR (1=1", '{{client.id}}', 'x" --']) assert.equal(await c('GET', `Patient?name=${encodeURIComponent(name)}`), 403, name);
  });
  test('a name from the request is a table of a FHIR type, or the policy does not match', async () => {
    const c = await clientWith(sql('SELECT count(*) > 0 FROM {{!params.resource/type}} WHERE id = {{params.resource/id}}'));
    assert.equal(await c('GET', 'Encounter/sql-e'), 200);
    assert.equal(await c('GET', 'Encounter/none'), 403);
    assert.equal(await c('GET', 'metadata'), 200); // public
    const d = await clientWith(sql('SELECT count(*) >= 0 FROM {{!params.name}}'));
    assert.equal(await d('GET', 'Patient?name=GROUP'), 200);
    for (const name of ['client', 'version', 'sqlite_master', 'patient" WHERE 1=1 --']) assert.equal(await d('GET', `Patient?name=${encodeURIComponent(name)}`), 403, name);
  });
  test('what takes too long grants nothing, denies where the policy denies, and delays nobody else', async () => {
    const slow = 'WITH RECURSIVE n(x) AS (SELECT 1 UNION ALL SELECT x+1 FROM n) SELECT count(*) FROM n';
    const c = await clientWith(sql(slow)), d = await clientWith({ engine: 'allow' }, { ...sql(`${slow} WHERE {{params.name}} IS NOT NULL`), effect: 'deny' });
    const late = [c('GET', 'Patient'), c('GET', 'Patient'), c('GET', 'Patient')];
    const other = await clientWith({ engine: 'allow' });
    assert.equal(await other('GET', 'Patient'), 200);
    assert.deepEqual(await Promise.all(late), [403, 403, 403]);
    assert.equal(await d('GET', 'Patient?name=x'), 403);
    await server.logged(/the query (took too long|waited too long to run)/);
  });
  test('a query that cannot run, or does more than read, is refused when it is written', async () => {
    const where = 'AccessPolicy.sql.query';
    await refused({ engine: 'sql' }, where);
    await refused({ engine: 'sql', sql: {} }, where);
    await refused({ engine: 'sql', sql: { query: 'SELECT 1', more: 1 } }, 'AccessPolicy.sql');
    assert.match(await refused(sql('SELEKT 1'), where), /syntax error/);
    assert.match(await refused(sql('DELETE FROM patient'), where), /only read|not a SELECT|may not be/);
    assert.match(await refused(sql('SELECT body FROM version'), where), /no such table/);
    assert.match(await refused(sql('SELECT 1 FROM client'), where), /no such table/);
    assert.match(await refused(sql('SELECT 1; SELECT 2'), where), /more than one/);
    assert.match(await refused(sql("SELECT '{{client.id}}'"), where), /without quotes/);
    assert.match(await refused(sql('SELECT {{client..id}}'), where), /no path/);
  });
  test('it may be part of a complex policy', async () => {
    const c = await clientWith({ engine: 'complex', and: [{ engine: 'matcho', matcho: { 'request-method': 'get' } }, sql("SELECT 1 FROM encounter WHERE id = 'sql-e' AND {{params.name}} = 'a'")] });
    assert.equal(await c('GET', 'Patient?name=a'), 200);
    assert.equal(await c('GET', 'Patient?name=b'), 403);
  });
});

describe('json-schema', () => {
  test('grants what is valid, by method, uri, parameters and caller', async () => {
    const c = await clientWith({ engine: 'json-schema', schema: {
      definitions: { id: { type: 'string', pattern: '^d[0-9]$' } },
      required: ['client'],
      properties: {
        'request-method': { enum: ['get', 'post'] }, uri: { pattern: '^/fhir/(Patient|Observation)(/|$)' }, params: { properties: { _include: false } },
        client: { required: ['details'], properties: { details: { properties: { device: { $ref: '#/definitions/id' } } } } },
        resource: { properties: { valueQuantity: { properties: { value: { multipleOf: 0.1, maximum: 40 } } } } } } } });
    const observation = (value) => ({ resourceType: 'Observation', status: 'final', code: { text: 'x' }, valueQuantity: { value } });
    assert.equal(await c('GET', 'Patient'), 200);
    assert.equal(await c('GET', 'Encounter'), 403);
    assert.equal(await c('GET', 'Patient?_include=Patient:organization'), 403);
    assert.equal(await c('PUT', 'Patient/x', { resourceType: 'Patient', id: 'x' }), 403);
    assert.equal(await c('POST', 'Observation', observation(36.6)), 201);
    assert.equal(await c('POST', 'Observation', observation(36.61)), 403);
    assert.equal(await c('POST', 'Observation', observation(40.1)), 403);
  });
  test('what is absent is valid unless it is required', async () => {
    const c = await clientWith({ engine: 'json-schema', schema: { properties: { user: false } } });
    assert.equal(await c('GET', 'Patient'), 200);
    const d = await clientWith({ engine: 'json-schema', schema: { required: ['user'] } });
    assert.equal(await d('GET', 'Patient'), 403);
  });
  test('what takes too long grants nothing, not even inside of not, and denies where the policy denies', async () => {
    const slow = { pattern: '(a+)+$' }, subject = `Patient?name=${'a'.repeat(40)}b`;
    for (const name of [slow, { not: slow }, { anyOf: [slow, true] }]) {
      const c = await clientWith({ engine: 'json-schema', schema: { properties: { params: { properties: { name } } } } });
      assert.equal(await c('GET', subject), 403, JSON.stringify(name));
    }
    const c = await clientWith({ engine: 'allow' }, { engine: 'json-schema', effect: 'deny', schema: { properties: { params: { required: ['name'], properties: { name: slow } } }, required: ['params'] } });
    assert.equal(await c('GET', 'Patient'), 200);
    assert.equal(await c('GET', subject), 403);
    await server.logged(/took too long to check/);
  });
  test('a policy that cannot run is refused with its place', async () => {
    await refused({ engine: 'json-schema' }, 'AccessPolicy.schema');
    await refused({ engine: 'json-schema', schema: {} }, 'AccessPolicy.schema');
    await refused({ engine: 'json-schema', schema: { type: 'object' }, matcho: { a: 1 } }, 'AccessPolicy.matcho');
    assert.match(await refused({ engine: 'json-schema', schema: { properties: { uri: { type: 'text' } } } }, 'AccessPolicy.schema.properties.uri.type'), /"string"/);
    assert.match(await refused({ engine: 'json-schema', schema: { $ref: 'http://127.0.0.1:1/schema' } }, 'AccessPolicy.schema.$ref'), /never fetched/);
  });
  test('it may be part of a complex policy', async () => {
    const c = await clientWith({ engine: 'complex', and: [{ engine: 'matcho', matcho: { 'request-method': 'get' } }, { engine: 'json-schema', schema: { not: { required: ['params'], properties: { params: { required: ['_count'] } } } } }] });
    assert.equal(await c('GET', 'Patient'), 200);
    assert.equal(await c('GET', 'Patient?_count=1'), 403);
  });
});

describe('matcho', () => {
  test('grants what matches, by method, uri and parameters', async () => {
    const c = await clientWith({ engine: 'matcho', matcho: { 'request-method': 'get', uri: { '$one-of': ['/fhir/Patient', '#^/fhir/Encounter/[^/]+$'] }, params: { _include: 'nil?' } } });
    assert.equal(await c('GET', 'Patient'), 200);
    assert.equal(await c('GET', 'Encounter/none'), 404);
    assert.equal(await c('GET', 'Encounter'), 403);
    assert.equal(await c('GET', 'Patient?_include=Patient:organization'), 403);
    assert.equal(await c('POST', 'Patient', { resourceType: 'Patient' }), 403);
  });
  test('compares the resource with the caller', async () => {
    const c = await clientWith({ engine: 'matcho', matcho: {
      operation: { id: 'FhirCreate' }, params: { 'resource/type': 'Observation' }, client: { details: { device: 'present?' } },
      resource: { id: 'nil?', status: { $enum: ['final', 'corrected'] }, device: { $reference: { resourceType: 'Device', id: '.client.details.device' } } } } });
    const observation = (more) => ({ resourceType: 'Observation', status: 'final', code: { text: 'x' }, device: { reference: 'Device/d1' }, ...more });
    assert.equal(await c('POST', 'Observation', observation()), 201);
    assert.equal(await c('POST', 'Observation', observation({ device: { reference: `${server.fhir}/Device/d1` } })), 201);
    assert.equal(await c('POST', 'Observation', observation({ device: { reference: 'Device/d2' } })), 403);
    assert.equal(await c('POST', 'Observation', observation({ status: 'preliminary' })), 403);
    assert.equal(await c('POST', 'Observation', observation({ id: '1' })), 403);
    assert.equal(await c('PUT', 'Observation/1', observation({ id: '1' })), 403);
  });
  test('a path to what is missing grants nothing', async () => {
    const c = await clientWith({ engine: 'matcho', matcho: { user: { id: '.jwt.sub' }, params: { patient: '.user.data.patient' } } }, { engine: 'matcho', matcho: { user: '.jwt.sub' } });
    assert.equal(await c('GET', 'Patient'), 403);
  });
  test('what takes too long grants nothing, not even inside of $not, and denies where the policy denies', async () => {
    const slow = '#(a+)+$', subject = `Patient?name=${'a'.repeat(40)}b`;
    for (const pattern of [slow, { $not: slow }, { '$one-of': [slow, 'present?'] }]) {
      const c = await clientWith({ engine: 'matcho', matcho: { params: { name: pattern } } });
      assert.equal(await c('GET', subject), 403, JSON.stringify(pattern));
    }
    const c = await clientWith({ engine: 'allow' }, { engine: 'matcho', effect: 'deny', matcho: { params: { name: slow } } });
    assert.equal(await c('GET', 'Patient'), 200);
    assert.equal(await c('GET', subject), 403);
    await server.logged(/took too long to compare/);
  });
  test('a policy that cannot run is refused with its place', async () => {
    await refused({ engine: 'matcho' }, 'AccessPolicy.matcho');
    await refused({ engine: 'matcho', matcho: { resource: { status: { $enum: ['a', {}] } } } }, 'AccessPolicy.matcho.resource.status.$enum[1]');
    assert.match(await refused({ engine: 'matcho', matcho: { uri: '#(' } }, 'AccessPolicy.matcho.uri'), /at byte 1/);
    assert.match(await refused({ engine: 'matcho', matcho: { uri: { $like: 'x' } } }, 'AccessPolicy.matcho.uri.$like'), /\$enum/);
  });
  test('a policy that only excludes callers is stored with a warning', async () => {
    await clientWith({ engine: 'matcho', matcho: { client: { $not: { id: 'x' } } } });
    await server.logged(/lets in everybody else/);
  });
});

describe('$matcho', () => {
  const trial = (matcho, resource, context) => call('POST', `${server.base}/$matcho`, { matcho, resource, context }, server.admin);
  test('tries a pattern and says what differs, where', async () => {
    for (const [matcho, resource, result, context] of [
      [{ x: 1 }, { x: 1.0, y: 2 }, []],
      [[1, 2], [1, 2, 3], []],
      [[1, 2], [2, 1], [{ expected: 1, but: 2, path: [0] }]],
      [[1, 2], [1], [{ expected: 2, but: null, path: [1] }]],
      ['#^/fhir/P', '/fhir/Patient', []],
      ['#^/fhir/P', '/x/fhir/P', [{ expected: '#^/fhir/P', but: '/x/fhir/P', path: [] }]],
      [{ a: { b: 'nil?' } }, { a: {} }, [{ expected: { b: 'nil?' }, but: null, path: ['a'] }]],
      [{ a: { $not: 1 } }, {}, []],
      [{ t: { '$present-all': ['b', 'a'], $length: 2 } }, { t: ['a', 'b'] }, []],
      [{ s: '.user.data.p' }, {}, [{ expected: '.user.data.p', but: null, path: ['s'] }]],
      [{ s: '.user.data.p' }, { s: 'x' }, [], { user: { data: { p: 'x' } } }],
      [{ s: '.user.data.p' }, { s: 'x' }, [{ expected: '.user.data.p', but: 'x', path: ['s'] }], { user: { data: { p: '' } } }],
    ]) {
      const r = await trial(matcho, resource, context);
      assert.equal(r.status, 200, r.text);
      assert.deepEqual(r.json, { matcho, resource, result }, JSON.stringify(matcho));
    }
  });
  test('refuses patterns as a policy does, and needs a grant', async () => {
    const bad = await trial({ a: { $foo: 1 } }, {});
    assert.equal(bad.status, 422);
    assert.equal(bad.json.issue[0].expression[0], 'matcho.a.$foo');
    assert.equal((await trial(undefined, {})).status, 422);
    assert.equal((await trial('#(a+)+$', `${'a'.repeat(40)}b`)).status, 422);
    assert.equal((await call('POST', `${server.base}/$matcho`, [], server.admin)).status, 400);
    assert.equal((await call('POST', `${server.base}/$matcho`, { matcho: 1 })).status, 401);
  });
});

describe('complex', () => {
  const get = { engine: 'matcho', matcho: { 'request-method': 'get' } }, patients = { engine: 'matcho', matcho: { uri: '#^/fhir/Patient' } };
  const slow = { engine: 'matcho', matcho: { params: { name: '#(a+)+$' } } }, subject = `Patient?name=${'a'.repeat(40)}b`;
  test('and, or and both nested', async () => {
    const and = await clientWith({ engine: 'complex', and: [get, patients] });
    assert.equal(await and('GET', 'Patient'), 200);
    assert.equal(await and('GET', 'Observation'), 403);
    assert.equal(await and('POST', 'Patient', { resourceType: 'Patient' }), 403);
    const or = await clientWith({ engine: 'complex', or: [get, patients] });
    assert.equal(await or('GET', 'Observation'), 200);
    assert.equal(await or('POST', 'Patient', { resourceType: 'Patient' }), 201);
    assert.equal(await or('POST', 'Group', { resourceType: 'Group' }), 403);
    const nested = await clientWith({ engine: 'complex', and: [{ engine: 'allow' }, { engine: 'complex', or: [{ engine: 'smart-on-fhir' }, { engine: 'complex', and: [get, patients] }] }] });
    assert.equal(await nested('GET', 'Patient'), 200);
    assert.equal(await nested('GET', 'Group'), 403);
  });
  test('an item that fails never grants', async () => {
    assert.equal(await (await clientWith({ engine: 'complex', and: [{ engine: 'allow' }, slow] }))('GET', subject), 403);
    assert.equal(await (await clientWith({ engine: 'complex', or: [slow, slow] }))('GET', subject), 403);
    assert.equal(await (await clientWith({ engine: 'complex', or: [slow, { engine: 'allow' }] }))('GET', subject), 200);
  });
  test('errors name the item', async () => {
    await refused({ engine: 'complex' }, 'AccessPolicy.and');
    await refused({ engine: 'complex', and: [get], or: [get] }, 'AccessPolicy.or');
    await refused({ engine: 'complex', and: [get, { engine: 'matcho' }] }, 'AccessPolicy.and[1].matcho');
    await refused({ engine: 'complex', or: [{ engine: 'complex', and: [{ engine: 'matcho', matcho: { a: { $foo: 1 } } }] }] }, 'AccessPolicy.or[0].and[0].matcho.a.$foo');
    await refused({ engine: 'complex', and: [{ engine: 'clj' }] }, 'AccessPolicy.and[0].engine');
    await refused({ engine: 'complex', and: [{ engine: 'allow', matcho: { a: 1 } }] }, 'AccessPolicy.and[0].matcho');
    await refused({ engine: 'complex', and: [{ engine: 'allow', effect: 'deny' }] }, 'AccessPolicy.and[0].effect');
  });
});

describe('smart-on-fhir', () => {
  test('scopes are enough, and only for whom has them', async (t) => {
    const keys = await keyServer(), key = keyPair('RS384');
    t.after(keys.close);
    const own = await start({ plugins: { jwks: { allow: keys.base } } });
    t.after(async () => { await own.stop(); own.remove(); });
    await putClient(own, 'smart', seedClient({ auth: { client_credentials: { ...seedClient().auth.client_credentials } }, jwks_uri: keys.set('/jwks', [key.jwk]) }));
    await putClient(own, 'plain', { secret: 'secret', grant_types: ['basic'] });
    const token = bearer(await getToken(own, 'smart', key, 'system/Patient.read'));
    const get = async (path, headers) => (await call('GET', `${own.fhir}/${path}`, undefined, headers)).status;
    assert.equal(await get('Patient', token), 403, 'without a policy');
    const r = await call('PUT', `${own.base}/AccessPolicy/smart`, { engine: 'smart-on-fhir' }, own.admin);
    assert.equal(r.status, 201, r.text);
    assert.equal(await get('Patient', token), 200);
    assert.equal(await get('Observation', token), 403);
    assert.equal((await call('POST', `${own.fhir}/Patient`, { resourceType: 'Patient' }, token)).status, 403);
    assert.equal(await get('Patient', { authorization: basic('plain', 'secret') }), 403);
    assert.equal(await get('Patient', {}), 401);
  });
  test('has no members of its own', async () => {
    await refused({ engine: 'smart-on-fhir', matcho: { a: 1 } }, 'AccessPolicy.matcho');
  });
});
