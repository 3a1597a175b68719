// The token endpoint and what its tokens are good for (seed-semantics 2 and 4), with `jose` as an independent signer.
import test, { before, after, describe } from 'node:test';
import assert from 'node:assert/strict';
import { createRequire } from 'node:module';
import { randomUUID, createSign, generateKeyPairSync } from 'node:crypto';
import path from 'node:path';
import { pathToFileURL } from 'node:url';
import { start, call, raw, basic, sleep, source } from './lib/server.mjs';

const require = createRequire(path.join(process.env.NPM_MODULES ?? path.join(source, 'tests/node_modules'), 'x.js'));
const jose = await import(pathToFileURL(require.resolve('jose')).href);

const JWT_BEARER = 'urn:ietf:params:oauth:client-assertion-type:jwt-bearer';
const SEED_SCOPE = 'AllergyIntolerance CarePlan CareTeam Condition Device DiagnosticReport DocumentReference Encounter Goal Group Immunization Location MedicationRequest Observation Organization Patient Practitioner Procedure Provenance'.split(' ').map((t) => `system/${t}.read`).join(' ');

let server, admin, rsa, ec, other;
const keyPair = async (alg, kid) => {
  const { privateKey, publicKey } = await jose.generateKeyPair(alg, { extractable: true });
  return { alg, kid, privateKey, jwk: { ...await jose.exportJWK(publicKey), kid, alg, use: 'sig' } };
};
const putClient = async (id, body) => {
  const r = await call('PUT', `${server.base}/Client/${id}`, body, admin);
  assert.ok(r.status === 200 || r.status === 201, r.text);
  return r;
};
const allow = async (id) => {
  const r = await call('PUT', `${server.base}/AccessPolicy/${id}`, { engine: 'allow', link: [{ resourceType: 'Client', id }] }, admin);
  assert.ok(r.status === 200 || r.status === 201, r.text);
};
const bulk = (more = {}) => ({ type: 'bulk-api-client', grant_types: ['client_credentials'], scope: ['system/*.read'], jwks: [rsa.jwk, ec.jwk], auth: { client_credentials: { client_assertion_types: [JWT_BEARER], token_format: 'jwt' } }, ...more });

before(async () => {
  server = await start();
  admin = server.admin;
  [rsa, ec, other] = await Promise.all([keyPair('RS384', 'rsa-1'), keyPair('ES384', 'ec-1'), keyPair('RS384', 'rsa-1')]);
  await putClient('bulk', bulk());
  await allow('bulk');
  await putClient('plain', { secret: 'a long enough secret!', grant_types: ['client_credentials', 'basic'], auth: { client_credentials: { access_token_expiration: 60 } } });
  await allow('plain');
  await putClient('only-basic', { secret: 'another long secret', grant_types: ['basic'] });
});
after(async () => { await server.stop(); assert.doesNotMatch(server.output(), /Sanitizer|runtime error/); server.remove(); });

const now = () => Math.floor(Date.now() / 1000);
const assertion = (claims = {}, { key = rsa, header = {} } = {}) => new jose.SignJWT({ iss: 'bulk', sub: 'bulk', aud: `${server.base}/auth/token`, exp: now() + 300, jti: randomUUID(), ...claims })
  .setProtectedHeader({ alg: key.alg, kid: key.kid, typ: 'JWT', ...header }).sign(key.privateKey);
const form = (params, headers = {}) => call('POST', `${server.base}/auth/token`, new URLSearchParams(params).toString(), { 'content-type': 'application/x-www-form-urlencoded', ...headers });
const json = (params, headers = {}) => call('POST', `${server.base}/auth/token`, params, headers);
const asked = (client_assertion, more = {}) => ({ grant_type: 'client_credentials', client_assertion_type: JWT_BEARER, client_assertion, scope: 'system/*.read', ...more });
const token = async (claims, more) => (await json(asked(await assertion(claims), more))).json.access_token;
const search = (bearer) => call('GET', `${server.fhir}/Patient`, undefined, bearer === undefined ? {} : { authorization: `Bearer ${bearer}` });
const refused = (r, status, error) => {
  assert.equal(r.status, status, r.text);
  assert.equal(r.json?.error, error, r.text);
  assert.equal(typeof r.json.error_description, 'string');
  assert.match(r.headers.get('content-type'), /^application\/json/);
  assert.match(r.headers.get('cache-control'), /no-store/);
};

describe('an access token', () => {
  test('has the members of the seed, and verifies with our key set', async () => {
    const r = await json(asked(await assertion()));
    assert.equal(r.status, 200, r.text);
    assert.deepEqual(Object.keys(r.json).sort(), ['access_token', 'expires_in', 'need_patient_banner', 'refresh_token', 'scope', 'token_type']);
    assert.equal(r.json.scope, SEED_SCOPE);
    assert.equal(r.json.token_type, 'Bearer');
    assert.equal(r.json.refresh_token, null);
    assert.equal(r.headers.get('pragma'), 'no-cache');
    const set = jose.createLocalJWKSet((await call('GET', `${server.base}/.well-known/jwks.json`)).json);
    const { payload, protectedHeader } = await jose.jwtVerify(r.json.access_token, set, { issuer: server.base, audience: server.fhir });
    assert.equal(protectedHeader.alg, 'RS256');
    assert.equal(payload.sub, 'bulk');
    assert.equal(payload.client_id, 'bulk');
    assert.equal(payload.scope, SEED_SCOPE);
    assert.equal(payload.exp - payload.iat, r.json.expires_in);
    assert.match(payload.jti, /^[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/);
    assert.equal((await search(r.json.access_token)).status, 200);
  });
  test('comes for ES384, by form, and with a media type parameter', async () => {
    const r = await form(asked(await assertion({}, { key: ec })), { 'content-type': 'application/x-www-form-urlencoded; charset=UTF-8' });
    assert.equal(r.status, 200, r.text);
    assert.equal((await search(r.json.access_token)).status, 200);
  });
  test('leaves a Session that shows no token', async () => {
    const t = await token();
    const { jti } = jose.decodeJwt(t);
    const r = await call('GET', `${server.base}/Session/${jti}`, undefined, admin);
    assert.equal(r.status, 200, r.text);
    assert.deepEqual(r.json.client, { resourceType: 'Client', id: 'bulk' });
    assert.equal(r.json.active, true);
    assert.equal(r.json.scope.join(' '), SEED_SCOPE);
    assert.ok(!('access_token' in r.json));
    const found = await call('GET', `${server.base}/Session?client=Client/bulk&_count=200`, undefined, admin);
    assert.ok(found.json.entry.some((e) => e.resource.id === jti), found.text.slice(0, 300));
  });
  test('is opaque without token_format, and as good', async () => {
    const r = await form({ grant_type: 'client_credentials', client_id: 'plain', client_secret: 'a long enough secret!' });
    assert.equal(r.status, 200, r.text);
    assert.match(r.json.access_token, /^[A-Za-z0-9_-]{43}$/);
    assert.equal(r.json.expires_in, 60);
    assert.ok(!('scope' in r.json) && !('need_patient_banner' in r.json));
    for (let i = 0; i < 3; i++) assert.equal((await search(r.json.access_token)).status, 200);
    const changed = (r.json.access_token[0] === 'A' ? 'B' : 'A') + r.json.access_token.slice(1);
    assert.equal((await search(changed)).status, 401);
  });
  test('takes a registered audience, and no other', async () => {
    await putClient('bulk', bulk({ auth: { client_credentials: { client_assertion_types: [JWT_BEARER], token_format: 'jwt', audience: ['https://other.example'] } } }));
    const r = await json(asked(await assertion(), { audience: 'https://other.example' }));
    assert.equal(jose.decodeJwt(r.json.access_token).aud, 'https://other.example');
    refused(await json(asked(await assertion(), { audience: 'https://evil.example' })), 400, 'invalid_target');
    await putClient('bulk', bulk());
  });
});

describe('parameters', () => {
  test('broken ones are invalid_request', async () => {
    const a = () => assertion();
    const rows = [
      () => json([]), () => json('{"grant_type":'), () => json('{"grant_type":"client_credentials","grant_type":"client_credentials"}'), () => json('"x"'),
      () => json({}), () => json({ grant_type: 7 }), () => json({ grant_type: '' }),
      async () => json(asked(await a(), { scope: ['system/*.read'] })),
      async () => json(asked(await a(), { client_assertion_type: 'urn:ietf:params:oauth:client-assertion-type:saml2-bearer' })),
      async () => json({ ...asked(await a()), client_assertion_type: undefined }),
      async () => json({ ...asked('x'), client_assertion: undefined }),
      async () => json(asked(await a(), { client_secret: 'x' })),
      async () => json(asked(await a()), { authorization: basic('plain', 'a long enough secret!') }),
      () => form({ grant_type: 'client_credentials', client_secret: 'x' }),
      () => call('POST', `${server.base}/auth/token`, 'grant_type=client_credentials', { 'content-type': 'text/plain' }),
      () => call('POST', `${server.base}/auth/token`, 'grant_type=client_credentials&grant_type=client_credentials', { 'content-type': 'application/x-www-form-urlencoded' }),
      () => call('POST', `${server.base}/auth/token`, 'grant_type=%zz', { 'content-type': 'application/x-www-form-urlencoded' }),
    ];
    for (const row of rows) refused(await row(), 400, 'invalid_request');
  });
  test('unknown grants are told apart before anybody is authenticated', async () => {
    for (const grant_type of ['password', 'zz', 'authorization_code']) {
      refused(await json(asked(await assertion(), { grant_type })), 400, 'unsupported_grant_type');
      refused(await json({ grant_type }), 400, 'unsupported_grant_type');
    }
  });
  test('the query counts for nothing, unknown parameters for nothing', async () => {
    const query = new URLSearchParams(asked(await assertion())).toString();
    refused(await call('POST', `${server.base}/auth/token?${query}`, '', { 'content-type': 'application/x-www-form-urlencoded' }), 400, 'invalid_request');
    assert.equal((await json(asked(await assertion(), { resource: 1, foo: null }))).status, 200);
  });
  test('GET is 405', async () => {
    const r = await call('GET', `${server.base}/auth/token`);
    assert.equal(r.status, 405);
    assert.match(r.headers.get('allow'), /POST/);
  });
  test('a body over 64 KiB is 413', async () => {
    const r = await json({ grant_type: 'client_credentials', pad: 'x'.repeat(70000) });
    assert.equal(r.status, 413);
  });
});

describe('client assertions', () => {
  const rows = {
    'JA-1 not three parts': () => 'a.b',
    'JA-1 padding': async () => `${await assertion()}=`,
    'JA-2 RS256 by default': async () => assertion({}, { key: { ...await keyPair('RS256', 'rsa-1') } }),
    'JA-3 typ': () => assertion({}, { header: { typ: 'at+jwt' } }),
    'JA-4 no kid': () => assertion({}, { header: { kid: undefined } }),
    'JA-5 foreign jku': () => assertion({}, { header: { jku: 'https://evil.example/jwks' } }),
    'JA-6 unknown client': () => assertion({ iss: 'nobody', sub: 'nobody' }),
    'JA-6 iss and sub differ': () => assertion({ iss: 'bulk', sub: 'plain' }),
    'JA-6 client without keys': () => assertion({ iss: 'plain', sub: 'plain' }),
    'JA-7 unknown kid': () => assertion({}, { header: { kid: 'other' } }),
    'JA-8 other key': () => assertion({}, { key: other }),
    'JA-8 changed claims': async () => { const [h, , s] = (await assertion()).split('.'); const p = (await assertion()).split('.')[1]; return `${h}.${p}.${s}`; },
    'JA-9 aud of two': () => assertion({ aud: [`${server.base}/auth/token`, 'https://b.example'] }),
    'JA-9 aud is the issuer': () => assertion({ aud: server.base }),
    'JA-10 exp too far': () => assertion({ exp: now() + 400 }),
    'JA-10 exp passed': () => assertion({ exp: now() - 10 }),
    'JA-10 exp a string': () => assertion({ exp: String(now() + 100) }).catch(() => 'a.b.c'),
    'JA-11 nbf ahead': () => assertion({ nbf: now() + 60 }),
    'JA-11 iat old': () => assertion({ iat: now() - 4000 }),
    'JA-12 no jti': () => assertion({ jti: undefined }),
    'JA-12 jti too long': () => assertion({ jti: 'j'.repeat(257) }),
  };
  for (const [name, make] of Object.entries(rows)) test(`${name}: 401 invalid_client`, async () => refused(await json(asked(await make())), 401, 'invalid_client'));

  test('alg none and HMAC with the public key are refused', async () => {
    const claims = Buffer.from(JSON.stringify({ iss: 'bulk', sub: 'bulk', aud: `${server.base}/auth/token`, exp: now() + 100, jti: randomUUID() })).toString('base64url');
    for (const alg of ['none', 'HS256']) {
      const header = Buffer.from(JSON.stringify({ alg, kid: 'rsa-1' })).toString('base64url');
      for (const signature of ['', 'AAAA']) refused(await json(asked(`${header}.${claims}.${signature}`)), 401, 'invalid_client');
    }
  });
  test('an ECDSA signature in DER form is refused', async () => {
    const { privateKey, publicKey } = generateKeyPairSync('ec', { namedCurve: 'P-384' });
    await putClient('der', bulk({ jwks: [{ ...publicKey.export({ format: 'jwk' }), kid: 'd', alg: 'ES384' }] }));
    const input = [{ alg: 'ES384', kid: 'd' }, { iss: 'der', sub: 'der', aud: `${server.base}/auth/token`, exp: now() + 100, jti: randomUUID() }].map((x) => Buffer.from(JSON.stringify(x)).toString('base64url')).join('.');
    refused(await json(asked(`${input}.${createSign('sha384').update(input).sign(privateKey).toString('base64url')}`)), 401, 'invalid_client');
    assert.equal((await json(asked(`${input}.${createSign('sha384').update(input).sign({ key: privateKey, dsaEncoding: 'ieee-p1363' }).toString('base64url')}`))).status, 200);
  });
  test('unknown client, unknown kid and wrong signature get one answer', async () => {
    const answers = await Promise.all([assertion({ iss: 'nobody', sub: 'nobody' }), assertion({}, { header: { kid: 'other' } }), assertion({}, { key: other })].map(async (a) => (await json(asked(await a))).text));
    assert.equal(new Set(answers).size, 1, answers.join('\n'));
  });
  test('aud as an array of exactly ours, exp of exactly 300 s, and client_id = sub are taken', async () => {
    assert.equal((await json(asked(await assertion({ aud: [`${server.base}/auth/token`] }), { client_id: 'bulk' }))).status, 200);
    refused(await json(asked(await assertion(), { client_id: 'plain' })), 401, 'invalid_client');
  });
  test('each works once, also in parallel; a refused one with a bad signature burns nothing', async () => {
    const jti = randomUUID();
    refused(await json(asked(await assertion({ jti }, { key: other }))), 401, 'invalid_client');
    const once = asked(await assertion({ jti }));
    const statuses = (await Promise.all(Array.from({ length: 8 }, () => json(once)))).map((r) => r.status).sort();
    assert.deepEqual(statuses, [200, 401, 401, 401, 401, 401, 401, 401]);
    refused(await json(once), 401, 'invalid_client');
  });
  test('jti is the client\'s own: another client may use the same', async () => {
    await putClient('bulk2', bulk());
    const jti = randomUUID();
    assert.equal((await json(asked(await assertion({ jti })))).status, 200);
    assert.equal((await json(asked(await assertion({ jti, iss: 'bulk2', sub: 'bulk2' })))).status, 200);
  });
  test('a used one stays used over a restart', async () => {
    const once = asked(await assertion());
    assert.equal((await json(once)).status, 200);
    await server.stop();
    server = await start({ at: server });
    admin = server.admin;
    refused(await json(once), 401, 'invalid_client');
  });
});

describe('client secrets', () => {
  const grant_type = 'client_credentials';
  test('work by Basic, also form-encoded, and in the body', async () => {
    assert.equal((await form({ grant_type }, { authorization: basic('plain', 'a long enough secret!') })).status, 200);
    assert.equal((await form({ grant_type }, { authorization: basic('plain', 'a+long+enough+secret%21') })).status, 200);
    assert.equal((await json({ grant_type, client_id: 'plain', client_secret: 'a long enough secret!' })).status, 200);
  });
  test('wrong ones are 401 invalid_client, with a challenge for Basic', async () => {
    for (const [id, secret] of [['plain', 'wrong'], ['nobody', 'wrong'], ['bulk', 'wrong'], ['', '']]) {
      const r = await form({ grant_type }, { authorization: basic(id, secret) });
      refused(r, 401, 'invalid_client');
      assert.match(r.headers.get('www-authenticate'), /^Basic realm="andiron"/);
      if (id) refused(await json({ grant_type, client_id: id, client_secret: secret }), 401, 'invalid_client');
    }
    refused(await form({ grant_type }, { authorization: 'Bearer x' }), 401, 'invalid_client');
    refused(await form({ grant_type }), 401, 'invalid_client');
  });
  test('are refused for a client that registered assertions', async () => {
    await putClient('both', bulk({ secret: 'yet another secret' }));
    refused(await json({ grant_type, client_id: 'both', client_secret: 'yet another secret', scope: 'system/*.read' }), 401, 'invalid_client');
    assert.equal((await json(asked(await assertion({ iss: 'both', sub: 'both' })))).status, 200);
  });
  test('a grant that is not registered is unauthorized_client', async () => {
    refused(await json({ grant_type, client_id: 'only-basic', client_secret: 'another long secret' }), 400, 'unauthorized_client');
  });
});

describe('scopes', () => {
  test('subset, superset and v2', async () => {
    for (const [scope, granted] of [['system/Patient.read', 'system/Patient.read'], ['system/Patient.rs system/Observation.r', 'system/Patient.rs system/Observation.r'], ['system/Patient.read system/Patient.write', 'system/Patient.read'], ['system/Coverage.read', 'system/Coverage.read']]) {
      const r = await json(asked(await assertion(), { scope }));
      assert.equal(r.json.scope, granted, `${scope}: ${r.text}`);
    }
  });
  test('none, a user\'s, or missing ones are invalid_scope', async () => {
    for (const scope of [undefined, '', 'system/Patient.write', 'system/Patient.sr', 'x', 'patient/Patient.read', 'user/*.read', 'launch', 'launch/patient', 'openid', 'fhirUser', 'offline_access', 'online_access', 'system/*.read patient/*.read'])
      refused(await json(asked(await assertion(), { scope })), 400, 'invalid_scope');
    refused(await json({ grant_type: 'client_credentials', client_id: 'plain', client_secret: 'a long enough secret!', scope: 'system/*.read' }), 400, 'invalid_scope');
  });
});

describe('Bearer', () => {
  test('bad tokens are 401 with a challenge, never anonymous', async () => {
    const good = await token();
    const [h, p, s] = good.split('.');
    const changed = Buffer.from(JSON.stringify({ ...jose.decodeJwt(good), sub: 'root', client_id: 'root' })).toString('base64url');
    const forged = await new jose.SignJWT({ ...jose.decodeJwt(good) }).setProtectedHeader({ ...jose.decodeProtectedHeader(good), alg: 'RS384' }).sign(rsa.privateKey);
    assert.equal((await search(good)).status, 200);
    for (const bad of ['', 'x', 'x.y.z', `${h}.${p}.`, `${h}.${changed}.${s}`, `${good}A`, good.slice(0, -1), forged, await assertion(), 'x'.repeat(15000)]) {
      const r = await search(bad);
      assert.equal(r.status, 401, bad.slice(0, 40));
      assert.equal(r.json?.resourceType, 'OperationOutcome');
      assert.equal(r.json.id, 'unauthorized');
      assert.equal(r.json.issue[0].code, 'security');
      assert.match(r.headers.get('www-authenticate'), /^Bearer realm="andiron", error="invalid_token"/);
    }
    const r = await call('GET', `${server.fhir}/Patient?access_token=${good}`);
    assert.equal(r.status, 401);
  });
  test('scheme names in any case, and one pair of quotes, are taken', async () => {
    const t = await token();
    for (const authorization of [`bearer ${t}`, `BEARER  ${t}`, `"Bearer ${t}"`]) assert.equal((await call('GET', `${server.fhir}/Patient`, undefined, { authorization })).status, 200, authorization.slice(0, 12));
    for (const authorization of ['Digest x', 'Bearer', 'x', `Bearer"${t}"`]) assert.equal((await call('GET', `${server.fhir}/Patient`, undefined, { authorization })).status, 401, authorization.slice(0, 12));
  });
  test('two Authorization headers are 400', async () => {
    const t = await token();
    for (const [one, two] of [[`Bearer ${t}`, `Bearer ${t}`], ['Digest a', 'Digest b'], ['Digest a', `Bearer ${t}`], ['', '']]) {
      const answer = await raw(server.port, `GET /fhir/Patient HTTP/1.1\r\nHost: x\r\nAuthorization: ${one}\r\nAuthorization: ${two}\r\nConnection: close\r\n\r\n`);
      assert.match(answer, /^HTTP\/1\.1 400 /, `${one.slice(0, 6)} ${two.slice(0, 6)}`);
    }
  });
  test('an expired token is 401 with code expired, though it was cached', async () => {
    await putClient('short', bulk({ auth: { client_credentials: { token_format: 'jwt', access_token_expiration: 1 } } }));
    await allow('short');
    const t = await token({ iss: 'short', sub: 'short' });
    assert.equal((await search(t)).status, 200);
    await sleep(6600);
    const r = await search(t);
    assert.equal(r.status, 401, r.text);
    assert.equal(r.json.issue[0].code, 'expired', r.text);
  });
  test('a token ends with its Session at once', async () => {
    const t = await token();
    const { jti } = jose.decodeJwt(t);
    assert.equal((await search(t)).status, 200);
    const s = (await call('GET', `${server.base}/Session/${jti}`, undefined, admin)).json;
    assert.equal((await call('PUT', `${server.base}/Session/${jti}`, { ...s, active: false }, admin)).status, 200);
    assert.equal((await search(t)).status, 401);
    assert.equal((await call('PUT', `${server.base}/Session/${jti}`, { ...s, active: true }, admin)).status, 422);
    const u = await token();
    assert.equal((await search(u)).status, 200);
    assert.equal((await call('DELETE', `${server.base}/Session/${jose.decodeJwt(u).jti}`, undefined, admin)).status, 204);
    assert.equal((await search(u)).status, 401);
  });
  test('Sessions cannot be made or changed by hand', async () => {
    assert.equal((await call('PUT', `${server.base}/Session/made-up`, { client: { resourceType: 'Client', id: 'root' }, active: true }, admin)).status, 422);
    const { jti } = jose.decodeJwt(await token());
    const s = (await call('GET', `${server.base}/Session/${jti}`, undefined, admin)).json;
    assert.equal((await call('PUT', `${server.base}/Session/${jti}`, { ...s, client: { resourceType: 'Client', id: 'root' } }, admin)).status, 422);
  });
  test('a token ends with its Client at once, and does not come back with it', async () => {
    await putClient('brief', bulk());
    await allow('brief');
    const t = await token({ iss: 'brief', sub: 'brief' });
    assert.equal((await search(t)).status, 200);
    await putClient('brief', bulk({ active: false }));
    assert.equal((await search(t)).status, 401);
    refused(await json(asked(await assertion({ iss: 'brief', sub: 'brief' }))), 401, 'invalid_client');
    await sleep(300);
    await putClient('brief', bulk());
    assert.equal((await search(t)).status, 401);
    const u = await token({ iss: 'brief', sub: 'brief' });
    assert.equal((await search(u)).status, 200);
    assert.equal((await call('DELETE', `${server.base}/Client/brief`, undefined, admin)).status, 204);
    assert.equal((await search(u)).status, 401);
  });
  test('credentials on public routes are not looked at', async () => {
    for (const authorization of ['Bearer x', 'Basic !', basic('root', 'wrong')]) assert.equal((await call('GET', `${server.base}/.well-known/jwks.json`, undefined, { authorization })).status, 200);
  });
});

describe('Basic', () => {
  const get = (authorization) => call('GET', `${server.fhir}/Patient`, undefined, { authorization });
  test('needs the right secret, the grant basic and an active client', async () => {
    assert.equal((await get(basic('plain', 'a long enough secret!'))).status, 200);
    const answers = [];
    for (const authorization of [basic('plain', 'wrong'), basic('nobody', 'wrong'), basic('bulk', 'wrong'), basic('a/b', 'x'), 'Basic !!!', 'Basic', 'Basic cGxhaW4=']) {
      const r = await get(authorization);
      assert.equal(r.status, 401, authorization);
      assert.match(r.headers.get('www-authenticate'), /^Basic realm="andiron"/);
      answers.push(r.text);
    }
    assert.equal(new Set(answers).size, 1);
    await putClient('no-basic', { secret: 'a long enough secret!', grant_types: ['client_credentials'] });
    assert.equal((await get(basic('no-basic', 'a long enough secret!'))).status, 401);
  });
  test('a proven secret ends with its change', async () => {
    await putClient('rotating', { secret: 'the first secret here', grant_types: ['basic'] });
    await allow('rotating');
    for (let i = 0; i < 3; i++) assert.equal((await get(basic('rotating', 'the first secret here'))).status, 200);
    await putClient('rotating', { secret: 'the second secret here', grant_types: ['basic'] });
    assert.equal((await get(basic('rotating', 'the first secret here'))).status, 401);
    assert.equal((await get(basic('rotating', 'the second secret here'))).status, 200);
    await putClient('rotating', { grant_types: ['basic'] });
    assert.equal((await get(basic('rotating', 'the second secret here'))).status, 200);
    assert.equal((await call('PUT', `${server.base}/Client/rotating`, { secret: null, grant_types: ['basic'] }, admin)).status, 422);
    await putClient('rotating', { secret: null, grant_types: [] });
    assert.equal((await get(basic('rotating', 'the second secret here'))).status, 401);
  });
});

describe('Client', () => {
  test('shows no secret and no hash, in no answer', async () => {
    await putClient('shy', { secret: 'canary-secret-3141592653', grant_types: ['basic'] });
    const seen = [
      await call('PUT', `${server.base}/Client/shy`, { secret: 'canary-secret-3141592653', grant_types: ['basic'], name: 'x' }, admin),
      await call('GET', `${server.base}/Client/shy`, undefined, admin), await call('GET', `${server.fhir}/Client/shy`, undefined, admin),
      await call('GET', `${server.base}/Client?_id=shy`, undefined, admin), await call('GET', `${server.base}/Client`, undefined, admin),
      await call('GET', `${server.fhir}/Client/shy/_history/1`, undefined, admin), await call('GET', `${server.fhir}/Client/shy/_history`, undefined, admin),
    ];
    for (const r of seen) assert.doesNotMatch(r.text, /canary-secret|pbkdf2|"secret"/);
    assert.doesNotMatch(server.log(), /canary-secret|pbkdf2/);
  });
  test('the same content again makes no version, secret included', async () => {
    const body = { secret: 'a secret of some length', grant_types: ['basic'] };
    const one = await putClient('same', body), two = await putClient('same', body);
    assert.equal(one.status, 201);
    assert.equal(two.status, 200);
    assert.equal(two.json.meta.versionId, one.json.meta.versionId);
  });
  test('broken ones are 422 at their element', async () => {
    for (const [body, where, code] of [[{ foo: 1 }, 'Client.foo', 'structure'], [{ grant_types: ['x'] }, 'Client.grant_types', 'value'], [{ grant_types: ['basic'] }, 'Client.secret', 'business-rule'], [{ scope: ['patient/x y'] }, 'Client.scope', 'value'], [{ scope: ['system/Patient.sr'] }, 'Client.scope', 'value'], [{ jwks_uri: 'http://127.0.0.1/x' }, 'Client.jwks_uri', 'value'], [{ jwks: [{ kty: 'oct', k: 'AA', kid: 'x' }] }, 'Client.jwks[0]', 'value']]) {
      const r = await call('PUT', `${server.base}/Client/broken`, body, admin);
      assert.equal(r.status, 422, r.text);
      assert.equal(r.json.issue[0].code, code, r.text);
      assert.deepEqual(r.json.issue[0].expression, [where], r.text);
    }
  });
});

test('no log line holds a token, an assertion or a secret', async () => {
  const a = await assertion();
  const t = (await json(asked(a))).json.access_token;
  await search(t);
  await search(`${t}x`);
  await json({ grant_type: 'client_credentials', client_id: 'plain', client_secret: 'canary-wrong-secret' });
  await sleep(200);
  const log = server.log();
  for (const secret of [a.split('.')[2], t.split('.')[2], 'canary-wrong-secret', 'a long enough secret']) assert.ok(!log.includes(secret), secret.slice(0, 20));
});
