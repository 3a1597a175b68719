// What operating costs: the access log, a scrape of the metrics each second, the audit of refusals; memory over many mixed
// requests; and the time from a crash to the first answer. Driven by bench/run, which gives its tools.
import fs from 'node:fs';
import { spawnSync } from 'node:child_process';
import { end, firstAnswer } from './servers.mjs';

const verdict = (is) => (is ? 'ok' : 'MISSED');
const basic = (id) => `Basic ${Buffer.from(`${id}:secret`).toString('base64')}`;
const put = async (t, server, path, body) => { const r = await t.call('PUT', `${server.base}/${path}`, body, server.admin); if (r.status > 201) throw new Error(r.text); };
const serve = async (t, { core, plugins }) => {
  const server = await t.start({ ...t.settings, core: { ...t.settings.core, ...core }, plugins: { ...t.settings.plugins, ...plugins }, bin: t.bin });
  for (const id of ['reader', 'stranger']) await put(t, server, `Client/${id}`, { secret: 'secret', grant_types: ['basic'] });
  await put(t, server, 'AccessPolicy/reader', { engine: 'allow', link: [{ resourceType: 'Client', id: 'reader' }] });
  for (let i = 0; i < 100; i++) await put(t, server, `fhir/Patient/p${i}`, { resourceType: 'Patient', id: `p${i}`, active: true, name: [{ family: `Family${i}` }] });
  return server;
};

// Each pair in turn, CPU per request and rate; asked is the share of the rate that may be lost.
const compare = async (t, name, asked, without, with_, script, beside) => {
  const pair = [await serve(t, without), await serve(t, with_)];
  const got = [[], []];
  for (let round = 0; round < t.rounds; round++) for (const i of [0, 1]) {
    const stop = i === 1 && beside ? beside(pair[1]) : () => {};
    got[i].push(t.wrk(pair[i].base, 64, { target: '/fhir/Patient/p1', script, header: { authorization: basic('reader') }, pid: pair[i].child.pid, quiet: true }));
    stop();
  }
  const [a, b] = got.map((rounds) => ({ rate: t.median(rounds.map((r) => r.rate)), us: t.median(rounds.map((r) => r.cpuUs)) }));
  const byRate = 1 - b.rate / a.rate, byCpu = b.us / a.us - 1;
  t.note(`${name.padEnd(52)} ${a.rate.toFixed(0)}/s ${a.us.toFixed(1)} us, then ${b.rate.toFixed(0)}/s ${b.us.toFixed(1)} us: costs ${(100 * byRate).toFixed(1)} % of the rate, ${(100 * byCpu).toFixed(1)} % CPU (asked: ${100 * asked} %) ${verdict(Math.min(byRate, byCpu) <= asked)}`);
  t.report(`costs: ${name}`, { byRate, byCpu, asked });
  for (const s of pair) { await s.stop(); s.remove(); }
};
// Runs on wrk's side of the process table: a scrape each second, for as long as it is measured.
const scraping = (server) => {
  const pid = spawnSync('sh', ['-c', `while :; do curl -s -o /dev/null ${server.adminBase}/metrics; sleep 1; done >/dev/null 2>&1 & echo $!`], { encoding: 'utf8' }).stdout.trim();
  return () => { try { process.kill(Number(pid)); } catch { /* ended */ } };
};
// Every hundredth is refused.
const oneInHundred = (t) => t.lua('refusals.lua', `local n, good, bad = 0, wrk.format(nil, "/fhir/Patient/p1", { ["authorization"] = "${basic('reader')}" }), wrk.format(nil, "/fhir/Patient/p1", { ["authorization"] = "${basic('stranger')}" })
request = function() n = n + 1; if n % 100 == 0 then return bad end; return good end\n`);

// Page caches of the store are meant to fill up to their limits (20 MB and more by default), which takes a million requests: here
// they are small and full before it begins, so that what grows is what leaks.
const memory = async (t) => {
  const server = await serve(t, { plugins: { 'store-sqlite': { 'writer-cache': '1m', 'reader-cache': '1m' } } });
  const script = t.lua('mixed.lua', `local n, auth = 0, { ["authorization"] = "${basic('reader')}", ["content-type"] = "application/fhir+json" }
request = function()
  n = n + 1
  local i, kind = n % 100, n % 10
  if kind < 5 then return wrk.format("GET", "/fhir/Patient/p" .. i, auth) end
  if kind < 7 then return wrk.format("GET", "/fhir/Patient?family=Family" .. i, auth) end
  if kind < 8 then return wrk.format("GET", "/fhir/Patient/nobody" .. n, auth) end
  if kind < 9 then return wrk.format("GET", "/fhir/Patient/p" .. i .. "/_history?_count=2", auth) end
  return wrk.format("PUT", "/fhir/Patient/p" .. i, auth, '{"resourceType":"Patient","id":"p' .. i .. '","name":[{"family":"Family' .. i .. '"}]}')
end\n`);
  const send = async (count) => { for (let sent = 0; sent < count;) sent += t.wrk(server.base, 32, { target: '/', script, header: {}, pid: server.child.pid, quiet: true }).requests; };
  await send(200000); // threads have their arenas, too
  await t.sleep(2000);
  const before = t.owned(server.child.pid);
  await send(200000);
  await t.sleep(2000);
  const after = t.owned(server.child.pid), growth = after / before - 1;
  t.note(`memory over 200,000 mixed requests                   ${(before / 1e6).toFixed(1)} MB, then ${(after / 1e6).toFixed(1)} MB: ${(100 * growth).toFixed(1)} % (asked: 2 %) ${verdict(growth <= 0.02)}`);
  t.report('costs: memory over 200,000 mixed requests', { before, after });
  await server.stop();
  server.remove();
};

export const crashes = async (t) => {
  const again = [], worker = [];
  let server;
  for (let i = 0; i < 3; i++) { // a server of its own each time: after several crashes in a row it takes longer on purpose
    if (server) { await server.stop(); server.remove(); }
    server = await serve(t, {});
    const [pid] = fs.readFileSync(`/proc/${server.child.pid}/task/${server.child.pid}/children`, 'utf8').trim().split(' ').map(Number);
    const began = process.hrtime.bigint();
    process.kill(pid, 'SIGSEGV');
    while (fs.existsSync(`/proc/${pid}`)) await t.sleep(1); // what answers from now on is another
    for (;;) { try { if ((await t.call('GET', `${server.base}/health/ready`)).status === 200) break; } catch { /* not yet */ } }
    worker.push(Number(process.hrtime.bigint() - began) / 1e6);
  }
  await server.kill();
  for (let i = 0; i < 5; i++) {
    const { ms, child } = await firstAnswer(server);
    again.push(ms);
    await end(child, 'SIGKILL');
  }
  for (const [what, list, asked] of [['kill -9 to the first 200', again, 150], ['crash of a plugin to the first 200', worker, 200]]) {
    t.note(`${what.padEnd(52)} ${t.median(list).toFixed(0)} ms, at most ${Math.max(...list).toFixed(0)} ms (asked: ${asked} ms) ${verdict(t.median(list) <= asked)}`);
    t.report(`costs: ${what}`, { list, asked });
  }
  server.remove();
};

export const measureCosts = async (t) => {
  const refusals = oneInHundred(t);
  const log = (target) => ({ core: { log: { level: 'info', 'access-log': target } } });
  await compare(t, 'access log to a file', 0.05, log('off'), log('all'));
  await compare(t, 'a scrape of all metrics each second', 0.02, {}, {}, undefined, scraping);
  await compare(t, 'audit, 1 % of requests refused', 0.05, {}, { plugins: { audit: {} } }, refusals);
  await memory(t);
  await crashes(t);
};
