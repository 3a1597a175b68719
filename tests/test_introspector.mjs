// Tokens of other issuers (seed-semantics AU-4, US-3, US-4): accepted by the issuer's own keys alone, under its rules.
import test, { before, after, describe } from 'node:test';
import assert from 'node:assert/strict';
import { createPrivateKey, randomUUID } from 'node:crypto';
import fs from 'node:fs';
import path from 'node:path';
import { start, call, sleep } from './lib/server.mjs';
import { allow, b64, bearer, claimsOf, getToken, headerOf, jws, keyPair, keyServer, now, putClient, seedClient } from './lib/smart.mjs';

const issuer = 'https://issuer.example', second = 'https://second.example', audience = 'https://api.example/fhir';
const secret = 'a secret of more than thirty-two bytes';
let server, sets;
const rsa = keyPair('RS256', 'k1'), ec = keyPair('ES256', 'k2'), other = keyPair('RS256', 'k1'), own = keyPair('ES384', 'own');
const put = (id, body) => call('PUT', `${server.base}/TokenIntrospector/${id}`, body, server.admin);
const ok = async (id, body) => { const r = await put(id, body); assert.ok(r.status === 200 || r.status === 201, r.text); return r; };
const remove = (id) => call('DELETE', `${server.base}/TokenIntrospector/${id}`, undefined, server.admin);
const read = (token, what = 'Patient') => call('GET', `${server.fhir}/${what}`, undefined, bearer(token));
const claims = (more = {}) => ({ iss: issuer, sub: 'alice', aud: audience, iat: now(), exp: now() + 300, jti: randomUUID(), ...more });
const token = (more = {}, { key = rsa, header = {}, ...options } = {}) => jws({ alg: key.alg, kid: key.kid, typ: 'JWT', ...header }, claims(more), key.privateKey, { alg: key.alg, ...options });
const accepted = async (text, what) => { const r = await read(text, what); assert.equal(r.status, 200, r.text + r.headers.get('www-authenticate')); };
const refused = async (text, name, code = 'security') => {
  const r = await read(text);
  assert.equal(r.status, 401, `${name}: ${r.text}`);
  assert.equal(r.json.issue[0].code, code, name);
  assert.match(r.headers.get('www-authenticate'), /^Bearer realm="andiron", error="invalid_token"/);
};

before(async () => {
  sets = await keyServer();
  sets.set('/jwks', [rsa.jwk, ec.jwk]);
  server = await start({ quick: true, plugins: { jwks: { allow: sets.base }, auth: { audiences: `${audience} https://other.example` } } });
  // Whoever an introspected token names: policies see its claims.
  const policy = await call('PUT', `${server.base}/AccessPolicy/foreign`, { engine: 'matcho', matcho: { jwt: { iss: { '$one-of': [issuer, second] } } } }, server.admin);
  assert.equal(policy.status, 201, policy.text);
  await ok('main', { type: 'jwt', jwks_uri: `${sets.base}/jwks`, jwt: { iss: issuer } });
  await putClient(server, 'c', seedClient({ jwks: [own.jwk] }));
  await allow(server, 'c');
});
after(async () => { await server.stop(); assert.doesNotMatch(server.output(), /Sanitizer|runtime error/); server.remove(); sets.close(); });

describe('a token of a known issuer', () => {
  test('is accepted, by RSA and EC keys of its set, which is fetched once', async () => {
    await accepted(token());
    await accepted(token({}, { key: ec }));
    const same = token();
    for (let i = 0; i < 3; i++) await accepted(same);
    assert.equal(sets.hits('/jwks'), 1);
  });
  test('may be an access token by its typ, and nothing else', async () => {
    for (const typ of ['JWT', 'jwt', 'at+jwt', 'application/at+jwt', undefined]) await accepted(token({}, { header: { typ } }));
    for (const typ of ['client-authentication+jwt', 'dpop+jwt', 'logout+jwt', 'JWS', '', 7]) await refused(token({}, { header: { typ } }), String(typ));
  });
  test('names an audience of ours: one, or one of several', async () => {
    await accepted(token({ aud: ['https://elsewhere.example', audience] }));
    await accepted(token({ aud: 'https://other.example' }));
    for (const aud of [undefined, 'https://elsewhere.example', [], ['x'], `${audience}/`, { a: audience }, 5, null]) await refused(token({ aud }), JSON.stringify(aud));
  });
  test('has an end, which is a number and to come', async () => {
    for (const exp of [undefined, String(now() + 300), null, -1e400, [now() + 300]]) await refused(token({ exp }), `exp ${exp}`);
    await refused(token({ exp: now() - 6 }), 'expired', 'expired');
    await accepted(token({ exp: now() - 2 })); // within clock-skew
    await refused(token({ nbf: now() + 20 }), 'nbf');
    await refused(token({ nbf: 'soon' }), 'nbf text');
    await refused(token({ iat: now() + 20 }), 'iat');
    await accepted(token({ nbf: now() + 2, iat: now() + 2 }));
  });
  test('is forgotten when it ends', async () => {
    const short = token({ exp: now() - 3 });
    await accepted(short);
    await sleep(3200);
    await refused(short, 'ended', 'expired');
  });
});

describe('confusion', () => {
  test('of keys: only those of the issuer that is named count', async () => {
    await refused(token({}, { key: other }), 'same kid, other key');
    await refused(token({}, { header: { kid: 'none' } }), 'unknown kid');
    await refused(token({}, { header: { kid: undefined } }), 'no kid');
    await refused(token({ iss: 'https://nobody.example' }), 'unknown issuer');
    await refused(token({ iss: `${issuer}/` }), 'nearly the issuer');
    await refused(token({ iss: undefined }), 'no issuer');
    await refused(token({ iss: server.base }), 'our issuer, their key');
    await ok('second', { type: 'jwt', jwt: { iss: second, keys: [other.jwk] } });
    await accepted(token({ iss: second }, { key: other }));
    await refused(token({ iss: second }), 'the first issuer speaks for the second');
    await refused(token({}, { key: other }), 'the second issuer speaks for the first');
    await remove('second');
    await refused(token({ iss: second }, { key: other }), 'removed');
  });
  test('of our own key with their issuer, and of their key with our kid', async () => {
    const file = fs.readdirSync(path.join(server.dir, 'state/keys'))[0];
    const mine = { alg: 'RS256', privateKey: createPrivateKey(fs.readFileSync(path.join(server.dir, 'state/keys', file))) };
    const ours = await getToken(server, 'c', own);
    mine.kid = headerOf(ours).kid;
    assert.equal((await read(ours)).status, 200);
    await refused(token({}, { key: mine }), 'our key, their issuer');
    await refused(jws({ alg: 'RS256', kid: mine.kid }, claimsOf(ours), rsa.privateKey), 'their key, our kid and issuer');
    // Client assertions are no access tokens, whoever they name.
    await refused(token({ iss: 'c', sub: 'c', aud: `${server.base}/auth/token` }, { key: own }), 'an assertion');
  });
  test('of algorithms', async () => {
    const [head, body] = token().split('.');
    await refused(`${b64({ alg: 'none', kid: 'k1' })}.${body}.`, 'none');
    await refused(`${b64({ alg: 'none', kid: 'k1' })}.${body}.AAAA`, 'none with a signature');
    const pem = rsa.publicKey.export({ type: 'spki', format: 'pem' });
    for (const key of [pem, rsa.jwk.n, Buffer.from(rsa.jwk.n, 'base64url')]) await refused(jws({ alg: 'HS256', kid: 'k1' }, claims(), key), 'HMAC by the public key');
    await refused(token({}, { header: { alg: 'RS512' }, alg: 'RS512' }), 'another alg than the key\'s own');
    await refused(token({}, { header: { alg: 'ES256', kid: 'k1' } }), 'EC alg, RSA key');
    await refused(token({}, { key: ec, der: true }), 'a DER signature');
    for (const header of [{ crit: ['exp'] }, { b64: false }, { zip: 'DEF' }]) await refused(token({}, { header }), JSON.stringify(header));
    // Keys that the token brings along are not looked at.
    await refused(token({}, { key: other, header: { jwk: other.jwk } }), 'jwk');
    await refused(token({}, { key: other, header: { jku: `${sets.base}/evil` } }), 'jku');
    assert.equal(sets.hits('/evil'), 0);
    assert.ok(head);
  });
  test('with a secret only HS256 counts, and with keys never', async () => {
    await ok('mac', { type: 'jwt', jwt: { iss: second, secret } });
    const hs = (alg, key = secret, more = {}) => jws({ alg, typ: 'JWT', kid: 'k1' }, claims({ iss: second, ...more }), key);
    await accepted(hs('HS256'));
    for (const alg of ['HS384', 'HS512']) await refused(hs(alg), alg);
    await refused(hs('HS256', `${secret}x`), 'another secret');
    await refused(token({ iss: second }), 'a signature instead of a MAC');
    await refused(hs('HS256', secret, { iss: issuer }), 'a MAC instead of a signature');
    await remove('mac');
  });
  test('of two introspectors with one issuer: neither counts', async () => {
    await accepted(token());
    await ok('twin', { type: 'jwt', jwt: { iss: issuer, keys: [other.jwk] } });
    await refused(token(), 'the first');
    await refused(token({}, { key: other }), 'the second');
    await server.logged(/auth\.introspector\.ambiguous/);
    await remove('twin');
    await accepted(token());
  });
});

describe('the key set of an issuer', () => {
  test('is asked again for a new kid, and an unknown one costs one fetch', async () => {
    const [one, two] = [keyPair('ES256', 'one'), keyPair('ES256', 'two')];
    sets.set('/rotating', [one.jwk]);
    await ok('rotating', { type: 'jwt', jwks_uri: `${sets.base}/rotating`, jwt: { iss: second } });
    await accepted(token({ iss: second }, { key: one }));
    sets.set('/rotating', [two.jwk]);
    await accepted(token({ iss: second }, { key: two }));
    assert.equal(sets.hits('/rotating'), 2);
    for (let i = 0; i < 5; i++) await refused(token({ iss: second }, { key: keyPair('ES256', `x${i}`) }), 'unknown kid');
    assert.equal(sets.hits('/rotating'), 2);
    await remove('rotating');
  });
  test('that cannot be had refuses its own tokens alone', async () => {
    sets.set('/slow', () => {}); // never answers
    await ok('slow', { type: 'jwt', jwks_uri: `${sets.base}/slow`, jwt: { iss: second } });
    const began = Date.now(), slow = read(token({ iss: second }));
    for (let i = 0; i < 5; i++) await accepted(token());
    assert.ok(Date.now() - began < 2900, 'others were held up');
    const r = await slow;
    assert.equal(r.status, 401);
    assert.match(r.headers.get('www-authenticate'), /keys of the token's issuer are not available/);
    await remove('slow');
  });
});

describe('who is behind a token', () => {
  test('is a User with its Roles, to which policies are linked; what changes of them counts at once', async () => {
    const admin = async (method, path, body, expected) => {
      const r = await call(method, `${server.base}/${path}`, body, server.admin);
      assert.ok(expected.includes(r.status), `${method} ${path}: ${r.status} ${r.text}`);
      return r.json;
    };
    await admin('DELETE', 'AccessPolicy/foreign', undefined, [200, 204]);
    const subject = { sub: 'nurse-1' }, own = async (type, status) => assert.equal((await read(token(subject), type)).status, status, type);
    await admin('PUT', 'User/nurse-1', { userName: 'n', data: { ward: 'w1' }, password: 'a long password' }, [201]);
    await admin('PUT', 'AccessPolicy/by-user', { engine: 'matcho', matcho: { params: { 'resource/type': 'Patient' }, user: { data: { ward: 'w1' }, password: 'nil?' } }, link: [{ resourceType: 'User', id: 'nurse-1' }] }, [201]);
    await admin('PUT', 'AccessPolicy/by-role', { engine: 'matcho', matcho: { params: { 'resource/type': 'Observation' }, role: { $contains: { links: { organization: { id: 'o1' } } } } }, roleName: 'nurse' }, [201]);
    await own('Patient', 200);
    await own('Observation', 403);
    await admin('PUT', 'Role/r1', { name: 'nurse', user: { reference: 'User/nurse-1' }, links: { organization: { resourceType: 'Organization', id: 'o1' } } }, [201]);
    await admin('PUT', 'Role/r2', { name: 'nurse', user: { resourceType: 'User', id: 'somebody' } }, [201]);
    await own('Observation', 200);
    await admin('PUT', 'Role/r1', { name: 'clerk', user: { resourceType: 'User', id: 'nurse-1' } }, [200]);
    await own('Observation', 403);
    await admin('PUT', 'User/nurse-1', { userName: 'n', data: { ward: 'w2' } }, [200]);
    await own('Patient', 403);
    await admin('PUT', 'User/nurse-1', { userName: 'n', data: { ward: 'w1' }, inactive: true }, [200]);
    await own('Patient', 401);
    await admin('PUT', 'User/nurse-1', { userName: 'n', data: { ward: 'w1' } }, [200]);
    await own('Patient', 200);
    await admin('PUT', 'User/nurse-1', { userName: 'n', data: { ward: 'w1' }, active: false }, [200]);
    await own('Patient', 401);
    assert.equal((await read(token({ sub: 'somebody-else', box_user: 'nurse-1' }))).status, 401, 'by box_user');
    await refused(token({ ...subject, jti: 'never seen before' }), 'a token that nobody has seen');
    await admin('PUT', 'User/nurse-1', { userName: 'n', data: { ward: 'w1' }, active: true }, [200]);
    await own('Patient', 200);
    for (const path of ['User/nurse-1', 'Role/r1', 'Role/r2', 'AccessPolicy/by-user', 'AccessPolicy/by-role']) await admin('DELETE', path, undefined, [200, 204]);
    await admin('PUT', 'AccessPolicy/foreign', { engine: 'matcho', matcho: { jwt: { iss: { '$one-of': [issuer, second] } } } }, [201, 200]);
    await accepted(token());
  });
  test('is nobody that a policy can be linked to by name, unless there is such a User', async () => {
    await call('PUT', `${server.base}/AccessPolicy/c-only`, { engine: 'allow', link: [{ resourceType: 'Client', id: 'c' }, { resourceType: 'User', id: 'c' }] }, server.admin);
    await call('DELETE', `${server.base}/AccessPolicy/foreign`, undefined, server.admin);
    const r = await read(token({ sub: 'c', client_id: 'c' }));
    assert.equal(r.status, 403, r.text);
    const policy = await call('PUT', `${server.base}/AccessPolicy/foreign`, { engine: 'matcho', matcho: { jwt: { iss: { '$one-of': [issuer, second] } }, client: 'nil?', user: 'nil?' } }, server.admin);
    assert.equal(policy.status, 201, policy.text);
    await accepted(token({ sub: 'c' }));
  });
  test('is limited by SMART scopes, and one that is malformed voids the token', async () => {
    await accepted(token({ scope: 'openid profile' }));
    await accepted(token({ scope: 'openid system/Patient.rs' }));
    assert.equal((await read(token({ scope: 'system/Patient.rs' }), 'Observation')).status, 403);
    assert.equal((await call('GET', `${server.base}/Client/c`, undefined, bearer(token({ scope: 'system/*.cruds' })))).status, 403);
    for (const scope of ['system/Patient.sr', 'system/Nothing.read', 'user/', ['system/Patient.rs'], 5]) await refused(token({ scope }), JSON.stringify(scope));
  });
});

test('a foreign token has no session here to end, and is not active in introspection', async () => {
  const text = token();
  await accepted(text);
  assert.equal((await call('DELETE', `${server.base}/Session`, undefined, bearer(text))).status, 401);
  const r = await call('POST', `${server.base}/auth/introspect`, { token: text }, bearer(text));
  assert.deepEqual([r.status, r.json], [200, { active: false }], r.text);
  await accepted(text);
});

describe('TokenIntrospector', () => {
  test('shows no secret, keeps it where it is not sent, and lets it be replaced by keys', async () => {
    const r = await ok('kept', { type: 'jwt', jwt: { iss: second, secret } });
    assert.equal(r.json.jwt.secret, undefined);
    assert.ok(!(await call('GET', `${server.base}/TokenIntrospector/kept`, undefined, server.admin)).text.includes(secret));
    assert.ok(!(await call('GET', `${server.fhir}/TokenIntrospector/kept/_history`, undefined, server.admin)).text.includes(secret));
    await ok('kept', { type: 'jwt', jwt: { iss: second }, cache_ttl: 5 });
    await accepted(jws({ alg: 'HS256' }, claims({ iss: second }), secret));
    await ok('kept', { type: 'jwt', jwt: { iss: second, keys: [ec.jwk] } });
    await accepted(token({ iss: second }, { key: ec }));
    await refused(jws({ alg: 'HS256' }, claims({ iss: second }), secret), 'the old secret');
    assert.equal((await put('kept', { type: 'jwt', jwt: { iss: second } })).status, 422);
    await remove('kept');
  });
  test('ends the tokens that it let in as soon as it changes', async () => {
    const text = token();
    await accepted(text);
    await ok('main', { type: 'jwt', jwt: { iss: issuer, keys: [other.jwk] } });
    await refused(text, 'a cached token');
    await ok('main', { type: 'jwt', jwks_uri: `${sets.base}/jwks`, jwt: { iss: issuer } });
    await accepted(text);
  });
  test('is refused where it is not clear, or not safe', async () => {
    const jwt = { iss: second, keys: [ec.jwk] };
    const weak = keyPair('RS256', 'w', { bits: 1024 }).jwk;
    const rows = [
      [{ jwt }, 'TokenIntrospector.type'],
      [{ type: 'other' }, 'TokenIntrospector.type'],
      [{ type: 'jwt' }, 'TokenIntrospector.jwt.iss'],
      [{ type: 'jwt', jwt: { keys: [ec.jwk] } }, 'TokenIntrospector.jwt.iss'],
      [{ type: 'jwt', jwt: { ...jwt, iss: server.base } }, 'TokenIntrospector.jwt.iss'],
      [{ type: 'jwt', jwt: { iss: second } }, 'TokenIntrospector.jwt'],
      [{ type: 'jwt', jwt: { ...jwt, secret } }, 'TokenIntrospector.jwt'],
      [{ type: 'jwt', jwt, jwks_uri: `${sets.base}/jwks` }, 'TokenIntrospector.jwt'],
      [{ type: 'jwt', jwt: { iss: second, secret: 'too short' } }, 'TokenIntrospector.jwt.secret'],
      [{ type: 'jwt', jwt: { iss: second, keys: [] } }, 'TokenIntrospector.jwt.keys'],
      [{ type: 'jwt', jwt: { iss: second, keys: [weak] } }, 'TokenIntrospector.jwt.keys[0]'],
      [{ type: 'jwt', jwt: { iss: second, keys: [ec.jwk, ec.jwk] } }, 'TokenIntrospector.jwt.keys[1]'],
      [{ type: 'jwt', jwt: { iss: second, keys: [{ ...ec.jwk, kid: undefined }] } }, 'TokenIntrospector.jwt.keys[0]'],
      [{ type: 'jwt', jwt: { iss: second, keys: [{ kty: 'oct', k: 'AAAA', kid: 'x' }] } }, 'TokenIntrospector.jwt.keys[0]'],
      [{ type: 'jwt', jwt: { iss: second, keys: [{ ...ec.privateKey.export({ format: 'jwk' }), kid: 'x' }] } }, 'TokenIntrospector.jwt.keys[0]'],
      [{ type: 'jwt', jwks_uri: 'http://127.0.0.1:1/jwks', jwt: { iss: second } }, 'TokenIntrospector.jwks_uri'],
      [{ type: 'jwt', jwks_uri: 'https://10.0.0.1/jwks', jwt: { iss: second } }, 'TokenIntrospector.jwks_uri'],
      ...[0, 86401, 1.5].map((cache_ttl) => [{ type: 'jwt', jwt, cache_ttl }, 'TokenIntrospector.cache_ttl']),
      [{ type: 'jwt', jwt: { ...jwt, alg: 'RS256' } }, 'TokenIntrospector.jwt.alg'],
    ];
    for (const [body, where] of rows) {
      const r = await put('bad', body);
      assert.equal(r.status, 422, JSON.stringify(body) + r.text);
      assert.deepEqual(r.json.issue[0].expression, [where], r.text);
    }
  });
});
