// Browser apps of other origins: who gets which headers, and that a preflight asks for no credentials.
import test, { before, after, describe } from 'node:test';
import assert from 'node:assert/strict';
import http from 'node:http';
import { start, configure, basic, sleep } from './lib/server.mjs';

const listed = 'https://app.example.org', registered = 'https://spa.example.com:8443';
let server;
// fetch() leaves out Origin and what browsers set themselves; this does not.
const ask = (method, path, headers = {}, body) => new Promise((ok, no) => {
  const req = http.request(server.base + path, { method, agent: false, headers }, (res) => {
    let text = '';
    res.on('data', (d) => { text += d; });
    res.on('end', () => ok({ status: res.statusCode, headers: res.headers, text }));
  });
  req.on('error', no);
  req.end(body);
});
const preflight = (path, origin, method = 'PUT') => ask('OPTIONS', path, { origin, 'access-control-request-method': method, 'access-control-request-headers': 'authorization,content-type' });
const put = (path, body) => ask('PUT', path, { authorization: basic('root', 'secret'), 'content-type': 'application/json' }, JSON.stringify(body));
const soon = async (check) => {
  for (let i = 0; i < 100; i++) { if (await check()) return true; await sleep(20); }
  return false;
};
const has = async (origin) => (await preflight('/fhir/Patient/p', origin)).headers['access-control-allow-origin'] === origin;

before(async () => { server = await start({ core: { http: { 'cors-origins': `${listed} https://other.example.org` } } }); });
after(async () => { await server.stop(); server.remove(); });

describe('a preflight', () => {
  test('DS-5: of a listed origin is answered before authentication', async () => {
    for (const path of ['/fhir/Patient/p', '/fhir', '/auth/token']) {
      const r = await preflight(path, listed);
      assert.equal(r.status, 204);
      assert.equal(r.headers['access-control-allow-origin'], listed);
      assert.match(r.headers['access-control-allow-methods'], /PUT/);
      assert.match(r.headers['access-control-allow-headers'], /Authorization.*Content-Type/);
      assert.equal(r.headers['access-control-max-age'], '3600');
      assert.match(r.headers.vary, /Origin/);
      assert.equal(r.headers['access-control-allow-credentials'], undefined);
    }
  });
  test('DS-5: of another origin gets nothing that lets a browser go on', async () => {
    for (const origin of ['https://evil.example', 'null', 'http://app.example.org', `${listed}.evil.example`, `${listed}:443`, 'https://app.example', '*']) {
      const r = await preflight('/fhir/Patient/p', origin);
      assert.equal(r.status, 204);
      for (const name of Object.keys(r.headers)) assert.ok(!name.startsWith('access-control-'), `${origin}: ${name}`);
      assert.match(r.headers.vary, /Origin/);
    }
  });
  test('without its method is an OPTIONS like any other', async () => {
    const r = await ask('OPTIONS', '/fhir/Patient/p', { origin: listed });
    assert.match(r.headers.allow, /PUT/);
    assert.equal(r.headers['access-control-allow-methods'], undefined);
  });
  test('for what is public may come from anywhere', async () => {
    const r = await preflight('/fhir/metadata', 'https://anybody.example', 'GET');
    assert.equal(r.headers['access-control-allow-origin'], '*');
  });
  test('for what no browser app is to use gets no headers', async () => {
    for (const path of ['/Client/root', '/fhirx', '/auth/tokens']) assert.equal((await preflight(path, listed)).headers['access-control-allow-origin'], undefined, path);
  });
});

describe('an answer', () => {
  test('names the listed origin and lets its app see our headers, also when it is a refusal', async () => {
    for (const headers of [{}, { authorization: basic('root', 'secret') }]) {
      const r = await ask('GET', '/fhir/Patient', { origin: listed, ...headers });
      assert.equal(r.status, headers.authorization ? 200 : 401);
      assert.equal(r.headers['access-control-allow-origin'], listed);
      assert.match(r.headers['access-control-expose-headers'], /Location.*ETag.*WWW-Authenticate/);
      assert.match(r.headers.vary, /Origin/);
      assert.equal(r.headers['access-control-allow-credentials'], undefined);
    }
    const token = await ask('POST', '/auth/token', { origin: listed, 'content-type': 'application/x-www-form-urlencoded' }, 'grant_type=client_credentials');
    assert.equal(token.status, 401);
    assert.equal(token.headers['access-control-allow-origin'], listed);
  });
  test('keeps what it varies by already', async () => {
    assert.equal((await put('/fhir/Patient/v', { resourceType: 'Patient', id: 'v' })).status, 201);
    const r = await ask('GET', '/fhir/Patient/v', { origin: listed, authorization: basic('root', 'secret') });
    assert.match(r.headers.vary, /^Accept, Origin/);
  });
  test('to another origin, or to none, varies by it and says nothing else', async () => {
    for (const headers of [{ origin: 'https://evil.example' }, {}]) {
      const r = await ask('GET', '/fhir/Patient', headers);
      assert.equal(r.headers['access-control-allow-origin'], undefined);
      assert.match(r.headers.vary, /Origin/);
    }
  });
  test('of the CapabilityStatement is for anybody', async () => {
    const r = await ask('GET', '/fhir/metadata', { origin: 'https://anybody.example' });
    assert.equal(r.status, 200);
    assert.equal(r.headers['access-control-allow-origin'], '*');
  });
});

test('DS-5: origins of a Client count while it is active', async () => {
  assert.equal(await has(registered), false);
  const client = { resourceType: 'Client', id: 'spa', grant_types: ['basic'], secret: 'a secret of some length', allowed_origins: [registered, 'https://second.example/'] };
  assert.ok([200, 201].includes((await put('/Client/spa', client)).status));
  assert.ok(await soon(() => has(registered)), 'registered');
  assert.ok(await has('https://second.example'));
  assert.ok(await has(listed));
  assert.equal((await put('/Client/spa', { ...client, active: false })).status, 200);
  assert.ok(await soon(async () => !await has(registered)), 'deactivated');
  assert.equal((await put('/Client/spa', { ...client, active: true })).status, 200);
  assert.ok(await soon(() => has(registered)), 'active again');
  await ask('DELETE', '/Client/spa', { authorization: basic('root', 'secret') });
  assert.ok(await soon(async () => !await has(registered)), 'deleted');
});

test('origins of stored Clients count after a restart', async () => {
  assert.ok([200, 201].includes((await put('/Client/kept', { resourceType: 'Client', id: 'kept', grant_types: ['basic'], secret: 'a secret of some length', allowed_origins: [registered] })).status));
  await server.stop();
  server = await start({ at: server });
  assert.ok(await soon(() => has(registered)));
});

test('what is no origin stops the start', async () => {
  for (const value of ['https://app.example.org/path', '*', 'app.example.org']) {
    const at = await configure({ core: { http: { 'cors-origins': value } } });
    await assert.rejects(start({ at }), (e) => /cors-origins/.test(e.message) && /must be an origin/.test(e.message));
  }
});
