// OAuth clients of others, as they come from npm, get tokens and use them: jose, oauth4webapi and openid-client.
//
// These clients name the issuer as `aud` of an assertion unless told otherwise; SMART wants the token endpoint. Both ways
// are run: the first against a server with `assertion-aud-issuer = on`, the second against one without. oauth4webapi and
// openid-client take no `"refresh_token": null`, so both servers have `null-refresh = off`.
import test, { after, before } from 'node:test';
import assert from 'node:assert/strict';
import { createRequire } from 'node:module';
import { randomUUID } from 'node:crypto';
import path from 'node:path';
import { pathToFileURL } from 'node:url';
import { call, source, start } from './lib/server.mjs';
import { allow, bearer, jwtBearer, keyServer, putClient } from './lib/smart.mjs';

const require = createRequire(path.join(process.env.NPM_MODULES ?? path.join(source, 'tests/node_modules'), 'x.js'));
const load = async (name) => { try { return await import(pathToFileURL(require.resolve(name))); } catch { return undefined; } };
const [jose, oauth, openid] = [await load('jose'), await load('oauth4webapi'), await load('openid-client')];
const skip = jose && oauth && openid ? false : 'NPM_MODULES has no jose, oauth4webapi or openid-client';

const algs = ['RS384', 'ES384'];
const scope = 'system/Patient.read';
const servers = {};
const keys = {}; // alg: { kid, privateKey } of Web Crypto
let sets, setUrl;

const grants = { type: 'bulk-api-client', scope: ['system/*.read'], grant_types: ['client_credentials'] };
const smartUrl = (server) => new URL(server.fhir + '/.well-known/smart-configuration');

before(async () => {
  if (skip) return;
  sets = await keyServer();
  const published = [];
  for (const alg of algs) {
    const pair = await jose.generateKeyPair(alg, { extractable: true });
    keys[alg] = { kid: randomUUID(), privateKey: pair.privateKey };
    published.push({ ...await jose.exportJWK(pair.publicKey), kid: keys[alg].kid, alg, use: 'sig' });
  }
  setUrl = sets.set('/jwks.json', published);
  const plugins = (auth) => ({ jwks: { allow: sets.base }, auth: { 'null-refresh': 'off', ...auth } });
  servers.endpoint = await start({ plugins: plugins() });
  servers.issuer = await start({ plugins: plugins({ 'assertion-aud-issuer': 'on' }) });
  for (const server of Object.values(servers)) {
    await putClient(server, 'keys', { ...grants, jwks_uri: setUrl, auth: { client_credentials: { client_assertion_types: [jwtBearer], token_format: 'jwt' } } });
    await putClient(server, 'secret', { ...grants, secret: 'käse: & brot+%41', auth: { client_credentials: { token_format: 'jwt' } } });
    await putClient(server, 'opaque', { ...grants, secret: 'plain' }); // no token_format: opaque
    for (const id of ['keys', 'secret', 'opaque']) await allow(server, id);
    assert.equal((await call('PUT', `${server.fhir}/Patient/one`, { resourceType: 'Patient', id: 'one' }, server.admin)).status, 201);
  }
});
after(async () => {
  for (const server of Object.values(servers)) { await server.stop(); server.remove(); }
  sets?.close();
});

// The token reads, verifies with the published keys, and says what was asked for.
const check = async (server, token, client) => {
  const read = await call('GET', `${server.fhir}/Patient/one`, undefined, bearer(token));
  assert.equal(read.status, 200, read.text);
  assert.equal((await call('DELETE', `${server.fhir}/Patient/one`, undefined, bearer(token))).status, 403);
  const set = jose.createRemoteJWKSet(new URL(server.base + '/.well-known/jwks.json'));
  const { payload } = await jose.jwtVerify(token, set, { issuer: server.base, audience: server.fhir, typ: 'JWT', subject: client, requiredClaims: ['exp', 'iat', 'jti', 'client_id', 'scope'] });
  assert.equal(payload.scope, scope);
};

// ---- jose -----------------------------------------------------------------------------------

for (const alg of algs)
  test(`jose: an assertion by ${alg} gets a token that jose verifies`, { skip }, async () => {
    const server = servers.endpoint;
    const assertion = await new jose.SignJWT().setProtectedHeader({ alg, kid: keys[alg].kid, typ: 'JWT', jku: setUrl })
      .setIssuer('keys').setSubject('keys').setAudience(server.base + '/auth/token').setExpirationTime('4m').setIssuedAt().setJti(randomUUID()).sign(keys[alg].privateKey);
    const form = new URLSearchParams({ grant_type: 'client_credentials', scope, client_assertion_type: jwtBearer, client_assertion: assertion });
    const answer = await fetch(server.base + '/auth/token', { method: 'POST', body: form });
    assert.equal(answer.status, 200);
    await check(server, (await answer.json()).access_token, 'keys');
  });

// ---- oauth4webapi ------------------------------------------------------------------------------

const insecure = () => ({ [oauth.allowInsecureRequests]: true });
const authorizationServer = async (server) => (await call('GET', smartUrl(server).href)).json;
const token4 = async (server, clientId, auth) => {
  const as = await authorizationServer(server), client = { client_id: clientId };
  const response = await oauth.clientCredentialsGrantRequest(as, client, auth, { scope }, insecure());
  return oauth.processClientCredentialsResponse(as, client, response);
};

for (const alg of algs) {
  const key = () => ({ key: keys[alg].privateKey, kid: keys[alg].kid });
  test(`oauth4webapi: private_key_jwt by ${alg}, aud the issuer`, { skip }, async () => {
    const got = await token4(servers.issuer, 'keys', oauth.PrivateKeyJwt(key()));
    assert.equal(got.expires_in, 300);
    await check(servers.issuer, got.access_token, 'keys');
    await assert.rejects(token4(servers.endpoint, 'keys', oauth.PrivateKeyJwt(key())), (e) => e.error === 'invalid_client' && e.status === 401);
  });
  test(`oauth4webapi: private_key_jwt by ${alg}, aud the token endpoint`, { skip }, async () => {
    const server = servers.endpoint;
    const auth = oauth.PrivateKeyJwt(key(), { [oauth.modifyAssertion]: (header, payload) => { payload.aud = server.base + '/auth/token'; } });
    await check(server, (await token4(server, 'keys', auth)).access_token, 'keys');
  });
}
for (const [name, auth] of [['client_secret_basic', 'ClientSecretBasic'], ['client_secret_post', 'ClientSecretPost']])
  test(`oauth4webapi: ${name}, with a secret that needs encoding`, { skip }, async () => {
    const server = servers.endpoint;
    await check(server, (await token4(server, 'secret', oauth[auth]('käse: & brot+%41'))).access_token, 'secret');
    await assert.rejects(token4(server, 'secret', oauth[auth]('käse')), (e) => (e.error ?? e.cause?.[0]?.scheme) !== undefined && e.status === 401);
  });

// ---- openid-client ----------------------------------------------------------------------------

const discover = (server, id, auth) => openid.discovery(smartUrl(server), id, undefined, auth, { execute: [openid.allowInsecureRequests] });

test('openid-client: smart-configuration is metadata of an authorization server', { skip }, async () => {
  const metadata = (await discover(servers.endpoint, 'secret')).serverMetadata();
  assert.equal(metadata.issuer, servers.endpoint.base);
  assert.ok(metadata.grant_types_supported.includes('client_credentials'));
  for (const method of ['private_key_jwt', 'client_secret_basic', 'client_secret_post']) assert.ok(metadata.token_endpoint_auth_methods_supported.includes(method), method);
  for (const alg of algs) assert.ok(metadata.token_endpoint_auth_signing_alg_values_supported.includes(alg), alg);
});

for (const alg of algs)
  test(`openid-client: discovery, then private_key_jwt by ${alg}, then a read`, { skip }, async () => {
    const key = { key: keys[alg].privateKey, kid: keys[alg].kid };
    let config = await discover(servers.issuer, 'keys', openid.PrivateKeyJwt(key));
    await check(servers.issuer, (await openid.clientCredentialsGrant(config, { scope })).access_token, 'keys');
    const toEndpoint = { [openid.modifyAssertion]: (header, payload) => { payload.aud = servers.endpoint.base + '/auth/token'; } };
    config = await discover(servers.endpoint, 'keys', openid.PrivateKeyJwt(key, toEndpoint));
    const token = (await openid.clientCredentialsGrant(config, { scope })).access_token;
    await check(servers.endpoint, token, 'keys');
    const read = await openid.fetchProtectedResource(config, token, new URL(servers.endpoint.fhir + '/Patient/one'), 'GET');
    assert.equal((await read.json()).id, 'one');
  });
for (const [name, auth] of [['client_secret_basic', 'ClientSecretBasic'], ['client_secret_post', 'ClientSecretPost']])
  test(`openid-client: discovery, then ${name}`, { skip }, async () => {
    const config = await discover(servers.endpoint, 'secret', openid[auth]('käse: & brot+%41'));
    await check(servers.endpoint, (await openid.clientCredentialsGrant(config, { scope })).access_token, 'secret');
  });
test('openid-client: an opaque token reads', { skip }, async () => {
  const config = await discover(servers.endpoint, 'opaque', openid.ClientSecretBasic('plain'));
  const got = await openid.clientCredentialsGrant(config, { scope });
  const read = await openid.fetchProtectedResource(config, got.access_token, new URL(servers.endpoint.fhir + '/Patient/one'), 'GET');
  assert.equal(read.status, 200);
});
test('openid-client: a refusal has its error and description', { skip }, async () => {
  const config = await discover(servers.endpoint, 'secret', openid.ClientSecretPost('käse: & brot+%41'));
  await assert.rejects(openid.clientCredentialsGrant(config, { scope: 'system/Patient.write' }), (e) => e.error === 'invalid_scope' && e.error_description.length > 0);
});

// ---- introspection and revocation: as soon as discovery lists the endpoints ----------------------

for (const id of ['secret', 'opaque'])
  test(`openid-client: introspection and revocation of a token of client ${id}`, { skip }, async (t) => {
    const config = await discover(servers.endpoint, id, openid.ClientSecretBasic(id === 'opaque' ? 'plain' : 'käse: & brot+%41'));
    const { introspection_endpoint, revocation_endpoint } = config.serverMetadata();
    if (introspection_endpoint === undefined || revocation_endpoint === undefined) return t.skip('discovery lists no such endpoints');
    const token = (await openid.clientCredentialsGrant(config, { scope })).access_token;
    const seen = await openid.tokenIntrospection(config, token);
    assert.deepEqual([seen.active, seen.client_id, seen.scope], [true, id, scope]);
    await openid.tokenRevocation(config, token);
    assert.deepEqual(await openid.tokenIntrospection(config, token), { active: false });
    assert.equal((await call('GET', `${servers.endpoint.fhir}/Patient/one`, undefined, bearer(token))).status, 401);
  });
