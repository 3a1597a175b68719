// Servers that keys are fetched from, and that are asked about tokens, which answer anything but what they should: slow,
// endless, broken or too much. Each costs its own requests a refusal in time, and nobody else anything.
import test, { before, after } from 'node:test';
import assert from 'node:assert/strict';
import net from 'node:net';
import { randomBytes } from 'node:crypto';
import { start, call } from './lib/server.mjs';
import { assertion, bearer, keyPair, postToken, putClient, seedClient, tokenRequest } from './lib/smart.mjs';

const head = 'HTTP/1.1 200 OK\r\n', keys = '{"keys":[]}';
const repeat = (socket, text, ms) => { const timer = setInterval(() => socket.write(text), ms); socket.on('close', () => clearInterval(timer)); };
const faces = {
  'a body byte by byte': (s) => { s.write(`${head}\r\n`); repeat(s, '{', 100); },
  'a head without end': (s) => { s.write(head); repeat(s, 'X-A: b\r\n', 50); },
  'a huge head': (s) => { s.write(head); for (let i = 0; i < 1000; i++) s.write(`X-${i}: ${'y'.repeat(1000)}\r\n`); s.end(`\r\n${keys}`); },
  'one interim answer after the other': (s) => repeat(s, 'HTTP/1.1 100 Continue\r\n\r\n', 5),
  'no head at all': (s) => s.end(keys),
  'a length beyond all numbers': (s) => s.end(`${head}Content-Length: 99999999999999999999\r\n\r\n${keys}`),
  'a length below zero': (s) => s.end(`${head}Content-Length: -1\r\n\r\n${keys}`),
  'a chunk beyond all numbers': (s) => s.end(`${head}Transfer-Encoding: chunked\r\n\r\nffffffffffffffff\r\n{}`),
  'chunks without end': (s) => { s.write(`${head}Transfer-Encoding: chunked\r\n\r\n`); repeat(s, `1000\r\n${'x'.repeat(4096)}\r\n`, 1); },
  'a NUL': (s) => s.end(`${head}\r\n{"keys":[\0]}`),
  'JSON too deep': (s) => s.end(`${head}\r\n${'['.repeat(60000)}`),
  'too many keys': (s) => s.end(`${head}\r\n{"keys":[${Array.from({ length: 65 }, (_, i) => `{"kid":"${i}"}`).join()}]}`),
  'keys that are none, with a Cache-Control that is none': (s) => s.end(`${head}Cache-Control: max-age=-5, max-age=99999999999999999999999, =, ","\r\nAge: -1\r\n\r\n{"keys":[{"kty":"RSA","n":"","e":""},{"kty":"EC","crv":"P-256","x":"","y":""},null,7,[],{"kty":["RSA"]}]}`),
  'a status of six digits': (s) => s.end(`HTTP/1.1 200000 OK\r\n\r\n${keys}`),
  'another protocol': (s) => s.end(`HTTP/1.1 101 Switching\r\nUpgrade: h2c\r\n\r\n${keys}`),
  nothing: (s) => s.destroy(),
  noise: (s) => s.end(randomBytes(500)),
};
const names = Object.keys(faces);
let server, trap, base, key;

before(async () => {
  trap = net.createServer((s) => { s.on('error', () => {}); s.once('data', (d) => faces[names[Number(/^[A-Z]+ \/(\d+)/.exec(d)?.[1])]]?.(s)); });
  await new Promise((ok) => trap.listen(0, '127.0.0.1', ok));
  base = `http://127.0.0.1:${trap.address().port}`;
  key = keyPair('ES384', 'k1');
  server = await start({ quick: true, core: { http: { 'io-threads': 1 } }, plugins: { jwks: { allow: base, timeout: '1s', 'max-fetches': '64' }, auth: { 'max-failures': '0' } } });
  await putClient(server, 'good', seedClient({ jwks: [key.jwk] }));
});
after(async () => { await server.stop(); assert.doesNotMatch(server.output(), /Sanitizer|runtime error/); server.remove(); trap.close(); });
const stillWorks = async () => assert.equal((await postToken(server, tokenRequest(assertion(server, 'good', key)))).status, 200);

test('a key server may answer anything', async () => {
  await Promise.all(names.map(async (name, i) => {
    await putClient(server, `c${i}`, seedClient({ jwks_uri: `${base}/${i}` }));
    const r = await postToken(server, tokenRequest(assertion(server, `c${i}`, key)));
    assert.deepEqual([r.status, r.json.error], [401, 'invalid_client'], `${name}: ${r.text}`);
  }));
  await stillWorks();
});
test('an introspection endpoint may answer anything', async () => {
  for (const [i, name] of names.entries()) {
    assert.ok((await call('PUT', `${server.base}/TokenIntrospector/one`, { type: 'opaque', introspection_endpoint: { url: `${base}/${i}` } }, server.admin)).status < 300);
    const slow = call('GET', `${server.fhir}/Patient`, undefined, bearer(randomBytes(24).toString('base64url')));
    await stillWorks();
    const r = await slow;
    assert.equal(r.status, 401, `${name}: ${r.text}`);
  }
});
