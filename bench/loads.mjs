// Loads by transactions of 500 entries: beside jansson + SQLite, and into stores of several sizes.
import { execFileSync, spawnSync } from 'node:child_process';
import fs from 'node:fs';
import path from 'node:path';
import { bin, configure, start } from '../tests/lib/server.mjs';
import { cpuSeconds, median, note, report, times, versus } from './measure.mjs';
import { ended } from './peers.mjs';
import { copyStore, settings } from './servers.mjs';

const importing = (dir, server, sample, lines, jobs) => {
  const before = cpuSeconds(server.child.pid), begun = Date.now();
  execFileSync(bin, ['import', '--url', server.base, '--jobs', String(jobs), '--chunk', '500', sample], { env: { ...process.env, ANDIRON_ADMIN: 'root:secret' }, stdio: 'ignore', cwd: dir });
  return { rate: lines / ((Date.now() - begun) / 1000), cpuUs: (cpuSeconds(server.child.pid) - before) * 1e6 / lines };
};

// The same sample by transactions of 500 over 1 and 4 connections, each into a new store, beside jansson + SQLite.
export const measureLoads = async (t, size) => {
  const { dir, sh } = t;
  note('\n== transaction load');
  const sample = path.join(dir, 'load.ndjson');
  spawnSync(bin, ['sample', '--patients', String(Math.max(1, Math.round(size / 50))), '--observations', '50'], { stdio: ['ignore', fs.openSync(sample, 'w'), 'inherit'] });
  const lines = Number(sh('wc', ['-l', sample]).toString().split(' ')[0]);
  for (const jobs of [1, 4]) versus(`transaction Bundles of 500, ${jobs} connection${jobs > 1 ? 's' : ''}`, 'jansson + SQLite', ...await loaders(t, sample, lines, jobs));
};
const loaders = async ({ dir, sh, tool }, sample, lines, jobs) => {
  const { rounds } = times;
  const servers = [];
  for (let i = 0; i < rounds * 2; i++) servers.push(await start({ ...settings, bin, ...(i < rounds ? {} : { init: false }) }));
  for (const s of servers.slice(rounds)) await s.stop();
  let ours = 0, peers = rounds;
  ended.push(() => { for (const s of servers) { s.child.kill('SIGTERM'); s.remove(); } });
  return [() => {
    return importing(dir, servers[ours++], sample, lines, jobs);
  }, () => {
    const rate = Number(sh(tool('bundles'), [sample, path.join(servers[peers++].dir, 'state/andiron.db'), '500']));
    return { rate, cpuUs: 1e6 / rate };
  }];
};

// What a resource costs in stores of several sizes: new ones into copies of the stores that --keep has, or of stores
// loaded for it. Sizes in turn, so that what else the machine does touches all of them.
export const measureGrowth = async ({ dir, keep, sh }, sizes) => {
  note(`\n== loads into stores of ${sizes.join(', ')} Observations`);
  const sample = (file, observations, seed) => { spawnSync(bin, ['sample', '--seed', String(seed), '--patients', String(Math.max(1, Math.round(observations / 50))), '--observations', '50'], { stdio: ['ignore', fs.openSync(file, 'w'), 'inherit'] }); return file; };
  const lines = (file) => Number(sh('wc', ['-l', file]).toString().split(' ')[0]);
  const stores = [];
  for (const size of sizes) {
    const home = path.join(keep ?? dir, `server-${size}`), at = await configure({ ...settings, dir: path.join(dir, `growth-${size}`) });
    ended.push(() => fs.rmSync(at.dir, { recursive: true, force: true }));
    const kept = fs.existsSync(home);
    if (kept) {
      fs.mkdirSync(path.join(at.dir, 'state'), { recursive: true });
      copyStore(path.join(home, 'state/andiron.db'), path.join(at.dir, 'state/andiron.db'));
    }
    const server = await start({ bin, at });
    ended.push(() => server.child.kill('SIGTERM'));
    if (!kept) { const file = sample(path.join(dir, `growth-${size}.ndjson`), size, 1); importing(dir, server, file, lines(file), 4); fs.rmSync(file); }
    stores.push({ size, server, runs: [] });
  }
  const more = [];
  for (let i = 0; i <= times.rounds; i++) more.push(sample(path.join(dir, `more-${i}.ndjson`), 10000, 1000 + i));
  for (const [i, file] of more.entries()) // the first fills caches, and does not count
    for (const s of stores) { const run = importing(dir, s.server, file, lines(file), 1); if (i > 0) s.runs.push(run); }
  const of = (s) => ({ rate: median(s.runs.map((r) => r.rate)), cpuUs: median(s.runs.map((r) => r.cpuUs)) });
  for (const s of stores) note(`transaction Bundles of 500, 1 connection, into ${String(s.size).padStart(8)} ${of(s).rate.toFixed(0).padStart(8)}/s ${of(s).cpuUs.toFixed(1).padStart(7)} us CPU a resource`);
  const [a, b] = [of(stores[0]), of(stores.at(-1))];
  note(`from ${sizes[0]} to ${sizes.at(-1)}: time per resource ${(a.rate / b.rate).toFixed(2)}x, CPU ${(b.cpuUs / a.cpuUs).toFixed(2)}x (asked: at most 1.6x)`);
  report('growth', { sizes, rate: [a.rate, b.rate], cpuUs: [a.cpuUs, b.cpuUs], ratio: a.rate / b.rate, ratioCpu: b.cpuUs / a.cpuUs });
  for (const s of stores) { await s.server.stop(); s.server.remove(); }
};
