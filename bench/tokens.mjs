// What tokens cost: the token endpoint beside its cryptography, the check of a Bearer token, and a soak of both. Driven
// by bench/run, which gives its tools.
import { spawn } from 'node:child_process';
import fs from 'node:fs';
import os from 'node:os';
import path from 'node:path';

const jwtBearer = 'urn:ietf:params:oauth:client-assertion-type:jwt-bearer';
const form = { 'content-type': 'application/x-www-form-urlencoded' };
const token = (t, server, params) => t.call('POST', server.base + '/auth/token', new URLSearchParams({ grant_type: 'client_credentials', scope: 'system/Observation.read', ...params }).toString(), form);
const luaForm = 'wrk.method = "POST" wrk.headers["Content-Type"] = "application/x-www-form-urlencoded"\n';

// Pairs of one verification and one signature that bare GnuTLS does in a CPU second, with every core at it: a core whose
// sibling is busy is slower, and the server has all of them busy as well.
const bare = async (t, inAlg, outAlg, seconds) => {
  const one = () => new Promise((ok) => {
    let text = '';
    const child = spawn(t.tool('crypto'), [inAlg, outAlg, String(seconds)], { stdio: ['ignore', 'pipe', 'inherit'] });
    child.stdout.on('data', (d) => { text += d; });
    child.on('close', () => ok(Number(text)));
  });
  const rates = await Promise.all(os.cpus().map(one));
  return rates.reduce((sum, r) => sum + r, 0) / rates.length;
};

// Requests with assertions from a file, each used once.
const luaAssertions = (t, name, assertions) => {
  const file = path.join(t.dir, name + '.txt');
  fs.writeFileSync(file, assertions.join('\n') + '\n');
  return t.lua(name + '.lua', `local a = {} for line in io.lines("${file}") do a[#a + 1] = line end local n = 0\n${luaForm}request = function() n = n + 1 if n > #a then wrk.thread:stop() n = 1 end return wrk.format(nil, nil, nil, "grant_type=client_credentials&scope=system/Observation.read&client_assertion_type=${encodeURIComponent(jwtBearer)}&client_assertion=" .. a[n]) end\n`);
};

const tokenRound = (t, server, alg, count, name) => {
  const script = luaAssertions(t, name, Array.from({ length: count }, () => t.assertion(alg, server.base)));
  return t.wrk(server.base, 64, { script, target: '/auth/token', pid: server.child.pid });
};

export const measureTokens = async (t) => {
  t.note('\n== token endpoint, 64 connections, against bare GnuTLS verify + sign with all cores busy');
  for (const [alg, tokenAlg] of [['RS384', 'RS256'], ['ES384', 'RS256'], ['RS384', 'ES256'], ['ES384', 'ES256']]) {
    const server = await t.start({ ...t.settings, bin: t.bin, plugins: { jwks: { 'token-alg': tokenAlg } } });
    await t.register(server);
    const rates = [], ours = [];
    for (let i = 0; i < t.rounds; i++) {
      rates.push(await bare(t, alg, tokenAlg, 1));
      ours.push(tokenRound(t, server, alg, Math.min(6000, Math.round(rates[i] * os.cpus().length * t.seconds)), 'token'));
    }
    const crypto = 1e6 / t.median(rates), cost = t.median(ours.map((x) => x.cpuUs)), bad = ours.reduce((sum, x) => sum + x.bad, 0);
    t.note(`${`${alg} in, ${tokenAlg} out`.padEnd(20)} ${t.median(ours.map((x) => x.rate)).toFixed(0).padStart(6)}/s ${cost.toFixed(0).padStart(6)} us CPU, of it cryptography ${crypto.toFixed(0)} us, the rest ${(cost - crypto).toFixed(0)} us   ratio ${(crypto / cost).toFixed(2)}${bad ? ` (${bad} refused)` : ''}`);
    t.report(`token ${alg} ${tokenAlg}`, { cpuUs: cost, bareUs: crypto, ratioCpu: crypto / cost, bad });
    await server.stop(); server.remove();
  }
};

// ---- Bearer -----------------------------------------------------------------------------------

// CPU time of a check: a read that a policy allows to everybody, with and without a token, in turn. With more tokens than
// the cache keeps, every look is a miss: the signature is verified, Session and Client are read.
const bearerRound = async (t, server) => {
  const target = '/fhir/Basic/one', tokens = [];
  while (tokens.length < 200) tokens.push((await token(t, server, { client_id: 'plain', client_secret: 'secret', scope: 'system/Basic.read' })).json.access_token);
  const file = path.join(t.dir, 'tokens.txt');
  fs.writeFileSync(file, tokens.join('\n') + '\n');
  const scripts = [
    undefined,
    t.lua('warm.lua', `wrk.headers["Authorization"] = "Bearer ${tokens[0]}"\n`),
    t.lua('cold.lua', `local a, n = {}, 0\ninit = function() for line in io.lines("${file}") do wrk.headers["Authorization"] = "Bearer " .. line a[#a + 1] = wrk.format() end end\nrequest = function() n = n % #a + 1 return a[n] end\n`),
  ];
  const us = [[], [], []];
  for (let i = 0; i < t.rounds; i++) scripts.forEach((script, k) => us[k].push(t.wrk(server.base, 16, { script, target, pid: server.child.pid }).cpuUs));
  const [none, warm, cold] = us.map(t.median);
  return { none, warm: warm - none, cold: cold - none };
};

export const measureBearer = async (t) => {
  t.note('\n== check of a Bearer token (JWT by RS256), CPU time on top of the same request without one');
  const at = await t.configure({ ...t.settings, plugins: { auth: { 'max-tokens': 16 } } });
  let server = await t.start({ bin: t.bin, at });
  await t.register(server);
  const client = (more) => ({ scope: ['system/*.*'], secret: 'secret', grant_types: ['client_credentials'], ...more });
  for (const [id, body] of [['plain', client({ auth: { client_credentials: { token_format: 'jwt', access_token_expiration: 3600 } } })], ['opaque', client({ auth: { client_credentials: { access_token_expiration: 3600 } } })]]) {
    const r = await t.call('PUT', `${server.base}/Client/${id}`, body, server.admin);
    if (r.status > 201) throw new Error(r.text);
  }
  for (const [url, body] of [['/AccessPolicy/everybody', { engine: 'allow' }], ['/fhir/Basic/one', { resourceType: 'Basic', id: 'one', code: { text: 'bench' } }]]) {
    const r = await t.call('PUT', server.base + url, body, server.admin);
    if (r.status > 201) throw new Error(r.text);
  }
  const state = [];
  for (const [name, sessions, claims] of [['empty', 0, 0], ['100,000 Sessions, 1,000,000 jti', 100000, 1000000]]) {
    if (sessions) await fill(t, server, sessions);
    await server.stop();
    if (claims) claim(t, path.join(at.dir, 'state/andiron.db'), claims);
    server = await t.start({ bin: t.bin, at });
    const verify = 1e6 / await bareVerify(t), b = await bearerRound(t, server);
    const tokens = [];
    for (let i = 0; i < t.rounds; i++) tokens.push(tokenRound(t, server, 'ES384', 1500, 'token').cpuUs);
    state.push({ ...b, token: t.median(tokens) });
    t.note(`${name.padEnd(34)} request ${b.none.toFixed(1)} us   warm ${b.warm.toFixed(1)} us   cold ${b.cold.toFixed(1)} us (bare verify ${verify.toFixed(1)} us: ${(b.cold / verify).toFixed(2)}x)   token, ES384 in, RS256 out ${t.median(tokens).toFixed(0)} us`);
    t.report(`bearer ${name}`, { ...b, verifyUs: verify, tokenUs: t.median(tokens) });
  }
  const [few, many] = state;
  t.note(`growth: warm request ${((many.none + many.warm) / (few.none + few.warm)).toFixed(2)}x, cold ${(many.cold / few.cold).toFixed(2)}x, token ${(many.token / few.token).toFixed(2)}x`);
  await server.stop(); server.remove();
};

// Verifications by RS256 a CPU second, bare, with all cores busy: what is left of a pair when its signature is taken off.
const bareVerify = async (t) => bare(t, 'RS256', 'none', 1);

// That many live Sessions, by opaque tokens, which cost no signature.
const fill = async (t, server, sessions) => {
  const script = t.lua('fill.lua', `${luaForm}wrk.body = "grant_type=client_credentials&scope=system/Observation.read&client_id=opaque&client_secret=secret"\n`);
  for (let made = 0; made < sessions;) {
    const r = t.wrk(server.base, 64, { script, target: '/auth/token', pid: server.child.pid });
    if (r.bad || !r.requests) throw new Error('Sessions cannot be made');
    made += r.requests;
  }
};
// And claims that are all in force, straight into the file of a server that is down.
const claim = (t, database, claims) => t.sh('sqlite3', [database, `WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < ${claims}) INSERT INTO claim(name, exp) SELECT 'jti/bench/' || substr(hex(randomblob(22)), 1, 43), (strftime('%s') + 7200) * 1000000 + i FROM n;`]);

// ---- soak -------------------------------------------------------------------------------------

// Verified tokens in memory, on all loops.
const kept = async (t, server) => Number(/^andiron_auth_cached\{what="token"\} (\d+)/m.exec((await t.call('GET', server.adminBase + '/metrics')).text)?.[1]);

// Makes tokens and uses each once, until the caches of all loops hold as many as they may: only then memory can be flat.
const fillCaches = async (t, server) => {
  const r = await t.call('PUT', `${server.base}/Client/filler`, { scope: ['system/*.*'], secret: 'secret', grant_types: ['client_credentials'], auth: { client_credentials: { token_format: 'jwt', access_token_expiration: 3600 } } }, server.admin);
  if (r.status > 201) throw new Error(r.text);
  const script = t.lua('caches.lua', `local made = {}
local post = "grant_type=client_credentials&scope=system/Observation.read&client_id=filler&client_secret=secret"
request = function()
  local token = table.remove(made)
  if token then return wrk.format("GET", "/fhir/Observation/none", { Authorization = "Bearer " .. token }) end
  return wrk.format("POST", "/auth/token", { ["Content-Type"] = "application/x-www-form-urlencoded" }, post)
end
response = function(status, headers, body) local token = body:match('"access_token":"([^"]+)"') if token then made[#made + 1] = token end end
`);
  let before = -1, now = await kept(t, server);
  for (let rounds = 0; now > before && rounds < 200; rounds++) {
    before = now;
    t.wrk(server.base, 64, { script, target: '/', pid: server.child.pid, quiet: true });
    now = await kept(t, server);
  }
  return now;
};

// Tokens and reads with them by eight clients, one request at a time each, for as long as was asked; then how memory grew
// since the caches were full, and every answer that was not the right one. What grows after that is lost.
export const soak = async (t, minutes) => {
  t.note(`\n== soak: tokens and reads, ${minutes} minutes`);
  const server = await t.start({ ...t.settings, bin: t.bin, plugins: { jwks: { 'token-alg': 'ES256' } } });
  await t.register(server);
  const auth = { authorization: `Bearer ${(await token(t, server, { client_assertion_type: jwtBearer, client_assertion: t.assertion('ES384', server.base), scope: 'system/Observation.*' })).json.access_token}` };
  const body = { resourceType: 'Observation', id: 'one', status: 'final', code: { coding: [{ system: 'http://loinc.org', code: '4548-4' }] } };
  const put = await t.call('PUT', `${server.fhir}/Observation/one`, body, auth);
  if (put.status !== 201) throw new Error(put.text);
  t.note(`${await fillCaches(t, server)} tokens in the caches, memory owned ${(t.owned(server.child.pid) / 1e6).toFixed(2)} MB`);
  const counts = { tokens: 0, reads: 0, searches: 0, errors: 0 }, first = {};
  const wrong = (what, r) => { counts.errors++; first[what] ??= `${r.status} ${r.text}`.slice(0, 200); };
  const end = Date.now() + minutes * 60000;
  const client = async () => {
    while (Date.now() < end) {
      const r = await token(t, server, { client_assertion_type: jwtBearer, client_assertion: t.assertion('ES384', server.base) });
      counts.tokens++;
      if (r.status !== 200) { wrong('token', r); continue; }
      const with_ = { authorization: `Bearer ${r.json.access_token}` };
      for (let i = 0; i < 10; i++) {
        const read = i % 2 ? await t.call('GET', `${server.fhir}/Observation?code=4548-4&_count=2`, undefined, with_) : await t.call('GET', `${server.fhir}/Observation/one`, undefined, with_);
        counts[i % 2 ? 'searches' : 'reads']++;
        if (read.status !== 200) wrong('read', read);
      }
    }
  };
  const clients = Promise.all(Array.from({ length: 8 }, client)).catch((e) => wrong('client', { status: 0, text: String(e) }));
  const samples = [], began = Date.now(), every = Math.max(1000, minutes * 1000);
  while (Date.now() < end) {
    await t.sleep(Math.min(every, Math.max(end - Date.now(), 0) + 1));
    samples.push({ at: (Date.now() - began) / (minutes * 60000), bytes: t.owned(server.child.pid) });
  }
  await clients;
  const mean = (from, to) => { const some = samples.filter((s) => s.at >= from && s.at <= to).map((s) => s.bytes); return some.reduce((a, b) => a + b, 0) / some.length; };
  const before = mean(1 / 6, 1 / 3), after = mean(5 / 6, 1.1), growth = after / before - 1;
  t.note(`${counts.tokens} tokens, ${counts.reads} reads, ${counts.searches} searches, ${counts.errors} errors`);
  for (const [what, text] of Object.entries(first)) t.note(`   first of ${what}: ${text}`);
  t.note(`memory owned: ${(before / 1e6).toFixed(2)} MB (second sixth) to ${(after / 1e6).toFixed(2)} MB (last sixth), growth ${(growth * 100).toFixed(1)}%, ${await kept(t, server)} tokens in the caches`);
  t.note(growth <= 0.02 && counts.errors === 0 ? 'soak: good (at most 2% and no error are asked for)' : 'soak: NOT GOOD (at most 2% and no error are asked for)');
  t.report('soak', { minutes, ...counts, beforeBytes: before, afterBytes: after, growth, samples });
  await server.stop(); server.remove();
};
