// The server's keys and the key sets of clients (seed-semantics 4.3 and 8, security-requirements 4).
import test, { before, after, describe } from 'node:test';
import assert from 'node:assert/strict';
import { createRequire } from 'node:module';
import { randomUUID, createPrivateKey } from 'node:crypto';
import fs from 'node:fs';
import { execFileSync } from 'node:child_process';
import http from 'node:http';
import https from 'node:https';
import net from 'node:net';
import os from 'node:os';
import path from 'node:path';
import zlib from 'node:zlib';
import { pathToFileURL } from 'node:url';
import { start, configure, call, freePort, sleep, source, storeOf } from './lib/server.mjs';

const require = createRequire(path.join(process.env.NPM_MODULES ?? path.join(source, 'tests/node_modules'), 'x.js'));
const jose = await import(pathToFileURL(require.resolve('jose')).href);
const JWT_BEARER = 'urn:ietf:params:oauth:client-assertion-type:jwt-bearer';
const now = () => Math.floor(Date.now() / 1000);

const keyPair = async (kid, alg = 'ES384') => {
  const { privateKey, publicKey } = await jose.generateKeyPair(alg, { extractable: true });
  return { alg, kid, privateKey, jwk: { ...await jose.exportJWK(publicKey), kid, alg, use: 'sig' }, secret: { ...await jose.exportJWK(privateKey), kid } };
};
const admin = { authorization: 'Basic ' + Buffer.from('root:secret').toString('base64') };
const register = async (server, id, jwks_uri, more = {}) => {
  const r = await call('PUT', `${server.base}/Client/${id}`, { grant_types: ['client_credentials'], scope: ['system/*.read'], jwks_uri, auth: { client_credentials: { token_format: 'jwt' } }, ...more }, admin);
  assert.ok(r.status === 200 || r.status === 201, r.text);
};
const ask = async (server, id, key) => call('POST', `${server.base}/auth/token`, {
  grant_type: 'client_credentials', scope: 'system/*.read', client_assertion_type: JWT_BEARER,
  client_assertion: await new jose.SignJWT({ iss: id, sub: id, aud: `${server.base}/auth/token`, exp: now() + 300, jti: randomUUID() }).setProtectedHeader({ alg: key.alg, kid: key.kid }).sign(key.privateKey),
});
const unavailable = (r) => {
  assert.equal(r.status, 401, r.text);
  assert.equal(r.json.error, 'invalid_client');
  assert.equal(r.json.error_description, 'client key set unavailable');
};
const refused = (r) => {
  assert.equal(r.status, 401, r.text);
  assert.equal(r.json.error_description, 'client or signature not accepted');
};
const clean = async (server) => { await server.stop(); assert.doesNotMatch(server.output(), /Sanitizer|runtime error/); };

describe('our own key set', () => {
  let server;
  before(async () => { server = await start(); });
  after(async () => { await clean(server); server.remove(); });
  const get = (headers = {}, method = 'GET') => call(method, `${server.base}/.well-known/jwks.json`, undefined, headers);

  test('KS-1: holds public keys only, each with what a client needs', async () => {
    const r = await get({ accept: 'text/html' });
    assert.equal(r.status, 200);
    assert.match(r.headers.get('content-type'), /^application\/json/);
    assert.equal(r.headers.get('access-control-allow-origin'), '*');
    assert.equal(r.headers.get('cache-control'), 'public, max-age=300');
    assert.deepEqual(Object.keys(r.json), ['keys']);
    assert.equal(r.json.keys.length, 1);
    for (const key of r.json.keys) {
      assert.deepEqual(Object.keys(key).sort(), ['alg', 'e', 'kid', 'kty', 'n', 'use']);
      assert.equal(key.use, 'sig');
      assert.equal(key.alg, 'RS256');
      assert.equal(key.kid, await jose.calculateJwkThumbprint(key));
      assert.equal(Buffer.from(key.n, 'base64url').length, 256);
    }
  });
  test('KS-1: is not sent again to who has it', async () => {
    const etag = (await get()).headers.get('etag');
    assert.match(etag, /^"[A-Za-z0-9_-]+"$/);
    const r = await get({ 'if-none-match': etag });
    assert.equal(r.status, 304);
    assert.equal(r.text, '');
    assert.equal((await get({ 'if-none-match': '*' })).status, 304);
    assert.equal((await get({ 'if-none-match': '"other"' })).status, 200);
    const head = await get({}, 'HEAD');
    assert.equal(head.status, 200);
    assert.equal(head.headers.get('etag'), etag);
  });
  test('JK-2: can be a client\'s key set, without a deadlock on one loop, and proves nothing', async () => {
    await register(server, 'self', `${server.base}/.well-known/jwks.json`);
    const kid = (await get()).json.keys[0].kid;
    refused(await ask(server, 'self', { ...await keyPair(kid, 'RS384') }));
  });
});

describe('signing keys', () => {
  test('KS-2: stay over restarts', async () => {
    let server = await start();
    const key = await keyPair('k');
    await call('PUT', `${server.base}/Client/c`, { grant_types: ['client_credentials'], scope: ['system/*.read'], jwks: [key.jwk], auth: { client_credentials: { token_format: 'jwt' } } }, admin);
    await call('PUT', `${server.base}/AccessPolicy/c`, { engine: 'allow', link: [{ resourceType: 'Client', id: 'c' }] }, admin);
    const one = (await ask(server, 'c', key)).json.access_token;
    const before = (await call('GET', `${server.base}/.well-known/jwks.json`)).json;
    await clean(server);
    server = await start({ at: server });
    const set = (await call('GET', `${server.base}/.well-known/jwks.json`)).json;
    assert.deepEqual(set, before);
    const two = (await ask(server, 'c', key)).json.access_token;
    const { payload } = await jose.jwtVerify(two, jose.createLocalJWKSet(set), { issuer: server.base });
    assert.equal(payload.sub, 'c');
    for (const token of [one, two]) assert.equal((await call('GET', `${server.fhir}/Patient`, undefined, { authorization: `Bearer ${token}` })).status, 200);
    for (const file of fs.readdirSync(path.join(server.dir, 'state/keys'))) assert.equal(fs.statSync(path.join(server.dir, 'state/keys', file)).mode & 0o777, 0o600, file);
    await clean(server);
    server.remove();
  });
  test('KS-2: open to others or broken stop the start and say what to do', async () => {
    const at = await configure();
    const keys = path.join(at.dir, 'state/keys');
    fs.mkdirSync(keys, { recursive: true, mode: 0o700 });
    fs.writeFileSync(path.join(keys, 'x.pem'), 'no key', { mode: 0o600 });
    await assert.rejects(start({ at }), (e) => e.exit.code === 78 && /x\.pem/.test(e.message));
    const { secret } = await keyPair('k', 'RS256');
    fs.writeFileSync(path.join(keys, 'x.pem'), createPrivateKey({ key: secret, format: 'jwk' }).export({ type: 'pkcs8', format: 'pem' }));
    fs.chmodSync(path.join(keys, 'x.pem'), 0o644);
    await assert.rejects(start({ at }), (e) => e.exit.code === 78 && /chmod 600/.test(e.message));
    fs.chmodSync(path.join(keys, 'x.pem'), 0o600);
    const server = await start({ at });
    const set = (await call('GET', `${server.base}/.well-known/jwks.json`)).json;
    assert.equal(set.keys.length, 1);
    assert.equal(set.keys[0].n, secret.n);
    await clean(server);
    server.remove();
  });
  test('TK-30: are known to every server over one store', async () => {
    const one = await start();
    await call('GET', `${one.base}/.well-known/jwks.json`); // its key is made: the other one takes it from the store
    const two = await start({ init: false, plugins: { ...storeOf(one) }, core: { http: { 'base-url': one.base } } });
    const key = await keyPair('k');
    await call('PUT', `${one.base}/Client/c`, { grant_types: ['client_credentials'], scope: ['system/*.read'], jwks: [key.jwk], auth: { client_credentials: { token_format: 'jwt' } } }, admin);
    await call('PUT', `${one.base}/AccessPolicy/c`, { engine: 'allow', link: [{ resourceType: 'Client', id: 'c' }] }, admin);
    const [a, b] = await Promise.all([one, two].map(async (s) => (await call('GET', `http://127.0.0.1:${s.port}/.well-known/jwks.json`)).json));
    assert.deepEqual(a.keys, b.keys);
    assert.equal(a.keys.length, 1);
    const token = (await ask(one, 'c', key)).json.access_token;
    const read = () => call('GET', `http://127.0.0.1:${two.port}/fhir/Patient`, undefined, { authorization: `Bearer ${token}` });
    const becomes = async (status) => { for (const end = Date.now() + 10000; (await read()).status !== status; await sleep(50)) assert.ok(Date.now() < end, `no ${status}`); };
    await becomes(200); // its policy is known there within a second (CL-6)
    // So is an ended Session.
    assert.equal((await call('DELETE', `${one.base}/Session/${jose.decodeJwt(token).jti}`, undefined, admin)).status, 204);
    await becomes(401);
    await clean(one);
    await clean(two);
    one.remove();
    two.remove();
  });
  test('KS-4: for test assertions are made and published only on demand, and make no access token', async () => {
    const server = await start({ core: { dev: { 'assertion-key': 'on' } } });
    const file = fs.readdirSync(path.join(server.dir, 'state/keys')).find((f) => f.startsWith('assertion-'));
    const kid = file.replace(/^assertion-RS384-|\.pem$/g, '');
    const key = { alg: 'RS384', kid, privateKey: createPrivateKey(fs.readFileSync(path.join(server.dir, 'state/keys', file))) };
    const set = (await call('GET', `${server.base}/.well-known/jwks.json`)).json;
    assert.equal(set.keys.find((k) => k.kid === kid).alg, 'RS384');
    await register(server, 'self', `${server.base}/.well-known/jwks.json`);
    const r = await ask(server, 'self', key);
    assert.equal(r.status, 200, r.text);
    const forged = await new jose.SignJWT(jose.decodeJwt(r.json.access_token)).setProtectedHeader({ alg: 'RS384', kid, typ: 'JWT' }).sign(key.privateKey);
    assert.equal((await call('GET', `${server.fhir}/Patient`, undefined, { authorization: `Bearer ${forged}` })).status, 401);
    await clean(server);
    const again = await start({ at: server, args: [], env: {} });
    await clean(again);
    fs.writeFileSync(path.join(server.etc, 'andiron.conf'), fs.readFileSync(path.join(server.etc, 'andiron.conf'), 'utf8').replace('assertion-key = on', 'assertion-key = off'));
    const off = await start({ at: server });
    assert.ok(!(await call('GET', `${off.base}/.well-known/jwks.json`)).json.keys.some((k) => k.kid === kid));
    refused(await ask(off, 'self', key));
    await clean(off);
    off.remove();
  });
});

describe('key sets of clients', () => {
  let server, keys, port, hits, answer;
  const url = () => `http://127.0.0.1:${port}/jwks`;
  // Each test has a client and a URL of its own, so that no cache reaches over.
  let serial = 0;
  const fresh = async (respond) => {
    const id = `c${++serial}`;
    answer.set(`/${id}`, respond);
    hits.set(`/${id}`, 0);
    await register(server, id, `http://127.0.0.1:${port}/${id}`);
    return { id, hits: () => hits.get(`/${id}`) };
  };
  const failures = async () => Number((await call('GET', `${server.adminBase}/metrics`)).text.match(/^andiron_jwks_fetches_total\{result="error"\} (\d+)/m)[1]);
  const set = (list, headers = {}) => (req, res) => { res.writeHead(200, { 'content-type': 'application/json', ...headers }); res.end(JSON.stringify({ keys: list })); };

  before(async () => {
    port = await freePort();
    hits = new Map();
    answer = new Map();
    keys = http.createServer((req, res) => {
      hits.set(req.url, (hits.get(req.url) ?? 0) + 1);
      (answer.get(req.url) ?? ((q, s) => { s.writeHead(404); s.end(); }))(req, res);
    });
    await new Promise((ok) => keys.listen(port, '127.0.0.1', ok));
    server = await start({ plugins: { jwks: { allow: `http://127.0.0.1:${port}`, 'max-fetches': 3 } } });
  });
  after(async () => { keys.closeAllConnections(); keys.close(); await clean(server); server.remove(); });

  test('JK-1, JK-5: are fetched when a token is asked for, and kept', async () => {
    const key = await keyPair('a');
    const c = await fresh(set([key.jwk]));
    assert.equal(c.hits(), 0);
    for (let i = 0; i < 4; i++) assert.equal((await ask(server, c.id, key)).status, 200);
    assert.equal(c.hits(), 1);
  });
  test('JK-3: are asked for politely, by one GET', async () => {
    const key = await keyPair('a');
    let seen;
    const c = await fresh((req, res) => { seen = req; set([key.jwk])(req, res); });
    await ask(server, c.id, key);
    assert.equal(seen.method, 'GET');
    assert.equal(seen.headers.accept, 'application/json');
    assert.equal(seen.headers.authorization, undefined);
    assert.equal(seen.headers['accept-encoding'], undefined);
  });
  test('JK-6: needed at the same time are fetched once', async () => {
    const key = await keyPair('a');
    const c = await fresh((req, res) => setTimeout(() => set([key.jwk])(req, res), 300));
    const answers = await Promise.all(Array.from({ length: 12 }, () => ask(server, c.id, key)));
    assert.ok(answers.every((r) => r.status === 200), answers.map((r) => r.text).join());
    assert.equal(c.hits(), 1);
  });
  test('JK-5: that may not be kept are fetched each time', async () => {
    for (const value of ['max-age=0', 'no-store', 'public, no-cache']) {
      const key = await keyPair('a');
      const c = await fresh(set([key.jwk], { 'cache-control': value }));
      for (let i = 0; i < 3; i++) assert.equal((await ask(server, c.id, key)).status, 200);
      assert.equal(c.hits(), 3, value);
    }
  });
  test('that may not be kept are fetched once for an unknown kid', async () => {
    const [key, other] = await Promise.all([keyPair('a'), keyPair('b')]);
    const c = await fresh(set([key.jwk], { 'cache-control': 'max-age=0' }));
    refused(await ask(server, c.id, other));
    assert.equal(c.hits(), 1);
    assert.equal((await ask(server, c.id, key)).status, 200);
    assert.equal(c.hits(), 2);
  });
  test('fetched for a request are not fetched again for it, as nothing newer can be had', async () => {
    const [key, other] = await Promise.all([keyPair('a'), keyPair('b')]);
    const c = await fresh(set([key.jwk]));
    refused(await ask(server, c.id, other));
    assert.equal(c.hits(), 1);
    refused(await ask(server, c.id, other)); // this one found a set that is kept: the early fetch
    assert.equal(c.hits(), 2);
  });
  test('that `max-fetches` kept from being fetched are fetched as soon as there is room', async () => {
    const key = await keyPair('a');
    let free;
    const held = new Promise((ok) => { free = ok; });
    const slow = [];
    for (let i = 0; i < 3; i++) slow.push(await fresh(async (req, res) => { await held; set([key.jwk])(req, res); }));
    const c = await fresh(set([key.jwk]));
    const pending = slow.map((s) => ask(server, s.id, key));
    while (slow.some((s) => s.hits() === 0)) await sleep(10);
    unavailable(await ask(server, c.id, key));
    assert.equal(c.hits(), 0);
    free();
    for (const r of await Promise.all(pending)) assert.equal(r.status, 200, r.text);
    assert.equal((await ask(server, c.id, key)).status, 200);
  });
  test('JK-5: end after max-age, and a removed key with them', async () => {
    const [one, two] = await Promise.all([keyPair('one'), keyPair('two')]);
    let list = [one.jwk];
    const c = await fresh((req, res) => set(list, { 'cache-control': 'max-age=1' })(req, res));
    assert.equal((await ask(server, c.id, one)).status, 200);
    list = [two.jwk];
    assert.equal((await ask(server, c.id, one)).status, 200);
    await sleep(1200);
    refused(await ask(server, c.id, one));
    assert.equal((await ask(server, c.id, two)).status, 200);
  });
  test('JK-6: with a new key are fetched early, but not for every unknown kid', async () => {
    const [one, two, three] = await Promise.all([keyPair('one'), keyPair('two'), keyPair('three')]);
    let list = [one.jwk];
    const c = await fresh((req, res) => set(list)(req, res));
    assert.equal((await ask(server, c.id, one)).status, 200);
    list = [one.jwk, two.jwk];
    assert.equal((await ask(server, c.id, two)).status, 200);
    assert.equal(c.hits(), 2);
    for (let i = 0; i < 5; i++) refused(await ask(server, c.id, three));
    assert.equal(c.hits(), 2);
  });
  test('JK-1, JK-7: that are slow fail in time, hold up nobody, and are not asked again at once', async () => {
    const key = await keyPair('a');
    const c = await fresh((req, res) => setTimeout(() => set([key.jwk])(req, res), 4500));
    const began = Date.now();
    const pending = ask(server, c.id, key);
    await sleep(50);
    for (let i = 0; i < 20; i++) {
      const at = Date.now();
      assert.equal((await call('GET', `${server.base}/.well-known/jwks.json`)).status, 200);
      assert.ok(Date.now() - at < 500);
    }
    unavailable(await pending);
    assert.ok(Date.now() - began < 4000, `${Date.now() - began} ms`);
    const failed = await failures();
    unavailable(await ask(server, c.id, key));
    assert.equal(c.hits(), 1);
    await server.logged(/jwks\.fetch\.failed/);
    assert.equal(await failures(), failed, 'what is remembered is no failure of its own');
  });
  test('JK-7: that fail are counted and logged, one by one, without the path of the URL', async () => {
    const key = await keyPair('a'), before = await failures(), answers = [(q, s) => { s.writeHead(500); s.end(); }, (q, s) => s.end('no JSON'), (q, s) => s.socket.destroy()];
    for (const [n, answer] of answers.entries()) {
      const c = await fresh(answer), lines = () => server.log().split('\n').filter((l) => l.includes('"event":"jwks.fetch.failed"')), logged = lines().length;
      unavailable(await ask(server, c.id, key));
      assert.equal(await failures(), before + n + 1);
      const [line, ...more] = lines().slice(logged);
      assert.deepEqual(more, []);
      assert.match(line, /warn/i);
      assert.doesNotMatch(line, new RegExp(`/${c.id}`));
    }
  });
  test('JK-3: in any form but a plain public set are refused', async () => {
    const [key, good] = await Promise.all([keyPair('a'), keyPair('b')]);
    const body = JSON.stringify({ keys: [key.jwk] });
    const rows = {
      'status 404': (q, s) => { s.writeHead(404); s.end(body); },
      'status 203': (q, s) => { s.writeHead(203); s.end(body); },
      redirect: (q, s) => { s.writeHead(302, { location: '/other' }); s.end(); },
      'not JSON': (q, s) => s.end('<html>'),
      'a list of strings': (q, s) => s.end('{"keys":"x"}'),
      'duplicate member': (q, s) => s.end(`{"keys":[],"keys":[${JSON.stringify(key.jwk)}]}`),
      'too large': (q, s) => s.end(JSON.stringify({ keys: [key.jwk], pad: 'x'.repeat(66000) })),
      'too large, chunked': (q, s) => { for (let i = 0; i < 70; i++) s.write('x'.repeat(1000)); s.end(); },
      'too many keys': (q, s) => s.end(JSON.stringify({ keys: Array(65).fill(key.jwk) })),
      'a private key in it': (q, s) => s.end(JSON.stringify({ keys: [key.jwk, good.secret] })),
      'a symmetric key in it': (q, s) => s.end(JSON.stringify({ keys: [key.jwk, { kty: 'oct', k: 'AAAA', kid: 'x' }] })),
      'content coding': (q, s) => { s.writeHead(200, { 'content-encoding': 'gzip' }); s.end(zlib.gzipSync(body)); },
      'cut off': (q, s) => { s.writeHead(200, { 'content-length': '100000' }); s.write(body); setTimeout(() => s.destroy(), 50); },
      'no answer': (q, s) => s.destroy(),
    };
    answer.set('/other', set([key.jwk]));
    const plain = await fresh((q, s) => s.end(body));
    assert.equal((await ask(server, plain.id, key)).status, 200, 'the set itself is good');
    /* One after the other: beyond `max-fetches` they would be refused without being asked for. */
    for (const [name, respond] of Object.entries(rows)) {
      const c = await fresh(respond);
      const r = await ask(server, c.id, key);
      assert.equal(r.json.error_description, 'client key set unavailable', `${name}: ${r.text}`);
      assert.ok(hits.get(`/${c.id}`) > 0, `${name} was asked for`);
    }
    assert.equal(hits.get('/other'), undefined);
  });
  test('with keys that cannot be used lend the others', async () => {
    const key = await keyPair('a');
    const c = await fresh(set([{ kty: 'XYZ', kid: 'x' }, { kty: 'RSA', kid: 'weak', n: 'AQAB', e: 'AQAB' }, { ...key.jwk, x5c: ['no'] }]));
    assert.equal((await ask(server, c.id, key)).status, 200);
  });
  test('with two keys of one kid, or a key for something else, prove nothing', async () => {
    const [key, twin] = await Promise.all([keyPair('a'), keyPair('a')]);
    for (const list of [[key.jwk, twin.jwk], [{ ...key.jwk, use: 'enc' }], [{ ...key.jwk, alg: 'ES256' }], [{ ...key.jwk, key_ops: ['sign'] }], [{ ...key.jwk, kid: undefined }]]) {
      const c = await fresh(set(list));
      refused(await ask(server, c.id, key));
    }
  });
});

describe('server-side request forgery', () => {
  let server, inner, port, connected = 0;
  before(async () => {
    inner = net.createServer((s) => { connected++; s.destroy(); });
    await new Promise((ok) => inner.listen(0, '127.0.0.1', ok));
    ({ port } = inner.address());
    server = await start({ plugins: { jwks: { allow: 'https://allowed.example' } } });
  });
  after(async () => { inner.close(); await clean(server); server.remove(); });

  test('JK-4, CL-24: inner and odd URLs are refused when the Client is written', async () => {
    const urls = ['http://keys.example/jwks', `http://127.0.0.1:${port}/`, `https://127.0.0.1:${port}/`, 'https://localhost/', 'https://a.localhost/', 'https://[::1]/', 'https://[::ffff:127.0.0.1]/', 'https://10.0.0.1/', 'https://169.254.169.254/latest', 'https://0.0.0.0/',
      'https://127.1/', 'https://2130706433/', 'https://0x7f.1/', 'https://0177.0.0.1/', 'https://user@keys.example/', 'https://keys.example/#x', 'https://keys.example/\\x', 'https://keys.example\\@127.0.0.1/', 'ftp://keys.example/', 'file:///etc/passwd', 'gopher://keys.example/', 'keys.example', '/jwks', '', 'https://', 'https://k y/'];
    for (const jwks_uri of urls) {
      const r = await call('PUT', `${server.base}/Client/ssrf`, { grant_types: ['client_credentials'], jwks_uri }, admin);
      assert.equal(r.status, 422, jwks_uri);
      assert.deepEqual(r.json.issue[0].expression, ['Client.jwks_uri'], r.text);
    }
    for (const jwks_uri of ['https://keys.example/jwks', 'https://keys.example:8443/a?b=c', 'https://8.8.8.8/', 'https://[2606:4700::1111]/', `${server.base}/.well-known/jwks.json`]) {
      const r = await call('PUT', `${server.base}/Client/ssrf`, { grant_types: ['client_credentials'], jwks_uri }, admin);
      assert.ok(r.status < 300, `${jwks_uri}: ${r.text}`);
    }
  });
  test('a name with an inner address is never connected to', async () => {
    const key = await keyPair('a');
    await register(server, 'named', `https://${os.hostname()}:${port}/jwks`);
    unavailable(await ask(server, 'named', key));
    await register(server, 'nowhere', 'https://no-such-name.invalid/jwks');
    unavailable(await ask(server, 'nowhere', key));
    assert.equal(connected, 0);
  });
});

describe('key sets over TLS', () => {
  let dir, key;
  const certificate = (name, ...more) => {
    const [cert, pem] = [`${name}.crt`, `${name}.key`].map((f) => path.join(dir, f));
    execFileSync('openssl', ['req', '-x509', '-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:P-256', '-nodes', '-keyout', pem, '-out', cert, '-days', '2', '-subj', `/CN=${name}`, '-addext', `subjectAltName=DNS:${name}`, ...more], { stdio: 'ignore' });
    return { cert: fs.readFileSync(cert), key: fs.readFileSync(pem), file: cert };
  };
  const serve = async (options) => {
    const server = https.createServer(options, (req, res) => res.end(JSON.stringify({ keys: [key.jwk] })));
    server.on('tlsClientError', () => {});
    await new Promise((ok) => server.listen(0, '127.0.0.1', ok));
    return { port: server.address().port, close: () => { server.closeAllConnections(); server.close(); } };
  };
  before(async () => { dir = fs.mkdtempSync(path.join(os.tmpdir(), 'andiron-tls-')); key = await keyPair('a'); });
  after(() => fs.rmSync(dir, { recursive: true }));

  test('JK-3: are taken from a host that proves its name, by TLS 1.2 and later', async () => {
    const right = certificate('localhost'), wrong = certificate('elsewhere.example');
    const hosts = {
      good: await serve(right), other: await serve(wrong), unknown: await serve(certificate('localhost')),
      old: await serve({ ...right, minVersion: 'TLSv1', maxVersion: 'TLSv1.1', ciphers: 'DEFAULT@SECLEVEL=0' }), two: await serve({ ...right, maxVersion: 'TLSv1.2' }),
    };
    const bundle = path.join(dir, 'ca.pem');
    fs.writeFileSync(bundle, Buffer.concat([right.cert, wrong.cert]));
    const server = await start({ plugins: { jwks: { allow: Object.values(hosts).map((h) => `https://localhost:${h.port}`).join(' '), 'ca-file': bundle } } });
    for (const [name, host] of Object.entries(hosts)) {
      await register(server, name, `https://localhost:${host.port}/jwks`);
      const r = await ask(server, name, key);
      if (name === 'good' || name === 'two') assert.equal(r.status, 200, `${name}: ${r.text}`);
      else unavailable(r);
      host.close();
    }
    await clean(server);
    server.remove();
  });
});
