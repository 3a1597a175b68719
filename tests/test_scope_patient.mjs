// patient/ scopes, in tokens of an issuer that names a patient: that patient's compartment, and what all share.
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { call, start } from './lib/server.mjs';
import { bearer, jws, keyPair, now } from './lib/smart.mjs';

const issuer = 'https://issuer.example', key = keyPair('RS256', 'k1');
let server;
const as = (claims) => {
  const headers = bearer(jws({ alg: key.alg, kid: key.kid, typ: 'JWT' }, { iss: issuer, sub: 'alice', iat: now(), exp: now() + 300, ...claims }, key.privateKey));
  return (method, target, body) => call(method, server.fhir + target, body, headers);
};
const ids = (r) => { assert.equal(r.status, 200, r.text); return (r.json.entry ?? []).filter((e) => e.search?.mode !== 'outcome').map((e) => `${e.resource.resourceType}/${e.resource.id}`).sort(); };
const status = async (p) => (await p).status;
// SC-10
const insufficient = (r) => { assert.equal(r.status, 403, r.text); assert.match(r.headers.get('www-authenticate') ?? '', /^Bearer realm="andiron", error="insufficient_scope"/); };
const observation = (id, patient) => ({ resourceType: 'Observation', ...(id ? { id } : {}), status: 'final', code: { text: 'x' }, subject: { reference: `Patient/${patient}` }, performer: [{ reference: 'Organization/o' }] });

before(async () => {
  server = await start({ quick: true });
  const put = async (url, body) => { const r = await call('PUT', url, body, server.admin); assert.ok(r.status < 300, r.text); };
  await put(`${server.base}/AccessPolicy/foreign`, { engine: 'matcho', matcho: { jwt: { iss: issuer } } });
  await put(`${server.base}/TokenIntrospector/main`, { type: 'jwt', jwt: { iss: issuer, keys: [key.jwk] } });
  for (const body of [{ resourceType: 'Patient', id: 'p1', name: [{ family: 'Own' }] }, { resourceType: 'Patient', id: 'p2', name: [{ family: 'Other' }] }, { resourceType: 'Organization', id: 'o', name: 'x' }, observation('b1', 'p1'), observation('b2', 'p2'), observation('b3', 'p1')]) await put(`${server.fhir}/${body.resourceType}/${body.id}`, body);
});
after(async () => { await server?.stop(); server?.remove(); });

test('the compartment of the patient is all there is', async () => {
  const own = as({ scope: 'patient/*.cruds', patient: 'p1' });
  assert.deepEqual(ids(await own('GET', '/Observation')), ['Observation/b1', 'Observation/b3']);
  assert.deepEqual(ids(await own('GET', '/Patient')), ['Patient/p1']);
  assert.equal((await own('GET', '/Observation?_total=accurate&_count=1')).json.total, 2);
  assert.deepEqual(ids(await own('GET', '/Observation?subject:Patient.family=Other')), []);
  assert.deepEqual(ids(await own('GET', '/Patient?_has:Observation:patient:status=final')), ['Patient/p1']);
  assert.deepEqual(ids(await own('GET', '/Observation?_id=b1&_include=Observation:*')), ['Observation/b1', 'Organization/o', 'Patient/p1']);
  assert.deepEqual([await status(own('GET', '/Observation/b1')), await status(own('GET', '/Observation/b2')), await status(own('GET', '/Observation/b2/_history/1'))], [200, 404, 404]);
  assert.equal((await own('GET', '/Observation/_history')).json.entry.length, 2);
  assert.deepEqual(ids(await own('GET', '/Patient/p2/Observation')), []);
});
test('writes stay in it', async () => {
  const own = as({ scope: 'patient/*.cruds', patient: 'p1' });
  assert.equal(await status(own('POST', '/Observation', observation(undefined, 'p1'))), 201);
  insufficient(await own('POST', '/Observation', observation(undefined, 'p2')));
  insufficient(await own('PUT', '/Observation/b1', observation('b1', 'p2')));
  insufficient(await own('PUT', '/Observation/b2', observation('b2', 'p1')));
  insufficient(await own('DELETE', '/Observation/b2'));
  assert.equal(await status(own('PUT', '/Patient/p1', { resourceType: 'Patient', id: 'p1', name: [{ family: 'Own' }], active: true })), 200);
});
test('shared types are read and never written, others are out of reach', async () => {
  const own = as({ scope: 'patient/*.cruds', patient: 'p1' });
  assert.equal(await status(own('GET', '/Organization/o')), 200);
  assert.equal(await status(own('PUT', '/Organization/o', { resourceType: 'Organization', id: 'o', name: 'y' })), 403);
  assert.equal(await status(own('GET', '/ValueSet')), 403);
});
test('without a patient they open nothing; the forms of a context are understood; a malformed scope voids the token', async () => {
  assert.equal(await status(as({ scope: 'patient/*.cruds' })('GET', '/Observation')), 403);
  for (const patient of ['Patient/p2', `${server.fhir}/Patient/p2`]) assert.deepEqual(ids(await as({ scope: 'patient/Observation.rs', patient })('GET', '/Observation')), ['Observation/b2']);
  assert.ok(ids(await as({ scope: 'patient/Observation.rs', context: { patient: [{ id: 'p1' }, { url: 'Patient/p2' }] } })('GET', '/Observation')).includes('Observation/b2'));
  assert.equal(await status(as({ scope: 'patient/Observation.sr', patient: 'p1' })('GET', '/Observation')), 401);
  assert.equal(await status(as({ scope: 'patient/Observation.rs?nonsense=1', patient: 'p1' })('GET', '/Observation')), 401);
});
