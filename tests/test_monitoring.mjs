// The packaged dashboard and alert rules (etc/monitoring) ask only for metrics and labels that a running server has, and what it
// shows at /metrics is bounded and in Prometheus' format.
import test, { after, before } from 'node:test';
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import fs from 'node:fs';
import path from 'node:path';
import { source, start, call } from './lib/server.mjs';

const file = (name) => fs.readFileSync(path.join(source, 'etc/monitoring', name), 'utf8');
const dashboard = JSON.parse(file('andiron-dashboard.json')), alerts = file('andiron-alerts.yml');
const expressions = [
  ...dashboard.panels.flatMap((p) => (p.targets ?? []).map((t) => [p.title, t.expr])),
  ...[...alerts.matchAll(/- alert: (\w+)\n +expr: (.+)/g)].map((m) => [m[1], m[2]]),
];
let server, text, series;
before(async () => {
  server = await start({ plugins: { audit: {} } });
  await call('PUT', `${server.fhir}/Patient/a`, { resourceType: 'Patient', id: 'a' }, server.admin);
  await call('GET', `${server.fhir}/Patient?name=x`, undefined, server.admin);
  await call('GET', `${server.fhir}/Patient/unknown`, undefined, server.admin);
  text = (await call('GET', `${server.adminBase}/metrics`)).text;
  // { name: set of the labels that some series of it has }
  series = new Map();
  for (const m of text.matchAll(/^([a-z_]+)(?:\{(.*)\})? \S+$/gm)) {
    const labels = series.get(m[1]) ?? series.set(m[1], new Set()).get(m[1]);
    for (const l of (m[2] ?? '').matchAll(/([a-z_]+)="/g)) labels.add(l[1]);
  }
});
after(async () => { await server.stop(); server.remove(); });

test('every metric that the dashboard and the alerts name is there, with the labels they go by', () => {
  assert.ok(expressions.length > 40, `${expressions.length}`);
  const everywhere = new Set(['instance', 'job']); // of the scrape
  for (const [where, expr] of expressions) {
    const names = [...expr.matchAll(/\b((?:andiron|process)_[a-z_]+)(?:\{([^}]*)\})?/g)];
    assert.ok(names.length || expr.startsWith('up{'), `${where}: ${expr}`);
    const known = new Set(everywhere);
    for (const [, name, selector] of names) {
      if (name === 'andiron_tls_certificate_expiry_timestamp_seconds') continue; // only with a certificate: test_ops
      assert.ok(series.has(name), `${where}: there is no ${name}`);
      for (const label of series.get(name)) known.add(label);
      for (const l of (selector ?? '').matchAll(/([a-z_]+)[=!]/g)) assert.ok(known.has(l[1]), `${where}: ${name} has no label ${l[1]}`);
    }
    for (const by of expr.matchAll(/\bby \(([^)]*)\)/g)) for (const label of by[1].split(/, */)) assert.ok(known.has(label), `${where}: no label ${label} in ${expr}`);
  }
});
test('every panel has a place of its own and something to show', () => {
  const places = new Set(), ids = new Set();
  for (const p of dashboard.panels) {
    assert.ok(!ids.has(p.id) && ids.add(p.id));
    const at = `${p.gridPos.x},${p.gridPos.y}`;
    assert.ok(!places.has(at) && places.add(at), at);
    assert.ok(p.type === 'row' || p.targets.length, p.title);
  }
  for (const row of ['Traffic', 'Errors', 'Latency', 'Policies', 'Store', 'Keys and bulk']) assert.ok(dashboard.panels.some((p) => p.type === 'row' && p.title === row), row);
});
test('every alert says what it means and what to do', () => {
  const blocks = alerts.split('- alert: ').slice(1);
  assert.equal(blocks.length, expressions.length - dashboard.panels.flatMap((p) => p.targets ?? []).length);
  for (const block of blocks) for (const part of [/severity: (critical|warning)/, /summary: ".{20,}"/, /description: ".{20,}"/]) assert.match(block, part);
});
test('requests for whatever id, type and method do not make new series', async () => {
  const count = async () => (await call('GET', `${server.adminBase}/metrics`)).text.split('\n').filter((l) => l && !l.startsWith('#')).length;
  const ask = async (from, to) => {
    for (let i = from; i < to; i++) {
      await call('GET', `${server.fhir}/Patient/id-${i}`, undefined, server.admin);
      await call('GET', `${server.fhir}/Unknown${i}/1`, undefined, server.admin);
      await call(`VERB${i}`, `${server.fhir}/Patient`, undefined, server.admin);
      await call('GET', `${server.base}/nowhere/${i}`);
    }
  };
  await ask(0, 3);
  const before = await count();
  await ask(3, 40);
  assert.equal(await count(), before);
  assert.ok(before < 5000, `${before}`);
});
// PROMTOOL names one (Debian: package prometheus).
test('promtool has nothing to say of the metrics and the rules', { skip: process.env.PROMTOOL ? false : 'PROMTOOL is not set' }, () => {
  const metrics = spawnSync(process.env.PROMTOOL, ['check', 'metrics'], { input: text, encoding: 'utf8' });
  assert.deepEqual([metrics.status, metrics.stdout + metrics.stderr], [0, '']);
  const rules = spawnSync(process.env.PROMTOOL, ['check', 'rules', path.join(source, 'etc/monitoring/andiron-alerts.yml')], { encoding: 'utf8' });
  assert.equal(rules.status, 0, rules.stdout + rules.stderr);
});
