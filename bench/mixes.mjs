// Mixed reads and writes of Patients at many connections, reads beside a large transaction, and an in-memory router.
import { spawn } from 'node:child_process';
import fs from 'node:fs';
import path from 'node:path';
import { bin, call, freePort, start } from '../tests/lib/server.mjs';
import { median, note, report, times, versus, wrk } from './measure.mjs';
import { loadPatients, luaBody, patientText, post } from './patients.mjs';
import { launch } from './peers.mjs';
import { settings } from './servers.mjs';

// A quarter each: create, read, update, delete of 4 KB Patients.
export const measureCrud = async ({ lua }) => {
  note('\n== create, read, update, delete of 4 KB Patients, 300 connections');
  const server = await start({ ...settings, bin }), pid = server.child.pid, text = patientText(4096), kept = 2000, lost = 20000;
  await loadPatients(server, text, 'kept', kept);
  await loadPatients(server, patientText(700), 'lost', lost);
  const script = lua('crud.lua', luaBody(text) + `local n, deleted = 0, 0
request = function()
  n = n + 1
  local which, id = n % 4, "kept-" .. (n * 7 % ${kept})
  if which == 0 then return wrk.format("POST", "/fhir/Patient", nil, (body:gsub('"id":"@ID@",', "", 1):gsub("@N@", n))) end
  if which == 1 then return wrk.format("GET", "/fhir/Patient/" .. id) end
  if which == 2 then return wrk.format("PUT", "/fhir/Patient/" .. id, nil, (body:gsub("@ID@", id):gsub("@N@", n))) end
  deleted = deleted + 1
  return wrk.format("DELETE", "/fhir/Patient/lost-" .. (deleted % ${lost}))
end
`);
  const runs = [];
  for (let i = 0; i < times.rounds; i++) runs.push(wrk(server.base, 300, { script, header: server.admin, target: '/', pid }));
  const rate = median(runs.map((r) => r.rate)), cpuUs = median(runs.map((r) => r.cpuUs));
  note(`CRUD mix, 300 connections: ${rate.toFixed(0)} requests/s, ${cpuUs.toFixed(1)} us CPU each (asked: more than 5200)`);
  report('crud 300', { rate, cpuUs, bad: runs.reduce((sum, r) => sum + r.bad, 0) });
  await server.stop(); server.remove();
};

// Reads by id on 16 connections, alone and while transactions of 5,000 entries follow each other.
export const measureLatency = async ({ lua }) => {
  note('\n== reads while a transaction of 5,000 entries runs');
  const server = await start({ ...settings, bin });
  await loadPatients(server, patientText(1024), 'p', 1000);
  const script = lua('latency.lua', `request = function() return wrk.format("GET", "/fhir/Patient/p-" .. math.random(0, 999)) end\n`);
  const p99 = () => new Promise((ok, no) => {
    const child = spawn('wrk', ['-t1', '-c16', `-d${times.seconds}s`, '--latency', '-s', script, '-H', `authorization: ${server.admin.authorization}`, server.base], { stdio: ['ignore', 'pipe', 'inherit'] });
    let out = '';
    child.stdout.on('data', (d) => { out += d; });
    child.on('error', no);
    child.on('close', () => { const [, n, unit] = /99%\s+([\d.]+)(us|ms|s)/.exec(out); ok(Number(n) * { us: 0.001, ms: 1, s: 1000 }[unit]); });
  });
  const text = patientText(1024), took = [];
  const bundle = (tag) => `{"resourceType":"Bundle","type":"transaction","entry":[${Array.from({ length: 5000 }, (_, i) => `{"resource":${text.replaceAll('@ID@', `${tag}-${i}`).replace('@N@', i)},"request":{"method":"PUT","url":"Patient/${tag}-${i}"}}`).join(',')}]}`;
  const bundles = Array.from({ length: 8 }, (_, i) => bundle(`t${i}`));
  const alone = [], beside = [];
  for (let round = 0; round < times.rounds; round++) {
    alone.push(await p99());
    let stop = false;
    const running = (async () => { for (let i = 0; !stop; i++) { const begun = performance.now(); await post(server, bundles[i % bundles.length]); took.push(performance.now() - begun); } })();
    beside.push(await p99());
    stop = true;
    await running;
  }
  const [a, b] = [median(alone), median(beside)];
  note(`p99 of reads, 16 connections: ${a.toFixed(2)} ms alone, ${b.toFixed(2)} ms beside transactions: ${(b / a).toFixed(1)}x (asked: at most 3x); 5,000 entries took ${median(took).toFixed(0)} ms (asked: at most 2000)`);
  report('p99', { aloneMs: a, besideMs: b, ratio: b / a, transactionMs: median(took) });
  await server.stop(); server.remove();
};

// Reads by CPU, and durable writes beside volatile ones, against bench/router.mjs.
export const measureRouter = async ({ build, dir, lua, sh, source }) => {
  note('\n== against an in-memory FHIR router in Node');
  const home = path.join(build, 'router');
  fs.mkdirSync(home, { recursive: true });
  fs.copyFileSync(path.join(source, 'bench/package.json'), path.join(home, 'package.json'));
  if (!fs.existsSync(path.join(home, 'node_modules/@medplum/fhir-router'))) sh('npm', ['install', '--no-audit', '--no-fund', '--no-package-lock', '--omit=optional', '--loglevel=error'], { cwd: home, stdio: 'inherit' });
  const server = await start({ ...settings, bin }), pid = server.child.pid, text = patientText(1024);
  await loadPatients(server, text, 'r', 1);
  const file = path.join(dir, 'patient.json'), make = lua('make.lua', luaBody(text.replace('"id":"@ID@",', '')) + 'local n = 0\nrequest = function() n = n + 1 return wrk.format("POST", "/fhir/Patient", nil, (body:gsub("@ID@", n):gsub("@N@", n))) end\n');
  fs.writeFileSync(file, (await call('GET', `${server.fhir}/Patient/r-0`, undefined, server.admin)).text);
  const port = await freePort();
  process.env.ROUTER_MODULES = path.join(home, 'node_modules');
  const peer = await launch(port, process.execPath, [path.join(source, 'bench/router.mjs'), String(port), file]);
  const both = (name, conns, options, peerName) => versus(name, peerName, () => wrk(server.base, conns, { ...options, header: server.admin, pid }), () => wrk(peer.base, conns, { ...options, pid: peer.pid }));
  both('reads, 16 connections', 16, { target: '/fhir/Patient/r-0' }, 'Node router in memory');
  both('creates, 64 connections, durable', 64, { script: make, target: '/' }, 'volatile');
  peer.stop();
  await server.stop(); server.remove();
};
