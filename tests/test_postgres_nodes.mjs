// Two nodes over one database act as one: what is changed on the one is in force on the other, whether it is told or has to
// look; names are taken once; and the one goes on when the other is gone.
import { test, describe, before, after } from 'node:test';
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { startPostgres } from './lib/postgres.mjs';
import { killNode, node, restartNode } from './lib/nodes.mjs';
import { bin, call, basic, freePort, rootBundle, sleep } from './lib/server.mjs';
import { allow, assertion, bearer, getToken, headerOf, keyPair, postForm, postToken, putClient, seedClient, tokenRequest } from './lib/smart.mjs';

const secret = 'a secret of some length';
const policy = (id) => ({ resourceType: 'AccessPolicy', id, engine: 'allow', link: [{ resourceType: 'Client', id }] });
const get = (n, path, headers) => call('GET', `${n.fhir}/${path}`, undefined, headers);
// Milliseconds until a request is answered so; fails after some seconds.
const until = async (status, ask) => {
  const begun = Date.now();
  for (;;) {
    const r = await ask();
    if (r.status === status) return Date.now() - begun;
    assert.ok(Date.now() - begun < 8000, `${r.status} ${r.text}`);
    await sleep(10);
  }
};
const keys = (n, ...args) => new Promise((ok, no) => {
  const child = spawn(bin, ['-c', n.etc, 'keys', ...args, '--json'], { stdio: ['ignore', 'pipe', 'pipe'] });
  let stdout = '', stderr = '';
  child.stdout.on('data', (d) => { stdout += d; });
  child.stderr.on('data', (d) => { stderr += d; });
  child.on('close', (status) => (status === 0 ? ok(JSON.parse(stdout).keys) : no(new Error(stderr))));
});

// Told by NOTIFY alone, since nobody looks within this test; and by looking alone, as behind a pooler, since nobody listens.
const ways = [['told', { 'poll-interval': '60s' }], ['that look', { prepare: 'no' }]];

for (const [how, settings] of ways) describe(`changes between nodes ${how}`, () => {
  let pg, a, b;
  const database = how === 'told' ? 'told' : 'looking';
  before(async () => {
    pg = await startPostgres();
    const dsn = pg.database(database), port = await freePort(), base = `http://127.0.0.1:${port}`;
    const plugins = { 'store-postgres': settings, auth: { 'max-failures': '0' } };
    // One of them has a key before the other asks.
    a = await node({ dsn, base, port, plugins });
    b = await node({ dsn, base, plugins, init: false });
    b.aud = base;
    await putClient(a, 'c', seedClient({ jwks: [key.jwk] }));
    await allow(a, 'c');
    await until(200, async () => postToken(b, tokenRequest(assertion(b, 'c', key))));
  });
  after(async () => {
    for (const n of [a, b]) { await n?.stop(); n?.remove(); }
    await pg?.stop();
  });
  const key = keyPair('ES384', 'c'), took = [];
  const put = async (path, body) => { const r = await call('PUT', `${a.fhir}/${path}`, body, a.admin); assert.ok(r.status < 300, r.text); };
  const drop = async (path) => { const r = await call('DELETE', `${a.fhir}/${path}`, undefined, a.admin); assert.ok(r.status < 300, r.text); };

  test('clients and policies: new, changed and deleted ones', async () => {
    const mine = { authorization: basic('ward', secret) }, ask = () => get(b, 'Patient', mine);
    assert.equal((await ask()).status, 401);
    await put('Client/ward', { resourceType: 'Client', id: 'ward', secret, grant_types: ['basic'] });
    took.push(await until(403, ask));
    await put('AccessPolicy/ward', policy('ward'));
    took.push(await until(200, ask));
    await put('AccessPolicy/ward', { ...policy('ward'), engine: 'matcho', matcho: { 'request-method': 'delete' } });
    took.push(await until(403, ask));
    await put('AccessPolicy/ward', policy('ward'));
    took.push(await until(200, ask));
    await drop('AccessPolicy/ward');
    took.push(await until(403, ask));
    await drop('Client/ward');
    took.push(await until(401, ask));
  });

  test('keys: what one signs with a new one the other accepts; revoked ones are refused', async () => {
    const before = await getToken(a, 'c', key);
    const r = await get(b, 'Patient', bearer(before));
    assert.equal(r.status, 200, `${r.text}\n${b.log().slice(-4000)}`);
    const list = await keys(a, 'rotate', '--now'), active = list.find((k) => k.state === 'active').kid;
    const token = await getToken(a, 'c', key);
    assert.equal(headerOf(token).kid, active);
    took.push(await until(200, () => get(b, 'Patient', bearer(token))));
    assert.equal((await get(b, 'Patient', bearer(before))).status, 200, 'a retired key still verifies');
    await keys(a, 'retire', headerOf(before).kid, '--revoke');
    took.push(await until(401, () => get(b, 'Patient', bearer(before))));
    assert.equal((await get(b, 'Patient', bearer(token))).status, 200);
  });

  test('sessions: tokens that are revoked', async () => {
    for (const [id, format] of [['opaque', {}], ['signed', { token_format: 'jwt' }]]) {
      await putClient(a, id, { grant_types: ['client_credentials'], secret, auth: { client_credentials: format } });
      await allow(a, id);
      const mine = { authorization: basic(id, secret) };
      const { access_token: token } = (await postForm(a, { grant_type: 'client_credentials' }, mine)).json;
      await until(200, () => get(b, 'Patient', bearer(token)));
      const revoked = await call('POST', `${a.base}/auth/revoke`, new URLSearchParams({ token }).toString(), { ...mine, 'content-type': 'application/x-www-form-urlencoded' });
      assert.equal(revoked.status, 200, revoked.text);
      took.push(await until(401, () => get(b, 'Patient', bearer(token))));
    }
  });

  test('an assertion is taken once, by whomever', async () => {
    for (let i = 0; i < 6; i++) {
      const form = tokenRequest(assertion(b, 'c', key));
      const all = await Promise.all([a, b, a, b].map((n) => postToken(n, form)));
      assert.deepEqual(all.map((r) => r.status).sort(), [200, 401, 401, 401], all.map((r) => r.text).join('\n'));
    }
  });

  test('search parameters: new and deleted ones', async () => {
    const ask = () => get(b, 'Patient?shoe-size=44', { ...a.admin, prefer: 'handling=strict' });
    assert.equal((await ask()).status, 400);
    await put('SearchParameter/shoe', { resourceType: 'SearchParameter', id: 'shoe', url: 'http://example.org/shoe', name: 'shoe', status: 'active', description: 'x', code: 'shoe-size', base: ['Patient'], type: 'token', expression: "Patient.extension('http://example.org/shoe').value" });
    took.push(await until(503, ask)); // it is being built
    await drop('SearchParameter/shoe');
    took.push(await until(400, ask));
  });

  test('all of that within a second', (t) => {
    t.diagnostic(`ms: ${took.join(' ')}`);
    // Each in some seconds, which until() saw to; of one the machine may have been busy.
    assert.ok(took.sort((x, y) => x - y)[Math.floor(took.length / 2)] < 1000, String(took));
  });

  if (how === 'told') test('what is changed while nobody listens is found as soon as somebody does', async () => {
    const mine = { authorization: basic('deaf', secret) };
    assert.equal((await get(b, 'Patient', mine)).status, 401);
    // One of the connections listens, and does other things, too: all are ended. What is asked next waits for new ones.
    const connections = () => Number(pg.sql(`SELECT count(*) FROM pg_stat_activity WHERE datname = '${database}' AND pid <> pg_backend_pid() AND backend_type = 'client backend'`)[0]);
    for (const end = Date.now() + 20000; connections() < 8 && Date.now() < end;) await sleep(50);
    const ended = pg.sql(`SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity WHERE datname = '${database}' AND pid <> pg_backend_pid() AND backend_type = 'client backend'`);
    assert.ok(ended.length >= 2, String(ended));
    for (const n of [a, b]) await until(401, () => get(n, 'Patient', mine));
    await put('Client/deaf', { resourceType: 'Client', id: 'deaf', secret, grant_types: ['basic'] });
    await until(403, () => get(b, 'Patient', mine));
    await put('AccessPolicy/deaf', policy('deaf')); // it listens again
    await until(200, () => get(b, 'Patient', mine));
  });
});

describe('nodes', () => {
  let pg, a, b;
  before(async () => {
    pg = await startPostgres();
    const dsn = pg.database('nodes'), init = rootBundle();
    for (let i = 0; i < 30; i++) init.entry.push({ resource: { resourceType: 'Patient', id: `init${i}` }, request: { method: 'PUT', url: `Patient/init${i}` } });
    init.entry.push({ resource: { resourceType: 'Basic', code: { text: 'made by POST' } }, request: { method: 'POST', url: 'Basic', ifNoneExist: 'code:text=made' } });
    // At the same moment: one makes the tables, one applies the init bundle, the others wait for it.
    const nodes = await Promise.all([0, 1, 2].map(() => node({ dsn, init })));
    [a, b] = nodes;
    await nodes[2].stop();
    nodes[2].remove();
  });
  after(async () => {
    for (const n of [a, b]) { await n?.stop(); n?.remove(); }
    await pg?.stop();
  });
  const put = async (n, path, body) => { const r = await call('PUT', `${n.fhir}/${path}`, body, a.admin); assert.ok(r.status < 300, r.text); return r; };

  test('of three that start at once one applies the init bundle', () => {
    assert.equal(pg.sql("SELECT count(*) FROM andiron.resource WHERE id = 'root' AND st = 0", 'nodes')[0], '2'); // Client and AccessPolicy
    assert.equal(pg.sql("SELECT count(*) FROM andiron.version v JOIN andiron.resource r USING (rid) WHERE r.id ~ '^(root|init)'", 'nodes')[0], '32', 'each in its first version');
    assert.equal(pg.sql("SELECT count(*) FROM andiron.resource r JOIN andiron.restype t ON t.id = r.type WHERE t.name = 'Basic' AND st = 0", 'nodes')[0], '1');
  });

  test('what one writes the other reads and finds at once', async () => {
    for (let i = 0; i < 10; i++) {
      const [one, other] = i % 2 ? [a, b] : [b, a];
      await put(one, `Patient/seen-${i}`, { resourceType: 'Patient', id: `seen-${i}`, identifier: [{ value: `seen-${i}` }] });
      assert.equal((await get(other, `Patient/seen-${i}`, a.admin)).status, 200);
      assert.equal((await get(other, `Patient?identifier=seen-${i}`, a.admin)).json.entry.length, 1);
    }
  });

  test('two conditional creates at both nodes make one resource', async () => {
    for (let i = 0; i < 8; i++) {
      const body = { resourceType: 'Patient', identifier: [{ system: 'urn:x', value: `once-${i}` }] };
      const all = await Promise.all([a, b, a, b].map((n) => call('POST', `${n.fhir}/Patient`, body, { ...a.admin, 'if-none-exist': `identifier=urn:x|once-${i}` })));
      assert.deepEqual(all.map((r) => r.status).sort(), [200, 200, 200, 201], all.map((r) => r.text).join('\n'));
      assert.equal((await get(b, `Patient?identifier=urn:x|once-${i}`, a.admin)).json.entry.length, 1);
    }
  });

  test('updates of one resource at both nodes are versions without a gap', async () => {
    await put(a, 'Patient/hot', { resourceType: 'Patient', id: 'hot' });
    const all = await Promise.all(Array.from({ length: 40 }, (_, i) => call('PUT', `${(i % 2 ? a : b).fhir}/Patient/hot`, { resourceType: 'Patient', id: 'hot', name: [{ family: `n${i}` }] }, a.admin)));
    assert.deepEqual(all.filter((r) => r.status !== 200).map((r) => r.text), []);
    const seen = all.map((r) => Number(r.json.meta.versionId)).sort((x, y) => x - y);
    assert.deepEqual(seen, Array.from({ length: 40 }, (_, i) => i + 2));
  });

  test('the other goes on when one is killed, and the one is back at once', async () => {
    await killNode(a);
    await put(b, 'Patient/alone', { resourceType: 'Patient', id: 'alone' });
    const again = await restartNode(a);
    assert.equal((await get(again, 'Patient/alone', a.admin)).status, 200);
    a = again;
  });
});
