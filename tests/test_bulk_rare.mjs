// Exports of few of many: by the search index, as they were at transactionTime; progress within a type; stored text that is damaged.
import test, { describe } from 'node:test';
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import fs from 'node:fs';
import path from 'node:path';
import { call, configure, notOn, sleep, start } from './lib/server.mjs';
import { begin, bytes, client, download, finished, lines, load, manifest, observation, patient, stored } from './lib/bulk.mjs';

const running = async (options, work) => {
  const server = await start({ quick: true, ...options });
  try { await work(server); assert.deepEqual(await server.stop(), { code: 0, signal: null }, server.output()); } finally { await server.stop(); server.remove(); }
};
const rare = (i) => ({ ...observation(i), status: i % 100 === 7 ? 'cancelled' : 'final' });
const filter = (q) => `$export?_type=Observation&_typeFilter=${encodeURIComponent(`Observation?${q}`)}`;
const ids = (all) => all.map(([, l]) => JSON.parse(l).id).sort();

test('a rare filter shows what matched at transactionTime, once, whatever was written before it is read', async () => {
  await running({ plugins: { bulk: { 'slice-rows': 50, checkpoint: '50ms', 'max-jobs': 20, poll: '100ms' } } }, async (server) => {
    await load(server, 2000, rare);
    const expected = Array.from({ length: 20 }, (_, i) => `o${i * 100 + 7}`);
    const was = new Map();
    for (const id of expected) was.set(id, await stored(server, `Observation/${id}`));
    const all = await download(server, await manifest(server, filter('status=cancelled')));
    assert.deepEqual(ids(all), [...expected].sort());
    for (const [, line] of all) assert.equal(line, was.get(JSON.parse(line).id), 'byte by byte');
    // Kicked off, then changed, deleted and joined by others: right away, and while another export has its turn before.
    const url = await begin(server, filter('status=cancelled'));
    const change = (id, status) => call('PUT', `${server.fhir}/Observation/${id}`, { ...observation(1), id, status }, server.admin);
    await Promise.all([change(expected[0], 'final'), change(expected[1], 'cancelled'), call('DELETE', `${server.fhir}/Observation/${expected[2]}`, undefined, server.admin), change('o1', 'cancelled'), change('late', 'cancelled')]);
    const done = await finished(server, url);
    assert.equal(done.status, 200, done.text);
    const then = await download(server, done.json);
    assert.deepEqual(ids(then), [...expected].sort());
    for (const [, line] of then) assert.equal(line, was.get(JSON.parse(line).id));
    const after = await download(server, await manifest(server, filter('status=cancelled')));
    assert.deepEqual(ids(after), ['late', 'o1', ...expected.filter((id, i) => i !== 0 && i !== 2)].sort());
  });
});

test('only what the filter finds is read', async () => {
  await running({ plugins: { bulk: { checkpoint: '50ms' } } }, async (server) => {
    await load(server, 3000, rare);
    await sleep(10500); // what has changed shortly before is looked at, too: see MARGIN_US of drive.c
    const looked = async () => Number(/^andiron_bulk_bytes_total\{direction="export"\} (\d+)/m.exec((await call('GET', `${server.adminBase}/metrics`)).text)[1]);
    const zero = await looked();
    await manifest(server, '$export?_type=Observation');
    const whole = (await looked()) - zero;
    assert.equal((await download(server, await manifest(server, filter('status=cancelled')))).length, 30);
    const part = (await looked()) - zero - whole;
    assert.ok(part > 0 && part < whole / 20, `${part} of ${whole} bytes`);
    assert.equal((await download(server, await manifest(server, filter('status=final')))).length, 2970, 'what most are is walked');
    assert.equal((await download(server, await manifest(server, filter('status=cancelled&_id=o7,o8')))).length, 1);
    assert.deepEqual((await manifest(server, filter('status=registered'))).output, []);
  });
});

test('a rare filter goes on after kill -9 without a gap or a double', async () => {
  const at = await configure({ quick: true, plugins: { bulk: { 'slice-rows': 1, 'slice-bytes': '1k', checkpoint: '50ms', poll: '100ms' } } });
  let server = await start({ at });
  try {
    await load(server, 4000, (i) => ({ ...observation(i), status: i % 12 === 7 ? 'cancelled' : 'final' }));
    const expected = Array.from({ length: 4000 }, (_, i) => i).filter((i) => i % 12 === 7).map((i) => `o${i}`).sort();
    let kills = 0, done;
    for (let i = 0; i < 5 && kills === 0; i++) {
      const url = await begin(server, filter('status=cancelled'));
      let n = 0, r;
      do { await sleep(20); r = await call('GET', url, undefined, server.admin); n = Number(/: (\d+) resources/.exec(r.headers.get('x-progress') ?? '')?.[1] ?? 0); } while ((r.status === 202 && n === 0) || r.status === 429);
      if (r.status === 202) {
        const pids = fs.readFileSync(`/proc/${server.child.pid}/task/${server.child.pid}/children`, 'utf8').trim().split(/\s+/).filter(Boolean).map(Number);
        server.child.kill('SIGKILL');
        for (const pid of pids) process.kill(pid, 'SIGKILL');
        await server.exit;
        kills++;
        for (const end = Date.now() + 15000; ; await sleep(50)) try { server = await start({ at }); break; } catch (e) { if (e.exit?.code !== 75 || Date.now() > end) throw e; }
      }
      done = await finished(server, url);
    }
    assert.equal(done.status, 200, done.text);
    assert.deepEqual(ids(await download(server, done.json)), expected);
    assert.equal(kills, 1, 'it was met in the middle');
  } finally { await server.stop(); server.remove(); }
});

test('what a policy leaves is found by the index, too, and no more', async () => {
  await running({ plugins: {} }, async (server) => {
    await load(server, 1000, (i) => observation(i, 50));
    await load(server, 50, patient);
    const who = await client(server, 'few');
    for (const [q, n] of [['code=c1', 200], ['code=c1&subject=Patient/p1', 20]]) assert.equal((await download(server, await manifest(server, filter(q), { who }), { who })).length, n, q);
  });
});

test('X-Progress grows within a type', async () => {
  await running({ plugins: { bulk: { 'slice-rows': 1, checkpoint: '50ms', 'max-kept-per-client': 50 } } }, async (server) => {
    await load(server, 3000, observation);
    const seen = new Set(), inside = () => [...seen].some((p) => p > 0 && p < 99);
    // However fast or loaded the machine is, one of them is met in the middle.
    for (let i = 0; i < 40 && !inside(); i++) {
      const url = await begin(server, '$export?_type=Observation');
      for (let r; (r = await call('GET', url, undefined, server.admin)).status !== 200 && !inside(); await sleep(40)) {
        if (r.status === 429) continue;
        const [, whole, of] = /^(\d+)%: \d+ resources, type 1 of 1 \(Observation, (\d+)%\)$/.exec(r.headers.get('x-progress'));
        assert.equal(whole, of);
        seen.add(Number(of));
      }
      await call('DELETE', url, undefined, server.admin);
    }
    assert.ok(inside(), [...seen].join());
    assert.ok([...seen].every((p) => p >= 0 && p <= 99));
  });
});

test('a damaged body costs its own line, and is told in the manifest', { skip: notOn('postgres', 'its file is not written by hand') }, async () => {
  const at = await configure({ quick: true });
  let server = await start({ at });
  try {
    await load(server, 200, observation);
    await server.stop();
    const database = path.join(at.dir, 'state/andiron.db');
    const damage = { o5: '{"resourceType":"Observ', o6: '', o7: '{"a":1}\n{"b":2}', o8: '{"resourceType":"Observation","id":}' };
    for (const [id, text] of Object.entries(damage)) execFileSync('sqlite3', [database, `UPDATE version SET body='${text}' WHERE CAST(body AS TEXT) LIKE '%"id":"${id}"%'`]);
    server = await start({ at });
    const m = await manifest(server, '$export?_type=Observation');
    const whole = await download(server, m), errors = (await download(server, m, { list: 'error' })).map(([, l]) => JSON.parse(l).issue[0]);
    assert.equal(whole.length, 196);
    const named = (list) => list.map((e) => [e.severity, e.code, /^Observation\/(o\d)\/_history\/1 could not be exported: /.exec(e.diagnostics)?.[1]]).sort();
    assert.deepEqual(named(errors), ['o5', 'o6', 'o7', 'o8'].map((id) => ['error', 'exception', id]));
    const some = await manifest(server, filter('status=final,amended'));
    assert.equal((await download(server, some)).length, 196);
    assert.equal((await download(server, some, { list: 'error' })).length, 4);
    const few = await manifest(server, filter('_id=o4,o5'));
    assert.equal((await download(server, few)).length, 1);
    assert.ok((await download(server, few, { list: 'error' })).some(([, l]) => /o5/.test(l)));
    const stream = lines((await bytes('GET', `${server.fhir}/Observation/$export-stream`, server.admin)).body);
    assert.equal(stream.length, 196);
    await server.logged(/"bulk.damaged"/);
  } finally { await server.stop(); server.remove(); }
});
