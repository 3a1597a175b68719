// What plugins in the chain cost each request: twenty trivial filters (filter.c), through core's phases alone (chain.c) and in a
// whole server beside one without, in turn. Driven by bench/run, which gives its tools.
import { execFileSync } from 'node:child_process';
import fs from 'node:fs';
import path from 'node:path';

const PLUGINS = 20;

export const measureChain = async (t) => {
  t.note(`\n== ${PLUGINS} filters in the chain of a request, 16 connections`);
  const dir = fs.mkdtempSync(path.join(t.dir, 'chain-')), modules = path.join(dir, 'modules');
  fs.mkdirSync(modules);
  for (const file of fs.readdirSync(t.modules)) fs.copyFileSync(path.join(t.modules, file), path.join(modules, file));
  for (let i = 0; i < PLUGINS; i++)
    execFileSync('cc', ['-std=c11', '-O2', '-shared', '-fPIC', '-fvisibility=hidden', `-DNAME="pass-${i}"`, '-I', path.join(t.source, 'include'), '-o', path.join(modules, `pass-${i}.so`), path.join(t.source, 'bench/filter.c')]);
  const [bare, filtered] = t.sh(t.tool('chain'), Array.from({ length: PLUGINS }, (_, i) => path.join(modules, `pass-${i}.so`)), { encoding: 'utf8' }).trim().split(' ').map(Number);
  t.note(`through the phases alone: ${bare} ns a request without, ${filtered} with: ${(filtered - bare).toFixed(0)} ns more (asked: at most 150)`);
  t.report('chain of 20 filters, phases alone', { withoutNs: bare, withNs: filtered, addedNs: filtered - bare });
  const settings = { core: { ...t.settings.core, core: { 'module-path': modules } }, bin: t.bin };
  const [few, many] = [await t.configure(settings), await t.configure(settings)];
  for (let i = 0; i < PLUGINS; i++) fs.writeFileSync(path.join(many.etc, 'plugins.d', `60-pass-${i}.conf`), `[plugin pass-${i}]\nmodule = pass-${i}.so\n`);
  const servers = [await t.start({ at: few, bin: t.bin }), await t.start({ at: many, bin: t.bin })], cost = [[], []];
  // Twice the rounds: what is looked for is a hundredth of what is measured.
  for (let round = 0; round < t.rounds * 2; round++) servers.forEach((s, i) => cost[i].push(t.wrk(s.base, 16, { target: '/health/live', pid: s.child.pid }).cpuUs));
  const [a, b] = cost.map(t.median);
  const least = cost.map((c) => Math.min(...c));
  t.note(`${a.toFixed(2)} us CPU a request without, ${b.toFixed(2)} us with: ${((b - a) * 1000).toFixed(0)} ns more by the medians, ${((least[1] - least[0]) * 1000).toFixed(0)} ns by the least`);
  t.report('chain of 20 filters', { withoutUs: a, withUs: b, addedNs: (b - a) * 1000, addedLeastNs: (least[1] - least[0]) * 1000 });
  for (const s of servers) { await s.stop(); s.remove(); }
};
