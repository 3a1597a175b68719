// Binary with its content as it is (binary.html#rest).
import test, { before, after } from 'node:test';
import assert from 'node:assert/strict';
import { start, call } from './lib/server.mjs';

let server, admin;
before(async () => { server = await start(); admin = server.admin; });
after(async () => { await server.stop(); server.remove(); });
const at = (method, path, body, headers = {}) => call(method, `${server.fhir}/${path}`, body, { ...admin, ...headers });
const bytes = async (path, headers = {}) => { const r = await fetch(`${server.fhir}/${path}`, { headers: { ...admin, ...headers } }); return { status: r.status, headers: r.headers, body: Buffer.from(await r.arrayBuffer()) }; };
const content = Buffer.from(Array.from({ length: 300 }, (_, i) => i % 256));

test('content is stored with its media type, and comes back byte for byte', async () => {
  for (const length of [1, 2, 3, 300]) {
    const some = content.subarray(0, length);
    const made = await at('POST', 'Binary', new Uint8Array(some), { 'content-type': 'image/png' });
    assert.equal(made.status, 201, made.text);
    assert.deepEqual([made.json.resourceType, made.json.contentType, made.json.data], ['Binary', 'image/png', some.toString('base64')]);
    for (const accept of ['*/*', 'image/png', 'image/*', 'text/html, image/png;q=0.5']) {
      const r = await bytes(`Binary/${made.json.id}`, { accept });
      assert.equal(r.status, 200);
      assert.equal(r.headers.get('content-type'), 'image/png');
      assert.equal(r.headers.get('x-content-type-options'), 'nosniff');
      assert.equal(r.headers.get('content-disposition'), 'attachment');
      assert.equal(r.headers.get('etag'), 'W/"1"');
      assert.deepEqual(r.body, some);
    }
    assert.equal((await bytes(`Binary/${made.json.id}`, { accept: '*/*', 'if-none-match': 'W/"1"' })).status, 304);
    assert.equal((await bytes(`Binary/${made.json.id}/_history/1`, { accept: 'image/png' })).body.length, length);
  }
});
test('JSON comes where it is named', async () => {
  await at('PUT', 'Binary/b1', new Uint8Array(content), { 'content-type': 'application/pdf', 'x-security-context': 'Patient/1' });
  for (const [accept, query] of [['application/fhir+json', ''], ['application/json', ''], ['*/*', '?_format=json'], ['application/pdf', '?_format=json']]) {
    const r = await at('GET', `Binary/b1${query}`, undefined, { accept });
    assert.equal(r.json?.resourceType, 'Binary', r.text);
    assert.equal(r.json.securityContext.reference, 'Patient/1');
  }
  const raw = await bytes('Binary/b1', { accept: 'application/pdf' });
  assert.equal(raw.headers.get('x-security-context'), 'Patient/1');
  assert.equal((await bytes('Binary/b1', { accept: 'image/png' })).status, 406);
});
test('a resource in JSON is stored as before; without data only JSON can be read', async () => {
  const r = await at('PUT', 'Binary/b2', { resourceType: 'Binary', id: 'b2', contentType: 'text/plain', data: 'aGVsbG8=' }, { 'content-type': 'application/fhir+json' });
  assert.equal(r.status, 201, r.text);
  assert.equal((await bytes('Binary/b2', { accept: 'text/plain' })).body.toString(), 'hello');
  await at('PUT', 'Binary/b3', { resourceType: 'Binary', id: 'b3', contentType: 'text/plain' });
  assert.equal((await bytes('Binary/b3', { accept: '*/*' })).status, 406);
  assert.equal((await at('GET', 'Binary/b3')).json.id, 'b3');
});
test('large content, and content of the kind that runs', async () => {
  const large = Buffer.alloc(1 << 20, 'x');
  const made = await at('POST', 'Binary', new Uint8Array(large), { 'content-type': 'text/html; charset=utf-8' });
  assert.equal(made.status, 201, made.text.slice(0, 300));
  const r = await bytes(`Binary/${made.json.id}`, { accept: 'text/html' });
  assert.ok(r.body.equals(large));
  assert.match(r.headers.get('content-security-policy'), /sandbox/);
});
test('other types take JSON only', async () => {
  assert.equal((await at('POST', 'Patient', 'x', { 'content-type': 'image/png' })).status, 415);
  assert.equal((await at('PUT', 'Binary?_id=b1', 'x', { 'content-type': 'image/png' })).status, 415);
  assert.equal((await at('POST', 'Binary', '', { 'content-type': 'image/png' })).status, 400);
});
