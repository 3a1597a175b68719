// Reads, searches and writes of Observations in stores of several sizes, beside nginx and the floor; loads and starts of these.
import { execFileSync, spawnSync } from 'node:child_process';
import fs from 'node:fs';
import path from 'node:path';
import { bin, call, freePort, sleep, start } from '../tests/lib/server.mjs';
import { measureBulk } from './bulk.mjs';
import { measureFamilies } from './families.mjs';
import { cpuSeconds, family, median, note, owned, report, times, versus, wrk } from './measure.mjs';
import { launch, nginx } from './peers.mjs';
import { copyStore, end, firstAnswer, register, settings, tokenOf } from './servers.mjs';

const luaIds = (file) => `local ids = {} for line in io.lines("${file}") do ids[#ids + 1] = line end math.randomseed(7)\nrequest = function() return wrk.format("GET", "/fhir/Observation/" .. ids[math.random(#ids)]) end\n`;
const luaPut = (body) => `local body = [==[${body}]==]\nwrk.headers["Content-Type"] = "application/fhir+json"\nwrk.headers["Prefer"] = "return=minimal"\nlocal n, run = 0, os.time() .. "-" .. tostring({}):sub(8)\nrequest = function() n = n + 1 local id = "w" .. run:gsub("[^%w]", "") .. "-" .. n\nreturn wrk.format("PUT", "/fhir/Observation/" .. id, nil, (body:gsub("@ID@", id))) end\n`;
const hmacToken = (secret) => execFileSync('openssl', ['dgst', '-sha256', '-hmac', secret, '-r'], { input: 'bench' }).toString().slice(0, 64) + '.bench';

// Loads the sample as transactions; the peer inserts as many of the same resources as show its rate.
const load = async ({ dir, does, sh, tool }, server, sample, size) => {
  const begun = Date.now();
  sh(bin, ['import', '--url', server.base, '--jobs', '1', '--chunk', '500', sample], { env: { ...process.env, ANDIRON_ADMIN: 'root:secret' }, stdio: 'ignore', cwd: dir });
  const loaded = (Date.now() - begun) / 1000;
  const lines = Number(sh('wc', ['-l', sample]).toString().split(' ')[0]);
  if (!does('bundles')) return;
  const some = path.join(dir, 'some.ndjson'), fresh = await start({ ...settings, bin, init: false });
  await fresh.stop();
  fs.writeFileSync(some, sh('head', ['-n', '100000', sample]));
  const peer = Number(sh(tool('bundles'), [some, path.join(fresh.dir, 'state/andiron.db'), '500']));
  fresh.remove();
  note(`${'transaction Bundles of 500, 1 connection'.padEnd(44)} ${(lines / loaded).toFixed(0).padStart(8)} resources/s   jansson + SQLite ${peer.toFixed(0)}/s   ratio ${(lines / loaded / peer).toFixed(2)}`);
  report(`bundles ${size}`, { rate: lines / loaded, peer, ratio: lines / loaded / peer });
};

// Searches by family, and the bytes on disk for a resource: no peer is asked.
const measureSearches = async (t, stopped, size) => {
  const { dir, lua, tool } = t;
  const server = await start({ bin, at: stopped });
  const header = { authorization: `Bearer ${await tokenOf(server, 'system/*.read')}` };
  await measureFamilies({ call, server, header, lua, tool, dir, database: path.join(server.dir, 'state/andiron.db'), seconds: times.seconds, note, report, size });
  await server.stop();
};

export const measureObservations = async (t, size) => {
  const { connections, dir, does, keep, lua, sh, tool } = t;
  note(`\n== ${size} Observations`);
  const patients = Math.max(1, Math.round(size / 50)), home = keep ?? dir;
  const sample = path.join(home, `sample-${size}.ndjson`), loadedBefore = fs.existsSync(path.join(home, `server-${size}`));
  if (!fs.existsSync(sample)) spawnSync(bin, ['sample', '--patients', String(patients), '--observations', '50'], { stdio: ['ignore', fs.openSync(sample, 'w'), 'inherit'] });
  let server = await start({ ...settings, bin, dir: path.join(home, `server-${size}`) });
  await register(server);
  if (!loadedBefore) await load(t, server, sample, size);
  await server.stop();
  if (does('start')) {
    const starts = [];
    for (let i = 0; i < 5; i++) { const { ms, child } = await firstAnswer(server); starts.push(ms); await end(child); }
    const { child } = await firstAnswer(server);
    for (const p of family(child.pid).reverse()) process.kill(p, 'SIGKILL');
    await new Promise((ok) => child.on('exit', ok));
    const after = await firstAnswer(server);
    await end(after.child);
    note(`start to first 200: ${median(starts).toFixed(0)} ms (median of 5); after kill -9: ${after.ms.toFixed(0)} ms`);
    report(`start ${size}`, { ms: median(starts), afterKillMs: after.ms });
  }
  if (does('families')) await measureSearches(t, server, size);
  if (!['read', 'random', 'search', 'put', 'bulk', 'memory'].some(does)) {
    if (!keep) fs.rmSync(server.dir, { recursive: true, force: true });
    return;
  }
  const database = path.join(server.dir, 'state/andiron.db'), floorDb = path.join(dir, `floor-${size}.db`);
  copyStore(database, floorDb);
  server = await start({ bin, at: server });
  const pid = server.child.pid;
  const token = await tokenOf(server);
  const ours = { authorization: `Bearer ${token}` };
  const ids = path.join(dir, 'ids');
  // The sample may be larger than a string can be: its ids are cut out by grep, every n-th of them.
  sh('bash', ['-c', `grep '^{"resourceType":"Observation"' "${sample}" | awk 'NR % ${Math.ceil(size / 20000)} == 1 || ${Math.ceil(size / 20000)} == 1 { print substr($0, 37, 36) }' > "${ids}"`]);
  const one = fs.readFileSync(ids, 'utf8').slice(0, 36);
  const body = (await call('GET', `${server.fhir}/Observation/${one}`, undefined, ours)).text;
  const peer = await nginx(dir, body);
  const floorPort = await freePort();
  const floor = await launch(floorPort, tool('floor'), [String(floorPort), floorDb, 'bench']);
  const theirs = { Authorization: `Bearer ${hmacToken('bench')}` };
  if (does('read')) for (const c of connections) versus(`read by id, ${c} connections`, 'nginx', () => wrk(server.base, c, { header: ours, target: `/fhir/Observation/${one}`, pid }), () => wrk(peer.base, c, { target: '/resource.json', pid: peer.pid }));
  if (does('random')) { const script = lua('ids.lua', luaIds(ids)); versus('random reads by id, 16 connections', 'floor', () => wrk(server.base, 16, { script, header: ours, target: '/', pid }), () => wrk(floor.base, 16, { script, header: theirs, target: '/', pid: floor.pid })); }
  if (does('bulk')) await measureBulk({ call, sleep, note, report, median, owned, cpuSeconds, ...times, dir, server, peer, pid, size, sample, header: server.admin, script: lua('ids.lua', luaIds(ids)) });
  const seed = '/fhir/Observation?code=4548-4&_count=2';
  if (does('search')) versus('seed search, 16 connections', 'floor', () => wrk(server.base, 16, { header: ours, target: seed, pid }), () => wrk(floor.base, 16, { header: theirs, target: seed, pid: floor.pid }));
  if (does('put')) {
    const source = sh('grep', ['-m1', '"code":"4548-4"', sample]).toString().trim();
    const script = lua('put.lua', luaPut(source.replace(source.slice(36, 72), '@ID@').replaceAll(']==]', '')));
    for (const c of [1, 64]) versus(`PUT durable, ${c} connections`, 'floor', () => wrk(server.base, c, { script, header: ours, target: '/', pid }), () => wrk(floor.base, c, { script, header: theirs, target: '/', pid: floor.pid }));
  }
  if (does('memory')) {
    note(`memory owned after the load: ${(owned(pid) / 1e6).toFixed(1)} MB`);
    report(`memory loaded ${size}`, { bytes: owned(pid) });
  }
  peer.stop(); floor.stop();
  await server.stop();
  if (!keep) fs.rmSync(server.dir, { recursive: true, force: true });
};
