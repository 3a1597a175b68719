// What policies cost: reads of a client with many policies that are not its own, many of everybody, one engine's decision,
// and what a pattern that runs forever does to others. Driven by bench/run, which gives its tools.
import { spawn } from 'node:child_process';
import fs from 'node:fs';

const linked = (i) => ({ engine: 'matcho', matcho: { 'request-method': 'get', client: { id: `other-${i}` } }, link: [{ resourceType: 'Client', id: `other-${i}` }] });
// What differs is a header: found by the index of literals.
const literal = (i) => ({ engine: 'matcho', matcho: { headers: { 'x-which': `w${i}` } } });
// An expression that may match anywhere: found by what it surely asks for.
const anywhere = (i) => ({ engine: 'matcho', matcho: { headers: { 'x-which': `#w${i}$` } } });
// Not to be found by an index, so that each is tried: an expression of its own that asks for no text for sure.
const expression = (i) => `#^([v-x][0-9]{${1 + (i % 40)}}|[a-${String.fromCharCode(98 + (i % 24))}]+[0-9]{${1 + Math.floor(i / 120)}})$`;
const opaque = (i) => ({ engine: 'matcho', matcho: { headers: { 'x-which': expression(i) } } });
// The same of five kinds by turns, each policy unlike all others: an expression, a value somewhere else, a number, an element, and none.
const kinds = [
  (i) => ({ headers: { 'x-which': expression(i) } }),
  (i) => ({ client: { details: { site: `.headers.x-site-${i}` } } }),
  (i) => ({ 'request-method': 'get', client: { details: { floor: i } } }),
  (i) => ({ client: { details: { wards: { $contains: { $enum: [`w${i + 10}`, i] } } } } }),
  (i) => ({ client: { details: { wards: { $not: { $contains: 'w2', $length: 2 } }, rooms: { $length: i + 3 } } } }),
];
const mixed = (i) => ({ engine: 'matcho', matcho: kinds[i % kinds.length](i) });
const byType = (i) => ({ engine: 'matcho', matcho: { 'request-method': 'get', client: { id: `other-${i}` } } });

const store = async (t, server, policies) => {
  for (let i = 0; i < policies.length; i += 500) {
    const entry = policies.slice(i, i + 500).map((resource, j) => ({ resource: { resourceType: 'AccessPolicy', id: `many-${i + j}`, ...resource }, request: { method: 'PUT', url: `AccessPolicy/many-${i + j}` } }));
    const r = await t.call('POST', server.fhir, { resourceType: 'Bundle', type: 'transaction', entry }, server.admin);
    if (r.status !== 200) throw new Error(r.text.slice(0, 400));
  }
};
const put = async (t, server, path, body) => { const r = await t.call('PUT', `${server.base}/${path}`, body, server.admin); if (r.status > 201) throw new Error(r.text); };
const serverWith = async (t, policies, own, client = {}) => {
  const server = await t.start({ ...t.settings, bin: t.bin });
  await put(t, server, 'Client/reader', { secret: 'secret', grant_types: ['basic'], ...client });
  await put(t, server, 'fhir/Patient/one', { resourceType: 'Patient', id: 'one', active: true });
  await store(t, server, policies);
  if (own) await put(t, server, 'AccessPolicy/zz-own', own);
  return server;
};
const reads = (t, server) => t.wrk(server.base, 16, { target: '/fhir/Patient/one', header: { authorization: `Basic ${Buffer.from('reader:secret').toString('base64')}`, 'x-which': 'none' }, pid: server.child.pid });

// CPU per request of each server in turn; the first is what the others are compared with.
const compare = async (t, cases) => {
  const servers = [];
  for (const c of cases) servers.push(await serverWith(t, c.policies, c.own, { details: { wards: ['w1', 'w2'], site: 'north', floor: -1, rooms: ['r1', 'r2'] } }));
  const cost = cases.map(() => []);
  for (let round = 0; round < t.rounds; round++) servers.forEach((s, i) => cost[i].push(reads(t, s).cpuUs));
  const us = cost.map(t.median);
  cases.forEach((c, i) => {
    t.note(`${c.name.padEnd(60)} ${us[i].toFixed(1).padStart(8)} us CPU   ${(us[0] / us[i]).toFixed(2)} of one policy's rate${c.asked ? ` (asked: ${c.asked})` : ''}`);
    t.report(`policies: ${c.name}`, { cpuUs: us[i], ratioCpu: us[0] / us[i] });
  });
  for (const s of servers) { await s.stop(); s.remove(); }
};

const own = { engine: 'matcho', matcho: { 'request-method': 'get', uri: '#^/fhir/Patient/' }, link: [{ resourceType: 'Client', id: 'reader' }] };
const everybody = { engine: 'matcho', matcho: { 'request-method': 'get', uri: '#^/fhir/Patient/' } };
const many = (count, one) => Array.from({ length: count }, (_, i) => one(i));

// p99 of reads, alone and while one connection sends what makes a policy's pattern run to its limit. Beside it how long the loop is
// held by one such request, which does not depend on what else the machine does: by the server's own measure of its loops' lag.
const p99 = (t, server) => new Promise((ok, no) => {
  const child = spawn('wrk', ['-t1', '-c16', `-d${t.seconds}s`, '--latency', '-H', `authorization: ${server.admin.authorization}`, `${server.base}/fhir/Patient/one`], { stdio: ['ignore', 'pipe', 'inherit'] });
  let out = '';
  child.stdout.on('data', (d) => { out += d; });
  child.on('error', no);
  child.on('close', () => { const [, n, unit] = /99%\s+([\d.]+)(us|ms|s)/.exec(out); ok(Number(n) * { us: 0.001, ms: 1, s: 1000 }[unit]); });
});
// Each of them once took its loop for as long as it ran: by backtracking, and by a loop that counts no steps.
const runaways = [
  { name: 'backtracking', pattern: '^(([a-z])+.)+[A-Z]([a-z])+$', text: 'a'.repeat(60) },
  { name: 'a possessive loop over 7 KB', pattern: '(?:a|b)++[0-9]', text: 'a'.repeat(7000) },
];
const threadTimes = (t, pid) => Object.fromEntries(t.family(pid).flatMap((p) => fs.readdirSync(`/proc/${p}/task`).map((thread) => {
  const [comm, fields] = [fs.readFileSync(`/proc/${p}/task/${thread}/comm`, 'utf8').trim(), fs.readFileSync(`/proc/${p}/task/${thread}/schedstat`, 'utf8').split(' ')];
  return [`${comm} ${thread}`, Number(fields[0]) / 1e3];
})));
const loopUs = (before, after) => Object.keys(after).filter((k) => k.startsWith('loop')).reduce((sum, k) => sum + after[k] - (before[k] ?? 0), 0);
const runaway = async (t) => {
  for (const { name, pattern, text } of runaways) {
    const server = await serverWith(t, [], { engine: 'matcho', matcho: { params: { name: `#${pattern}` } } });
    const one = (value) => t.call('GET', `${server.fhir}/Patient?name=${value}`);
    const held = async (value) => {
      const before = threadTimes(t, server.child.pid);
      for (let i = 0; i < 200; i++) await one(value);
      return loopUs(before, threadTimes(t, server.child.pid)) / 200;
    };
    await held(text);
    const [plain, long] = [await held('x'), await held(text)];
    const alone = [], beside = [];
    let sent = 0, granted = 0;
    for (let round = 0; round < t.rounds; round++) {
      alone.push(await p99(t, server));
      let stop = false;
      const sending = (async () => { while (!stop) { const r = await one(text); sent += 1; granted += r.status === 200; await t.sleep(10); } })();
      beside.push(await p99(t, server));
      stop = true;
      await sending;
    }
    const [a, b] = [t.median(alone), t.median(beside)];
    t.note(`a runaway pattern (${name}): its request takes ${long.toFixed(0)} us of its loop, a plain one ${plain.toFixed(0)}; p99 of others ${a.toFixed(2)} ms alone, ${b.toFixed(2)} ms beside ${sent} of them: ${(b / a).toFixed(1)}x (asked: at most 2); ${granted} granted (asked: 0)`);
    t.report(`policies: runaway, ${name}`, { loopUs: long, plainLoopUs: plain, aloneMs: a, besideMs: b, ratio: b / a, granted });
    await server.stop(); server.remove();
  }
};

// What a decision takes of a request: that of a typical policy beside the engine "allow", in turn. By the least of many short
// runs: what is looked for is a sixth of what is measured, and what else the machine does only adds to it.
const decisions = async (t) => {
  const link = [{ resourceType: 'Client', id: 'reader' }];
  const cases = [
    { name: 'allow', own: { engine: 'allow', link } },
    { name: 'matcho', asked: 2, own: { engine: 'matcho', link, matcho: { 'request-method': 'get', uri: '#^/fhir/(Patient|Observation)', params: { 'resource/type': { $enum: ['Patient', 'Observation'] } }, client: { details: { wards: { $contains: 'w2' } } } } } },
    { name: 'json-schema', asked: 10, own: { engine: 'json-schema', link, schema: { required: ['client', 'params'], properties: { 'request-method': { const: 'get' }, uri: { pattern: '^/fhir/(Patient|Observation)' }, params: { required: ['resource/type'], properties: { 'resource/type': { enum: ['Patient', 'Observation'] } } }, client: { required: ['details'], properties: { details: { properties: { wards: { contains: { const: 'w2' } } } } } } } } } },
  ];
  const servers = [], cost = cases.map(() => []);
  for (const c of cases) servers.push(await serverWith(t, [], c.own, { details: { wards: ['w1', 'w2'], site: 'north' } }));
  for (let round = 0; round < t.rounds * 5; round++) servers.forEach((s, i) => cost[i].push(reads(t, s).cpuUs));
  const us = cost.map((c) => Math.min(...c));
  cases.slice(1).forEach((c, i) => {
    t.note(`a typical ${c.name} decision, with building what it reads of the request: ${(us[i + 1] - us[0]).toFixed(1)} us more CPU than "allow" (asked: at most ${c.asked})`);
    t.report(`policies: ${c.name}`, { us: us[i + 1] - us[0] });
  });
  for (const s of servers) { await s.stop(); s.remove(); }
};

export const measurePolicies = async (t) => {
  t.note('\n== reads by id under access policies, 16 connections');
  await compare(t, [
    { name: 'one policy, linked', policies: [], own },
    { name: '1,000 linked to other clients', policies: many(1000, linked), own, asked: '0.95' },
    { name: '1,000 of everybody, of other clients, one allows', policies: many(1000, byType), own: everybody, asked: '0.8' },
    { name: '10,000 of everybody, of other clients, one allows', policies: many(10000, byType), own: everybody },
    { name: '1,000 of everybody that ask for a header, one allows', policies: many(1000, literal), own: everybody, asked: '0.8' },
    { name: '1,000 of everybody that ask for a header, refused', policies: many(1000, literal), asked: '0.25' },
    { name: '1,000 of everybody with an expression for a header, one allows', policies: many(1000, anywhere), own: everybody, asked: '0.8' },
    { name: '1,000 of everybody with an expression for a header, refused', policies: many(1000, anywhere), asked: '0.25' },
    { name: '1,000 of everybody with expressions that ask for no text, refused', policies: many(1000, opaque), asked: '0.25' },
    { name: '1,000 of everybody of five kinds that no index tells apart, refused', policies: many(1000, mixed), asked: '0.25' },
    { name: 'the same, one allows', policies: many(1000, mixed), own: everybody },
  ]);
  await decisions(t);
  await runaway(t);
};
