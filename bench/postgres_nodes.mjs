#!/usr/bin/env node
// Measures what two nodes of one loop each answer, together, against one node of two loops, over one database: reads by id and
// writes, side by side in alternating rounds. Prints ratios; never fails a build. A private cluster is started, and removed at the end.
//
//   bench/postgres_nodes.mjs [--build DIR] [--connections 32] [--seconds 3] [--rounds 5]
//
// Asked: two nodes lose at most a tenth. On a machine that others use, too, compare the processor time of a request, of nodes and
// database, which is told beside the rates.
import { spawn } from 'node:child_process';
import fs from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { startPostgres } from '../tests/lib/postgres.mjs';

const argv = process.argv.slice(2);
const option = (name, fallback) => { const i = argv.indexOf('--' + name); return i < 0 ? fallback : argv[i + 1]; };
const source = path.resolve(import.meta.dirname, '..');
const build = path.resolve(option('build', path.join(source, 'build/test-release')));
const [clients, seconds, rounds] = [option('connections', '32'), option('seconds', '3'), option('rounds', '5')].map(Number);
Object.assign(process.env, { ANDIRON_BIN: path.join(build, 'andiron'), ANDIRON_MODULES: path.join(build, 'modules') });
const { call } = await import('../tests/lib/server.mjs');
const { node } = await import('../tests/lib/nodes.mjs');
const { cpuSeconds } = await import('./measure.mjs');

const pg = await startPostgres({ settings: { shared_buffers: '256MB', max_connections: 100 } });
const dir = fs.mkdtempSync(path.join(os.tmpdir(), 'andiron-bench-')), script = path.join(dir, 'target.lua');
const RESOURCES = 2000;
const targets = {
  read: `request = function() return wrk.format("GET", "/fhir/Patient/p" .. math.random(0, ${RESOURCES - 1})) end\n`,
  write: `wrk.headers["content-type"] = "application/json"\nrequest = function() local id = "w" .. math.random(0, 1000000000) return wrk.format("PUT", "/fhir/Patient/" .. id, nil, '{"resourceType":"Patient","id":"' .. id .. '","name":[{"family":"F"}]}') end\n`,
};
const wrk = (server, connections, seed) => new Promise((ok, no) => {
  const child = spawn('wrk', ['-t1', `-c${connections}`, `-d${seconds}s`, '-s', `${script}.${seed}`, '-H', `authorization: ${server.admin.authorization}`, server.base]);
  let text = '';
  child.stdout.on('data', (d) => { text += d; });
  child.on('close', () => (/Non-2xx/.test(text) ? no(new Error(text)) : ok(Number(/Requests\/sec:\s+([\d.]+)/.exec(text)[1]))));
});
// Microseconds of processor time that nodes and database have taken.
const spent = (servers) => [...servers.map((s) => s.child.pid), pg.pid()].reduce((sum, pid) => sum + cpuSeconds(pid) * 1e6, 0);
let runs = 0;
const together = async (servers, kind) => {
  servers.forEach((_, i) => fs.writeFileSync(`${script}.${i}`, `math.randomseed(${++runs})\n${targets[kind]}`));
  const before = spent(servers), rate = (await Promise.all(servers.map((s, i) => wrk(s, clients / servers.length, i)))).reduce((a, b) => a + b, 0);
  return { rate, cpu: (spent(servers) - before) / (rate * seconds) };
};
const median = (list) => [...list].sort((a, b) => a - b)[Math.floor(list.length / 2)];

const nodes = [];
try {
  const dsn = pg.database('nodes'), core = (loops) => ({ http: { 'io-threads': String(loops) }, log: { 'access-log': 'off' } });
  nodes.push(await node({ dsn, core: core(2) }), await node({ dsn, core: core(1), init: false }), await node({ dsn, core: core(1), init: false }));
  const entry = Array.from({ length: RESOURCES }, (_, i) => ({ resource: { resourceType: 'Patient', id: `p${i}`, name: [{ family: `F${i}` }] }, request: { method: 'PUT', url: `Patient/p${i}` } }));
  const r = await call('POST', nodes[0].fhir, { resourceType: 'Bundle', type: 'batch', entry }, nodes[0].admin);
  if (r.status !== 200) throw new Error(r.text);
  for (const n of nodes) n.admin = nodes[0].admin;
  for (const kind of Object.keys(targets)) {
    const ratios = [], rates = [[], []];
    for (let i = 0; i < rounds; i++) {
      const [one, two] = i % 2 ? [await together([nodes[0]], kind), await together(nodes.slice(1), kind)] : [await together(nodes.slice(1), kind), await together([nodes[0]], kind)].reverse();
      ratios.push(two.rate / one.rate);
      rates[0].push(one);
      rates[1].push(two);
    }
    const of = (list, what) => median(list.map((x) => x[what])).toFixed(0);
    console.log(`${kind.padEnd(6)} one node of two loops ${of(rates[0], 'rate')}/s (${of(rates[0], 'cpu')} us of CPU each), two nodes of one ${of(rates[1], 'rate')}/s (${of(rates[1], 'cpu')} us): ${median(ratios).toFixed(2)} (${ratios.map((x) => x.toFixed(2)).join(' ')})   ${median(ratios) >= 0.9 ? 'ok' : 'MISSED'} (asked: at least 0.9)`);
  }
} finally {
  for (const n of nodes) { await n.stop(); n.remove(); }
  await pg.stop();
  fs.rmSync(dir, { recursive: true, force: true });
}
