// Rules of seed-semantics 2 to 4 that no other suite names, each broken alone.
import test, { before, after, describe } from 'node:test';
import assert from 'node:assert/strict';
import { createPrivateKey, randomBytes } from 'node:crypto';
import fs from 'node:fs';
import path from 'node:path';
import { start, call, basic, sleep } from './lib/server.mjs';
import { keyPair, assertion, jws, tokenRequest, postToken, postForm, putClient, seedClient, seedScope, allow, bearer, claimsOf, headerOf, now } from './lib/smart.mjs';

let server, key;
const secret = 'a long enough secret!';
const grant = { grant_type: 'client_credentials' };
const read = (token) => call('GET', `${server.fhir}/Patient`, undefined, bearer(token));
const bySecret = (id, more = {}) => postToken(server, { ...grant, client_id: id, client_secret: secret, ...more });
const withSecret = (cc = {}, more = {}) => ({ secret, grant_types: ['client_credentials'], auth: { client_credentials: cc }, ...more });
const oauth = (r, status, error) => { assert.equal(r.status, status, r.text); assert.equal(r.json.error, error, r.text); };
const invalid = (r, code = 'security') => {
  assert.equal(r.status, 401, r.text);
  assert.equal(r.json.id, 'unauthorized');
  assert.equal(r.json.issue[0].code, code);
  assert.match(r.headers.get('www-authenticate'), /^Bearer realm="andiron", error="invalid_token", error_description="[^"]+"/);
};
const root = (method, path, body, headers = {}) => call(method, `${server.base}/${path}`, body, { ...server.admin, ...headers });

before(async () => {
  server = await start({ quick: true, plugins: { auth: { 'max-failures': '0', 'max-ttl': '10m' } } });
  key = keyPair('ES384', 'k1');
  await putClient(server, 'signer', seedClient({ jwks: [key.jwk] }));
  await putClient(server, 'opaque', withSecret());
  await putClient(server, 'jwt', withSecret({ token_format: 'jwt' }));
  await putClient(server, 'scoped', withSecret({}, { scope: ['system/*.read', 'launch-extra'] }));
  for (const id of ['signer', 'opaque', 'jwt', 'scoped']) await allow(server, id);
});
after(async () => { await server.stop(); assert.doesNotMatch(server.output(), /Sanitizer|runtime error/); server.remove(); });

describe('authentication of requests', () => {
  test('AU-2: tokens in the query or in a form count for nothing', async () => {
    const token = (await bySecret('opaque')).json.access_token;
    assert.equal((await read(token)).status, 200);
    for (const r of [await call('GET', `${server.fhir}/Patient?access_token=${token}`), await call('POST', `${server.fhir}/Patient/_search`, `access_token=${token}`, { 'content-type': 'application/x-www-form-urlencoded' })]) {
      assert.equal(r.status, 401, r.text);
      assert.equal(r.json.issue[0].code, 'login');
    }
  });
  test('AU-4: a JWT of another issuer, another key, or made by a client is not valid here', async () => {
    const good = (await bySecret('jwt')).json.access_token;
    assert.equal((await read(good)).status, 200);
    const header = headerOf(good), claims = claimsOf(good);
    for (const [h, c] of [[header, claims], [header, { ...claims, iss: 'https://other.example' }], [{ ...header, kid: 'k1', alg: 'ES384' }, claims], [{ ...header, alg: 'ES384' }, claims], [{ ...header, kid: undefined, alg: 'ES384' }, claims]])
      invalid(await read(jws(h, c, key.privateKey, { alg: 'ES384' })));
    for (const alg of ['none', 'HS256']) invalid(await read(jws({ ...header, alg }, claims, Buffer.from('secret'), { alg })));
    invalid(await read(assertion(server, 'signer', key)));
  });
  test('AU-4: even what our own key signed is refused with another alg, kid, issuer, lifetime or client, and with crit', async () => {
    const good = (await bySecret('jwt')).json.access_token, header = headerOf(good), claims = claimsOf(good);
    const folder = path.join(server.dir, 'state', 'keys');
    const pem = fs.readdirSync(folder).filter((f) => f.includes(header.kid)).map((f) => fs.readFileSync(path.join(folder, f), 'utf8'))[0];
    const signed = (h = {}, c = {}) => jws({ ...header, ...h }, { ...claims, ...c }, createPrivateKey(pem), { alg: 'RS256' });
    assert.equal((await read(signed({ x: 1 }))).status, 200, 'the test has the key');
    for (const h of [{ alg: 'RS384' }, { alg: 'PS256' }, { alg: 'none' }, { alg: undefined }, { alg: ['RS256'] }, { kid: 'other' }, { kid: undefined }, { crit: ['exp'] }, { crit: [] }, { crit: null }]) invalid(await read(signed(h)));
    for (const c of [{ iss: `${server.base}/` }, { iss: 'https://other.example' }, { iss: undefined }, { jti: undefined }, { jti: 'other' }, { client_id: 'opaque' }, { client_id: undefined }, { exp: undefined }, { exp: String(claims.exp) }, { exp: -1 }, { exp: 1e300 }]) invalid(await read(signed({}, c)));
    invalid(await read(signed({}, { exp: now() - 60 })), 'expired');
  });
  test('AU-5: an opaque token is found by its hash; the hash itself is none, and neither is another', async () => {
    const token = (await bySecret('opaque')).json.access_token;
    assert.match(token, /^[A-Za-z0-9_-]{43}$/);
    assert.equal((await read(token)).status, 200);
    invalid(await read(randomBytes(32).toString('base64url')));
    invalid(await read(token.slice(0, -1)));
    invalid(await read(token.toLowerCase()));
  });
  test('AU-6: a token of a client that is gone or inactive is invalid_token', async () => {
    for (const end of [() => putClient(server, 'ending', { ...withSecret(), active: false }), () => root('DELETE', 'Client/ending')]) {
      await putClient(server, 'ending', withSecret());
      await allow(server, 'ending');
      const token = (await bySecret('ending')).json.access_token;
      assert.equal((await read(token)).status, 200);
      await end();
      invalid(await read(token));
    }
  });
  test('AU-7: bad credentials never fall through to anonymous, not even where anonymous may', async () => {
    assert.equal((await root('PUT', 'AccessPolicy/open', { engine: 'allow', link: [{ resourceType: 'Operation', id: 'FhirSearch' }] })).status, 201);
    assert.equal((await call('GET', `${server.fhir}/Patient`)).status, 200);
    invalid(await read('nonsense'));
    const r = await call('GET', `${server.fhir}/Patient`, undefined, { authorization: basic('opaque', 'not this secret at all') });
    assert.equal(r.status, 401);
    assert.match(r.headers.get('www-authenticate'), /^Basic realm="andiron"/);
    assert.equal((await root('DELETE', 'AccessPolicy/open')).status, 204);
  });
});

describe('Client', () => {
  test('CL-1: PUT creates and replaces; another id or type in the body is refused', async () => {
    const one = await root('PUT', 'Client/one', { grant_types: [] });
    assert.equal(one.status, 201);
    assert.match(one.headers.get('location'), /\/Client\/one/);
    assert.match(one.headers.get('etag'), /^W\/"/);
    assert.equal(one.json.id, 'one');
    const two = await root('PUT', 'Client/one', { grant_types: [], name: 'x', id: 'one', resourceType: 'Client' });
    assert.equal(two.status, 200);
    assert.notEqual(two.headers.get('etag'), one.headers.get('etag'));
    assert.equal((await root('PUT', 'Client/one', { id: 'other' })).status, 400);
    assert.equal((await root('PUT', 'Client/one', { resourceType: 'User' })).status, 400);
  });
  test('CL-2: POST takes an id that is free, or makes one', async () => {
    const made = await root('POST', 'Client', { grant_types: [] });
    assert.equal(made.status, 201);
    assert.match(made.json.id, /^[0-9a-f-]{36}$/);
    assert.equal((await root('POST', 'Client', { id: 'wished', grant_types: [] })).json.id, 'wished');
    assert.equal((await root('POST', 'Client', { id: 'wished', grant_types: [] })).status, 409);
  });
  test('CL-4: ids are those of FHIR', async () => {
    assert.equal((await root('PUT', `Client/${'x'.repeat(64)}`, { grant_types: [] })).status, 201);
    for (const id of ['x'.repeat(65), 'a_b', 'a~b']) assert.ok([400, 404, 422].includes((await root('PUT', `Client/${id}`, { grant_types: [] })).status), id);
  });
  test('CL-5: a secret is kept where it is not sent, ended by null, and never shown', async () => {
    await putClient(server, 'kept', withSecret());
    await root('PUT', 'Client/kept', { grant_types: ['client_credentials'], name: 'without' });
    assert.equal((await bySecret('kept')).status, 200);
    assert.equal('secret' in (await root('GET', 'Client/kept')).json, false);
    await root('PUT', 'Client/kept', { grant_types: [], secret: null });
    oauth(await bySecret('kept'), 401, 'invalid_client');
  });
});

describe('the token endpoint', () => {
  test('TK-6: Basic is taken as sent, and form-decoded', async () => {
    for (const text of [secret, encodeURIComponent(secret), secret.replaceAll(' ', '+')]) assert.equal((await postForm(server, grant, { authorization: basic('opaque', text) })).status, 200, text);
    oauth(await postForm(server, grant, { authorization: basic('opaque', encodeURIComponent(encodeURIComponent(secret))) }), 401, 'invalid_client');
  });
  test('TK-7: assertion and its type come together, and there is one type', async () => {
    const { client_assertion, client_assertion_type, ...rest } = tokenRequest(assertion(server, 'signer', key));
    oauth(await postToken(server, { ...rest, client_assertion }), 400, 'invalid_request');
    oauth(await postToken(server, { ...rest, client_assertion_type }), 400, 'invalid_request');
    oauth(await postToken(server, { ...rest, client_assertion, client_assertion_type: 'urn:ietf:params:oauth:client-assertion-type:saml2-bearer' }), 400, 'invalid_request');
    assert.equal((await postToken(server, { ...rest, client_assertion, client_assertion_type })).status, 200, 'none of it burnt the jti');
  });
  test('a client that is inactive is refused with its own secret, in the words for a wrong one', async () => {
    await putClient(server, 'asleep', { ...withSecret(), active: false });
    const right = await bySecret('asleep'), wrong = await postToken(server, { ...grant, client_id: 'asleep', client_secret: 'not this secret at all' });
    oauth(right, 401, 'invalid_client');
    assert.equal(right.text, wrong.text);
    oauth(await postForm(server, grant, { authorization: basic('asleep', secret) }), 401, 'invalid_client');
    await putClient(server, 'asleep', withSecret());
    assert.equal((await bySecret('asleep')).status, 200);
  });
  test('JA-12: an assertion is used up by a request that is refused behind it, and at every endpoint', async () => {
    const used = (r) => { oauth(r, 401, 'invalid_client'); assert.match(r.json.error_description, /jti was used before/); };
    for (const [more, error] of [[{ scope: 'system/Patient.write' }, 'invalid_scope'], [{ scope: 'openid' }, 'invalid_scope'], [{ audience: 'https://other.example' }, 'invalid_target']]) {
      const a = assertion(server, 'signer', key);
      oauth(await postToken(server, tokenRequest(a, more)), 400, error);
      used(await postToken(server, tokenRequest(a)));
    }
    const { access_token } = (await bySecret('opaque')).json;
    for (const path of ['introspect', 'revoke']) {
      const { client_assertion, client_assertion_type } = tokenRequest(assertion(server, 'signer', key));
      const ask = () => call('POST', `${server.base}/auth/${path}`, { token: access_token, client_assertion, client_assertion_type });
      assert.equal((await ask()).status, 200);
      used(await ask());
      used(await postToken(server, tokenRequest(client_assertion)));
    }
  });
  test('TK-21: scope must be sent by who has scopes, and by nobody else', async () => {
    oauth(await bySecret('scoped'), 400, 'invalid_scope');
    oauth(await bySecret('opaque', { scope: 'system/*.read' }), 400, 'invalid_scope');
    assert.equal('scope' in (await bySecret('opaque')).json, false);
  });
  test('TK-22: scopes that need a user are refused as a whole', async () => {
    for (const scope of ['patient/*.read', 'user/Patient.rs', 'launch', 'launch/patient', 'launch-extra', 'openid', 'fhirUser', 'offline_access', 'online_access']) oauth(await bySecret('scoped', { scope: `system/*.read ${scope}` }), 400, 'invalid_scope');
  });
  test('TK-23: what overlaps is granted and said, and nothing else', async () => {
    assert.equal((await bySecret('scoped', { scope: 'system/Patient.cruds system/*.read' })).json.scope.split(' ')[0], 'system/Patient.rs');
    assert.equal((await bySecret('scoped', { scope: 'system/*.read' })).json.scope, seedScope);
    oauth(await bySecret('scoped', { scope: 'system/Patient.write' }), 400, 'invalid_scope');
  });
  test('TK-25: lifetimes are the client\'s, 300 s without, and never longer than max-ttl', async () => {
    assert.equal((await bySecret('opaque')).json.expires_in, 300);
    for (const [wanted, given] of [[60, 60], [86400, 600]]) {
      await putClient(server, 'timed', withSecret({ access_token_expiration: wanted, token_format: 'jwt' }));
      const r = await bySecret('timed');
      assert.equal(r.json.expires_in, given);
      const c = claimsOf(r.json.access_token);
      assert.equal(c.exp - c.iat, given);
    }
  });
  test('TK-25: a long life of tokens by assertion is taken, and told once', async () => {
    await putClient(server, 'long', seedClient({ jwks: [key.jwk], auth: { client_credentials: { access_token_expiration: 500, token_format: 'jwt' } } }));
    for (let i = 0; i < 3; i++) assert.equal((await postToken(server, tokenRequest(assertion(server, 'long', key)))).json.expires_in, 500);
    await sleep(200);
    await server.logged(/auth\.token\.long.*Client\/long/);
    assert.equal(server.log().split('\n').filter((line) => line.includes('auth.token.long') && line.includes('Client/long')).length, 1);
    // By a secret nobody advises against it.
    await putClient(server, 'long-secret', withSecret({ access_token_expiration: 500 }));
    assert.equal((await bySecret('long-secret')).json.expires_in, 500);
    assert.doesNotMatch(server.log(), /Client\/long-secret gets tokens/);
  });
  test('TK-26: members of the answer, for each kind of token and client', async () => {
    const plain = (await bySecret('opaque')).json;
    assert.deepEqual(Object.keys(plain).sort(), ['access_token', 'expires_in', 'refresh_token', 'token_type']);
    assert.equal(plain.refresh_token, null);
    await putClient(server, 'app', { ...withSecret(), type: 'smart-app' });
    assert.equal((await bySecret('app')).json.need_patient_banner, true);
  });
  test('TK-28: claims and header of a JWT', async () => {
    const token = (await bySecret('jwt')).json.access_token, c = claimsOf(token), h = headerOf(token);
    assert.deepEqual(Object.keys(c).sort(), ['aud', 'client_id', 'exp', 'iat', 'iss', 'jti', 'sub']);
    assert.deepEqual([c.iss, c.sub, c.client_id, c.aud], [server.base, 'jwt', 'jwt', server.fhir]);
    assert.match(c.jti, /^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/);
    assert.ok(Math.abs(c.iat - now()) < 10);
    const { keys } = (await call('GET', `${server.base}/.well-known/jwks.json`)).json;
    assert.ok(keys.some((k) => k.kid === h.kid && k.alg === h.alg));
    assert.equal(h.typ, 'JWT');
  });
  test('TK-29: each token has a Session that says what it is, but not the token', async () => {
    const r = await bySecret('jwt'), c = claimsOf(r.json.access_token);
    const s = (await root('GET', `Session/${c.jti}`)).json;
    assert.deepEqual([s.id, s.type, s.client, s.iss, s.audience, s.active], [c.jti, 'client_credentials', { resourceType: 'Client', id: 'jwt' }, server.base, server.fhir, true]);
    assert.deepEqual([Date.parse(s.start) / 1000, Date.parse(s.exp) / 1000], [c.iat, c.exp]);
    assert.equal('access_token' in s, false);
    assert.equal((await root('PUT', 'Session/made-up', { client: { resourceType: 'Client', id: 'root' }, active: true })).status, 422);
  });
  test('TK-31: scopes limit whatever the type of the client is', async () => {
    for (const type of [undefined, 'bulk-api-client', 'smart-app', 'other']) {
      await putClient(server, 'typed', withSecret({}, { scope: ['system/Patient.rs'], ...(type ? { type } : {}) }));
      await allow(server, 'typed');
      const token = (await bySecret('typed', { scope: 'system/Patient.rs' })).json.access_token;
      assert.equal((await read(token)).status, 200);
      assert.equal((await call('GET', `${server.fhir}/Observation`, undefined, bearer(token))).status, 403, type);
    }
  });
});
