// What the benchmarks measure with: rates by wrk, processor time and memory from /proc, a server and a peer in turn.
import { execFileSync, spawnSync } from 'node:child_process';
import fs from 'node:fs';

export const times = { seconds: 3, rounds: 3 }; // of each measurement; set by the command line
export const results = [];
export const note = (text) => console.log(text);
export const report = (name, values) => { results.push({ name, ...values }); };

const children = (pid) => fs.readFileSync(`/proc/${pid}/task/${pid}/children`, 'utf8').trim().split(' ').filter(Boolean).map(Number);
export const family = (pid) => [pid, ...children(pid).flatMap(family)];
const ticks = Number(execFileSync('getconf', ['CLK_TCK']));
export const cpuSeconds = (pid) => family(pid).reduce((sum, p) => {
  const fields = fs.readFileSync(`/proc/${p}/stat`, 'utf8').replace(/^.*\) /, '').split(' ');
  return sum + (Number(fields[11]) + Number(fields[12])) / ticks;
}, 0);
// Bytes that the processes own: private dirty pages, without those of shared mappings, which are the database's and the kernel's to write.
export const owned = (pid) => family(pid).reduce((sum, p) => {
  let shared = false, kb = 0;
  for (const line of fs.readFileSync(`/proc/${p}/smaps`, 'utf8').split('\n')) {
    const mapping = /^[0-9a-f]+-[0-9a-f]+ (\S{4}) /.exec(line), dirty = /^Private_Dirty:\s+(\d+)/.exec(line);
    if (mapping) shared = mapping[1][3] === 's';
    if (dirty && !shared) kb += Number(dirty[1]);
  }
  return sum + kb * 1024;
}, 0);

export const wrk = (base, conns, { script, header, target, pid, quiet }) => {
  const args = ['-t1', `-c${conns}`, `-d${times.seconds}s`, '--timeout', '10s'];
  if (script) args.push('-s', script);
  for (const [k, v] of Object.entries(header ?? {})) args.push('-H', `${k}: ${v}`);
  const before = cpuSeconds(pid);
  const { stdout } = spawnSync('wrk', [...args, base + target], { encoding: 'utf8' });
  const cpu = cpuSeconds(pid) - before;
  const requests = Number(/(\d+) requests in/.exec(stdout)?.[1] ?? 0);
  const bad = Number(/Non-2xx or 3xx responses: (\d+)/.exec(stdout)?.[1] ?? 0);
  if (bad && !quiet) note(`   ${bad} of ${requests} answers were errors: ${base}${target}`);
  return { rate: Number(/Requests\/sec:\s+([\d.]+)/.exec(stdout)?.[1] ?? 0), cpuUs: cpu * 1e6 / Math.max(requests, 1), requests, bad };
};
export const median = (list) => [...list].sort((a, b) => a - b)[Math.floor(list.length / 2)];

// Runs Andiron and a peer in turn; ratios of the medians.
export const versus = (name, peerName, ours, peer) => {
  const a = [], b = [];
  for (let i = 0; i < times.rounds; i++) { a.push(ours()); b.push(peer()); }
  const rate = [median(a.map((x) => x.rate)), median(b.map((x) => x.rate))];
  const cpu = [median(a.map((x) => x.cpuUs)), median(b.map((x) => x.cpuUs))];
  const byRate = rate[0] / rate[1], byCpu = cpu[1] / cpu[0];
  note(`${name.padEnd(44)} ${rate[0].toFixed(0).padStart(8)}/s ${cpu[0].toFixed(1).padStart(7)} us   ${peerName} ${rate[1].toFixed(0).padStart(8)}/s ${cpu[1].toFixed(1).padStart(7)} us   ratio ${byRate.toFixed(2)}, by CPU ${byCpu.toFixed(2)}`);
  report(name, { peer: peerName, rate, cpuUs: cpu, ratio: byRate, ratioCpu: byCpu });
};
