#!/usr/bin/env node
// Measures reads by id, single-resource writes and transactions over store-postgres against pgbench doing the same to the
// same tables of the same cluster: reads with -M prepared, writes pipelined, as many connections as Andiron has clients. Side
// by side in alternating rounds; prints ratios, never fails a build. The private cluster is durable (fsync), and removed at the end.
//
//   bench/postgres_writes.mjs [--build DIR] [--connections 32] [--seconds 3] [--rounds 3] [--only read,write,transaction]
//
// Asked: reads 0.6 of pgbench, writes 0.7, transactions 3,000 resources a second.
import { spawnSync } from 'node:child_process';
import fs from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { startPostgres } from '../tests/lib/postgres.mjs';

const argv = process.argv.slice(2);
const option = (name, fallback) => { const i = argv.indexOf('--' + name); return i < 0 ? fallback : argv[i + 1]; };
const source = path.resolve(import.meta.dirname, '..');
const build = path.resolve(option('build', path.join(source, 'build/test-release')));
const [clients, seconds, rounds] = [option('connections', '32'), option('seconds', '3'), option('rounds', '3')].map(Number);
const only = option('only', 'read,write,transaction').split(',');
Object.assign(process.env, { ANDIRON_BIN: path.join(build, 'andiron'), ANDIRON_MODULES: path.join(build, 'modules'), ANDIRON_TEST_STORE: 'postgres' });

const pg = await startPostgres({ fsync: true, settings: { shared_buffers: '256MB', max_connections: 120, max_wal_size: '2GB' } });
process.env.ANDIRON_TEST_POSTGRES = pg.dsn();
const { start, call } = await import('../tests/lib/server.mjs');
const dir = fs.mkdtempSync(path.join(os.tmpdir(), 'andiron-bench-'));
const RESOURCES = 5000;

const observation = (i) => ({
  resourceType: 'Observation', status: 'final', code: { coding: [{ system: 'http://loinc.org', code: `c${i % 40}` }] }, subject: { reference: `Patient/p${i % 100}` },
  effectiveDateTime: new Date(1.5e12 + i * 7919 % 1e6 * 3e5).toISOString(), valueQuantity: { value: i % 300, unit: 'mg', system: 'http://unitsofmeasure.org', code: 'mg' }, note: [{ text: 'x'.repeat(300) }],
});
const write = (name, text) => { const file = path.join(dir, name); fs.writeFileSync(file, text); return file; };
const server = await start({ quick: true, core: { http: { 'max-body': '256m' } } });
const database = fs.readFileSync(path.join(server.dir, 'database'), 'utf8');
const one = (sql) => pg.sql(`SET search_path=andiron; ${sql}`, database)[0].split('|');

const pgbench = (script) => {
  const r = spawnSync('pgbench', ['-h', pg.dir, '-p', String(pg.port), '-U', 'postgres', '-n', '-M', 'prepared', '-c', String(clients), '-j', '1', '-T', String(seconds), '-f', write('bare.sql', script), database],
    { encoding: 'utf8', env: { ...process.env, PGOPTIONS: '-c search_path=andiron,public -c jit=off' } });
  if (r.status !== 0) throw new Error(r.stderr);
  return Number(/tps = ([\d.]+)/.exec(r.stdout)[1]);
};
const wrk = (lua) => {
  const r = spawnSync('wrk', ['-t1', `-c${clients}`, `-d${seconds}s`, '-s', write('target.lua', lua), '-H', `authorization: ${server.admin.authorization}`, server.base], { encoding: 'utf8' });
  if (/Non-2xx/.test(r.stdout)) throw new Error(r.stdout);
  return Number(/Requests\/sec:\s+([\d.]+)/.exec(r.stdout)?.[1]);
};
const median = (list) => [...list].sort((a, b) => a - b)[Math.floor(list.length / 2)];
const compare = (name, ours, bare, asked) => {
  const [a, b] = [[], []];
  for (let i = 0; i < rounds; i++) { b.push(bare()); a.push(ours()); }
  console.log(`${name.padEnd(12)} andiron ${median(a).toFixed(0).padStart(7)}/s   pgbench ${median(b).toFixed(0).padStart(7)}/s   ratio ${(median(a) / median(b)).toFixed(2)}   ${median(a) / median(b) >= asked ? 'ok' : 'MISSED'} (asked: at least ${asked})`);
};

// The rows of an Observation as Andiron writes it, with other values in the columns that differ.
const rowsOf = (id) => {
  const [rid, vid, type] = one(`SELECT r.rid,r.vid,r.type FROM resource r JOIN restype t ON t.id=r.type WHERE t.name='Observation' AND r.id='${id}'`);
  const list = (table, columns) => pg.sql(`SET search_path=andiron; SELECT ${columns} FROM ${table} WHERE vid=${vid}`, database).filter(Boolean).map((line) => line.split('|'));
  const [keys, body] = one(`SELECT encode(keys,'hex'),encode(body,'hex') FROM version WHERE vid=${vid}`);
  const insert = (table, columns, rows) => (rows.length ? [`INSERT INTO ${table}(${columns},vid) VALUES ${rows.map((r) => `(${r.map((x) => (/^\\x/.test(x) ? `'${x}'` : x)).join(',')},currval('vid'))`).join(',')};`] : []);
  return ['\\startpipeline', 'BEGIN;',
    `INSERT INTO resource(rid,type,id,vid,ver,st) VALUES(nextval('rid'),${type},gen_random_uuid()::text,nextval('vid'),1,0);`,
    `INSERT INTO version(vid,rid,ts,ver,type,op,enc,keys,body) VALUES(currval('vid'),currval('rid'),now(),1,${type},1,0,decode('${keys}','hex'),decode('${body}','hex'));`,
    ...insert('ix_token', 'p,h', list('ix_token', 'p,h')), ...insert('ix_ref', 'p,tgt', list('ix_ref', 'p,tgt')), ...insert('ix_date', 'p,cls,lo,hi', list('ix_date', 'p,cls,lo,hi')),
    ...insert('ix_num', 'p,g,lo,hi', list('ix_num', 'p,g,lo,hi')), ...insert('ix_str', 'p,s', list('ix_str', 'p,s')), 'COMMIT;', '\\endpipeline', ''].join('\n');
};
const bundle = (from, count) => ({ resourceType: 'Bundle', type: 'transaction', entry: Array.from({ length: count }, (_, i) => ({ resource: observation(from + i), request: { method: 'POST', url: 'Observation' } })) });

try {
  for (let i = 0; i < RESOURCES; i += 500) {
    const entry = Array.from({ length: 500 }, (_, n) => ({ resource: { ...observation(i + n), id: `o${i + n}` }, request: { method: 'PUT', url: `Observation/o${i + n}` } }));
    const r = await call('POST', server.fhir, { resourceType: 'Bundle', type: 'transaction', entry }, server.admin);
    if (r.status !== 200) throw new Error(r.text.slice(0, 300));
  }
  pg.sql('VACUUM ANALYZE', database);
  const type = one("SELECT id FROM restype WHERE name='Observation'")[0];
  if (only.includes('read'))
    compare('read', () => wrk(`math.randomseed(1)\nrequest = function() return wrk.format("GET", "/fhir/Observation/o" .. math.random(0, ${RESOURCES - 1})) end\n`),
      () => pgbench(`\\set n random(0, ${RESOURCES - 1})\nSELECT v.ver,v.ts,v.op=3,v.enc,v.body FROM resource r JOIN version v ON v.vid=r.vid WHERE r.type=${type} AND r.id='o'||:n;\n`), 0.6);
  if (only.includes('write')) {
    const script = rowsOf('o7');
    compare('write', () => wrk(`wrk.headers["content-type"] = "application/fhir+json"\nlocal body = [[${JSON.stringify(observation(7))}]]\nrequest = function() return wrk.format("POST", "/fhir/Observation", nil, body) end\n`), () => pgbench(script), 0.7);
  }
  if (only.includes('transaction')) {
    const rates = [];
    for (let i = 0; i < rounds; i++) {
      const begun = Date.now();
      let written = 0;
      await Promise.all([0, 1, 2, 3].map(async (n) => {
        for (let k = 0; Date.now() - begun < seconds * 1000; k++) {
          const r = await call('POST', server.fhir, bundle(n * 100000 + k * 250, 250), { ...server.admin, prefer: 'return=minimal' });
          if (r.status !== 200) throw new Error(r.text.slice(0, 300));
          written += 250;
        }
      }));
      rates.push(written / (Date.now() - begun) * 1000);
    }
    console.log(`transaction  andiron ${median(rates).toFixed(0).padStart(7)} resources/s, in Bundles of 250   ${median(rates) >= 3000 ? 'ok' : 'MISSED'} (asked: at least 3000)`);
  }
} finally {
  await server.stop();
  await pg.stop();
  fs.rmSync(dir, { recursive: true, force: true });
}
