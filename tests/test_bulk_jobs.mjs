// Exports as jobs: while others write, through kill -9, cancelled, over their limits.
import test, { describe } from 'node:test';
import assert from 'node:assert/strict';
import fs from 'node:fs';
import net from 'node:net';
import path from 'node:path';
import { call, configure, sleep, start } from './lib/server.mjs';
import { begin, bytes, client, download, finished, kickoff, lines, load, manifest, observation, patient, stored } from './lib/bulk.mjs';

// Small slices make an export of some thousand resources last long enough to be met in the middle.
const slow = { 'slice-rows': 20, checkpoint: '50ms', poll: '100ms', 'file-size': '200k' };
// ANDIRON_BULK_COUNT=50000 makes it a long run.
const count = Number(process.env.ANDIRON_BULK_COUNT ?? 2000);
const running = async (options, work) => {
  const server = await start({ quick: true, ...options });
  try { await work(server); assert.deepEqual(await server.stop(), { code: 0, signal: null }, server.output()); } finally { await server.stop(); server.remove(); }
};
const folder = (server) => path.join(server.dir, 'state/bulk');
const jobs = (server) => fs.readdirSync(folder(server)).filter((name) => /^[0-9a-f]{32}$/.test(name));
const until = async (what, holds, ms = 30000) => {
  for (const end = Date.now() + ms; !(await holds()); await sleep(20)) if (Date.now() > end) throw new Error(`still not: ${what}`);
};
// Each resource of the output once, in the version that was current at the horizon; keep: versions by id, newest last.
const asOf = (all, versions, time) => {
  const seen = new Map(all.map(([, line]) => [JSON.parse(line).id, line]));
  assert.equal(seen.size, all.length, 'nothing comes twice');
  for (const [id, list] of versions) {
    const shown = list.filter((v) => v.updated <= time).at(-1);
    const line = seen.get(id);
    if (!shown || shown.deleted) assert.equal(line, undefined, `${id} was not there`);
    else { assert.ok(line, `${id} is missing`); assert.equal(line, shown.text); }
    seen.delete(id);
  }
  return seen.size;
};
// What is stored now, by id.
const snapshot = async (server) => {
  const versions = new Map();
  for (const line of lines((await bytes('GET', `${server.fhir}/Observation/$export-stream`, server.admin)).body)) {
    const { id, meta } = JSON.parse(line);
    versions.set(id, [{ updated: meta.lastUpdated, text: line }]);
  }
  return versions;
};
// Changes, makes and deletes resources until told to stop, and notes each version.
const writer = (server, versions) => {
  let stopped = false, writes = 0;
  const note = (id, v) => versions.set(id, [...(versions.get(id) ?? []), v]);
  const work = (async () => {
    for (let i = 0; !stopped; i++) {
      const n = (i * 7919) % count, id = i % 5 === 4 ? `new${i}` : `o${n}`;
      const remove = i % 11 === 10;
      const r = remove ? await call('DELETE', `${server.fhir}/Observation/${id}`, undefined, server.admin)
        : await call('PUT', `${server.fhir}/Observation/${id}`, { ...observation(n), id, status: i % 2 ? 'corrected' : 'final' }, server.admin);
      if (r.status >= 300) continue;
      const { json } = await call('GET', `${server.fhir}/Observation/${id}/_history?_count=1`, undefined, server.admin);
      if (!json.entry?.length) continue; // what never was, deleted
      const resource = json.entry[0].resource;
      const at = resource?.meta.lastUpdated ?? json.entry[0].response.lastModified;
      note(id, resource ? { updated: at, text: await stored(server, `Observation/${id}/_history/${resource.meta.versionId}`) } : { updated: at, deleted: true });
      writes++;
    }
  })();
  return { stop: async () => { stopped = true; await work; return writes; }, wrote: () => writes };
};

test('shows each resource once, as it was at transactionTime, while others write', async () => {
  await running({ plugins: { bulk: slow } }, async (server) => {
    await load(server, count, observation);
    const versions = await snapshot(server), { stop, wrote } = writer(server, versions);
    await until('it writes', () => wrote() >= 3);
    const query = ['$export?_type=Observation', `$export?_type=Observation&_typeFilter=${encodeURIComponent('Observation?status=final,amended')}`];
    const [whole, some] = await Promise.all(query.map((q) => manifest(server, q)));
    await stop(); // how many were written meanwhile is the machine's affair
    const all = await download(server, whole);
    asOf(all, versions, whole.transactionTime);
    const filtered = new Map([...versions].map(([id, list]) => [id, list.map((v) => ({ ...v, deleted: v.deleted || !/"status":"(final|amended)"/.test(v.text) }))]));
    asOf(await download(server, some), filtered, some.transactionTime);
    assert.ok(whole.output.length > 3);
  });
});

test('goes on after kill -9 without a gap or a double, several times', async () => {
  const at = await configure({ quick: true, plugins: { bulk: { ...slow, 'slice-rows': 1 } } });
  let server = await start({ at });
  try {
    await load(server, count, observation);
    let url = await begin(server, '$export?_type=Observation'), kills = 0;
    const progress = async () => { const r = await call('GET', url, undefined, server.admin); return r.status === 200 ? count : Number(/(\d+) resources/.exec(r.headers.get('x-progress') ?? '')?.[1] ?? 0); };
    for (let i = 0, before = 0; i < 4; i++) {
      await until('more than before', async () => (await progress()) > before);
      before = await progress();
      if (before === count && kills > 0) break;
      if (before === count) { url = await begin(server, '$export?_type=Observation'); before = -1; i--; continue; } // it was too quick
      if (i === 1) { assert.deepEqual(await server.stop(), { code: 0, signal: null }); assert.doesNotMatch(server.output(), /Sanitizer/); } else { await killAll(server); kills++; }
      server = await restart(at);
      assert.ok((await progress()) >= before, 'what was stored is kept');
    }
    const done = await finished(server, url);
    assert.equal(done.status, 200, done.text);
    assert.ok(kills >= 1, 'it was met in the middle');
    const all = await download(server, done.json);
    assert.equal(asOf(all, await snapshot(server), '9'), 0);
    await server.logged(/"bulk.resumed"/);
    assert.ok(done.json.output.every((f) => f.count > 0));
  } finally { await server.stop(); server.remove(); }
});

// The supervisor's children: the worker holds the job.
const workers = (server) => fs.readFileSync(`/proc/${server.child.pid}/task/${server.child.pid}/children`, 'utf8').trim().split(/\s+/).filter(Boolean).map(Number);
const killWorker = (server) => { for (const pid of workers(server)) process.kill(pid, 'SIGKILL'); };
// The supervisor first, or it would start another.
const killAll = async (server) => {
  const pids = workers(server);
  server.child.kill('SIGKILL');
  for (const pid of pids) process.kill(pid, 'SIGKILL');
  await server.exit;
};
// As soon as the last thread of the killed one has let go of the port (exit status 75 until then).
const restart = async (at) => {
  for (const end = Date.now() + 10000; ; await sleep(50)) {
    try { return await start({ at }); } catch (e) { if (e.exit?.code !== 75 || Date.now() > end) throw e; }
  }
};

test('a worker that dies is replaced, and its exports go on', async () => {
  await running({ plugins: { bulk: { ...slow, 'slice-rows': 10 } } }, async (server) => {
    await load(server, count, observation);
    const url = await begin(server, '$export?_type=Observation');
    await until('a checkpoint', async () => / [1-9]\d* resources/.test((await call('GET', url, undefined, server.admin)).headers.get('x-progress') ?? ' 1 resources'));
    killWorker(server);
    await until('another worker', async () => { try { return (await call('GET', `${server.base}/health/ready`)).status === 200; } catch { return false; } });
    const done = await finished(server, url);
    assert.equal(done.status, 200, done.text);
    asOf(await download(server, done.json), await snapshot(server), '9');
  });
});

test('a node that was silent for too long has lost its export, and does no harm when it comes back', async () => {
  const bulk = { ...slow, 'slice-rows': 1, lease: '5s' };
  const at = await configure({ quick: true, plugins: { bulk } }), first = await start({ at });
  let second;
  try {
    await load(first, 2 * count, observation);
    second = await start({ quick: true, state: path.join(at.dir, 'state'), plugins: { bulk: { ...bulk, 'slice-rows': 1000, poll: '60s', 'max-jobs-per-client': 1 } } });
    await sleep(500); // behind its first look for jobs; the next is when it is asked for an export itself
    const url = await begin(first, '$export?_type=Observation'), theirs = url.replace(first.base, second.base), [worker] = workers(first);
    await until('a checkpoint', async () => / [1-9]\d* resources/.test((await call('GET', url, undefined, first.admin)).headers.get('x-progress') ?? ' 1 resources'));
    // Stopped where it does not hold the lock of the database, in which nobody else could write.
    for (let wrote = false; !wrote;) {
      process.kill(worker, 'SIGSTOP');
      const put = call('PUT', `${second.fhir}/Basic/x`, { resourceType: 'Basic', id: 'x', code: { text: 'x' } }, second.admin).then((r) => r.status < 300);
      wrote = await Promise.race([put, sleep(2000)]);
      if (!wrote) { process.kill(worker, 'SIGCONT'); await put; await sleep(37); }
    }
    // It runs, and nothing comes of it: time to see what becomes of those who do not wait.
    const more = await kickoff(second, '$export');
    assert.equal(more.status, 429, more.text);
    assert.ok(Number(more.headers.get('retry-after')) >= 1);
    const statuses = [];
    for (let i = 0; i < 25; i++) { const r = await call('GET', theirs, undefined, second.admin); statuses.push(r.status); if (r.status === 429) assert.ok(Number(r.headers.get('retry-after')) >= 1); }
    assert.equal(statuses[0], 202);
    assert.ok(statuses.includes(429), statuses.join());
    await sleep(5200);
    const who = await client(second, 'other');
    await begin(second, '$export?_type=Basic', { who });
    const done = await finished(second, theirs);
    assert.equal(done.status, 200, done.text);
    await second.logged(/"bulk.resumed"/);
    process.kill(worker, 'SIGCONT');
    await until('the first knows', () => /"bulk.interrupted"/.test(first.log()));
    const again = await call('GET', theirs, undefined, second.admin);
    assert.deepEqual(again.json, done.json);
    asOf(await download(second, again.json), await snapshot(second), '9');
  } finally { await second?.stop(); second?.remove(); await first.stop(); first.remove(); }
});

test('several run at a time, none waits for another to end', async () => {
  await running({ plugins: { bulk: { ...slow, 'slice-rows': 1 } } }, async (server) => {
    await load(server, count, observation);
    await load(server, 5, patient);
    const [long, short] = await Promise.all(['Observation', 'Patient'].map((type) => begin(server, `$export?_type=${type}`)));
    assert.equal((await finished(server, short)).status, 200);
    const m = await finished(server, long);
    assert.equal((await download(server, m.json)).length, count);
    const ends = server.log().split('\n').filter((l) => l.includes('"bulk.finished"'));
    assert.ok(ends[0].includes(short.slice(-32)), 'the short one ends first');
  });
});

test('DELETE stops an export in the middle, and removes its files', async () => {
  await running({ plugins: { bulk: { ...slow, 'slice-rows': 5 } } }, async (server) => {
    await load(server, count, observation);
    const url = await begin(server, '$export?_type=Observation');
    await until('files', () => jobs(server).length === 1);
    assert.equal((await call('DELETE', url, undefined, server.admin)).status, 202);
    assert.equal((await call('GET', url, undefined, server.admin)).status, 404);
    await until('no files', () => jobs(server).length === 0);
    await sleep(300);
    assert.deepEqual(jobs(server), [], 'and none come back');
    assert.equal((await download(server, await manifest(server, '$export?_type=Observation'))).length, count);
  });
});

test('a finished export expires with its files', async () => {
  await running({ plugins: { bulk: { keep: '1s', poll: '100ms' } } }, async (server) => {
    await load(server, 5, patient);
    const m = await manifest(server, '$export?_type=Patient');
    await until('gone', async () => (await call('GET', m.url, undefined, server.admin)).status === 404);
    await until('no files', () => jobs(server).length === 0);
    assert.equal((await call('GET', m.output[0].url, undefined, server.admin)).status, 404);
  });
});

test('a node whose directory is not the others\' says so at start', async () => {
  const at = await configure({ quick: true, plugins: { bulk: {} } });
  let server = await start({ at });
  try {
    await load(server, 5, patient);
    const m = await manifest(server, '$export?_type=Patient');
    await server.stop();
    assert.doesNotMatch(server.log(), /bulk.directory/);
    fs.renameSync(folder(server), folder(server) + '.elsewhere');
    server = await start({ at });
    await until('a line in the log', () => server.log().includes('"bulk.directory.foreign"'));
    const r = await call('GET', m.output[0].url, undefined, server.admin);
    assert.equal(r.status, 503, r.text);
    assert.match(r.json.issue[0].diagnostics, /not on this node/);
    await server.stop();
    fs.rmSync(folder(server), { recursive: true });
    fs.renameSync(folder(server) + '.elsewhere', folder(server));
    server = await start({ at });
    assert.equal((await download(server, m)).length, 5);
  } finally { await server.stop(); server.remove(); }
});

describe('limits', () => {
  test('a full disk quota is 507, for the export that meets it and for the next', async () => {
    await running({ plugins: { bulk: { ...slow, quota: '300k' } } }, async (server) => {
      await load(server, count, observation);
      const r = await finished(server, await begin(server, '$export?_type=Observation'));
      assert.equal(r.status, 507, r.text);
      assert.match(r.json.issue[0].diagnostics, /quota of 307200 bytes/);
      await until('no files', () => jobs(server).length === 0);
      await load(server, 400, patient);
      let refused;
      for (let i = 0; i < 8 && refused === undefined; i++) {
        const next = await kickoff(server, '$export?_type=Patient');
        if (next.status !== 202) { refused = next; assert.ok(next.headers.get('retry-after')); } else if ((await finished(server, next.headers.get('content-location'))).status === 507) refused = { status: 507 };
      }
      assert.equal(refused?.status, 507);
    });
  });
  test('min-free is a refusal at once', async () => {
    await running({ plugins: { bulk: { 'min-free': '900000g' } } }, async (server) => {
      const r = await kickoff(server, '$export');
      assert.equal(r.status, 507, r.text);
      assert.match(r.json.issue[0].diagnostics, /no room/);
    });
  });
  test('more streams than allowed are 429; one that nobody reads waits, and costs no memory', async () => {
    await running({ plugins: { bulk: { 'max-streams': 1 } } }, async (server) => {
      for (let i = 0; i < 8; i++) await load(server, 500, (j) => ({ ...observation(j), note: [{ text: 'x'.repeat(8000) }] }), { from: i * 500 });
      const socket = net.connect(server.port, '127.0.0.1');
      socket.pause();
      socket.write(`GET /fhir/Observation/$export-stream HTTP/1.1\r\nHost: a\r\nAuthorization: ${server.admin.authorization}\r\n\r\n`);
      await until('the stream is open', async () => (await bytes('GET', `${server.fhir}/Patient/$export-stream`, server.admin)).status === 429);
      await sleep(500);
      let got = 0;
      const whole = new Promise((ok) => socket.on('data', (d) => { got += d.length; if (d.subarray(-5).toString() === '0\r\n\r\n') ok(); }));
      socket.resume();
      await whole;
      assert.ok(got > 4000 * 8000, `${got} bytes`);
      socket.destroy();
      await until('it is closed', async () => (await bytes('GET', `${server.fhir}/Patient/$export-stream`, server.admin)).status === 200);
      const gone = net.connect(server.port, '127.0.0.1', () => gone.write(`GET /fhir/Observation/$export-stream HTTP/1.1\r\nHost: a\r\nAuthorization: ${server.admin.authorization}\r\n\r\n`));
      await new Promise((ok) => gone.once('data', ok));
      gone.destroy();
      await until('a client that left is noticed', async () => (await bytes('GET', `${server.fhir}/Patient/$export-stream`, server.admin)).status === 200);
    });
  });
  test('more exports than may be kept are 429', async () => {
    await running({ plugins: { bulk: { 'max-kept-per-client': 2 } } }, async (server) => {
      for (let i = 0; i < 2; i++) await manifest(server, '$export?_type=Patient');
      const kept = await kickoff(server, '$export');
      assert.equal(kept.status, 429);
      assert.ok(kept.headers.get('retry-after'));
      assert.match(kept.json.issue[0].diagnostics, /kept/);
    });
  });
  });
