// Introspection, revocation and the end of sessions (seed-semantics IN-1..3, RV-1..3), and what searches over Sessions show.
import test, { before, after, describe } from 'node:test';
import assert from 'node:assert/strict';
import { start, call, raw, basic, sleep } from './lib/server.mjs';
import { keyPair, assertion, jwtBearer, tokenRequest, postToken, putClient, seedClient, allow, bearer, claimsOf, now } from './lib/smart.mjs';

let server, key;
const secret = 'a long enough secret!';
const urlOf = (what) => `${server.base}/auth/${what}`;
const ask = (what, params, headers = {}) => call('POST', urlOf(what), params, headers);
const asForm = (what, params, headers = {}) => call('POST', urlOf(what), new URLSearchParams(params).toString(), { 'content-type': 'application/x-www-form-urlencoded', ...headers });
const tokenFor = async (id, more = {}) => {
  const r = await call('POST', urlOf('token'), { grant_type: 'client_credentials', client_id: id, client_secret: secret, ...more });
  assert.equal(r.status, 200, r.text);
  return r.json;
};
const read = (token) => call('GET', `${server.fhir}/Patient`, undefined, bearer(token));
const inactive = (r) => {
  assert.equal(r.status, 200, r.text);
  assert.deepEqual(r.json, { active: false });
};
const withSecret = (more = {}) => ({ secret, grant_types: ['client_credentials'], ...more });
const jwt = { auth: { client_credentials: { token_format: 'jwt' } } };

before(async () => {
  server = await start({ quick: true, plugins: { auth: { 'max-failures': '0' } } });
  key = keyPair('ES384', 'k1');
  await putClient(server, 'app', withSecret({ scope: ['system/*.read', 'system/Patient.cruds'] }));
  await putClient(server, 'jwt-app', withSecret({ ...jwt, scope: ['system/*.read'] }));
  await putClient(server, 'free', withSecret());
  await putClient(server, 'other', withSecret());
  await putClient(server, 'watcher', withSecret({ grant_types: ['client_credentials', 'basic'] }));
  await putClient(server, 'signer', seedClient({ jwks: [key.jwk] }));
  for (const id of ['app', 'jwt-app', 'free', 'signer']) await allow(server, id);
  const policy = { engine: 'matcho', matcho: { operation: { id: 'Introspect' }, uri: '/auth/introspect', 'request-method': 'post' }, link: [{ resourceType: 'Client', id: 'watcher' }] };
  assert.equal((await call('PUT', `${server.base}/AccessPolicy/introspect`, policy, server.admin)).status, 201);
});
after(async () => { await server.stop(); assert.doesNotMatch(server.output(), /Sanitizer|runtime error/); server.remove(); });

describe('introspection', () => {
  test('IN-2: shows what the token endpoint granted, for both kinds of token', async () => {
    for (const id of ['app', 'jwt-app']) {
      const t = await tokenFor(id, { scope: 'system/*.read' });
      const r = await ask('introspect', { token: t.access_token, client_id: id, client_secret: secret });
      assert.equal(r.status, 200, r.text);
      assert.match(r.headers.get('content-type'), /^application\/json/);
      assert.match(r.headers.get('cache-control'), /no-store/);
      assert.deepEqual(Object.keys(r.json).sort(), ['active', 'aud', 'client_id', 'exp', 'iat', 'iss', 'jti', 'scope', 'sub', 'token_type']);
      assert.equal(r.json.active, true);
      assert.equal(r.json.scope, t.scope);
      assert.equal(r.json.client_id, id);
      assert.equal(r.json.sub, id);
      assert.equal(r.json.iss, server.base);
      assert.equal(r.json.aud, server.fhir);
      assert.equal(r.json.token_type, 'Bearer');
      assert.equal(r.json.exp - r.json.iat, t.expires_in);
      assert.ok(Math.abs(r.json.iat - now()) < 10);
      assert.equal((await call('GET', `${server.base}/Session/${r.json.jti}`, undefined, server.admin)).json.client.id, id);
      if (id === 'jwt-app') for (const name of ['jti', 'exp', 'iat', 'iss', 'aud', 'sub', 'client_id']) assert.equal(r.json[name], claimsOf(t.access_token)[name], name);
    }
  });
  test('a token without scopes has none in the answer', async () => {
    const t = await tokenFor('free');
    const r = await ask('introspect', { token: t.access_token, client_id: 'free', client_secret: secret });
    assert.equal(r.json.active, true);
    assert.equal('scope' in r.json, false);
  });
  test('IN-1: form and JSON, by secret, assertion or Bearer token; the hint changes nothing', async () => {
    const { access_token: token } = await tokenFor('free');
    const by = { authorization: basic('free', secret) };
    for (const r of [await asForm('introspect', { token }, by), await ask('introspect', { token, token_type_hint: 'refresh_token' }, by), await ask('introspect', { token }, bearer(token))])
      assert.equal(r.json.active, true, r.text);
    const mine = (await postToken(server, tokenRequest(assertion(server, 'signer', key)))).json.access_token;
    const proof = { client_assertion_type: jwtBearer, client_assertion: assertion(server, 'signer', key) };
    assert.equal((await ask('introspect', { token: mine, ...proof })).json.active, true);
    const again = await ask('introspect', { token: mine, ...proof });
    assert.equal(again.status, 401, 'an assertion works once here, too');
    assert.equal(again.json.error, 'invalid_client');
    assert.equal((await postToken(server, tokenRequest(proof.client_assertion))).status, 401);
  });
  test('IN-2: anything that does not hold is inactive, and nothing more is said', async () => {
    const by = { authorization: basic('free', secret) };
    await putClient(server, 'brief', withSecret({ auth: { client_credentials: { access_token_expiration: 1 } } }));
    const expired = (await tokenFor('brief')).access_token;
    const ended = (await tokenFor('free')).access_token;
    assert.equal((await ask('revoke', { token: ended }, by)).status, 200);
    const good = (await tokenFor('jwt-app', { scope: 'system/*.read' })).access_token;
    for (const token of ['x', 'a.b.c', ended, `${good}x`, good.slice(0, -2), assertion(server, 'signer', key), '"', 'a b', 'x'.repeat(20000)]) inactive(await ask('introspect', { token }, by));
    await sleep(6500);
    inactive(await ask('introspect', { token: expired, client_id: 'brief', client_secret: secret }));
  });
  test('IN-3: tokens of others only with a policy on the operation', async () => {
    const { access_token: token } = await tokenFor('app', { scope: 'system/*.read' });
    inactive(await ask('introspect', { token, client_id: 'other', client_secret: secret }));
    const own = await tokenFor('other');
    inactive(await ask('introspect', { token }, bearer(own.access_token)));
    for (const headers of [{ authorization: basic('watcher', secret) }, bearer((await tokenFor('watcher')).access_token)]) {
      const r = await ask('introspect', { token }, headers);
      assert.equal(r.json.active, true, r.text);
      assert.equal(r.json.client_id, 'app');
    }
  });
  test('who does not prove who they are learns nothing', async () => {
    const { access_token: token } = await tokenFor('free');
    for (const [params, headers, status, error] of [
      [{ token }, {}, 401, 'invalid_client'], [{ token, client_id: 'free' }, {}, 401, 'invalid_client'],
      [{ token, client_id: 'free', client_secret: 'wrong' }, {}, 401, 'invalid_client'], [{ token, client_id: 'nobody', client_secret: 'wrong' }, {}, 401, 'invalid_client'],
      [{ token }, { authorization: basic('free', 'wrong') }, 401, 'invalid_client'], [{ token }, { authorization: 'Digest x' }, 401, 'invalid_client'],
      [{ client_id: 'free', client_secret: secret }, {}, 400, 'invalid_request'], [{ token: '', client_id: 'free', client_secret: secret }, {}, 400, 'invalid_request'],
      [{ token: [token], client_id: 'free', client_secret: secret }, {}, 400, 'invalid_request'],
      [{ token, client_id: 'free', client_secret: secret }, { authorization: basic('free', secret) }, 400, 'invalid_request'],
      [{ token, client_secret: secret, client_id: 'free' }, bearer(token), 400, 'invalid_request'],
    ]) {
      const r = await ask('introspect', params, headers);
      assert.equal(r.status, status, r.text);
      assert.equal(r.json.error, error, r.text);
      assert.match(r.headers.get('cache-control'), /no-store/);
    }
    const bad = await ask('introspect', { token }, bearer('nonsense'));
    assert.equal(bad.status, 401);
    assert.equal(bad.json.error, 'invalid_token', bad.text);
    assert.match(bad.headers.get('www-authenticate'), /^Bearer .*invalid_token/);
    assert.equal((await asForm('introspect', [['token', token], ['token', token]], { authorization: basic('free', secret) })).status, 400);
    const get = await call('GET', urlOf('introspect'));
    assert.equal(get.status, 405);
    assert.equal(get.json.error, 'invalid_request', get.text);
  });
});

describe('revocation', () => {
  test('RV-1: ends the own token at once, also where it was cached; the answer is empty', async () => {
    for (const id of ['free', 'jwt-app']) {
      const { access_token: token } = await tokenFor(id, id === 'free' ? {} : { scope: 'system/*.read' });
      // On connections of their own: several loops have it in their cache.
      const all = await Promise.all(Array.from({ length: 16 }, () => raw(server.port, `GET /fhir/Patient HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer ${token}\r\nConnection: close\r\n\r\n`)));
      for (const answer of all) assert.match(answer, /^HTTP\/1\.1 200 /);
      const r = await ask('revoke', { token, client_id: id, client_secret: secret });
      assert.equal(r.status, 200, r.text);
      assert.equal(r.text, '');
      assert.match(r.headers.get('cache-control'), /no-store/);
      const gone = await Promise.all(Array.from({ length: 16 }, () => raw(server.port, `GET /fhir/Patient HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer ${token}\r\nConnection: close\r\n\r\n`)));
      for (const answer of gone) assert.match(answer, /^HTTP\/1\.1 401 /);
      assert.equal((await ask('revoke', { token, client_id: id, client_secret: secret })).status, 200, 'again');
    }
  });
  test('RV-1: unknown tokens and those of others are 200, and nothing happens', async () => {
    const { access_token: token } = await tokenFor('free');
    for (const t of ['x', 'a.b.c', token, 'x'.repeat(20000)]) {
      const r = await asForm('revoke', { token: t, token_type_hint: 'access_token' }, { authorization: basic('other', secret) });
      assert.equal(r.status, 200, r.text);
      assert.equal(r.text, '');
    }
    assert.equal((await read(token)).status, 200);
  });
  test('needs client authentication and a token', async () => {
    const { access_token: token } = await tokenFor('free');
    for (const [params, headers, status, error] of [[{ token }, {}, 401, 'invalid_client'], [{ token }, bearer(token), 401, 'invalid_client'], [{ token, client_id: 'free', client_secret: 'wrong' }, {}, 401, 'invalid_client'], [{ client_id: 'free', client_secret: secret }, {}, 400, 'invalid_request']]) {
      const r = await ask('revoke', params, headers);
      assert.equal(r.status, status, r.text);
      assert.equal(r.json.error, error);
    }
    assert.equal((await read(token)).status, 200);
  });
  test('RV-2: a token may end its own session, without any policy', async () => {
    for (const id of ['other', 'jwt-app']) {
      const { access_token: token } = await tokenFor(id, id === 'other' ? {} : { scope: 'system/*.read' });
      const r = await call('DELETE', `${server.base}/Session`, undefined, bearer(token));
      assert.equal(r.status, 204, r.text);
      assert.equal((await read(token)).status, 401);
      assert.equal((await call('DELETE', `${server.base}/Session`, undefined, bearer(token))).status, 401);
      inactive(await ask('introspect', { token, client_id: id, client_secret: secret }));
    }
    for (const headers of [{}, server.admin, bearer('x')]) {
      const r = await call('DELETE', `${server.base}/Session`, undefined, headers);
      assert.equal(r.status, 401, r.text);
      assert.equal(r.json.resourceType, 'OperationOutcome');
    }
  });
  test('RV-2: an administrator ends any, by DELETE or active = false; others may not', async () => {
    const { access_token: token } = await tokenFor('jwt-app', { scope: 'system/*.read' });
    const { jti } = claimsOf(token);
    assert.equal((await read(token)).status, 200);
    assert.equal((await call('DELETE', `${server.base}/Session/${jti}`, undefined, bearer(token))).status, 403);
    assert.equal((await call('DELETE', `${server.base}/Session/${jti}`)).status, 401);
    assert.equal((await call('DELETE', `${server.base}/Session/${jti}`, undefined, server.admin)).status, 204);
    assert.equal((await read(token)).status, 401);
    assert.equal((await call('GET', `${server.base}/Session/${jti}`, undefined, server.admin)).status, 410);
  });
});

describe('Sessions', () => {
  test('are found by client and by whether they are active, and show no token', async () => {
    await putClient(server, 'sought', withSecret());
    const tokens = [];
    for (let i = 0; i < 3; i++) tokens.push((await tokenFor('sought')).access_token);
    assert.equal((await ask('revoke', { token: tokens[0], client_id: 'sought', client_secret: secret })).status, 200);
    const search = async (query, base = server.base) => (await call('GET', `${base}/Session?${query}`, undefined, server.admin)).json;
    assert.equal((await search('client=Client/sought')).total, 3);
    assert.equal((await search('client=Client/sought&active=true')).total, 2);
    const ended = await search('client=Client/sought&active=false');
    assert.equal(ended.total, 1);
    assert.equal(ended.entry[0].resource.active, false);
    assert.equal((await search('client=Client/sought&active=true&_lastUpdated=gt2020', server.fhir)).total, 2);
    const id = (await search('client=Client/sought&active=true')).entry[0].resource.id;
    const patched = await call('PATCH', `${server.base}/Session/${id}`, { active: false }, { ...server.admin, 'content-type': 'application/merge-patch+json' });
    assert.equal(patched.status, 200, patched.text);
    assert.equal((await search('client=Client/sought&active=true')).total, 1);
    const shown = JSON.stringify(await search('client=Client/sought'));
    for (const t of tokens) assert.ok(!shown.includes(t));
    assert.doesNotMatch(shown, /access_token/);
    assert.equal((await call('GET', `${server.base}/Session`, undefined, bearer(tokens[1]))).status, 403);
  });
});

describe('audience', () => {
  test('a token for another audience is not for us, but can be introspected and revoked', async () => {
    const elsewhere = 'https://other.example/api';
    for (const format of [{}, { token_format: 'jwt' }]) {
      await putClient(server, 'wide', withSecret({ auth: { client_credentials: { ...format, audience: [elsewhere, server.base] } } }));
      await allow(server, 'wide');
      const { access_token: token } = await tokenFor('wide', { audience: elsewhere });
      const r = await read(token);
      assert.equal(r.status, 401, r.text);
      assert.match(r.headers.get('www-authenticate'), /error="invalid_token"/);
      const about = await ask('introspect', { token, client_id: 'wide', client_secret: secret });
      assert.equal(about.json.active, true);
      assert.equal(about.json.aud, elsewhere);
      assert.equal((await ask('revoke', { token, client_id: 'wide', client_secret: secret })).status, 200);
      inactive(await ask('introspect', { token, client_id: 'wide', client_secret: secret }));
      for (const audience of [server.fhir, server.base]) assert.equal((await read((await tokenFor('wide', { audience })).access_token)).status, 200, audience);
    }
    const r = await call('POST', urlOf('token'), { grant_type: 'client_credentials', client_id: 'wide', client_secret: secret, audience: 'https://third.example' });
    assert.equal(r.status, 400);
    assert.equal(r.json.error, 'invalid_target');
  });
});

describe('discovery', () => {
  test('names the endpoints that are there', async () => {
    const c = (await call('GET', `${server.base}/.well-known/smart-configuration`)).json;
    assert.equal(c.introspection_endpoint, urlOf('introspect'));
    assert.equal(c.revocation_endpoint, urlOf('revoke'));
    const { security } = (await call('GET', `${server.fhir}/metadata`)).json.rest[0];
    const uris = Object.fromEntries(security.extension[0].extension.map((e) => [e.url, e.valueUri]));
    assert.deepEqual(uris, { token: urlOf('token'), introspect: urlOf('introspect'), revoke: urlOf('revoke') });
  });
  test('below /auth errors are OAuth\'s, whatever is asked for', async () => {
    for (const [method, path, status] of [['GET', 'auth/tokens', 404], ['POST', 'auth/nothing', 404], ['GET', 'auth', 404], ['PUT', 'auth/token', 405], ['POST', 'auth/token/x', 404]]) {
      const r = await call(method, `${server.base}/${path}`, method === 'GET' ? undefined : '{}');
      assert.equal(r.status, status, `${method} ${path}: ${r.text}`);
      assert.equal(r.json.error, 'invalid_request', r.text);
      assert.equal(r.json.resourceType, undefined);
    }
  });
});
