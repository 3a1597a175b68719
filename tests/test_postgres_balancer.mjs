// Three nodes behind a balancer, under a load of everything: one is killed and comes back, one is drained and stopped. No
// write that was acknowledged is lost or there twice, nothing but what the killed node had under way fails, and searches and
// histories are right afterwards.
import { test } from 'node:test';
import assert from 'node:assert/strict';
import { startPostgres } from './lib/postgres.mjs';
import { balancer, haproxy, killNode, node, restartNode, until } from './lib/nodes.mjs';
import { call, control, freePort, indexAgrees, sleep } from './lib/server.mjs';
import { allow, assertion, bearer, keyPair, postToken, putClient, seedClient, tokenRequest } from './lib/smart.mjs';

const clients = 12, keys = 6;

// Each client does one thing after the other until it is told to end. What was acknowledged is noted, and what may have
// been done although it was not.
const loading = (server, key) => {
  const done = { created: new Set(), put: new Set(), own: new Map(), hot: new Map(), bundles: new Set(), once: new Map(), tokens: 0, reads: 0 };
  const unknown = { created: new Set(), put: new Set(), bundles: new Set(), writes: 0 };
  const failures = [];
  let on = true;
  const patient = (id, more) => ({ resourceType: 'Patient', id, ...more });
  const ask = (method, path, body, headers = {}) => call(method, `${server.fhir}/${path}`, body, { ...server.admin, ...headers });

  const kinds = {
    created: async (c, n, send) => {
      const value = `${c}-${n}`;
      const r = await send('POST', 'Observation', { resourceType: 'Observation', status: 'final', code: { text: 'x' }, identifier: [{ system: 'urn:created', value }] }, {}, [201], () => unknown.created.add(value));
      if (!r) return;
      done.created.add(value);
      const found = await send('GET', `Observation?identifier=urn:created|${value}`, undefined, {}, [200]);
      if (found) assert.equal(found.json.entry?.length, 1, `its own write: ${found.text}`);
    },
    put: async (c, n, send) => {
      const id = `put-${c}-${n}`;
      const r = await send('PUT', `Patient/${id}`, patient(id), {}, [201], () => unknown.put.add(id));
      if (!r) return;
      done.put.add(id);
      const read = await send('GET', `Patient/${id}`, undefined, {}, [200]);
      if (read) { assert.equal(read.json.meta.versionId, '1'); done.reads++; }
    },
    // Repeated, should no answer come: by its condition it is done once, and 412 says that it was.
    own: async (c, n, send) => {
      const family = `own${n}`, mine = done.own.get(c) ?? [], last = mine.at(-1)?.[0], sent = failures.length;
      const condition = last ? { 'if-match': `W/"${last}"` } : { 'if-none-match': '*' };
      let r = await repeat(send, 'PUT', `Patient/own-${c}`, patient(`own-${c}`, { name: [{ family }] }), condition, [200, 201, 412]);
      if (r?.status === 412) {
        assert.ok(failures.slice(sent).some((f) => f.c === c), r.text);
        r = await repeat(send, 'GET', `Patient/own-${c}`, undefined, {}, [200]);
        assert.equal(r?.json.name[0].family, family, 'it was the first that was done');
      }
      if (r) done.own.set(c, [...mine, [r.json.meta.versionId, family]]);
    },
    hot: async (c, n, send) => {
      const family = `hot${c}x${n}`;
      const r = await send('PUT', 'Patient/hot', patient('hot', { name: [{ family }] }), {}, [200, 201], () => unknown.writes++);
      if (!r) return;
      assert.ok(!done.hot.has(r.json.meta.versionId), 'a version for each');
      done.hot.set(r.json.meta.versionId, family);
    },
    bundles: async (c, n, send) => {
      const id = `bundle-${c}-${n}`;
      const entry = [0, 1, 2].map((i) => ({ resource: patient(`${id}-${i}`, { link: [{ other: { reference: `Patient/${id}-${(i + 1) % 3}` }, type: 'seealso' }] }), request: { method: 'PUT', url: `Patient/${id}-${i}` } }));
      if (await send('POST', '', { resourceType: 'Bundle', type: 'transaction', entry }, {}, [200], () => unknown.bundles.add(id))) done.bundles.add(id);
    },
    once: async (c, n, send) => {
      const value = `k${(c + n) % keys}`;
      const r = await repeat(send, 'POST', 'Patient', { resourceType: 'Patient', identifier: [{ system: 'urn:once', value }] }, { 'if-none-exist': `identifier=urn:once|${value}` }, [200, 201]);
      if (r) done.once.set(value, (done.once.get(value) ?? new Set()).add(r.json.id));
    },
    // One assertion, sent twice at the same time: one of the nodes takes it.
    tokens: async (c, n, send) => {
      const form = tokenRequest(assertion(server, 'load', key));
      const both = await Promise.all([0, 1].map(() => send('token', form)));
      if (both.some((r) => !r)) return;
      assert.deepEqual(both.map((r) => r.status).sort(), [200, 401], both.map((r) => r.text).join('\n'));
      const token = both.find((r) => r.status === 200).json.access_token;
      if (await send('GET', 'Patient?_count=1', undefined, bearer(token), [200])) done.tokens++;
    },
  };

  // The answer, if it is one of those that are right; what was sent and is not answered may have been done.
  const send = (c) => async (method, path, body, headers, right = [200, 401], onFailure = () => {}) => {
    const begun = Date.now();
    const r = await (method === 'token' ? postToken(server, path) : ask(method, path, body, headers)).catch((e) => ({ status: `failed: ${e.cause?.code ?? e}`, text: '' }));
    if (right.includes(r.status)) return r;
    failures.push({ c, begun, ended: Date.now(), what: `${method} ${typeof path === 'string' ? path : ''}`, status: r.status, text: r.text.slice(0, 200) });
    onFailure();
    return undefined;
  };
  // Until there is an answer: one of the nodes gives it.
  const repeat = async (by, ...what) => {
    for (const end = Date.now() + 30000; on && Date.now() < end; await sleep(20)) {
      const r = await by(...what);
      if (r) return r;
    }
    if (on) throw new Error(`no answer to ${what[0]} ${what[1]}`);
  };
  const names = Object.keys(kinds);
  let wrong;
  const one = async (c) => {
    for (let n = 0; on && failures.length < 1000; n++) await kinds[names[(c + n) % names.length]](c, n, send(c));
  };
  const all = Array.from({ length: clients }, (_, c) => one(c).catch((e) => { wrong ??= e; on = false; }));
  const count = () => done.created.size + done.put.size + done.hot.size + done.bundles.size + done.tokens;
  return { done, unknown, failures, count, wrong: () => wrong, stop: async () => { on = false; await Promise.all(all); if (wrong) throw wrong; } };
};

// Everything that was acknowledged is there once; what was not is there at most once, and transactions are whole.
const verify = async (server, pg, load) => {
  const { done, unknown } = load;
  const rows = (sql) => pg.sql(sql, 'balanced').filter(Boolean).map((l) => l.split('|'));
  const count = new Map(rows("SELECT r.id, count(*) FROM andiron.resource r JOIN andiron.version v USING (rid) WHERE r.id ~ '^(put|bundle)-' GROUP BY r.id").map(([id, n]) => [id, Number(n)]));
  for (const [id, n] of count) assert.equal(n, 1, `${id} was written once`);
  const part = (id, i) => `${id}-${i}`;
  for (const id of done.put) assert.ok(count.has(id), `${id} is lost`);
  for (const id of done.bundles) for (const i of [0, 1, 2]) assert.ok(count.has(part(id, i)), `${part(id, i)} is lost`);
  for (const id of unknown.bundles) assert.ok([0, 3].includes([0, 1, 2].filter((i) => count.has(part(id, i))).length), `${id} is whole, or not there`);
  assert.ok(count.size <= done.put.size + unknown.put.size + 3 * (done.bundles.size + unknown.bundles.size), 'nothing else');

  const get = async (path) => { const r = await call('GET', `${server.fhir}/${path}`, undefined, server.admin); assert.equal(r.status, 200, r.text); return r.json; };
  const all = async (path) => {
    const found = [];
    for (let page = await get(path); ; page = await (await call('GET', page.link.find((l) => l.relation === 'next').url.replace(server.balanced, server.base), undefined, server.admin)).json) {
      found.push(...(page.entry ?? []).map((e) => e.resource));
      if (!page.link.some((l) => l.relation === 'next')) return found;
    }
  };
  const created = (await all('Observation?identifier=urn:created|&_count=500')).map((o) => o.identifier[0].value);
  assert.equal(new Set(created).size, created.length, 'each once');
  for (const value of done.created) assert.ok(created.includes(value), `${value} is lost`);
  for (const value of created) assert.ok(done.created.has(value) || unknown.created.has(value), `${value} was sent`);
  for (const [value, ids] of done.once) {
    const found = (await all(`Patient?identifier=urn:once|${value}`)).map((p) => p.id);
    assert.deepEqual([...ids], found, `one Patient for ${value}`);
  }

  // Histories: versions without a gap, newest first, and what each answer said.
  const history = async (id, acknowledged) => {
    const versions = await all(`Patient/${id}/_history?_count=1000`);
    assert.deepEqual(versions.map((v) => Number(v.meta.versionId)), Array.from({ length: versions.length }, (_, i) => versions.length - i), id);
    const families = new Map(versions.map((v) => [v.meta.versionId, v.name[0].family]));
    for (const [version, family] of acknowledged) assert.equal(families.get(version), family, `${id} version ${version}`);
    assert.equal(new Set(families.values()).size, versions.length, `${id}: no write is there twice`);
    const excess = versions.length - acknowledged.length;
    assert.ok(excess >= 0 && excess <= unknown.writes, `${id}: ${versions.length} versions, ${acknowledged.length} answers`);
  };
  await history('hot', [...done.hot]);
  for (const [c, acknowledged] of done.own) await history(`own-${c}`, acknowledged);
  await indexAgrees(server);
};

test('a node is killed, another drained and stopped', { skip: haproxy ? false : 'no haproxy is installed' }, async (t) => {
  const pg = await startPostgres(), nodes = [];
  let proxy, load;
  try {
    const dsn = pg.database('balanced'), ports = [await freePort(), await freePort(), await freePort()];
    proxy = await balancer(ports);
    nodes.push(...await Promise.all(ports.map((port) => node({ dsn, base: proxy.base, port }))));
    const server = { base: proxy.base, fhir: `${proxy.base}/fhir`, admin: nodes[0].admin };
    await until('all are up', async () => (await proxy.up()) === 3, 60000);
    const key = keyPair('ES384', 'k');
    await putClient(server, 'load', seedClient({ jwks: [key.jwk] }));
    await allow(server, 'load');
    load = loading(server, key);
    const goesOn = async () => { const before = load.count(); await until('the load goes on', () => { if (load.wrong()) throw load.wrong(); return load.count() > before + 60; }, 60000); };
    await goesOn();
    assert.deepEqual(load.failures, []);

    const killing = Date.now();
    await killNode(nodes[0]);
    await goesOn();
    await until('it is out', async () => !(await proxy.takes(0)), 60000);
    const out = Date.now();
    await goesOn();
    nodes[0] = await restartNode(nodes[0]);
    await until('it is back', async () => (await proxy.up()) === 3, 60000);
    await goesOn();

    // As the operator guide says: drain, wait until the balancer has seen it, stop.
    assert.equal((await control(nodes[1], 'POST', '/control/drain')).status, 200);
    await until('it is out', async () => !(await proxy.takes(1)), 60000);
    await goesOn();
    assert.deepEqual(await nodes[1].stop(), { code: 0, signal: null });
    await goesOn();
    await load.stop();
    t.diagnostic(`${load.failures.length} requests failed, ${load.count()} done`);
    // What was under way at the killed node, and what the balancer still sent over connections to it that it had kept open: it says
    // so, or cuts the client's connection. Once it has taken the node out nothing fails, whatever else happens.
    const wrong = load.failures.filter((f) => f.begun > out || f.ended < killing || ![502, 503, 'failed: UND_ERR_SOCKET', 'failed: ECONNRESET'].includes(f.status));
    assert.deepEqual(wrong, [], `killed ${killing}, out ${out}\n${proxy.output()}`);
    for (const at of [nodes[0], nodes[2]]) await verify({ ...at, balanced: proxy.base }, pg, load);
    assert.ok(load.done.tokens > 0 && load.done.reads > 0);
  } finally {
    await load?.stop().catch(() => {});
    for (const n of nodes) { await n.stop(); n.remove(); }
    await proxy?.stop();
    await pg.stop();
  }
});
