// What the server says of itself (seed-semantics 9): true, absolute, and only what is loaded.
import test, { before, after, describe } from 'node:test';
import assert from 'node:assert/strict';
import { start, call } from './lib/server.mjs';

const places = (s) => [`${s.base}/.well-known/smart-configuration`, `${s.fhir}/.well-known/smart-configuration`];
const configuration = async (s) => (await call('GET', places(s)[0])).json;
const security = async (s) => (await call('GET', `${s.fhir}/metadata`)).json.rest[0].security;
let server;
before(async () => { server = await start({ quick: true }); });
after(async () => { await server.stop(); server.remove(); });

describe('smart-configuration', () => {
  test('is the same JSON at both places, whatever is asked for, for anybody', async () => {
    const texts = [];
    for (const url of places(server)) for (const accept of ['application/json', 'text/html', 'application/fhir+xml', '*/*']) {
      const r = await call('GET', url, undefined, { accept, origin: 'https://anybody.example', authorization: 'Bearer not-a-token' });
      assert.equal(r.status, 200, r.text);
      assert.match(r.headers.get('content-type'), /^application\/json/);
      assert.equal(r.headers.get('access-control-allow-origin'), '*');
      assert.equal(r.headers.get('access-control-allow-credentials'), null);
      texts.push(r.text);
    }
    assert.equal(new Set(texts).size, 1);
  });
  test('has what DS-1 asks of a server without users, and nothing that needs them', async () => {
    const c = await configuration(server);
    assert.equal(c.issuer, server.base);
    assert.equal(c.jwks_uri, `${server.base}/.well-known/jwks.json`);
    assert.equal(c.token_endpoint, `${server.base}/auth/token`);
    assert.deepEqual(c.token_endpoint_auth_methods_supported, ['private_key_jwt', 'client_secret_basic', 'client_secret_post']);
    assert.deepEqual(c.token_endpoint_auth_signing_alg_values_supported, ['RS384', 'ES384']);
    assert.deepEqual(c.grant_types_supported, ['client_credentials']);
    assert.deepEqual(c.code_challenge_methods_supported, ['S256']);
    for (const scope of ['system/*.cruds', 'system/*.read']) assert.ok(c.scopes_supported.includes(scope), scope);
    assert.deepEqual(c.capabilities.toSorted(), ['client-confidential-asymmetric', 'client-confidential-symmetric', 'permission-v1', 'permission-v2']);
    for (const absent of ['authorization_endpoint', 'response_types_supported', 'registration_endpoint', 'management_endpoint']) assert.equal(c[absent], undefined, absent);
    for (const scope of ['openid', 'fhirUser', 'launch', 'offline_access']) assert.ok(!c.scopes_supported.includes(scope), scope);
  });
  test('names absolute URLs that are there', async () => {
    const c = await configuration(server);
    for (const [name, url] of Object.entries(c).filter(([n]) => /_endpoint$|_uri$/.test(n))) {
      assert.ok(url.startsWith(`${server.base}/`), name);
      const r = await call(name === 'jwks_uri' ? 'GET' : 'POST', url, name === 'jwks_uri' ? undefined : {});
      assert.ok(![404, 405, 500, 501].includes(r.status), `${name}: ${r.status}`);
    }
    for (const name of ['introspection_endpoint', 'revocation_endpoint']) assert.ok(c[name], name);
  });
  test('DS-4: is no OpenID configuration: there is nobody to log in', async () => {
    for (const base of [server.base, server.fhir]) assert.equal((await call('GET', `${base}/.well-known/openid-configuration`, undefined, server.admin)).status, 404);
  });
});

test('DS-3: the CapabilityStatement says how to get a token', async () => {
  const s = await security(server);
  assert.equal(s.cors, true);
  assert.deepEqual(s.service[0].coding[0], { system: 'http://terminology.hl7.org/CodeSystem/restful-security-service', code: 'SMART-on-FHIR' });
  const uris = s.extension.find((e) => e.url === 'http://fhir-registry.smarthealthit.org/StructureDefinition/oauth-uris').extension;
  const c = await configuration(server);
  assert.deepEqual(Object.fromEntries(uris.map((u) => [u.url, u.valueUri])), { token: c.token_endpoint, introspect: c.introspection_endpoint, revoke: c.revocation_endpoint });
});

test('DS-2: plugins that are not loaded are not spoken of', async () => {
  const other = await start({ quick: true, plugins: { smart: false, 'policy-smart': false, cors: false } });
  assert.equal((await call('GET', places(other)[0], undefined, other.admin)).status, 404);
  const s = await security(other);
  assert.equal(s.cors, false);
  assert.equal(s.service[0].coding[0].code, 'OAuth');
  await other.stop();
  other.remove();
});

test('settings are: algorithms and base-url', async () => {
  const other = await start({ quick: true, core: { http: { 'base-url': 'https://fhir.example' } }, plugins: { auth: { 'assertion-algs': 'ES256 PS384' } } });
  const r = await call('GET', `http://127.0.0.1:${other.port}/fhir/.well-known/smart-configuration`, undefined, { host: 'evil.example' });
  assert.deepEqual(r.json.token_endpoint_auth_signing_alg_values_supported, ['ES256', 'PS384']);
  assert.equal(r.json.issuer, 'https://fhir.example');
  for (const [name, url] of Object.entries(r.json).filter(([n]) => /_endpoint$|_uri$/.test(n))) assert.ok(url.startsWith('https://fhir.example/') && !url.includes('example//'), name);
  await other.stop();
  other.remove();
});
