// What /health shows of the parts: figures to keep an eye on, which warn without making the server unready.
import test, { after, before } from 'node:test';
import assert from 'node:assert/strict';
import { randomUUID } from 'node:crypto';
import { start, call, store } from './lib/server.mjs';
import { assertion, keyPair, keyServer, postToken, putClient, seedClient, tokenRequest } from './lib/smart.mjs';

const sleep = (ms) => new Promise((ok) => setTimeout(ok, ms));
let server, sets;
before(async () => {
  sets = await keyServer();
  server = await start({ plugins: { jwks: { allow: sets.base } } });
});
after(async () => { await server.stop(); assert.doesNotMatch(server.output(), /Sanitizer|runtime error/); server.remove(); sets.close(); });

const checks = async () => (await call('GET', `${server.adminBase}/health`)).json.checks;
// The checks are asked once a second: waits until the named one is so.
const becomes = async (name, is) => {
  for (const end = Date.now() + 20000; ; await sleep(100)) {
    const c = (await checks())[name]?.[0];
    if (c && is(c)) return c;
    assert.ok(Date.now() < end, `${name}: ${JSON.stringify(c)}`);
  }
};

test('the store shows how long it takes and how full its queue or pool is', async () => {
  assert.equal((await call('PUT', `${server.fhir}/Patient/a`, { resourceType: 'Patient', id: 'a' }, server.admin)).status, 201);
  const latency = await becomes('store:latency', (c) => c.observedValue > 0);
  assert.equal(latency.observedUnit, 'us');
  assert.ok(latency.observedValue < 60e6, JSON.stringify(latency));
  const pool = await becomes('store:pool', (c) => c.status === 'pass');
  assert.ok(Number.isInteger(pool.observedValue) && pool.observedUnit, JSON.stringify(pool));
});
test('what is slow by the measure of the operator is an event, without what was asked', async () => {
  const slow = await start({ quick: true, plugins: { 'store-sqlite': { slow: '1ms' } } });
  try {
    const entry = Array.from({ length: 1000 }, (_, n) => ({ resource: { resourceType: 'Patient', id: `secret-name-${n}`, name: [{ family: 'Fam' }] }, request: { method: 'PUT', url: `Patient/secret-name-${n}` } }));
    assert.equal((await call('POST', slow.fhir, { resourceType: 'Bundle', type: 'transaction', entry }, slow.admin)).status, 200);
    const [line] = await slow.logged(/.*"event":"store.slow".*/);
    assert.match(line, /"level":"warn".*"msg":"\w+ took \d+ ms"/);
    assert.doesNotMatch(line, /secret-name|Fam/);
  } finally { await slow.stop(); slow.remove(); }
});
test('the key that signs shows its age', async () => {
  const age = await becomes('keys:age', (c) => c.status === 'pass');
  assert.deepEqual([age.observedValue, age.observedUnit], [0, 'days']);
});
test('a key set that cannot be fetched warns until one can, and the server stays ready', async () => {
  assert.equal((await becomes('jwks:fetch', () => true)).status, 'pass');
  const attempt = async (answer) => {
    const id = randomUUID(), key = keyPair('ES384', 'k');
    sets.set(`/${id}`, answer(key));
    await putClient(server, id, seedClient({ jwks_uri: `${sets.base}/${id}`, jwks: undefined }));
    return (await postToken(server, tokenRequest(assertion(server, id, key)))).status;
  };
  assert.equal(await attempt(() => (req, res) => { res.writeHead(500); res.end(); }), 401);
  const bad = await becomes('jwks:fetch', (c) => c.status === 'warn');
  assert.match(bad.output, /jwks\.fetch\.failed/);
  const ready = await call('GET', `${server.base}/health/ready`);
  assert.equal(ready.status, 200);
  assert.deepEqual(ready.json, { status: 'warn' });
  assert.equal(await attempt((key) => (req, res) => { res.writeHead(200, { 'content-type': 'application/json' }); res.end(JSON.stringify({ keys: [key.jwk] })); }), 200);
  assert.equal((await becomes('jwks:fetch', (c) => c.status === 'pass')).output, undefined);
});
test('whoever is not on the admin listener sees only the whole', async () => {
  assert.deepEqual(Object.keys((await call('GET', `${server.base}/health`)).json), ['status']);
});
