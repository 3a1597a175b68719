// W3C Trace Context: what a client sends along goes on to the servers that are asked for its request, and into the log.
import test, { before, after } from 'node:test';
import assert from 'node:assert/strict';
import http from 'node:http';
import { randomBytes, randomUUID } from 'node:crypto';
import { start, call } from './lib/server.mjs';
import { assertion, bearer, keyPair, keyServer, now, postToken, putClient, seedClient, tokenRequest } from './lib/smart.mjs';

const parent = () => `00-${randomBytes(16).toString('hex')}-${randomBytes(8).toString('hex')}-01`;
let server, sets, seen = [];
// Each test asks for the set of a client of its own, which nobody has fetched before.
const fetchFor = async (headers) => {
  const id = randomUUID(), key = keyPair('ES384', 'k');
  sets.set(`/${id}`, (req, res) => { seen.push(req.headers); res.writeHead(200, { 'content-type': 'application/json' }); res.end(JSON.stringify({ keys: [key.jwk] })); });
  await putClient(server, id, seedClient({ jwks_uri: `${sets.base}/${id}`, jwks: undefined }));
  seen = [];
  const r = await postToken(server, tokenRequest(assertion(server, id, key)), headers);
  assert.equal(seen.length, 1, r.text);
  return seen[0];
};

before(async () => {
  sets = await keyServer();
  server = await start({ quick: true, plugins: { jwks: { allow: sets.base } } });
});
after(async () => { await server.stop(); assert.doesNotMatch(server.output(), /Sanitizer|runtime error/); server.remove(); sets.close(); });

test('a traceparent and its tracestate reach the key server, and its trace id the log', async () => {
  const traceparent = parent();
  const got = await fetchFor({ traceparent, tracestate: 'rojo=00f067aa0ba902b7,congo=t61rcWkgMzE' });
  assert.equal(got.traceparent, traceparent);
  assert.equal(got.tracestate, 'rojo=00f067aa0ba902b7,congo=t61rcWkgMzE');
  await server.logged(traceparent.split('-')[1]);
});
test('of a later version arrives what version 00 knows of it', async () => {
  const traceparent = parent();
  assert.equal((await fetchFor({ traceparent: `01${traceparent.slice(2)}-more` })).traceparent, traceparent);
});
test('a malformed or repeated traceparent is ignored, with its tracestate', async () => {
  const good = parent();
  for (const traceparent of ['', 'x', good.toUpperCase(), `${good}-`, `ff${good.slice(2)}`, good.replace(/-.{16}-/, '-0000000000000000-'), `${good}, ${parent()}`]) {
    const got = await fetchFor({ traceparent, tracestate: 'a=1' });
    assert.deepEqual([got.traceparent, got.tracestate], [undefined, undefined], traceparent);
  }
  const twice = await fetchFor([['traceparent', good], ['traceparent', parent()]]);
  assert.equal(twice.traceparent, undefined);
});
test('a malformed tracestate is left out alone', async () => {
  const traceparent = parent();
  const got = await fetchFor({ traceparent, tracestate: 'no member' });
  assert.deepEqual([got.traceparent, got.tracestate], [traceparent, undefined]);
});
test('introspection endpoints get it, too', async () => {
  const traceparent = parent();
  const endpoint = http.createServer((req, res) => { seen.push(req.headers); req.resume(); res.writeHead(200, { 'content-type': 'application/json' }); res.end(JSON.stringify({ active: false, exp: now() })); });
  await new Promise((done) => endpoint.listen(0, '127.0.0.1', done));
  const other = await start({ quick: true, plugins: { jwks: { allow: `http://127.0.0.1:${endpoint.address().port}` } } });
  try {
    const url = `http://127.0.0.1:${endpoint.address().port}/introspect`;
    assert.equal((await call('PUT', `${other.base}/TokenIntrospector/main`, { type: 'opaque', introspection_endpoint: { url } }, other.admin)).status, 201);
    seen = [];
    assert.equal((await call('GET', `${other.fhir}/Patient`, undefined, { ...bearer('not one of ours'.replaceAll(' ', '-')), traceparent, tracestate: 'a=1' })).status, 401);
    assert.deepEqual(seen.map((h) => [h.traceparent, h.tracestate]), [[traceparent, 'a=1']]);
  } finally {
    await other.stop();
    other.remove();
    endpoint.close();
  }
});
