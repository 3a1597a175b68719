// Exports: from kick-off to the last byte, beside the sqlite3 shell that dumps the same bodies into a file which nginx then
// serves; imports by $import; the worker's memory meanwhile; and what readers see of it. Driven by bench/run, which gives its tools.
//
// By itself it measures store-postgres, beside COPY ... TO STDOUT of the same bodies, in a cluster of its own:
//
//   bench/bulk.mjs [--build DIR] [--observations 100000] [--rounds 3]
//
// What was asked for is told as ok or MISSED.
import { execFileSync, spawn, spawnSync } from 'node:child_process';
import fs from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { fileURLToPath } from 'node:url';

const dumpSql = "SELECT body FROM version WHERE vid IN (SELECT vid FROM resource WHERE type=(SELECT id FROM restype WHERE name='Observation') AND st=0)";
const verdict = (holds) => (holds ? 'ok' : 'MISSED');
const seconds = (work) => { const begun = process.hrtime.bigint(), result = work(); return [Number(process.hrtime.bigint() - begun) / 1e9, result]; };
const fetchFile = (url, header, to) => execFileSync('curl', ['-sf', '-o', to, ...Object.entries(header).flatMap(([k, v]) => ['-H', `${k}: ${v}`]), url]);

// NDJSON of a type of the sample, under ids of its own; uploaded as one $import by curl.
const cutSample = (sample, type, count, to) => execFileSync('bash', ['-c', `grep '^{"resourceType":"${type}"' "${sample}" | head -n ${count} > "${to}"`]);
const upload = (server, header, file) => {
  const text = execFileSync('curl', ['-sS', '-X', 'POST', '-T', file, '-H', 'Content-Type: application/fhir+ndjson', ...Object.entries(header).flatMap(([k, v]) => ['-H', `${k}: ${v}`]), `${server.fhir}/$import`], { encoding: 'utf8' });
  const answer = JSON.parse(text);
  if (!answer.complete || answer.refused) throw new Error(text.slice(0, 500));
  return answer;
};

export const measureBulk = async (t) => {
  const out = path.join(t.dir, 'export.ndjson'), dump = path.join(t.dir, 'nginx/www/dump.ndjson'), database = path.join(t.server.dir, 'state/andiron.db');
  const asynchronous = { ...t.header, accept: 'application/fhir+json', prefer: 'respond-async' };
  const begin = async (query) => { const r = await t.call('GET', `${t.server.fhir}/${query}`, undefined, asynchronous); if (r.status !== 202) throw new Error(r.text); return r.headers.get('content-location'); };
  const end = async (url) => { for (;;) { const r = await t.call('GET', url, undefined, t.header); if (r.status === 200) return r.json; if (r.status !== 202 && r.status !== 429) throw new Error(r.text); await t.sleep(Number(r.headers.get('retry-after')) * 250); } };
  const exported = async () => {
    const before = t.owned(t.pid), cpu = t.cpuSeconds(t.pid), begun = Date.now();
    let peak = before;
    const timer = setInterval(() => { peak = Math.max(peak, t.owned(t.pid)); }, 100);
    const url = await begin('$export?_type=Observation'), m = await end(url);
    let bytes = 0;
    for (const f of m.output) { fetchFile(f.url, t.header, out); bytes += fs.statSync(out).size; }
    clearInterval(timer);
    const s = (Date.now() - begun) / 1000;
    await t.call('DELETE', url, undefined, t.header);
    return { s, cpu: t.cpuSeconds(t.pid) - cpu, bytes, count: m.output.reduce((n, f) => n + f.count, 0), grown: peak - before };
  };
  const dumped = () => {
    const [made] = seconds(() => execFileSync('bash', ['-c', `sqlite3 -readonly "${database}" "${dumpSql}" > "${dump}"`]));
    const [fetched] = seconds(() => fetchFile(`${t.peer.base}/dump.ndjson`, {}, out));
    const { size } = fs.statSync(out);
    fs.rmSync(dump);
    return { s: made + fetched, bytes: size };
  };
  const ours = [], theirs = [], streams = [];
  for (let i = 0; i < t.rounds; i++) {
    ours.push(await exported());
    theirs.push(dumped());
    streams.push(seconds(() => fetchFile(`${t.server.fhir}/Observation/$export-stream`, t.header, out))[0]);
  }
  fs.rmSync(out);
  const middle = (list) => t.median(list.map((x) => x.s)), last = ours.at(-1), [a, b] = [middle(ours), middle(theirs)];
  t.note(`export of ${last.count} Observations, kick-off to last byte: ${a.toFixed(2)} s (${(last.bytes / 1e6 / a).toFixed(0)} MB/s, ${(last.count / a).toFixed(0)}/s), ${t.median(ours.map((x) => x.cpu)).toFixed(2)} s CPU; sqlite3 + nginx ${b.toFixed(2)} s: ratio ${(b / a).toFixed(2)} (asked: 0.5) ${verdict(b / a >= 0.5)}`);
  const grown = Math.max(...ours.map((x) => x.grown)) / 1e6;
  t.note(`$export-stream ${t.median(streams).toFixed(2)} s; memory grew by ${grown.toFixed(1)} MB at most (asked: 30) ${verdict(grown <= 30)}`);
  if (Math.abs(last.bytes - theirs.at(-1).bytes) > 0) t.note(`   the dump has ${theirs.at(-1).bytes} bytes, the export ${last.bytes}`);
  t.report(`export ${t.size}`, { seconds: a, peer: b, ratio: b / a, bytes: last.bytes, count: last.count, cpu: t.median(ours.map((x) => x.cpu)), streamSeconds: t.median(streams), grownBytes: Math.max(...ours.map((x) => x.grown)) });

  // Readers at four connections: alone, and while one export follows the other.
  const latency = () => { const { stdout } = spawnSync('wrk', ['-t1', '-c4', `-d${t.seconds}s`, '--latency', '-s', t.script, ...Object.entries(t.header).flatMap(([k, v]) => ['-H', `${k}: ${v}`]), t.server.base + '/'], { encoding: 'utf8' }); const [, n, unit] = /99%\s+([\d.]+)(us|ms|s)/.exec(stdout) ?? [, NaN, 'ms']; return Number(n) * { us: 0.001, ms: 1, s: 1000 }[unit]; };
  const quiet = [], busy = [];
  for (let i = 0; i < t.rounds; i++) {
    quiet.push(latency());
    const urls = [];
    for (let j = 0; j < 4; j++) urls.push(await begin('$export?_type=Observation'));
    await t.sleep(300);
    busy.push(latency());
    for (const url of urls) await t.call('DELETE', url, undefined, t.header);
    await t.sleep(500);
  }
  const beside = t.median(busy) / t.median(quiet);
  t.note(`p99 of reads, 4 connections: ${t.median(quiet).toFixed(2)} ms alone, ${t.median(busy).toFixed(2)} ms beside four exports: ratio ${beside.toFixed(2)} (asked: at most 2) ${verdict(beside <= 2)}`);
  t.report(`export ${t.size}, p99 of readers`, { aloneMs: t.median(quiet), besideMs: t.median(busy) });

  // Imports into the same store: new versions of what it has, then the same again beside readers.
  const some = path.join(t.dir, 'import.ndjson'), rates = [], importing = [];
  cutSample(t.sample, 'Observation', 50000, some);
  for (let i = 0; i < t.rounds; i++) {
    const before = t.owned(t.pid);
    const [s, answer] = seconds(() => upload(t.server, t.header, some));
    rates.push({ rate: answer.stored / s, grown: t.owned(t.pid) - before });
    const child = spawn('curl', ['-sS', '-o', '/dev/null', '-X', 'POST', '-T', some, '-H', 'Content-Type: application/fhir+ndjson', ...Object.entries(t.header).flatMap(([k, v]) => ['-H', `${k}: ${v}`]), `${t.server.fhir}/$import`]);
    const ended = new Promise((ok) => child.on('exit', ok));
    await t.sleep(300);
    importing.push(latency());
    await ended;
  }
  const rate = t.median(rates.map((x) => x.rate)), during = t.median(importing) / t.median(quiet);
  t.note(`$import of 50,000 Observations, durable: ${rate.toFixed(0)} resources/s (asked: 12000) ${verdict(rate >= 12000)}; memory grew by ${(Math.max(...rates.map((x) => x.grown)) / 1e6).toFixed(1)} MB; p99 of reads beside it ${t.median(importing).toFixed(2)} ms: ratio ${during.toFixed(2)}`);
  t.report(`import ${t.size}`, { rate, besideMs: t.median(importing) });
};

// ---- by itself: store-postgres ------------------------------------------------------------------------------------------

const measurePostgres = async () => {
  const argv = process.argv.slice(2);
  const option = (name, fallback) => { const i = argv.indexOf('--' + name); return i < 0 ? fallback : argv[i + 1]; };
  const source = path.resolve(import.meta.dirname, '..'), build = path.resolve(option('build', path.join(source, 'build/test-release')));
  const size = Number(option('observations', '100000')), rounds = Number(option('rounds', '3'));
  Object.assign(process.env, { ANDIRON_BIN: path.join(build, 'andiron'), ANDIRON_MODULES: path.join(build, 'modules'), ANDIRON_TEST_STORE: 'postgres' });
  const { startPostgres } = await import('../tests/lib/postgres.mjs');
  const pg = await startPostgres({ settings: { shared_buffers: '512MB', max_connections: 100 } });
  process.env.ANDIRON_TEST_POSTGRES = pg.dsn();
  const { bin, call, sleep, start } = await import('../tests/lib/server.mjs'), { median } = await import('./measure.mjs');
  const dir = fs.mkdtempSync(path.join(os.tmpdir(), 'andiron-bench-')), server = await start({ core: { log: { level: 'warn', 'access-log': 'off' } } });
  try {
    const sample = path.join(dir, 'sample.ndjson'), some = path.join(dir, 'observations.ndjson'), out = path.join(dir, 'out');
    spawnSync(bin, ['sample', '--patients', String(Math.ceil(size / 40)), '--observations', '50'], { stdio: ['ignore', fs.openSync(sample, 'w'), 'inherit'] });
    cutSample(sample, 'Observation', size, some);
    const [s, { stored }] = seconds(() => upload(server, server.admin, some));
    console.log(`$import of ${stored} Observations over PostgreSQL: ${(stored / s).toFixed(0)} resources/s (asked: 12000) ${verdict(stored / s >= 12000)}`);
    const name = fs.readFileSync(path.join(server.dir, 'database'), 'utf8');
    const sql = "COPY (SELECT convert_from(v.body, 'UTF8') FROM andiron.version v JOIN andiron.resource r ON r.vid = v.vid JOIN andiron.restype t ON t.id = r.type WHERE t.name = 'Observation') TO STDOUT";
    const header = { ...server.admin, accept: 'application/fhir+json', prefer: 'respond-async' }, ours = [], theirs = [];
    let bytes = [];
    for (let i = 0; i < rounds; i++) {
      const begun = Date.now(), kick = await call('GET', `${server.fhir}/$export?_type=Observation`, undefined, header), url = kick.headers.get('content-location');
      let r;
      while ([202, 429].includes((r = await call('GET', url, undefined, server.admin)).status)) await sleep(Number(r.headers.get('retry-after')) * 250);
      if (r.status !== 200) throw new Error(r.text);
      bytes[0] = 0;
      for (const f of r.json.output) { fetchFile(f.url, server.admin, out); bytes[0] += fs.statSync(out).size; }
      ours.push((Date.now() - begun) / 1000);
      await call('DELETE', url, undefined, server.admin);
      const [copied] = seconds(() => execFileSync('bash', ['-c', `psql "${pg.dsn(name)}" -qAtc "${sql}" > "${out}"`]));
      theirs.push(copied);
      bytes[1] = fs.statSync(out).size;
    }
    const [a, b] = [median(ours), median(theirs)];
    console.log(`export of ${stored} Observations, kick-off to last byte: ${a.toFixed(2)} s (${(bytes[0] / 1e6).toFixed(0)} MB, ${(stored / a).toFixed(0)}/s); COPY TO STDOUT ${b.toFixed(2)} s (${(bytes[1] / 1e6).toFixed(0)} MB): ratio ${(b / a).toFixed(2)} (asked: 0.5) ${verdict(b / a >= 0.5)}`);
  } finally {
    await server.stop();
    server.remove();
    await pg.stop();
    fs.rmSync(dir, { recursive: true, force: true });
  }
};

if (process.argv[1] === fileURLToPath(import.meta.url)) await measurePostgres();
