// What is counted, and what HEAD and OPTIONS say.
import test, { before, after } from 'node:test';
import assert from 'node:assert/strict';
import { start, call } from './lib/server.mjs';

let server, admin;
before(async () => { server = await start(); admin = server.admin; });
after(async () => { await server.stop(); server.remove(); });
const fhir = (method, path, body, headers = {}) => call(method, path ? `${server.fhir}/${path}` : server.fhir, body, { ...admin, ...headers });

test('interactions are counted by type, interaction and class; entries of bundles too', async () => {
  await fhir('PUT', 'Patient/m1', { resourceType: 'Patient', id: 'm1' });
  await fhir('GET', 'Patient/m1');
  await fhir('GET', 'Patient/m1');
  await fhir('GET', 'Patient/unknown');
  await fhir('GET', 'Nothing/1');
  await fhir('GET', 'Client/root');
  await fhir('GET', 'Patient?_count=1');
  await fhir('GET', '_history');
  const bundle = await fhir('POST', '', { resourceType: 'Bundle', type: 'transaction', entry: [{ resource: { resourceType: 'Basic', code: { text: 'x' } }, request: { method: 'POST', url: 'Basic' } }, { request: { method: 'GET', url: 'Patient/m1' } }] });
  assert.equal(bundle.status, 200, bundle.text);
  const { text } = await call('GET', `${server.adminBase}/metrics`);
  const count = (type, interaction, code) => Number(text.match(new RegExp(`^andiron_fhir_interactions_total\\{type="${type}",interaction="${interaction}",code="${code}"\\} (\\d+)$`, 'm'))?.[1] ?? 0);
  assert.equal(count('Patient', 'update', '2xx'), 1);
  assert.equal(count('Patient', 'read', '2xx'), 3);
  assert.equal(count('Patient', 'read', '4xx'), 1);
  assert.equal(count('other', 'read', '4xx'), 1);
  assert.equal(count('other', 'read', '2xx'), 1);
  assert.equal(count('Patient', 'search-type', '2xx'), 1);
  assert.equal(count('', 'history-system', '2xx'), 1);
  assert.equal(count('', 'transaction', '2xx'), 1);
  assert.equal(count('Basic', 'create', '2xx'), 1);
  assert.ok(!text.includes('Nothing') && !text.includes('m1'), 'no id and no unknown type in a label');
});

test('HEAD is GET without a body, everywhere', async () => {
  for (const path of ['metadata', 'Patient/m1', 'Patient?_count=1', 'Patient/m1/_history', 'Patient/m1/_history/1', 'Patient/_history', '_history', '?_type=Patient', 'Patient/m1/Observation', 'Patient/unknown']) {
    const at = (method) => call(method, path.startsWith('?') ? server.fhir + path : `${server.fhir}/${path}`, undefined, admin);
    const [get, head] = [await at('GET'), await at('HEAD')];
    assert.equal(head.status, get.status, path);
    assert.equal(head.text, '', path);
    assert.equal(head.headers.get('content-type'), get.headers.get('content-type'), path);
    assert.equal(head.headers.get('etag'), get.headers.get('etag'), path);
  }
});

test('OPTIONS and 405 name the methods of a path', async () => {
  const options = await call('OPTIONS', `${server.fhir}/Patient/m1`);
  assert.equal(options.status, 204);
  assert.equal(options.headers.get('allow'), 'GET, HEAD, PUT, PATCH, DELETE, OPTIONS');
  for (const [method, path, allow] of [['POST', 'Patient/m1', 'GET, HEAD, PUT, PATCH, DELETE'], ['DELETE', 'Patient/m1/_history', 'GET, HEAD'], ['PUT', '', 'POST, GET, HEAD'], ['PATCH', 'metadata', 'GET, HEAD']]) {
    const r = await fhir(method, path);
    assert.equal(r.status, 405, `${method} ${path}`);
    assert.equal(r.headers.get('allow'), allow);
    assert.equal(r.json.issue[0].code, 'not-supported');
  }
});
