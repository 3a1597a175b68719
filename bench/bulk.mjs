// Exports: from kick-off to the last byte, beside the sqlite3 shell that dumps the same bodies into a file which nginx then
// serves; the worker's memory meanwhile; and what readers see of it. Driven by bench/run, which gives its tools.
import { execFileSync, spawnSync } from 'node:child_process';
import fs from 'node:fs';
import path from 'node:path';

const dumpSql = "SELECT body FROM version WHERE vid IN (SELECT vid FROM resource WHERE type=(SELECT id FROM restype WHERE name='Observation') AND st=0)";
const seconds = (work) => { const begun = process.hrtime.bigint(), result = work(); return [Number(process.hrtime.bigint() - begun) / 1e9, result]; };
const fetchFile = (url, header, to) => execFileSync('curl', ['-sf', '-o', to, ...Object.entries(header).flatMap(([k, v]) => ['-H', `${k}: ${v}`]), url]);

export const measureBulk = async (t) => {
  const out = path.join(t.dir, 'export.ndjson'), dump = path.join(t.dir, 'nginx/www/dump.ndjson'), database = path.join(t.server.dir, 'state/andiron.db');
  const asynchronous = { ...t.header, accept: 'application/fhir+json', prefer: 'respond-async' };
  const begin = async (query) => { const r = await t.call('GET', `${t.server.fhir}/${query}`, undefined, asynchronous); if (r.status !== 202) throw new Error(r.text); return r.headers.get('content-location'); };
  const end = async (url) => { for (;;) { const r = await t.call('GET', url, undefined, t.header); if (r.status === 200) return r.json; if (r.status !== 202) throw new Error(r.text); await t.sleep(Number(r.headers.get('retry-after')) * 500 + 100); } };
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
  t.note(`export of ${last.count} Observations, kick-off to last byte: ${a.toFixed(2)} s (${(last.bytes / 1e6 / a).toFixed(0)} MB/s, ${(last.count / a).toFixed(0)}/s), ${t.median(ours.map((x) => x.cpu)).toFixed(2)} s CPU; sqlite3 + nginx ${b.toFixed(2)} s: ratio ${(b / a).toFixed(2)} (asked: 0.5)`);
  t.note(`$export-stream ${t.median(streams).toFixed(2)} s; memory grew by ${(Math.max(...ours.map((x) => x.grown)) / 1e6).toFixed(1)} MB at most (asked: 30)`);
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
  t.note(`p99 of reads, 4 connections: ${t.median(quiet).toFixed(2)} ms alone, ${t.median(busy).toFixed(2)} ms beside four exports: ratio ${(t.median(busy) / t.median(quiet)).toFixed(2)} (asked: at most 2)`);
  t.report(`export ${t.size}, p99 of readers`, { aloneMs: t.median(quiet), besideMs: t.median(busy) });
};
