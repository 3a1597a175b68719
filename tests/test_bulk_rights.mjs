// Exports and imports, and who may: scopes, their queries, compartments, policies, other clients.
import test, { before, after } from 'node:test';
import assert from 'node:assert/strict';
import { call, start } from './lib/server.mjs';
import { begin, bytes, client, download, kickoff, lines, load, manifest, observation, patient } from './lib/bulk.mjs';
import { bearer, jws, keyPair, now, scopedToken } from './lib/smart.mjs';

const patients = 6, observations = 60;
let server;
before(async () => {
  server = await start({ quick: true, plugins: { bulk: { poll: '100ms' } } });
  await load(server, patients, patient);
  await load(server, observations, (i) => observation(i, patients));
});
after(async () => { await server.stop(); server.remove(); });

const ids = (all, of) => all.filter(([type]) => type === of).map(([, line]) => JSON.parse(line).id).sort();
const expected = (count, prefix, keep = () => true) => Array.from({ length: count }, (_, i) => i).filter(keep).map((i) => `${prefix}${i}`).sort();
const status = async (url, who) => (await bytes('GET', url, who)).status;

test('without _type a token gets the types that it covers; a type that it does not cover is 403', async () => {
  const { headers: who } = await scopedToken(server, 'types', ['system/Patient.rs', 'system/Device.rs', 'system/Encounter.r', 'system/Condition.s']);
  const all = await download(server, await manifest(server, '$export', { who }), { who });
  assert.deepEqual(ids(all, 'Patient'), expected(patients, 'p'));
  assert.equal(all.length, patients);
  for (const type of ['Observation', 'Encounter', 'Condition']) {
    const r = await kickoff(server, `$export?_type=Patient,${type}`, { who });
    assert.equal(r.status, 403, `${type}: ${r.text}`);
    assert.match(r.headers.get('www-authenticate'), /insufficient_scope/);
    assert.equal(await status(`${server.fhir}/${type}/$export-stream`, who), 403, type);
  }
  assert.equal(await status(`${server.fhir}/Patient/$export-stream`, who), 200);
});
test('a token that only writes exports nothing', async () => {
  const { headers: who } = await scopedToken(server, 'writer', ['system/Patient.cud']);
  assert.equal((await kickoff(server, '$export', { who })).status, 403);
});
test('queries of scopes narrow what is exported, and streamed', async () => {
  const { headers: who } = await scopedToken(server, 'queries', ['system/Observation.rs?category=laboratory', 'system/Observation.rs?status=amended', 'system/Patient.rs?gender=male']);
  const labs = expected(observations, 'o', (i) => i % 2 === 1 || i % 3 === 0);
  const m = await manifest(server, '$export', { who }), all = await download(server, m, { who });
  assert.deepEqual([ids(all, 'Observation'), ids(all, 'Patient')], [labs, expected(patients, 'p', (i) => i % 2)]);
  const stream = await bytes('GET', `${server.fhir}/Observation/$export-stream`, who);
  assert.deepEqual(lines(stream.body).map((l) => JSON.parse(l).id).sort(), labs);
  const filtered = await download(server, await manifest(server, `$export?_type=Observation&_typeFilter=${encodeURIComponent('Observation?status=final')}`, { who }), { who });
  assert.deepEqual(ids(filtered, 'Observation'), expected(observations, 'o', (i) => i % 2 === 1 && i % 3));
});
test('a Group must be readable', async () => {
  await call('PUT', `${server.fhir}/Group/g`, { resourceType: 'Group', id: 'g', type: 'person', actual: true, member: [{ entity: { reference: 'Patient/p1' } }] }, server.admin);
  const { headers: without } = await scopedToken(server, 'groupless', ['system/Patient.rs']), { headers: who } = await scopedToken(server, 'grouped', ['system/Patient.rs', 'system/Group.r']);
  assert.equal((await kickoff(server, 'Group/g/$export', { who: without })).status, 403);
  assert.equal((await kickoff(server, 'Group/none/$export', { who: without })).status, 403);
  assert.deepEqual(ids(await download(server, await manifest(server, 'Group/g/$export', { who }), { who }), 'Patient'), ['p1']);
  assert.equal((await kickoff(server, 'Group/none/$export', { who })).status, 404);
});
test('an export is its client\'s own: to others it is not there', async () => {
  const [a, b] = [await client(server, 'a'), await client(server, 'b')];
  const m = await manifest(server, '$export?_type=Patient', { who: a });
  assert.equal(await status(m.output[0].url, a), 200);
  for (const who of [b, server.admin]) {
    assert.equal(await status(m.output[0].url, who), 404);
    assert.equal(await status(m.url, who), 404);
    assert.equal((await call('DELETE', m.url, undefined, who)).status, 404);
  }
  assert.equal(await status(m.output[0].url, {}), 401);
  assert.equal(await status(m.url, a), 200);
});
test('policies hold for each type, when it is exported and when its file is fetched', async () => {
  const who = await client(server, 'matched');
  const policy = (types) => call('PUT', `${server.base}/AccessPolicy/matched`, { resourceType: 'AccessPolicy', id: 'matched', engine: 'matcho', link: [{ reference: 'Client/matched' }], matcho: { uri: `#^/fhir/(\\$export.*|(${types.join('|')}).*)$` } }, server.admin);
  assert.ok((await policy(['Patient', 'Device'])).status < 300);
  assert.equal((await kickoff(server, '$export?_type=Observation', { who })).status, 403);
  const m = await manifest(server, '$export', { who });
  assert.deepEqual(m.output.map((f) => f.type), ['Patient']);
  assert.equal(await status(m.output[0].url, who), 200);
  assert.ok((await policy(['Device'])).status < 300);
  assert.equal(await status(m.output[0].url, who), 403, 'what was taken away since is not given out');
  assert.ok((await policy(['Patient'])).status < 300);
  assert.equal(await status(m.output[0].url, who), 200);
});
test('the operations need a policy of their own', async () => {
  const who = await client(server, 'operator', ['FhirSearch']);
  assert.equal((await kickoff(server, '$export', { who })).status, 403);
  const url = await begin(server, '$export?_type=Patient');
  assert.equal(await status(url, who), 403);
});

// ---- imports: each line needs what its own request would need
const upload = (who, list) => call('POST', `${server.fhir}/$import`, list.map((r) => JSON.stringify(r) + '\n').join(''), { 'content-type': 'application/fhir+ndjson', ...who });
const outcome = (r) => { assert.equal(r.status, 200, r.text); return [r.json.stored, r.json.error.map((e) => [e.resource, e.status])]; };
const lab = (id, more = {}) => ({ ...observation(1, patients), id, ...more }), vital = (id) => ({ ...observation(2, patients), id });
const version = async (path) => (await call('GET', `${server.fhir}/${path}`, undefined, server.admin)).json.meta?.versionId;

test('scopes narrow an import by type, and by query what is stored and what is replaced', async () => {
  const { headers: who } = await scopedToken(server, 'importing', ['system/Observation.cud?category=laboratory', 'system/Patient.c']);
  assert.equal(outcome(await upload(server.admin, [vital('i-vital'), lab('i-lab')]))[0], 2);
  assert.deepEqual(outcome(await upload(who, [lab('i-new'), vital('i-none'), lab('i-lab'), lab('i-vital'), { ...patient(1), id: 'i-p' }, { ...patient(1), id: 'p1' }, { resourceType: 'Device', id: 'i-d' }])),
    [2, [['Observation/i-none', 403], ['Observation/i-vital', 403], ['Patient/i-p', 403], ['Patient/p1', 403], ['Device/i-d', 403]]]);
  assert.deepEqual([await version('Observation/i-lab'), await version('Observation/i-vital'), await version('Patient/p1'), await version('Observation/i-new')], ['2', '1', '1', '1']);
});
test('a token for one patient imports into that patient\'s compartment', async () => {
  const key = keyPair('RS256', 'k1'), iss = 'https://issuer.example';
  const put = async (path, body) => { const r = await call('PUT', `${server.base}/${path}`, body, server.admin); assert.ok(r.status < 300, r.text); };
  await put('AccessPolicy/foreign', { engine: 'matcho', matcho: { jwt: { iss } } });
  await put('TokenIntrospector/main', { type: 'jwt', jwt: { iss, keys: [key.jwk] } });
  const who = bearer(jws({ alg: key.alg, kid: key.kid, typ: 'JWT' }, { iss, sub: 'alice', iat: now(), exp: now() + 300, scope: 'patient/*.cruds', patient: 'p1' }, key.privateKey));
  const of = (id, p) => lab(id, { subject: { reference: `Patient/${p}` } });
  assert.deepEqual(outcome(await upload(who, [of('j-own', 'p1'), of('j-other', 'p2'), of('o2', 'p1'), { ...patient(2), id: 'p2' }])),
    [1, [['Observation/j-other', 403], ['Observation/o2', 403], ['Patient/p2', 403]]]);
  assert.deepEqual([await version('Observation/j-own'), await version('Observation/o2'), await version('Patient/p2')], ['1', '1', '1']);
});
test('policies judge each line of an import, by its content and by the headers that came with it', async () => {
  const who = await client(server, 'judged', ['FhirImport', 'FhirTransaction']);
  const r = await call('PUT', `${server.base}/AccessPolicy/lines`, { resourceType: 'AccessPolicy', id: 'lines', engine: 'matcho', link: [{ reference: 'Client/judged' }],
    matcho: { 'request-method': 'put', resource: { resourceType: 'Observation', status: 'final' }, headers: { 'x-purpose': 'load' } } }, server.admin);
  assert.ok(r.status < 300, r.text);
  const list = [lab('k1', { status: 'final' }), lab('k2', { status: 'amended' }), { ...patient(1), id: 'k3' }];
  assert.deepEqual(outcome(await upload({ ...who, 'x-purpose': 'load' }, list)), [1, [['Observation/k2', 403], ['Patient/k3', 403]]]);
  assert.deepEqual(outcome(await upload(who, list)), [0, [['Observation/k1', 403], ['Observation/k2', 403], ['Patient/k3', 403]]]);
  const entry = [{ resource: list[0], request: { method: 'PUT', url: 'Observation/k1' } }], batch = async (more) => (await call('POST', server.fhir, { resourceType: 'Bundle', type: 'batch', entry }, { ...who, ...more })).json.entry[0].response.status;
  assert.deepEqual([await batch({ 'x-purpose': 'load' }), await batch({})], ['200', '403'], 'entries of Bundles likewise');
});
