// Tokens that are no JWTs and not ours (seed-semantics AU-5, US-3): introspection endpoints of others are asked, under
// the guards that hold for key sets.
import test, { before, after, describe } from 'node:test';
import assert from 'node:assert/strict';
import http from 'node:http';
import { randomBytes } from 'node:crypto';
import { start, call, basic, sleep, plant } from './lib/server.mjs';
import { allow, bearer, now, postToken, putClient } from './lib/smart.mjs';

const credentials = basic('andiron', 'what the endpoint knows us by'), audience = 'https://api.example/fhir';
let server, endpoint;
const read = (token, what = 'Patient') => call('GET', `${server.fhir}/${what}`, undefined, bearer(token));
const put = (id, body) => call('PUT', `${server.base}/TokenIntrospector/${id}`, body, server.admin);
const ok = async (id, body) => { const r = await put(id, body); assert.ok(r.status === 200 || r.status === 201, r.text); return r; };
const remove = (id) => call('DELETE', `${server.base}/TokenIntrospector/${id}`, undefined, server.admin);
const opaque = (url, more = {}) => ({ type: 'opaque', introspection_endpoint: { url, authorization: credentials }, ...more });
const fresh = () => plant(randomBytes(24).toString('base64url'), 'tokens');
const refused = async (token, name, code = 'security') => {
  const r = await read(token);
  assert.equal(r.status, 401, `${name}: ${r.text}`);
  assert.equal(r.json.issue[0].code, code, name);
  assert.match(r.headers.get('www-authenticate'), /^Bearer realm="andiron", error="invalid_token"/);
};
const accepted = async (token, what) => { const r = await read(token, what); assert.equal(r.status, 200, r.text + r.headers.get('www-authenticate')); };
const active = (more = {}) => ({ active: true, aud: audience, sub: 'nobody', scope: 'openid', ...more });

// An introspection endpoint: tells of the tokens in `known`; `respond` may replace the answer of a path.
const introspectionServer = async () => {
  const known = new Map(), asked = [], respond = new Map();
  const it = http.createServer((req, res) => {
    let text = '';
    req.on('data', (d) => { text += d; });
    req.on('end', () => {
      const form = new URLSearchParams(text), token = form.get('token');
      asked.push({ path: req.url, method: req.method, headers: req.headers, text, token });
      const other = respond.get(req.url);
      if (other) return other(req, res, token);
      if (req.headers.authorization !== credentials) { res.writeHead(401); return res.end(); }
      res.writeHead(200, { 'content-type': 'application/json' });
      res.end(JSON.stringify(known.get(token) ?? { active: false }));
    });
  });
  await new Promise((done) => it.listen(0, '127.0.0.1', done));
  const base = `http://127.0.0.1:${it.address().port}`;
  return { base, known, asked, respond, about: (token) => asked.filter((a) => a.token === token).length, close: () => { it.closeAllConnections(); it.close(); } };
};

before(async () => {
  endpoint = await introspectionServer();
  // One loop, since each remembers and asks for itself.
  server = await start({ quick: true, core: { http: { 'io-threads': 1 } }, plugins: { jwks: { allow: endpoint.base, timeout: '1s' }, auth: { audiences: audience, 'refused-tokens': '500ms', 'max-introspections': '16' } } });
  const policy = await call('PUT', `${server.base}/AccessPolicy/foreign`, { engine: 'matcho', matcho: { jwt: { active: true }, client: 'nil?' } }, server.admin);
  assert.equal(policy.status, 201, policy.text);
  await ok('main', opaque(`${endpoint.base}/introspect`));
});
after(async () => { await server.stop(); assert.doesNotMatch(server.output(), /Sanitizer|runtime error/); server.remove(); endpoint.close(); });

describe('a token that only its issuer knows', () => {
  test('is accepted when the endpoint says that it is active, and asked about once', async () => {
    const token = fresh();
    endpoint.known.set(token, active());
    for (let i = 0; i < 4; i++) await accepted(token);
    const [ask] = endpoint.asked.filter((a) => a.token === token);
    assert.equal(endpoint.about(token), 1);
    assert.deepEqual([ask.method, ask.path, ask.text], ['POST', '/introspect', `token=${token}&token_type_hint=access_token`]);
    assert.equal(ask.headers['content-type'], 'application/x-www-form-urlencoded');
    assert.equal(ask.headers.accept, 'application/json');
    assert.equal(ask.headers.authorization, credentials);
    assert.equal(ask.headers.expect, undefined);
  });
  test('with signs that a form would change arrives as it is', async () => {
    const token = 'a+b/c~d-e._%26&x=1==';
    endpoint.known.set(token, active());
    await accepted(token);
  });
  test('is refused when it is not active, and nobody is asked again for a moment', async () => {
    const token = fresh();
    for (let i = 0; i < 3; i++) await refused(token, 'unknown');
    assert.equal(endpoint.about(token), 1);
    endpoint.known.set(token, active());
    await sleep(600);
    await accepted(token);
  });
  test('that many bring at once is asked about once, whether it is good or not', async () => {
    for (const good of [true, false]) {
      const token = fresh();
      endpoint.respond.set('/introspect', (req, res, t) => setTimeout(() => { res.writeHead(200); res.end(JSON.stringify(good && t === token ? active() : { active: false })); }, 200));
      const all = await Promise.all(Array.from({ length: 24 }, () => read(token)));
      endpoint.respond.delete('/introspect');
      assert.deepEqual([...new Set(all.map((r) => r.status))], [good ? 200 : 401]);
      assert.equal(endpoint.about(token), 1);
    }
  });
  test('with three parts is a JWT, and one of ours is ours: no endpoint is asked', async () => {
    const count = endpoint.asked.length;
    await refused('aaa.bbb.ccc', 'three parts');
    await putClient(server, 'own', { secret: 'a long enough secret', grant_types: ['client_credentials'] });
    await allow(server, 'own');
    const token = (await postToken(server, { grant_type: 'client_credentials', client_id: 'own', client_secret: 'a long enough secret' })).json.access_token;
    await accepted(token);
    assert.equal(endpoint.asked.length, count);
  });
});

test('a token of ours that has ended is shown to no endpoint; one of another server like us is asked about', async () => {
  const secret = 'a long enough secret', other = await start({ quick: true });
  const own = async (at) => {
    await putClient(at, 'ends', { secret, grant_types: ['client_credentials'] });
    await allow(at, 'ends');
    return (await postToken(at, { grant_type: 'client_credentials', client_id: 'ends', client_secret: secret })).json.access_token;
  };
  try {
    const count = endpoint.asked.length, [revoked, removed] = [await own(server), await own(server)];
    await accepted(revoked);
    assert.equal((await call('POST', `${server.base}/auth/revoke`, { token: revoked, client_id: 'ends', client_secret: secret })).status, 200);
    const [session] = (await call('GET', `${server.base}/Session?client=Client/ends&active=true`, undefined, server.admin)).json.entry;
    assert.equal((await call('DELETE', `${server.base}/Session/${session.resource.id}`, undefined, server.admin)).status, 204);
    for (const token of [revoked, removed]) await refused(token, 'it has ended');
    assert.equal(endpoint.asked.length, count);
    const foreign = await own(other);
    endpoint.known.set(foreign, active());
    await accepted(foreign);
    assert.equal(endpoint.about(foreign), 1);
    // A sign more or less, or another one, and it is not ours.
    const near = `${revoked.slice(0, -2)}${revoked.at(-2) === 'A' ? 'B' : 'A'}${revoked.at(-1)}`;
    await refused(near, 'nearly ours');
    assert.equal(endpoint.about(near), 1);
  } finally { await other.stop(); other.remove(); }
});

describe('what the endpoint tells', () => {
  const about = async (claims) => { const token = fresh(); endpoint.known.set(token, claims); return token; };
  test('of the token\'s end, beginning, kind, audience and issuer counts', async () => {
    for (const more of [{ exp: now() + 60 }, { exp: now() - 2 }, { nbf: now() - 5, iat: now() - 5 }, { token_type: 'bearer' }, { iss: 'https://issuer.example' }, { aud: ['x', audience] }]) await accepted(await about(active(more)));
    await refused(await about(active({ exp: now() - 10 })), 'expired', 'expired');
    for (const more of [{ exp: 'soon' }, { exp: null }, { nbf: now() + 60 }, { iat: now() + 60 }, { token_type: 'DPoP' }, { token_use: 'refresh_token' }, { aud: 'https://elsewhere.example' }, { aud: undefined }, { iss: server.base }, { iss: '' }, { iss: 7 }, { active: 'true' }, { active: 1 }])
      await refused(await about(active(more)), JSON.stringify(more));
  });
  test('ends with the token, and with cache_ttl', async () => {
    const short = await about(active({ exp: now() - 3 }));
    await accepted(short);
    await sleep(2600);
    await refused(short, 'ended', 'expired');
    await ok('main', opaque(`${endpoint.base}/introspect`, { cache_ttl: 1 }));
    const token = await about(active());
    await accepted(token);
    endpoint.known.delete(token);
    await sleep(1200);
    await refused(token, 'after cache_ttl');
    await ok('main', opaque(`${endpoint.base}/introspect`));
  });
  test('of scopes limits it, and one that is malformed voids it', async () => {
    const limited = await about(active({ scope: 'system/Patient.rs' }));
    await accepted(limited);
    assert.equal((await read(limited, 'Observation')).status, 403);
    await refused(await about(active({ scope: 'system/Patient.sr' })), 'malformed');
  });
  test('of an issuer whose JWTs are checked with its keys counts only where the introspector is for that issuer', async () => {
    const iss = 'https://jwt.example';
    await ok('keys', { type: 'jwt', jwt: { iss, secret: 'a secret of more than thirty-two bytes' } });
    const token = await about(active({ iss }));
    await refused(token, 'another introspector speaks for it');
    await ok('main', opaque(`${endpoint.base}/introspect`, { jwt: { iss } }));
    await accepted(await about(active({ iss })));
    await refused(await about(active({ iss: 'https://issuer.example' })), 'another issuer');
    await refused(await about(active()), 'no issuer');
    await ok('main', opaque(`${endpoint.base}/introspect`));
    await remove('keys');
  });
});

describe('an endpoint', () => {
  test('that gives no answer that can be used refuses its own tokens alone', async () => {
    const good = fresh(), big = 'x'.repeat(70000);
    endpoint.known.set(good, active());
    await accepted(good);
    const answers = {
      redirect: (req, res) => { res.writeHead(302, { location: `${endpoint.base}/introspect` }); res.end(); },
      'created, not 200': (req, res) => { res.writeHead(201); res.end(JSON.stringify(active())); },
      'not JSON': (req, res) => { res.writeHead(200); res.end('active'); },
      'two members of one name': (req, res) => { res.writeHead(200); res.end('{"active":false,"active":true}'); },
      'too large': (req, res) => { res.writeHead(200); res.end(JSON.stringify(active({ big }))); },
      'a content coding': (req, res) => { res.writeHead(200, { 'content-encoding': 'gzip' }); res.end(JSON.stringify(active())); },
      'cut off': (req, res) => { res.writeHead(200, { 'content-length': '1000' }); res.write('{"active":true'); setTimeout(() => res.destroy(), 20); },
      slow: () => {},
    };
    for (const [name, answer] of Object.entries(answers)) {
      endpoint.respond.set('/introspect', answer);
      const began = Date.now(), bad = refused(fresh(), name);
      await accepted(good);
      assert.ok(Date.now() - began < 900, `${name}: others were held up`);
      await bad;
    }
    endpoint.respond.delete('/introspect');
    await accepted(good);
    await server.logged(/auth\.introspector\.answer/);
    await server.logged(/jwks\.post\.failed/);
  });
  test('is one of several: they are asked one after the other until one knows the token', async () => {
    endpoint.respond.set('/second', (req, res, t) => { res.writeHead(200); res.end(JSON.stringify(t === two ? active({ sub: 'second' }) : { active: false })); });
    const two = fresh(), one = fresh();
    await ok('second', opaque(`${endpoint.base}/second`));
    endpoint.known.set(one, active());
    await accepted(two);
    await accepted(one);
    await refused(fresh(), 'nobody knows it');
    await remove('second');
    await refused(two, 'its introspector is gone');
  });
  test('is not asked about more tokens at a time than may be: one address has a quarter of them', async () => {
    const held = [];
    endpoint.respond.set('/introspect', (req, res) => { held.push(res); });
    const all = Array.from({ length: 20 }, () => read(fresh()));
    await sleep(300);
    assert.ok(held.length <= 4, `${held.length} at a time`);
    for (const res of held) { res.writeHead(200); res.end('{"active":false}'); }
    const statuses = (await Promise.all(all)).map((r) => r.status);
    endpoint.respond.delete('/introspect');
    assert.ok(statuses.includes(503) && statuses.includes(401), String(statuses));
    await refused(fresh(), 'later there is room');
  });
  test('may leave in the midst of an answer, and so may who asked', async () => {
    endpoint.respond.set('/introspect', () => {});
    const token = fresh(), gone = new AbortController();
    const cut = fetch(`${server.fhir}/Patient`, { headers: bearer(token), signal: gone.signal }).catch(() => 'cut');
    await sleep(100);
    const waiting = Array.from({ length: 3 }, () => read(token));
    await sleep(100);
    gone.abort();
    assert.equal(await cut, 'cut');
    for (const r of await Promise.all(waiting)) assert.equal(r.status, 401);
    endpoint.respond.delete('/introspect');
  });
});

describe('TokenIntrospector of type opaque', () => {
  test('shows no authorization, and keeps it for the same url only', async () => {
    const url = `${endpoint.base}/introspect`;
    const r = await ok('kept', opaque(url));
    assert.deepEqual(r.json.introspection_endpoint, { url });
    for (const path of ['TokenIntrospector/kept', 'TokenIntrospector/kept/_history', 'TokenIntrospector'])
      assert.ok(!(await call('GET', `${server.fhir}/${path}`, undefined, server.admin)).text.includes(credentials.slice(6)), path);
    await remove('main');
    const token = fresh(), other = fresh();
    await ok('kept', { type: 'opaque', introspection_endpoint: { url }, cache_ttl: 60 });
    endpoint.known.set(token, active());
    await accepted(token);
    await ok('kept', { type: 'opaque', introspection_endpoint: { url: `${url}?other` } });
    await refused(other, 'another url');
    assert.equal(endpoint.asked.at(-1).headers.authorization, undefined);
    await remove('kept');
    await ok('main', opaque(url));
  });
  test('ends the tokens that it let in as soon as it changes, and what was refused may be asked about again', async () => {
    const token = fresh(), late = fresh();
    endpoint.known.set(token, active());
    await accepted(token);
    await refused(late, 'not yet');
    endpoint.known.set(late, active());
    await ok('main', opaque(`${endpoint.base}/introspect`, { description: 'changed' }));
    await accepted(late);
    endpoint.known.delete(token);
    await refused(token, 'a cached one');
  });
  test('is refused where it is not clear, or not safe', async () => {
    const e = 'TokenIntrospector.introspection_endpoint', at = (introspection_endpoint, more = {}) => ({ type: 'opaque', introspection_endpoint, ...more });
    const rows = [
      [{ type: 'opaque' }, e], [{ type: 'jwt', jwt: { iss: 'https://x.example', secret: 'x'.repeat(32) }, introspection_endpoint: { url: 'https://x.example' } }, e],
      [at({}), `${e}.url`], [at({ url: '' }), `${e}.url`], [at({ url: 5 }), `${e}.url`], [at('https://x.example'), e],
      [at({ url: 'https://x.example', more: 1 }), `${e}.more`],
      ...['http://x.example/i', 'https://127.0.0.1/i', 'https://169.254.169.254/i', 'https://localhost/i', 'https://u:p@x.example/i', 'https://x.example/#f', 'ftp://x.example', 'https://0x7f.1/'].map((url) => [at({ url }), `${e}.url`]),
      ...['', 'a\r\nX: y', 'a\nb', 'ä', 'x'.repeat(5000), 7].map((authorization) => [at({ url: 'https://x.example/i', authorization }), `${e}.authorization`]),
      [at({ url: 'https://x.example/i' }, { jwks_uri: 'https://x.example/j' }), 'TokenIntrospector.type'],
      [at({ url: 'https://x.example/i' }, { jwt: { secret: 'x'.repeat(32) } }), 'TokenIntrospector.type'],
      [at({ url: 'https://x.example/i' }, { jwt: { iss: '' } }), 'TokenIntrospector.jwt.iss'],
      [at({ url: 'https://x.example/i' }, { jwt: { iss: server.base } }), 'TokenIntrospector.jwt.iss'],
      [at({ url: 'https://x.example/i' }, { cache_ttl: 0 }), 'TokenIntrospector.cache_ttl'],
    ];
    for (const [body, where] of rows) {
      const r = await put('bad', body);
      assert.equal(r.status, 422, JSON.stringify(body) + r.text);
      assert.deepEqual(r.json.issue[0].expression, [where], r.text);
    }
  });
});
