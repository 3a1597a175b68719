// What was acknowledged is there after kill -9, whole, once, and found by what it says now; and nobody outlives the supervisor.
import test from 'node:test';
import assert from 'node:assert/strict';
import { spawn, spawnSync } from 'node:child_process';
import fs from 'node:fs';
import http from 'node:http';
import net from 'node:net';
import path from 'node:path';
import { randomBytes } from 'node:crypto';
import { configure, start, call, fresh, sanitized, sleep, indexAgrees, notOn, stored, storeOf } from './lib/server.mjs';
import { allow, assertion, bearer, keyPair, postToken, putClient, seedClient, tokenRequest } from './lib/smart.mjs';

const slow = sanitized ? 4 : 1;
const workers = (server) => { try { return fs.readFileSync(`/proc/${server.child.pid}/task/${server.child.pid}/children`, 'utf8').trim().split(' ').filter(Boolean).map(Number); } catch { return []; } };
const alive = (pid) => fs.existsSync(`/proc/${pid}`) && !/^State:\s+Z/m.test(fs.readFileSync(`/proc/${pid}/status`, 'utf8'));
const until = async (what, ms = 10000) => { for (const end = Date.now() + ms; Date.now() < end; await sleep(5)) if (await what()) return true; return false; };
const serve = async (t, options = {}) => {
  const server = await start({ quick: true, ...options });
  const box = { server };
  t.after(async () => { const end = await box.server.stop(); box.server.remove(); assert.deepEqual(end, { code: 0, signal: null }); });
  return box;
};
// A request over a connection of its own kind; undefined if no answer came.
const ask = (agent, server, method, target, body) => new Promise((done) => {
  const text = body === undefined ? undefined : JSON.stringify(body);
  const req = http.request(server.fhir + target, { agent: agent ?? false, method, headers: { ...server.admin, accept: 'application/json', ...(text ? { 'content-type': 'application/json', 'content-length': Buffer.byteLength(text) } : {}) } }, (res) => {
    let got = '';
    res.on('data', (d) => { got += d; });
    res.on('end', () => done(res.complete ? { status: res.statusCode, text: got, json: got ? JSON.parse(got) : undefined } : undefined));
    res.on('error', () => done(undefined));
    res.on('aborted', () => done(undefined));
  });
  req.on('error', () => done(undefined));
  req.end(text);
});
const killAll = (server) => { for (const pid of [server.child.pid, ...workers(server)]) try { process.kill(pid, 'SIGKILL'); } catch { /* gone */ } };
const refuses = (server) => new Promise((done) => { const s = net.connect(server.port, '127.0.0.1', () => { s.destroy(); done(false); }); s.on('error', () => done(true)); });
const restart = async (box) => { await box.server.exit; await until(() => refuses(box.server)); box.server = await start({ at: box.server }); };

// Writers that create, update and delete, each on ids of its own; what they know in the end: for each id the last state that
// was acknowledged, and the one that was asked for last.
const family = (id, n) => `F${id.replace(/-/g, '')}x${n}`;
const writers = (server, count, round) => {
  const known = new Map();
  let running = true;
  const one = async (w) => {
    const agent = new http.Agent({ keepAlive: true, maxSockets: 1 });
    for (let n = 0; running; n++) {
      const id = `r${round}-w${w}-${n % 5}`, entry = known.get(id) ?? { acknowledged: null, versions: 0 };
      known.set(id, entry);
      const wanted = n % 11 === 10 ? 'deleted' : family(id, n);
      entry.asked = wanted;
      const answer = wanted === 'deleted' ? await ask(agent, server, 'DELETE', `/Patient/${id}`)
        : await ask(agent, server, 'PUT', `/Patient/${id}`, { resourceType: 'Patient', id, name: [{ family: wanted }], identifier: [{ system: 'urn:durability', value: wanted }], text: { status: 'generated', div: `<div xmlns="http://www.w3.org/1999/xhtml">${'x'.repeat(n % 3000)}${wanted}</div>` } });
      if (answer === undefined) break;
      if (answer.status >= 500) { await sleep(5); continue; }
      assert.ok(answer.status === 200 || answer.status === 201 || answer.status === 204, `${answer.status} ${answer.text}`);
      entry.acknowledged = wanted;
      entry.count = (entry.count ?? 0) + 1;
      entry.asked = undefined;
    }
    agent.destroy();
  };
  const all = Array.from({ length: count }, (_, w) => one(w));
  return { known, stop: async () => { running = false; await Promise.all(all); }, done: Promise.all(all) };
};

// Reads everything the writers touched and compares it with what they know, and with what searches find.
const verify = async (server, known) => {
  const agent = new http.Agent({ keepAlive: true, maxSockets: 4 });
  let acknowledged = 0;
  await Promise.all([...known].map(async ([id, entry]) => {
    const read = await ask(agent, server, 'GET', `/Patient/${id}`);
    const state = read.status === 200 ? read.json.name[0].family : read.status === 410 ? 'deleted' : null;
    assert.ok([200, 404, 410].includes(read.status), `${id}: ${read.status} ${read.text}`);
    assert.ok(state === entry.acknowledged || (entry.asked !== undefined && state === entry.asked), `${id}: acknowledged ${entry.acknowledged}, then asked for ${entry.asked}, and is ${state}`);
    acknowledged += entry.count ?? 0;
    if (read.status === 200) {
      assert.equal(read.json.identifier[0].value, state);
      assert.ok(read.json.text.div.endsWith(`${state}</div>`), 'the whole text');
    }
    // Versions: one for each acknowledged write, and at most one more.
    if (read.status !== 404) {
      const history = (await ask(agent, server, 'GET', `/Patient/${id}/_history?_count=1000`)).json;
      const versions = (history.entry ?? []).map((e) => Number(e.resource?.meta.versionId ?? e.response.etag.match(/"(\d+)"/)[1]));
      assert.ok(versions.length === entry.count || (entry.asked !== undefined && versions.length === (entry.count ?? 0) + 1), `${id}: ${versions.length} versions, ${entry.count} writes`);
      assert.deepEqual(versions, Array.from({ length: versions.length }, (_, i) => versions.length - i));
    }
    for (const value of new Set([entry.acknowledged, entry.asked, family(id, 0), family(id, 5)])) {
      if (value === null || value === undefined || value === 'deleted') continue;
      for (const by of [`identifier=urn:durability%7C${value}`, `family:exact=${value}`]) {
        const found = (await ask(agent, server, 'GET', `/Patient?${by}`)).json;
        assert.deepEqual((found.entry ?? []).map((e) => e.resource.id), value === state ? [id] : [], `${id} is ${state}; ${by}`);
        assert.equal(found.total, value === state ? 1 : 0);
      }
    }
  }));
  agent.destroy();
  assert.ok(await indexAgrees(server) > 0);
  return acknowledged;
};

test('kill -9 of the worker: it is back within a second, with every acknowledged write', async (t) => {
  const box = await serve(t);
  const { server } = box, [before] = workers(server), load = writers(server, 8, 0);
  assert.ok(await until(() => [...load.known.values()].reduce((n, e) => n + (e.count ?? 0), 0) > 60), 'writes are acknowledged');
  const begun = Date.now();
  process.kill(before, 'SIGKILL');
  await load.done;
  assert.ok(await until(async () => { try { return (await fetch(`${server.base}/health/ready`)).status === 200; } catch { return false; } }));
  const outage = Date.now() - begun;
  const [after] = workers(server);
  assert.notEqual(after, before);
  assert.ok(await verify(server, load.known) > 50, 'writes were acknowledged');
  assert.ok(outage < 1000 * slow, `${outage} ms`);
  // And it goes on from there.
  const more = writers(server, 4, 1);
  await sleep(200);
  await more.stop();
  await verify(server, more.known);
});

test('kill -9 of all processes, again and again: every acknowledged write, nothing half-written', async (t) => {
  const box = await serve(t);
  const known = new Map();
  for (let round = 1; round <= 4; round++) {
    const load = writers(box.server, 8, round);
    assert.ok(await until(() => [...load.known.values()].some((e) => e.count > 0)), 'writes are acknowledged');
    await sleep((100 + round * 90) * slow);
    killAll(box.server);
    await load.done;
    await restart(box);
    for (const [id, entry] of load.known) known.set(id, entry);
    assert.ok(await verify(box.server, load.known) > 0, 'writes were acknowledged');
  }
  await verify(box.server, known);
});

test('kill -9 during a transaction: all of it or nothing', async (t) => {
  const box = await serve(t);
  const size = 300, agent = new http.Agent({ keepAlive: true });
  const bundle = (tag) => ({ resourceType: 'Bundle', type: 'transaction', entry: [
    ...Array.from({ length: size }, (_, i) => ({ fullUrl: `urn:uuid:00000000-0000-4000-8000-${String(i).padStart(12, '0')}`, resource: { resourceType: 'Observation', status: 'final', code: { text: tag }, identifier: [{ system: 'urn:tag', value: tag }], ...(i > 0 ? { hasMember: [{ reference: `urn:uuid:00000000-0000-4000-8000-${String(i - 1).padStart(12, '0')}` }] } : {}), note: [{ text: 'x'.repeat(2000) }] }, request: { method: 'POST', url: 'Observation' } })),
    { resource: { resourceType: 'Patient', id: 'counter', identifier: [{ system: 'urn:tag', value: tag }] }, request: { method: 'PUT', url: 'Patient/counter' } },
  ] });
  const count = async (tag) => (await ask(agent, box.server, 'GET', `/Observation?identifier=urn:tag%7C${tag}&_count=0&_total=accurate`)).json.total;
  const begun = Date.now();
  assert.equal((await ask(agent, box.server, 'POST', '', bundle('first'))).status, 200);
  const usual = Date.now() - begun;
  assert.equal(await count('first'), size);
  let last = 'first';
  const seen = { whole: 0, nothing: 0 };
  for (let round = 0; round < 8; round++) {
    const tag = `round-${round}`;
    let answered = false;
    const pending = ask(agent, box.server, 'POST', '', bundle(tag)).then((r) => { answered = r !== undefined && r.status === 200; });
    await sleep(usual * round / 9);
    killAll(box.server);
    await pending;
    await restart(box);
    const stored = await count(tag), patient = (await ask(agent, box.server, 'GET', '/Patient/counter')).json.identifier[0].value;
    assert.ok(stored === 0 || stored === size, `${stored} of ${size}`);
    assert.equal(patient, stored === size ? tag : last, 'its update goes with its creates');
    if (answered) assert.equal(stored, size, 'it was acknowledged');
    seen[stored === size ? 'whole' : 'nothing']++;
    last = patient;
    if (stored === size) {
      const member = (await ask(agent, box.server, 'GET', `/Observation?identifier=urn:tag%7C${tag}&_count=5`)).json.entry.find((e) => e.resource.hasMember);
      assert.equal((await ask(agent, box.server, 'GET', `/${member.resource.hasMember[0].reference}`)).status, 200, 'references hold');
    }
  }
  await indexAgrees(box.server);
  assert.ok(seen.nothing > 0, `kills came too late: ${JSON.stringify(seen)}, ${usual} ms`);
  agent.destroy();
});

// Sets of Patients, each changed as a whole by one transaction after the other, which also creates an Observation: what the writers
// asked for and what was acknowledged. The first set is larger than the writer's cache.
const setSizes = [100, 4, 4];
const setWriter = (server, set, round, log) => {
  const agent = new http.Agent({ keepAlive: true, maxSockets: 1 }), size = setSizes[set];
  const text = randomBytes(set === 0 ? 12000 : 500).toString('base64');
  const transaction = (tag) => ({ resourceType: 'Bundle', type: 'transaction', entry: [
    ...Array.from({ length: size }, (_, i) => ({ resource: { resourceType: 'Patient', id: `s${set}-${i}`, identifier: [{ system: 'urn:set', value: `s${set}` }, { system: 'urn:tag', value: tag }], text: { status: 'generated', div: `<div xmlns="http://www.w3.org/1999/xhtml">${i}${text}</div>` } }, request: { method: 'PUT', url: `Patient/s${set}-${i}` } })),
    { resource: { resourceType: 'Observation', status: 'final', code: { text: tag }, identifier: [{ system: 'urn:made', value: tag }] }, request: { method: 'POST', url: 'Observation' } },
  ] });
  return (async () => {
    for (let n = 0; ; n++) {
      const tag = `r${round}-s${set}-${n}`;
      log.asked.push(tag);
      const answer = await ask(agent, server, 'POST', '', transaction(tag));
      if (answer === undefined) break;
      if (answer.status >= 500) { await sleep(5); continue; } // of a busy machine: not acknowledged
      assert.equal(answer.status, 200, answer.text);
      log.acknowledged.push(tag);
    }
    agent.destroy();
  })();
};
// The tag of a set, which all of its Patients must have; undefined before its first transaction.
const tagOf = async (agent, server, set) => {
  const found = await ask(agent, server, 'GET', `/Patient?identifier=urn:set%7Cs${set}&_count=1000&_elements=identifier`);
  assert.equal(found.status, 200, found.text);
  assert.ok(!found.json.link.some((l) => l.relation === 'next'), 'in one page, which is of one moment');
  const tags = (found.json.entry ?? []).map((e) => e.resource.identifier.find((i) => i.system === 'urn:tag').value), different = [...new Set(tags)];
  assert.ok(tags.length === 0 || (tags.length === setSizes[set] && different.length === 1), `half a transaction: ${tags.length} of ${setSizes[set]}, of ${different}`);
  return different[0];
};
// Each transaction that was acknowledged is there once, and of others only what was asked for, at most once.
const checkSets = async (server, log) => {
  const made = [];
  for (let target = '/Observation?_count=1000&_elements=identifier'; target !== undefined;) {
    const page = await ask(undefined, server, 'GET', target);
    assert.equal(page.status, 200, page.text);
    made.push(...(page.json.entry ?? []).map((e) => e.resource.identifier[0].value));
    const next = page.json.link.find((l) => l.relation === 'next');
    target = next && next.url.slice(next.url.indexOf('/fhir/') + '/fhir'.length);
  }
  const there = new Set(made);
  assert.equal(there.size, made.length, `one is there twice: ${made}`);
  for (const tag of log.acknowledged) assert.ok(there.has(tag), `${tag} was acknowledged and is lost`);
  for (const tag of made) assert.ok(log.asked.includes(tag), `nobody asked for ${tag}`);
  for (const [set] of setSizes.entries()) {
    const own = made.filter((tag) => tag.includes(`-s${set}-`)), tag = await tagOf(undefined, server, set);
    assert.equal(tag, log.asked.filter((t) => there.has(t) && t.includes(`-s${set}-`)).at(-1), 'the last one that was stored');
    if (own.length > 0) assert.equal((await ask(undefined, server, 'GET', `/Patient/s${set}-${setSizes[set] - 1}`)).json.meta.versionId, String(own.length), 'a version for each');
  }
};

test('kill -9 of the process that writes, again and again, while another one reads the same file', { skip: notOn('postgres', 'of the file of store-sqlite; test_postgres_faults has its own') }, async (t) => {
  // A log that is copied into the file all the time, a cache that a transaction does not fit in, and pages however long they take.
  const box = await serve(t, { plugins: { 'store-sqlite': { 'writer-cache': '1m', 'checkpoint-size': '1m', 'checkpoint-hard-size': '1m', 'scan-time': '60s' } } });
  const reading = await serve(t, { init: false, plugins: { 'store-sqlite': { ...storeOf(box.server)['store-sqlite'], 'scan-time': '60s' } } });
  const log = { asked: [], acknowledged: [] }, agents = setSizes.map(() => new http.Agent({ keepAlive: true, maxSockets: 1 }));
  let reads = 0, over = false;
  const readers = Promise.all(agents.map(async (agent, set) => {
    for (let last; !over; reads++) {
      const tag = await tagOf(agent, reading.server, set);
      if (tag === undefined) { assert.equal(last, undefined, 'all of a set is gone'); continue; }
      assert.ok(log.asked.includes(tag), `nobody asked for ${tag}`);
      if (tag !== last) assert.equal((await ask(agent, reading.server, 'GET', `/Observation?identifier=urn:made%7C${tag}`)).json.total, 1, tag);
      last = tag;
    }
  }));
  let failed;
  readers.catch((e) => { failed = e; });
  for (let round = 0; round < 3; round++) {
    const before = log.acknowledged.length, readBefore = reads, wanted = 4 + Math.floor(Math.random() * 6), begun = Date.now();
    const all = Promise.all(setSizes.map((_, set) => setWriter(box.server, set, round, log)));
    all.catch(() => {});
    assert.ok(await until(() => failed || (log.acknowledged.length >= before + wanted && reads > readBefore), 60000), `${log.acknowledged.length - before} of ${wanted} transactions, ${reads - readBefore} reads`);
    assert.equal(failed, undefined);
    await sleep(Math.random() * (Date.now() - begun) / wanted * 2); // anywhere in one of the next
    killAll(box.server);
    await all;
    await box.server.exit;
    assert.deepEqual(stored(box.server, 'PRAGMA integrity_check'), ['ok']);
    await checkSets(reading.server, log);
    await restart(box);
    await checkSets(box.server, log);
  }
  over = true;
  await readers;
  for (const agent of agents) agent.destroy();
  await indexAgrees(box.server);
});

test('kill -9 behind a token: its assertion stays used, the token stays good', async (t) => {
  const box = await serve(t);
  const key = keyPair('ES384');
  await putClient(box.server, 'c', seedClient({ jwks: [key.jwk] }));
  await allow(box.server, 'c');
  const once = tokenRequest(assertion(box.server, 'c', key));
  const r = await postToken(box.server, once);
  killAll(box.server);
  assert.equal(r.status, 200, r.text);
  await restart(box);
  assert.equal((await call('GET', `${box.server.fhir}/Patient`, undefined, bearer(r.json.access_token))).status, 200);
  const again = await postToken(box.server, once);
  assert.equal(again.status, 401, again.text);
  assert.equal(again.json.error, 'invalid_client');
  // So does the end of a session, and of a policy.
  assert.equal((await call('DELETE', `${box.server.base}/AccessPolicy/c`, undefined, box.server.admin)).status, 204);
  killAll(box.server);
  await restart(box);
  assert.equal((await call('GET', `${box.server.fhir}/Patient`, undefined, bearer(r.json.access_token))).status, 403);
});

test('a worker ends with its supervisor, and leaves port and database to the next one', async (t) => {
  const box = await serve(t);
  const { server } = box, [worker] = workers(server);
  // With connections that do nothing, and a request that never ends.
  const idle = Array.from({ length: 3 }, () => net.connect(server.port, '127.0.0.1'));
  for (const s of idle) s.on('error', () => {});
  idle[0].write('POST /fhir/Patient HTTP/1.1\r\nHost: a\r\nContent-Length: 100\r\n\r\n{');
  await ask(undefined, server, 'PUT', '/Patient/a', { resourceType: 'Patient', id: 'a' });
  process.kill(server.child.pid, 'SIGKILL');
  await server.exit;
  assert.ok(await until(() => refuses(server), 1000 * slow), 'the old worker keeps the port');
  box.server = await start({ at: server });
  assert.equal((await ask(undefined, box.server, 'GET', '/Patient/a')).status, 200);
  assert.equal((await ask(undefined, box.server, 'PUT', '/Patient/b', { resourceType: 'Patient', id: 'b' })).status, 201);
  for (const s of idle) s.destroy();
  assert.ok(await until(() => !alive(worker), 12000), 'the old worker is still there');
});

// Holds the write lock of the database, as another program would, until told to end.
const lock = async (file) => {
  const script = 'import sqlite3,sys\nc=sqlite3.connect(sys.argv[1],isolation_level=None)\nc.execute("begin immediate")\nprint("locked",flush=True)\nsys.stdin.read()\nc.execute("rollback")\n';
  const child = spawn('python3', ['-c', script, file], { stdio: ['pipe', 'pipe', 'inherit'] });
  const ok = await new Promise((done) => { child.on('error', () => done(false)); child.stdout.on('data', () => done(true)); child.on('exit', () => done(false)); });
  return ok && { release: async () => { const end = new Promise((done) => child.on('exit', done)); child.stdin.end(); await end; } };
};

test('a locked database: writes are refused in time, reads go on, and it recovers by itself', { skip: notOn('postgres', 'of the file of store-sqlite; test_postgres_faults has its own') }, async (t) => {
  const box = await serve(t, { plugins: { 'store-sqlite': { timeout: '500ms' } } });
  const { server } = box;
  await ask(undefined, server, 'PUT', '/Patient/a', { resourceType: 'Patient', id: 'a' });
  const held = await lock(path.join(server.dir, 'state/andiron.db'));
  if (!held) return t.skip('no python3 with sqlite3');
  const begun = Date.now();
  const r = await call('PUT', `${server.fhir}/Patient/b`, { resourceType: 'Patient', id: 'b' }, server.admin);
  assert.equal(r.status, 503, r.text);
  assert.ok(r.headers.get('retry-after'));
  assert.equal(r.json.resourceType, 'OperationOutcome');
  assert.doesNotMatch(r.text, /sqlite|andiron\.db|SQL|\/tmp/i);
  assert.ok(Date.now() - begun < 1500 * slow, `${Date.now() - begun} ms`);
  for (const target of ['/fhir/Patient/a', '/fhir/Patient', '/fhir/metadata', '/health/live']) assert.equal((await call('GET', server.base + target, undefined, server.admin)).status, 200, target);
  assert.equal((await call('GET', `${server.fhir}/Patient/b`, undefined, server.admin)).status, 404);
  await held.release();
  assert.equal((await call('PUT', `${server.fhir}/Patient/b`, { resourceType: 'Patient', id: 'b' }, server.admin)).status, 201);
});

test('a full disk: writes are refused and change nothing, all else goes on, and it recovers by itself', { skip: notOn('postgres', 'of the file of store-sqlite; test_postgres_faults has its own') }, async (t) => {
  const at = await configure({ quick: true }), state = path.join(at.dir, 'state');
  fs.mkdirSync(state);
  if (spawnSync('mount', ['-t', 'tmpfs', '-o', 'size=24m', 'tmpfs', state]).status !== 0) { fs.rmSync(at.dir, { recursive: true }); return t.skip('cannot mount a small file system'); }
  const box = {};
  t.after(async () => {
    await box.server?.stop();
    spawnSync('umount', ['-l', state]);
    fs.rmSync(at.dir, { recursive: true, force: true });
  });
  const server = box.server = await start({ at }), [worker] = workers(server);
  const put = (id, size) => call('PUT', `${server.fhir}/Patient/${id}`, { resourceType: 'Patient', id, identifier: [{ system: 'urn:full', value: id }], text: { status: 'generated', div: `<div xmlns="http://www.w3.org/1999/xhtml">${'x'.repeat(size)}</div>` } }, server.admin);
  assert.equal((await put('first', 10)).status, 201);
  assert.ok(await until(async () => (await call('GET', server.base + '/.well-known/jwks.json')).status === 200), 'keys were made while there was room');
  const ballast = path.join(state, 'ballast');
  fs.writeFileSync(ballast, Buffer.alloc(12 << 20));
  const stored = [];
  let refusal;
  for (let i = 0; i < 200 && refusal === undefined; i++) {
    const r = await put(`p${i}`, 200000);
    if (r.status === 201) stored.push(`p${i}`); else refusal = r;
  }
  assert.ok(refusal, 'it never got full');
  assert.ok([503, 507].includes(refusal.status), `${refusal.status} ${refusal.text}`);
  assert.ok(refusal.headers.get('retry-after'), 'Retry-After');
  assert.equal(refusal.json?.resourceType, 'OperationOutcome', refusal.text);
  assert.doesNotMatch(refusal.text, /sqlite|\.db|\/tmp|errno/i);
  const transaction = { resourceType: 'Bundle', type: 'transaction', entry: Array.from({ length: 20 }, (_, i) => ({ resource: { resourceType: 'Patient', id: `t${i}`, text: { status: 'generated', div: `<div xmlns="http://www.w3.org/1999/xhtml">${'x'.repeat(100000)}</div>` } }, request: { method: 'PUT', url: `Patient/t${i}` } })) };
  assert.ok([503, 507].includes((await call('POST', server.fhir, transaction, server.admin)).status));
  for (const target of ['/fhir/Patient/first', '/fhir/Patient?identifier=urn:full%7Cfirst', '/fhir/metadata', '/health/live', '/.well-known/jwks.json']) assert.equal((await call('GET', server.base + target, undefined, server.admin)).status, 200, target);
  for (const id of stored) assert.equal((await call('GET', `${server.fhir}/Patient/${id}`, undefined, server.admin)).status, 200, id);
  for (let i = 0; i < 20; i++) assert.equal((await call('GET', `${server.fhir}/Patient/t${i}`, undefined, server.admin)).status, 404);
  fs.rmSync(ballast);
  assert.ok(await until(async () => (await put('later', 10)).status === 201), 'writes work again');
  assert.equal((await call('GET', `${server.fhir}/Patient?identifier=urn:full%7Clater`, undefined, server.admin)).json.total, 1);
  assert.equal((await call('POST', server.fhir, transaction, server.admin)).status, 200);
  assert.deepEqual(workers(server), [worker]);
  // And after a kill, everything that was acknowledged is there.
  killAll(server);
  await restart(box);
  for (const id of ['first', 'later', 't0', 't19', ...stored]) assert.equal((await fresh('GET', `${box.server.fhir}/Patient/${id}`, undefined, server.admin)).status, 200, id);
});

test('a damaged row is a fault, never something else', { skip: notOn('postgres', 'of the file of store-sqlite; test_postgres_faults has its own') }, async (t) => {
  const box = await serve(t), { server } = box;
  const ids = ['garbage', 'cut', 'bit', 'none', 'format', 'fine'];
  for (const id of ids) assert.equal((await call('PUT', `${server.fhir}/Patient/${id}`, { resourceType: 'Patient', id, active: true, identifier: [{ system: 'urn:damage', value: id }] }, server.admin)).status, 201);
  const change = { garbage: "body='this is no resource'", cut: 'body=substr(body,1,length(body)-9)', bit: "body=cast(replace(cast(body as text),'\"active\":true','\"active\":trae') as blob)", none: 'body=NULL', format: 'enc=enc|2' };
  const script = 'import sqlite3,sys\nc=sqlite3.connect(sys.argv[1])\nfor a in sys.argv[2:]:\n  i,s=a.split(":",1)\n  assert c.execute("update version set "+s+" where rid=(select rid from resource where id=?)",(i,)).rowcount==1\nc.commit()\n';
  const python = spawnSync('python3', ['-c', script, path.join(server.dir, 'state/andiron.db'), ...Object.entries(change).map(([id, set]) => `${id}:${set}`)], { encoding: 'utf8' });
  if (python.error) return t.skip('no python3 with sqlite3');
  assert.equal(python.status, 0, python.stderr);
  await sleep(100);
  for (const id of Object.keys(change)) for (const target of [`/Patient/${id}`, `/Patient/${id}/_history/1`, `/Patient?_id=${id}`, `/Patient?identifier=urn:damage%7C${id}`, `/Patient/${id}/_history`]) {
    const r = await call('GET', server.fhir + target, undefined, server.admin);
    assert.equal(r.status, 500, `${target}: ${r.text}`);
    assert.equal(r.json.resourceType, 'OperationOutcome');
    assert.doesNotMatch(r.text, /sqlite|no resource"|trae/i);
  }
  assert.equal((await call('GET', `${server.fhir}/Patient/fine`, undefined, server.admin)).status, 200);
  assert.equal((await call('PUT', `${server.fhir}/Patient/fine`, { resourceType: 'Patient', id: 'fine' }, server.admin)).status, 200);
});
