// What policies cost: reads of a client with many policies that are not its own, many of everybody, one engine's decision,
// and what a pattern that runs forever does to others. Driven by bench/run, which gives its tools.
import { spawn } from 'node:child_process';

const linked = (i) => ({ engine: 'matcho', matcho: { 'request-method': 'get', client: { id: `other-${i}` } }, link: [{ resourceType: 'Client', id: `other-${i}` }] });
// What differs is a header: found by the index of literals.
const literal = (i) => ({ engine: 'matcho', matcho: { headers: { 'x-which': `w${i}` } } });
// Not to be found by an index: an expression that may match anywhere.
const opaque = (i) => ({ engine: 'matcho', matcho: { headers: { 'x-which': `#w${i}$` } } });
const byType = (i) => ({ engine: 'matcho', matcho: { 'request-method': 'get', client: { id: `other-${i}` } } });

const store = async (t, server, policies) => {
  for (let i = 0; i < policies.length; i += 500) {
    const entry = policies.slice(i, i + 500).map((resource, j) => ({ resource: { resourceType: 'AccessPolicy', id: `many-${i + j}`, ...resource }, request: { method: 'PUT', url: `AccessPolicy/many-${i + j}` } }));
    const r = await t.call('POST', server.fhir, { resourceType: 'Bundle', type: 'transaction', entry }, server.admin);
    if (r.status !== 200) throw new Error(r.text.slice(0, 400));
  }
};
const put = async (t, server, path, body) => { const r = await t.call('PUT', `${server.base}/${path}`, body, server.admin); if (r.status > 201) throw new Error(r.text); };
const serverWith = async (t, policies, own) => {
  const server = await t.start({ ...t.settings, bin: t.bin });
  await put(t, server, 'Client/reader', { secret: 'secret', grant_types: ['basic'] });
  await put(t, server, 'fhir/Patient/one', { resourceType: 'Patient', id: 'one', active: true });
  await store(t, server, policies);
  if (own) await put(t, server, 'AccessPolicy/zz-own', own);
  return server;
};
const reads = (t, server) => t.wrk(server.base, 16, { target: '/fhir/Patient/one', header: { authorization: `Basic ${Buffer.from('reader:secret').toString('base64')}`, 'x-which': 'none' }, pid: server.child.pid });

// CPU per request of each server in turn; the first is what the others are compared with.
const compare = async (t, cases) => {
  const servers = [];
  for (const c of cases) servers.push(await serverWith(t, c.policies, c.own));
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

// p99 of reads, alone and while one connection sends what makes a policy's pattern run to its limit.
const p99 = (t, server) => new Promise((ok, no) => {
  const child = spawn('wrk', ['-t1', '-c16', `-d${t.seconds}s`, '--latency', '-H', `authorization: ${server.admin.authorization}`, `${server.base}/fhir/Patient/one`], { stdio: ['ignore', 'pipe', 'inherit'] });
  let out = '';
  child.stdout.on('data', (d) => { out += d; });
  child.on('error', no);
  child.on('close', () => { const [, n, unit] = /99%\s+([\d.]+)(us|ms|s)/.exec(out); ok(Number(n) * { us: 0.001, ms: 1, s: 1000 }[unit]); });
});
const runaway = async (t) => {
  const server = await serverWith(t, [], { engine: 'matcho', matcho: { params: { name: '#^(([a-z])+.)+[A-Z]([a-z])+$' } } });
  const alone = [], beside = [];
  let sent = 0, granted = 0;
  for (let round = 0; round < t.rounds; round++) {
    alone.push(await p99(t, server));
    let stop = false;
    const sending = (async () => { while (!stop) { const r = await t.call('GET', `${server.fhir}/Patient?name=${'a'.repeat(60)}`); sent += 1; granted += r.status === 200; await t.sleep(10); } })();
    beside.push(await p99(t, server));
    stop = true;
    await sending;
  }
  const [a, b] = [t.median(alone), t.median(beside)];
  t.note(`p99 of reads ${a.toFixed(2)} ms alone, ${b.toFixed(2)} ms beside ${sent} requests with a runaway pattern: ${(b / a).toFixed(1)}x (asked: at most 2); ${granted} of them granted (asked: 0)`);
  t.report('policies: runaway', { aloneMs: a, besideMs: b, ratio: b / a, granted });
  await server.stop(); server.remove();
};

// Microseconds of one decision, as POST /auth/test-policy measures it; the best of many.
const decision = async (t) => {
  const server = await serverWith(t, []);
  const request = { method: 'get', uri: '/fhir/Observation?patient=p1&code=718-7', 'client-id': 'reader', user: { resourceType: 'User', id: 'u', data: { patient: 'p1' } }, role: [{ name: 'day' }, { name: 'triage' }] };
  const policies = {
    matcho: { engine: 'matcho', matcho: { 'request-method': 'get', uri: '#^/fhir/(Patient|Observation)', params: { 'resource/type': { $enum: ['Patient', 'Observation'] }, patient: '.user.data.patient' }, role: { $contains: { name: 'triage' } } } },
    'json-schema': { engine: 'json-schema', schema: { required: ['user', 'params'], properties: { 'request-method': { const: 'get' }, uri: { pattern: '^/fhir/(Patient|Observation)' }, params: { required: ['patient'], properties: { 'resource/type': { enum: ['Patient', 'Observation'] }, patient: { type: 'string', minLength: 1 } } }, role: { contains: { properties: { name: { const: 'triage' } }, required: ['name'] } } } } },
  };
  for (const [name, policy] of Object.entries(policies)) {
    const times = [];
    for (let i = 0; i < 200; i++) {
      const r = await t.call('POST', `${server.base}/auth/test-policy`, { request, policy }, server.admin);
      if (r.json?.result?.['eval-result'] !== true) throw new Error(r.text);
      times.push(r.json.result.us);
    }
    times.sort((x, y) => x - y);
    t.note(`a typical ${name} decision, with building what it reads of the request: ${t.median(times).toFixed(1)} us, best ${times[0].toFixed(1)} us`);
    t.report(`policies: ${name}`, { us: t.median(times), bestUs: times[0] });
  }
  await server.stop(); server.remove();
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
    { name: '1,000 of everybody with an expression for a header, one allows', policies: many(1000, opaque), own: everybody },
    { name: '1,000 of everybody with an expression for a header, refused', policies: many(1000, opaque) },
  ]);
  await decision(t);
  await runaway(t);
};
