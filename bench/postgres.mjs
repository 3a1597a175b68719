#!/usr/bin/env node
// Measures searches over store-postgres against pgbench -M prepared running the equivalent SQL in the same cluster, at equal
// connections, side by side in alternating rounds. Prints ratios; never fails a build. A private cluster is started, and
// removed at the end.
//
//   bench/postgres.mjs [--build DIR] [--observations 10000,100000] [--connections 32] [--seconds 3] [--rounds 3]
//                      [--only read,seed,sorted,chain,has,not,include]
//
// Asked, and each told as ok or MISSED: reads and the seed search at least 0.6 of pgbench; p50 of the seed search growing at most
// 1.5 times from the first size to the last, that of reads at most 1.2 times as much as pgbench's; at most 4 connections of each loop,
// and 40 MB of memory for the node. Where an answer tells the total, pgbench counts, too.
import { spawnSync } from 'node:child_process';
import fs from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { startPostgres } from '../tests/lib/postgres.mjs';

const argv = process.argv.slice(2);
const option = (name, fallback) => { const i = argv.indexOf('--' + name); return i < 0 ? fallback : argv[i + 1]; };
const source = path.resolve(import.meta.dirname, '..');
const build = path.resolve(option('build', path.join(source, 'build/test-release')));
const sizes = option('observations', '10000,100000').split(',').map(Number);
const [clients, seconds, rounds] = [option('connections', '32'), option('seconds', '3'), option('rounds', '3')].map(Number);
const only = option('only', 'read,seed,sorted,chain,has,not,include').split(',');
Object.assign(process.env, { ANDIRON_BIN: path.join(build, 'andiron'), ANDIRON_MODULES: path.join(build, 'modules'), ANDIRON_TEST_STORE: 'postgres' });

const pg = await startPostgres({ settings: { shared_buffers: '512MB', max_connections: 100 } });
process.env.ANDIRON_TEST_POSTGRES = pg.dsn();
const { start, call } = await import('../tests/lib/server.mjs');
const { family } = await import('./measure.mjs');
const dir = fs.mkdtempSync(path.join(os.tmpdir(), 'andiron-bench-'));
const CODES = 40, PER_PATIENT = 50;

// Patient p has observations of all codes; code c0 is that of every second one, the others share the rest.
const patient = (i) => ({ resourceType: 'Patient', id: `p${i}`, gender: i % 2 ? 'male' : 'female', birthDate: `${1930 + i % 80}-0${1 + i % 9}-1${i % 9}`, name: [{ family: `Family${i % 997}`, given: ['A'] }] });
const observation = (i) => ({
  resourceType: 'Observation', id: `o${i}`, status: 'final', code: { coding: [{ system: 'http://loinc.org', code: `c${i % 2 ? 0 : 1 + i / 2 % (CODES - 1)}` }] }, subject: { reference: `Patient/p${Math.floor(i / PER_PATIENT)}` },
  effectiveDateTime: new Date(1.5e12 + i * 7919 % 1e6 * 3e5).toISOString(), valueQuantity: { value: i % 300, unit: 'mg', system: 'http://unitsofmeasure.org', code: 'mg' }, note: [{ text: 'x'.repeat(300) }],
});

const load = async (server, from, to) => {
  const all = [];
  for (let i = from; i < to; i++) {
    if (i % PER_PATIENT === 0) all.push(patient(i / PER_PATIENT));
    all.push(observation(i));
  }
  await new Promise((ok) => setTimeout(ok, 200)); // connections that were closed while pgbench ran are seen to be
  const workers = Array.from({ length: 4 }, async () => {
    for (let chunk = all.splice(0, 500); chunk.length; chunk = all.splice(0, 500)) {
      const r = await call('POST', server.fhir, { resourceType: 'Bundle', type: 'batch', entry: chunk.map((resource) => ({ resource, request: { method: 'PUT', url: `${resource.resourceType}/${resource.id}` } })) }, server.admin);
      if (r.status !== 200) throw new Error(`load: ${r.status} ${r.text.slice(0, 300)}`);
    }
  });
  await Promise.all(workers);
};

const database = (server) => fs.readFileSync(path.join(server.dir, 'database'), 'utf8');
const rows = (server, sql) => pg.sql(`SET search_path=andiron; ${sql}`, database(server)).map((line) => line.split('|'));
const p = (server, type, code) => Number(rows(server, `SELECT p.p FROM param p JOIN restype t ON t.id=p.type WHERE t.name='${type}' AND p.code='${code}'`)[0][0]);
const h = (server, param, id) => rows(server, `SELECT t.h FROM ix_token t JOIN resource r ON r.vid=t.vid JOIN restype y ON y.id=r.type WHERE t.p=${param} AND y.name||'/'||r.id='${id}' LIMIT 1`)[0][0];

// Name, search, SQL; each of code or patient n = 0..7, over which both go round.
const shapes = (server) => {
  const code = p(server, 'Observation', 'code'), date = p(server, 'Observation', 'date'), subject = p(server, 'Observation', 'subject');
  const family = (n) => `family${n * 7}`, name = p(server, 'Patient', 'family');
  const first = (n) => `o${2 * n}`; // the first of code c1 + n
  const type = rows(server, "SELECT id FROM restype WHERE name='Patient'")[0][0], observations = rows(server, "SELECT id FROM restype WHERE name='Observation'")[0][0];
  const probe = (vid, n) => `(SELECT true FROM ix_token x WHERE x.p=${code} AND x.h=${h(server, code, `Observation/${first(n)}`)} AND x.vid=${vid} LIMIT 1)`;
  const rest = 'JOIN version v ON v.vid=c.vid ORDER BY';
  // What the answer shows beside the bodies: a total of short lists.
  const counted = (n) => {
    const list = `ix_token WHERE p=${code} AND h=${h(server, code, `Observation/${first(n)}`)}`;
    return Number(rows(server, `SELECT count(*) FROM ${list}`)[0][0]) <= 1000 ? `,(SELECT count(*) FROM (SELECT 1 FROM ${list} LIMIT 1001) n)` : '';
  };
  return {
    // Ids spread over all; each of the eight goes on from another place.
    read: [(n) => `Observation/o${(n * 7919 + 13) % loaded}`, (n) => `SELECT v.ver,v.ts,v.op=3,v.enc,v.body FROM resource r JOIN version v ON v.vid=r.vid WHERE r.type=${observations} AND r.id='o'||:id`, 'random'],
    seed: [(n) => `Observation?code=c${1 + n}&_count=2`, (n) => `SELECT v.body${counted(n)} FROM (SELECT vid FROM ix_token WHERE p=${code} AND h=${h(server, code, `Observation/${first(n)}`)} ORDER BY vid DESC LIMIT 3) c ${rest} c.vid DESC`],
    sorted: [(n) => `Observation?code=c${1 + n}&date=ge2018&_sort=-date&_count=10`,
      (n) => `SELECT v.body FROM (SELECT d.vid,d.lo FROM ix_date d, LATERAL ${probe('d.vid', n)} t WHERE d.p=${date} AND d.cls=0 AND d.lo>=1514764800000000 ORDER BY d.lo DESC,d.vid DESC LIMIT 11) c ${rest} c.lo DESC,c.vid DESC`],
    chain: [(n) => `Observation?subject:Patient.family=${family(n)}&_count=10`,
      (n) => `SELECT v.body FROM (SELECT i.vid FROM (SELECT r.rid FROM ix_str s JOIN resource r ON r.vid=s.vid AND r.type=${type} WHERE s.p=${name} AND s.s>='${family(n)}' AND s.s<'${family(n)}~') k, LATERAL (SELECT vid FROM ix_ref WHERE p=${subject} AND tgt=k.rid ORDER BY vid DESC LIMIT 11) i ORDER BY i.vid DESC LIMIT 11) c ${rest} c.vid DESC`],
    has: [(n) => `Patient?_has:Observation:subject:code=c${1 + n}&_count=10`,
      (n) => `SELECT v.body FROM (SELECT r.vid FROM resource r, LATERAL (SELECT 1 FROM ix_ref f, LATERAL ${probe('f.vid', n)} t WHERE f.p=${subject} AND f.tgt=r.rid LIMIT 1) t WHERE r.type=${type} AND r.st=0 ORDER BY r.vid DESC LIMIT 11) c ${rest} c.vid DESC`],
    not: [(n) => `Observation?code:not=c${1 + n}&_count=10`, (n) => `SELECT v.body FROM (SELECT r.vid FROM resource r WHERE r.type=${observations} AND r.st=0 AND ${probe('r.vid', n)} IS NULL ORDER BY r.vid DESC LIMIT 11) c ${rest} c.vid DESC`],
    // The page, and by a second statement those that it refers to, as known beforehand.
    include: [(n) => `Observation?code=c${1 + n}&_include=Observation:subject&_count=10`,
      (n) => {
        const list = `SELECT vid FROM ix_token WHERE p=${code} AND h=${h(server, code, `Observation/${first(n)}`)} ORDER BY vid DESC LIMIT 11`;
        const targets = rows(server, `SELECT DISTINCT tgt FROM ix_ref WHERE p=${subject} AND vid IN (${list})`).map(([rid]) => rid);
        return `SELECT v.body FROM (${list}) c ${rest} c.vid DESC;\nSELECT v.body FROM resource r JOIN version v ON v.vid=r.vid WHERE r.rid=ANY('{${targets}}')`;
      }],
  };
};

const write = (name, text) => { const file = path.join(dir, name); fs.writeFileSync(file, text); return file; };
const bare = (server, sql, kind, tries = 5) => {
  const scripts = Array.from({ length: 8 }, (_, n) => ['-f', write(`${n}.sql`, `${kind === 'random' ? `\\set id random(0, ${loaded - 1})\n` : ''}${sql(n)};\n`)]).flat();
  const r = spawnSync('pgbench', ['-h', pg.dir, '-p', String(pg.port), '-U', 'postgres', '-n', '-M', 'prepared', '-c', String(clients), '-j', '1', '-T', String(seconds), ...scripts, database(server)],
    { encoding: 'utf8', env: { ...process.env, PGOPTIONS: '-c search_path=andiron -c jit=off -c enable_hashjoin=off -c enable_mergejoin=off -c enable_bitmapscan=off' } });
  if (r.status !== 0) throw new Error(r.stderr);
  const tps = /tps = ([\d.]+)/.exec(r.stdout)?.[1];
  if (!tps && tries > 1) return bare(server, sql, kind, tries - 1); // nothing was over in that time: a checkpoint
  if (!tps) throw new Error(r.stdout);
  return { rate: Number(tps), p50: Number(/latency average = ([\d.]+)/.exec(r.stdout)[1]) };
};
const ours = (server, search, kind) => {
  const targets = Array.from({ length: 8 }, (_, n) => `/fhir/${search(n)}`);
  const script = write('target.lua', kind === 'random' ? `math.randomseed(os.time())\nrequest = function() return wrk.format("GET", "/fhir/Observation/o" .. math.random(0, ${loaded - 1})) end\n` : `local t = { ${targets.map((t) => `"${t}"`).join(',')} } local n = 0\nrequest = function() n = n % #t + 1 return wrk.format("GET", t[n]) end\n`);
  const r = spawnSync('wrk', ['-t1', `-c${clients}`, `-d${seconds}s`, '--latency', '-s', script, '-H', `authorization: ${server.admin.authorization}`, server.base], { encoding: 'utf8' });
  const [, n, unit] = /50%\s+([\d.]+)(us|ms|s)/.exec(r.stdout) ?? [0, NaN, 's'];
  return { rate: Number(/Requests\/sec:\s+([\d.]+)/.exec(r.stdout)?.[1]), p50: Number(n) * { us: 0.001, ms: 1, s: 1000 }[unit], bad: /Non-2xx/.test(r.stdout) };
};
const median = (list) => [...list].sort((a, b) => a - b)[Math.floor(list.length / 2)];

const verdict = (good, asked) => `   ${good ? 'ok' : 'MISSED'} (asked: ${asked})`;
const asked = { read: 0.6, seed: 0.6 };

let loaded = 0;
const server = await start({ quick: true, core: { http: { 'max-body': '256m' } } });
const p50s = {}, theirP50s = {};
// Of the worker, the largest of the node's processes; and connections to the database that are not ours.
const worker = () => family(server.child.pid).map((pid) => Number(/VmRSS:\s+(\d+)/.exec(fs.readFileSync(`/proc/${pid}/status`, 'utf8'))?.[1] ?? 0)).reduce((a, b) => Math.max(a, b), 0) / 1024;
const connections = () => Number(rows(server, "SELECT count(*) FROM pg_stat_activity WHERE datname=current_database() AND pid<>pg_backend_pid() AND backend_type='client backend'")[0][0]);
try {
  for (const size of sizes) {
    const begun = Date.now();
    await load(server, loaded, size);
    console.log(`== ${size} Observations (${Math.round((size - loaded) / (Date.now() - begun) * 1000)}/s while loading)`);
    loaded = size;
    pg.sql('VACUUM ANALYZE', database(server));
    for (const [name, [search, sql, kind]] of Object.entries(shapes(server))) {
      if (!only.includes(name)) continue;
      for (let n = 0; n < 8; n++) {
        const r = await call('GET', `${server.fhir}/${search(n)}`, undefined, server.admin);
        if (r.status !== 200 || !(r.json.entry?.length > 0 || r.json.id)) throw new Error(`${search(n)}: ${r.status} ${r.text.slice(0, 300)}`);
      }
      const [a, b] = [[], []];
      for (let i = 0; i < rounds; i++) { a.push(bare(server, sql, kind)); b.push(ours(server, search, kind)); }
      const [theirs, mine] = [median(a.map((x) => x.rate)), median(b.map((x) => x.rate))];
      p50s[name] = [...(p50s[name] ?? []), median(b.map((x) => x.p50))];
      theirP50s[name] = [...(theirP50s[name] ?? []), median(a.map((x) => x.p50))];
      console.log(`${name.padEnd(8)} andiron ${mine.toFixed(0).padStart(7)}/s   pgbench ${theirs.toFixed(0).padStart(7)}/s   ratio ${(mine / theirs).toFixed(2)}   p50 ${median(b.map((x) => x.p50)).toFixed(2)} ms (pgbench ${median(a.map((x) => x.p50)).toFixed(2)} ms)${b.some((x) => x.bad) ? '   some answers were errors' : ''}${asked[name] ? verdict(mine / theirs >= asked[name], `at least ${asked[name]}`) : ''}`);
    }
    const [mb, held] = [worker(), connections()], most = 4 * Math.min(8, os.availableParallelism());
    console.log(`node     ${mb.toFixed(1)} MB${verdict(mb <= 40, 'at most 40 MB')}   ${held} connections${verdict(held <= most, `at most ${most}, 4 of each loop`)}`);
  }
  if (sizes.length > 1) for (const [name, list] of Object.entries(p50s)) {
    const mine = list.at(-1) / list[0], theirs = theirP50s[name].at(-1) / theirP50s[name][0];
    const told = name === 'seed' ? verdict(mine <= 1.5, 'at most 1.5') : name === 'read' ? verdict(mine / theirs <= 1.2, "at most 1.2 of pgbench's") : '';
    console.log(`${name.padEnd(8)} p50 grows ${mine.toFixed(2)}x from ${sizes[0]} to ${sizes.at(-1)} (pgbench ${theirs.toFixed(2)}x)${told}`);
  }
} finally {
  await server.stop();
  await pg.stop();
  fs.rmSync(dir, { recursive: true, force: true });
}
