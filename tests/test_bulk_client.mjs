// andiron export: a client of Bulk Data servers, of ours over HTTP, through kill -9 of either side, and of hostile ones.
import test, { after, before, describe } from 'node:test';
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import fs from 'node:fs';
import http from 'node:http';
import os from 'node:os';
import path from 'node:path';
import { bin, call, configure, freePort, sleep, start } from './lib/server.mjs';
import { bytes, lines, load, observation, patient } from './lib/bulk.mjs';
import { allow, keyPair, putClient, seedClient } from './lib/smart.mjs';

const dir = fs.mkdtempSync(path.join(os.tmpdir(), 'andiron-client-'));
after(() => fs.rmSync(dir, { recursive: true, force: true }));
let folders = 0;
const fresh = () => path.join(dir, `out${folders++}`);
const key = keyPair('ES384', 'bulk-key');
const pem = path.join(dir, 'key.pem');
fs.writeFileSync(pem, key.privateKey.export({ type: 'pkcs8', format: 'pem' }), { mode: 0o600 });
const login = ['--client', 'bulk', '--key', pem, '--kid', 'bulk-key'];

// Runs `andiron export`; .done resolves with its status and words.
const beginAny = (args, env = {}) => {
  const child = spawn(bin, args, { env: { ...process.env, ANDIRON_ADMIN: '', ...env }, cwd: dir });
  let out = '', err = '';
  child.stdout.on('data', (d) => { out += d; });
  child.stderr.on('data', (d) => { err += d; });
  const done = new Promise((ok) => child.on('close', (status, signal) => ok({ status, signal, out, err })));
  return { child, done };
};
const begin = (args, env) => beginAny(['export', ...args], env);
const run = (args, env) => begin(args, env).done;
const runAny = (args, env) => beginAny(args, env).done;
const listen = (handler) => new Promise((ok) => { const s = http.createServer(handler); s.listen(0, '127.0.0.1', () => ok({ base: `http://127.0.0.1:${s.address().port}`, close: () => { s.closeAllConnections(); s.close(); } })); });
const twoLines = (r) => assert.match(r.err.replace(/^the server is at work.*\n/gm, ''), /^andiron: .+\nhint: .+\n$/);
const until = async (what, holds, ms = 30000) => { for (const end = Date.now() + ms; !(await holds()); await sleep(20)) if (Date.now() > end) throw new Error(`still not: ${what}`); };
// What is in a folder of an export, by the manifest that it has: [[type, line], ...].
const content = (out) => {
  const m = JSON.parse(fs.readFileSync(path.join(out, 'manifest.json'), 'utf8'));
  assert.deepEqual(fs.readdirSync(out).sort(), ['manifest.json', ...[...m.output, ...m.deleted, ...m.error].map((f) => f.url)].sort(), 'nothing else is left');
  return m.output.flatMap(({ type, url, count }) => { const found = lines(fs.readFileSync(path.join(out, url))); assert.equal(found.length, count); return found.map((l) => [type, l]); });
};

// ---- our own server, behind a proxy that can hold answers back --------------------------------------------------

describe('of our own server', () => {
  const observations = 1500;
  let at, server, proxy, seen = [], hold; // hold(path): bytes to let through, or undefined
  const held = [];
  before(async () => {
    proxy = await listen((req, res) => {
      seen.push({ method: req.method, url: req.url, range: req.headers.range, authorization: req.headers.authorization });
      const inner = http.request({ port: at.port, host: '127.0.0.1', method: req.method, path: req.url, headers: req.headers, agent: false }, (r) => {
        let room = hold?.(req.url) ?? Infinity;
        res.writeHead(r.statusCode, r.headers);
        r.on('data', (d) => {
          if (d.length < room) { room -= d.length; res.write(d); return; }
          r.pause();
          res.write(d.subarray(0, room));
          held.push(() => { res.destroy(); r.destroy(); });
        });
        r.on('end', () => res.end());
        r.on('error', () => res.destroy());
      });
      inner.on('error', () => { if (res.headersSent) res.destroy(); else { res.writeHead(502); res.end(); } });
      req.pipe(inner);
    });
    at = await configure({ quick: true, core: { http: { 'base-url': proxy.base } }, plugins: { bulk: { 'file-size': '60k', 'slice-rows': 50, checkpoint: '50ms' } } });
    server = await start({ at });
    await putClient(server, 'bulk', seedClient({ jwks: { keys: [key.jwk] } }));
    await allow(server, 'bulk');
    await load(server, 10, patient);
    await load(server, observations, observation);
  });
  after(async () => { proxy.close(); await server.stop(); server.remove(); });
  const whole = async (out) => {
    const all = content(out).filter(([type]) => type === 'Observation').map(([, l]) => l).sort();
    const stream = lines((await bytes('GET', `${server.fhir}/Observation/$export-stream`, server.admin)).body).sort();
    assert.deepEqual(all, stream);
  };
  const state = (out) => JSON.parse(fs.readFileSync(path.join(out, '.andiron-export.json')));

  test('kicks off, polls, downloads in parallel, deletes the job; the bytes are those of the store', async () => {
    const out = fresh();
    seen = [];
    const r = await run(['--fhir', `${proxy.base}/fhir`, ...login, '--type', 'Patient,Observation', '--output', out]);
    assert.equal(r.status, 0, r.err);
    assert.match(r.out, /^1510 resources in \d+ files, /);
    await whole(out);
    assert.equal(content(out).length, observations + 10);
    assert.ok(seen.some((s) => s.url === '/auth/token' && s.authorization === undefined));
    assert.ok(seen.filter((s) => /export/.test(s.url)).every((s) => /^Bearer /.test(s.authorization)));
    const job = seen.find((s) => s.method === 'DELETE').url;
    assert.equal((await call('GET', `${server.base}${job}`, undefined, server.admin)).status, 404);
    const again = await run(['--fhir', `${proxy.base}/fhir`, ...login, '--output', out]);
    assert.equal(again.status, 73);
    twoLines(again);
  });
  test('andiron import takes what came, by the folder or its manifest', async () => {
    const out = fresh(), env = { ANDIRON_ADMIN: 'root:secret', ANDIRON_URL: proxy.base };
    assert.equal((await run(['--type', 'Patient', '--output', out], env)).status, 0);
    fs.writeFileSync(path.join(out, 'error.00009.ndjson'), 'of no use');
    for (const source of [out, path.join(out, 'manifest.json')]) {
      const r = await runAny(['import', source, '--json'], env);
      assert.equal(r.status, 0, r.err);
      assert.match(r.out, /"event":"done","stored":10,"failed":0/);
    }
    for (const url of ['/etc/passwd', '../key.pem', 'http://x/y', 'a/../../x']) {
      fs.writeFileSync(path.join(out, 'manifest.json'), JSON.stringify({ output: [{ type: 'Patient', url }] }));
      const r = await runAny(['import', out], env);
      assert.equal(r.status, 66, r.err);
      assert.match(r.err, /not beside it/);
    }
    fs.writeFileSync(path.join(out, 'manifest.json'), JSON.stringify({ output: [{ type: 'Patient', url: 'lost.ndjson' }] }));
    assert.match((await runAny(['import', out], env)).err, /lost\.ndjson: cannot be read/);
  });
  test('passes parameters on, and takes the administrator\'s secret for our own server', async () => {
    const env = { ANDIRON_ADMIN: 'root:secret', ANDIRON_URL: proxy.base };
    for (const [args, path_, count] of [[['--type', 'Observation', '--type-filter', 'Observation?code=c1,c2'], /^\/fhir\/\$export\?_type=Observation&_typeFilter=Observation%3Fcode%3Dc1%2Cc2&_output/, 600], [['--patient', '--type', 'Patient'], /^\/fhir\/Patient\/\$export\?/, 10], [['--type', 'Patient', '--since', '2999-01-01T00:00:00Z'], /_since=2999-01-01T00%3A00%3A00Z/, undefined]]) {
      const out = fresh();
      seen = [];
      const r = await run([...args, '--output', out, '--json'], env);
      assert.match(seen[0].url, path_);
      if (count === undefined) { assert.notEqual(r.status, 2); continue; }
      assert.equal(r.status, 0, r.err);
      const events = r.out.trim().split('\n').map((l) => JSON.parse(l));
      assert.deepEqual([events.at(-1).event, events.at(-1).resources], ['done', count]);
    }
    const none = await run(['--group', 'nobody', '--output', fresh()], env);
    assert.equal(none.status, 65);
    assert.match(none.err, /Group\/nobody/);
    twoLines(none);
  });
  test('goes on after kill -9 of the client in the middle of files: with a Range, and none twice', async () => {
    const out = fresh(), args = ['--fhir', `${proxy.base}/fhir`, ...login, '--type', 'Observation', '--jobs', '2', '--output', out];
    hold = (url) => (/export-file/.test(url) ? 20000 : undefined);
    const first = begin(args);
    await until('two parts', () => fs.existsSync(out) && fs.readdirSync(out).filter((f) => f.endsWith('.part') && fs.statSync(path.join(out, f)).size >= 20000).length === 2);
    const other = await run(args);
    assert.equal(other.status, 75, 'one at a time');
    twoLines(other);
    first.child.kill('SIGKILL');
    assert.equal((await first.done).signal, 'SIGKILL');
    const { status } = state(out);
    const different = await run([...args, '--patient']);
    assert.equal(different.status, 65);
    assert.match(different.err, /something else/);
    hold = undefined;
    seen = [];
    const r = await run(args);
    assert.equal(r.status, 0, r.err);
    assert.equal(seen.filter((s) => /\$export\?/.test(s.url)).length, 0, 'no other kick-off');
    assert.equal(seen.find((s) => s.method === 'DELETE').url, new URL(status).pathname);
    assert.ok(seen.filter((s) => s.range !== undefined).length === 2, JSON.stringify(seen.map((s) => s.range)));
    await whole(out);
  });
  test('goes on after kill -9 of the server in the middle of a file', async () => {
    const out = fresh();
    held.length = 0;
    hold = (url) => (/export-file/.test(url) ? 30000 : undefined);
    const first = begin(['--fhir', `${proxy.base}/fhir`, ...login, '--type', 'Observation', '--jobs', '1', '--retries', '60', '--output', out]);
    await until('a part', () => held.length > 0);
    const pids = fs.readFileSync(`/proc/${server.child.pid}/task/${server.child.pid}/children`, 'utf8').trim().split(/\s+/).filter(Boolean).map(Number);
    server.child.kill('SIGKILL');
    for (const pid of pids) process.kill(pid, 'SIGKILL');
    await server.exit;
    hold = undefined;
    for (const end of held) end();
    for (const until_ = Date.now() + 15000; ; await sleep(50)) {
      try { server = await start({ at }); break; } catch (e) { if (e.exit?.code !== 75 || Date.now() > until_) throw e; }
    }
    const r = await first.done;
    assert.equal(r.status, 0, r.err);
    assert.ok(seen.some((s) => /^bytes=\d+-$/.test(s.range ?? '')), 'it did not begin anew');
    await whole(out);
  });
  test('failures have two lines, and statuses of their own', async () => {
    const other = keyPair('ES384', 'bulk-key'), wrong = path.join(dir, 'wrong.pem');
    fs.writeFileSync(wrong, other.privateKey.export({ type: 'pkcs8', format: 'pem' }));
    for (const [status, args] of [[64, []], [64, ['--client', 'x', '--output', fresh()]], [64, ['--output', fresh(), '--jobs', '0']], [64, ['--output', fresh(), '--wait', 'long']], [64, ['--output', fresh(), '--fhir', 'ftp://x']], [64, ['--output', fresh(), '--patient', '--group', 'a']], [64, ['--output', fresh(), '--param', 'x']], [73, ['--output', path.join(pem, 'x')]],
      [69, ['--fhir', 'http://127.0.0.1:9/fhir', '--retries', '0', '--output', fresh()]], [77, ['--fhir', `${proxy.base}/fhir`, '--client', 'bulk', '--key', wrong, '--kid', 'bulk-key', '--output', fresh()]], [77, ['--fhir', `${proxy.base}/fhir`, '--output', fresh()]]]) {
      const r = await run(args);
      assert.equal(r.status, status, `${args.join(' ')}: ${r.err}`);
      twoLines(r);
      assert.doesNotMatch(r.err, /Bearer|eyJ/);
    }
  });
});

// ---- others ------------------------------------------------------------------------------------------------------------

describe('of a server that is hostile or slow', () => {
  const patients = (n) => Array.from({ length: n }, (_, i) => JSON.stringify({ resourceType: 'Patient', id: `p${i}` }) + '\n').join('');
  // A Bulk Data server; its answers are those of `o`: kickoff, status, file (res, req, n-th time), manifest.
  const hostile = async (o) => {
    const seen = { tokens: 0, polls: 0, kicks: 0, files: [], deleted: 0 };
    const s = await listen((req, res) => {
      const url = new URL(req.url, 'http://x');
      const json = (status, body, headers = {}) => { res.writeHead(status, { 'content-type': 'application/json', ...headers }); res.end(JSON.stringify(body)); };
      if (url.pathname === '/r4/.well-known/smart-configuration') return json(200, { token_endpoint: `${s.base}/token` });
      if (url.pathname === '/token') { seen.tokens++; return json(200, { access_token: `token-number-${seen.tokens}`, expires_in: 300 }); }
      if (url.pathname === '/r4/$export') { seen.kicks++; return o.kickoff ? o.kickoff(res, req, seen.kicks) : json(202, {}, { 'content-location': o.location ?? '/status/1' }); }
      if (url.pathname === '/status/1' && req.method === 'DELETE') { seen.deleted++; return json(202, {}); }
      if (url.pathname === '/status/1') {
        seen.polls++;
        if (o.status?.(res, req, seen.polls)) return undefined;
        return json(200, { transactionTime: '2024-01-01T00:00:00Z', request: `${s.base}/r4/$export`, requiresAccessToken: true, output: [{ type: 'Patient', url: `${s.base}/file/1`, count: 3 }], error: [], ...o.manifest?.(s.base) });
      }
      if (url.pathname.startsWith('/file/')) { seen.files.push({ range: req.headers.range, ifRange: req.headers['if-range'], authorization: req.headers.authorization }); if (o.file) return o.file(res, req, seen.files.length); res.writeHead(200, { 'content-type': 'application/fhir+ndjson' }); return res.end(patients(3)); }
      return json(404, {});
    });
    return { ...s, seen };
  };
  const against = async (o, args = [], out = fresh()) => {
    const s = await hostile(o);
    try { return { ...await run(['--fhir', `${s.base}/r4/`, ...login, '--output', out, ...args]), seen: s.seen, outDir: out }; } finally { s.close(); }
  };
  const failed = (r, status, words) => { assert.equal(r.status, status, `${r.out}${r.err}`); assert.match(r.err, words); twoLines(r); assert.doesNotMatch(r.err, /token-number/); };

  test('one that is well behaved, for comparison', async () => {
    const r = await against({});
    assert.equal(r.status, 0, r.err);
    assert.equal(content(r.outDir).length, 3);
    assert.deepEqual([r.seen.deleted, r.seen.files[0].authorization], [1, 'Bearer token-number-1']);
    assert.equal((await against({}, ['--keep'])).seen.deleted, 0);
  });
  test('endless polls end with --wait, and what is known is kept', async () => {
    const out = fresh();
    const r = await against({ status: (res) => { res.writeHead(202, { 'retry-after': '1', 'x-progress': '\xe9vil' }); res.end(); return true; } }, ['--wait', '3s'], out);
    failed(r, 75, /longer than --wait/);
    assert.match(r.err, /at work: \?vil/);
    assert.ok(r.seen.polls >= 1 && r.seen.polls <= 4, `${r.seen.polls} polls`);
    assert.ok(fs.existsSync(path.join(out, '.andiron-export.json')));
    const far = await against({ status: (res) => { res.writeHead(202, { 'retry-after': '100000000' }); res.end(); return true; } }, ['--wait', '1h']);
    failed(far, 75, /longer than --wait/);
    assert.equal(far.seen.polls, 1);
  });
  test('Retry-After is honoured, at the kick-off and at the status; failures that may pass do', async () => {
    const begun = Date.now();
    const r = await against({
      kickoff: (res, req, n) => { res.writeHead(n === 1 ? 429 : 202, n === 1 ? { 'retry-after': '2' } : { 'content-location': '../status/1' }); res.end(); },
      status: (res, req, n) => { if (n > 2) return false; if (n === 1) res.writeHead(503, { 'retry-after': '1' }); else res.writeHead(429, { 'retry-after': '1' }); res.end(); return true; },
      file: (res, req, n) => { if (n === 1) res.writeHead(503); else { res.writeHead(200); res.write(patients(3)); } res.end(); },
    });
    assert.equal(r.status, 0, r.err);
    assert.ok(Date.now() - begun >= 4000);
    assert.deepEqual([r.seen.kicks, r.seen.polls, r.seen.files.length], [2, 3, 2]);
  });
  test('a token that is refused is renewed once, wherever that is', async () => {
    const old = /token-number-1$/;
    const r = await against({ status: (res, req) => { if (!old.test(req.headers.authorization)) return false; res.writeHead(401); res.end(); return true; } });
    assert.equal(r.status, 0, r.err);
    assert.equal(r.seen.tokens, 2);
    const file = await against({ file: (res, req) => { if (old.test(req.headers.authorization)) res.writeHead(401); else { res.writeHead(200); res.write(patients(3)); } res.end(); } });
    assert.deepEqual([file.status, file.seen.tokens], [0, 2], file.err);
    const never = await against({ status: (res) => { res.writeHead(401); res.end(); return true; } });
    failed(never, 77, /401/);
    assert.equal(never.seen.tokens, 2);
  });
  test('counts that are not the manifest\'s', async () => {
    const few = await against({ file: (res) => { res.writeHead(200); res.end(patients(2)); } });
    failed(few, 65, /has 2 lines, and 3 by the manifest/);
    assert.ok(!fs.existsSync(path.join(few.outDir, 'Patient.00000.ndjson')), 'no file that looks whole');
    assert.ok(!fs.existsSync(path.join(few.outDir, 'manifest.json')));
    const endless = (res) => { res.writeHead(200); const more = () => { while (!res.destroyed && res.write(patients(100))); res.once('drain', more); }; more(); };
    failed(await against({ file: endless }), 65, /more lines than the manifest says/);
  });
  test('a line without an end', async () => {
    const endless = (res) => { res.writeHead(200); const more = () => { while (!res.destroyed && res.write('x'.repeat(65536))); res.once('drain', more); }; more(); };
    failed(await against({ file: endless }, ['--max-line', '1m']), 65, /longer than --max-line/);
  });
  test('credentials go to no other origin: by redirect, by manifest, by Content-Location', async () => {
    const got = [];
    const other = await listen((req, res) => { got.push(req.headers.authorization); res.writeHead(200); res.end(patients(3)); });
    try {
      const r = await against({ file: (res) => { res.writeHead(302, { location: `${other.base}/file` }); res.end(); } });
      assert.equal(r.status, 0, r.err);
      assert.deepEqual(got.splice(0), [undefined]);
      const named = { manifest: () => ({ output: [{ type: 'Patient', url: `${other.base}/x`, count: 3 }] }) };
      failed(await against(named), 77, /another origin/);
      failed(await against({ location: `${other.base}/status` }), 77, /another origin/);
      assert.deepEqual(got, []);
      const open = await against({ manifest: () => ({ requiresAccessToken: false, output: [{ type: 'Patient', url: `${other.base}/x`, count: 3 }] }) });
      assert.deepEqual([open.status, got.splice(0)], [0, [undefined]], open.err);
      const allowed = await against(named, ['--allow-origin', other.base]);
      assert.deepEqual([allowed.status, got], [0, ['Bearer token-number-1']], allowed.err);
    } finally { other.close(); }
  });
  test('manifests that are none, and names that would leave the folder', async () => {
    for (const text of ['nonsense', '{}', '{"output":{}}', '{"output":[{}]}', '{"output":[{"type":"Patient","url":"file:///etc/passwd"}]}', '[1]'])
      failed(await against({ status: (res) => { res.writeHead(200); res.end(text); return true; } }), 65, /manifest of the server is wrong/);
    const r = await against({ manifest: (base) => ({ output: [{ type: '../../x', url: `${base}/file/1`, count: 3 }, { url: `/file/2` }] }) });
    assert.equal(r.status, 0, r.err);
    assert.deepEqual(fs.readdirSync(r.outDir).sort(), ['manifest.json', 'resources.00000.ndjson', 'resources.00001.ndjson']);
  });
  test('files that break off go on with a Range where there is a strong ETag, else from their beginning', async () => {
    const text = patients(3);
    const cut = (etag) => (res, req, n) => {
      if (n === 1) { res.writeHead(200, { 'content-length': text.length, ...(etag && { etag }) }); res.write(text.slice(0, 50)); setTimeout(() => res.destroy(), 300); return; }
      if (!req.headers.range) { res.writeHead(200, { 'content-length': text.length }); res.end(text); return; }
      const from = Number(/^bytes=(\d+)-$/.exec(req.headers.range)[1]);
      res.writeHead(206, { 'content-range': `bytes ${from}-${text.length - 1}/${text.length}`, etag });
      res.end(text.slice(from));
    };
    for (const [etag, range] of [['"a"', 'bytes=50-'], ['W/"a"', undefined], [undefined, undefined]]) {
      const r = await against({ file: cut(etag) });
      assert.equal(r.status, 0, r.err);
      assert.deepEqual([r.seen.files[1].range, r.seen.files[1].ifRange], [range, range && etag]);
      assert.equal(fs.readFileSync(path.join(r.outDir, 'Patient.00000.ndjson'), 'utf8'), text);
    }
    // The file has changed meanwhile: If-Range fails, and the whole comes.
    const changed = await against({ file: (res, req, n) => { if (n === 1) { res.writeHead(200, { 'content-length': 500, etag: '"a"' }); res.write('y'.repeat(50)); setTimeout(() => res.destroy(), 300); } else { res.writeHead(200, { etag: '"b"' }); res.end(text); } } });
    assert.equal(changed.status, 0, changed.err);
    assert.equal(fs.readFileSync(path.join(changed.outDir, 'Patient.00000.ndjson'), 'utf8'), text);
    const lies = await against({ file: (res, req, n) => { if (n === 1) { res.writeHead(200, { 'content-length': 500, etag: '"a"' }); res.write('y'.repeat(50)); setTimeout(() => res.destroy(), 300); } else { res.writeHead(206, { 'content-range': 'bytes 0-9/500' }); res.end(text); } } });
    failed(lies, 65, /another part than was asked for/);
  });
  test('a server without Bulk Data, without a token endpoint, or that forgets the job', async () => {
    failed(await against({ kickoff: (res) => { res.writeHead(404); res.end(); } }), 65, /404/);
    failed(await against({ kickoff: (res) => { res.writeHead(200); res.end('{}'); } }), 65, /instead of 202/);
    failed(await against({ kickoff: (res) => { res.writeHead(202); res.end(); } }), 65, /Content-Location/);
    failed(await against({ status: (res) => { res.writeHead(404); res.end(); return true; } }), 65, /nothing of the export/);
    failed(await against({ status: (res) => { res.writeHead(500, { 'content-type': 'application/fhir+json' }); res.end('{"resourceType":"OperationOutcome","issue":[{"diagnostics":"disk on fire"}]}'); return true; } }), 70, /disk on fire/);
    const none = await listen((req, res) => { res.writeHead(404); res.end(); });
    try { failed(await run(['--fhir', none.base, ...login, '--output', fresh()]), 65, /no token endpoint/); } finally { none.close(); }
    const out = fresh();
    await against({ status: (res) => { res.writeHead(404); res.end(); return true; } }, [], out);
    assert.equal((await run(['--fhir', `http://127.0.0.1:${await freePort()}/r4`, '--retries', '0', '--output', out])).status, 65, 'another request');
  });
});
