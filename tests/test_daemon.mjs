// The daemon as an operator sees it: configuration errors, start, reload, crash, stop. Runs with toy modules of
// tests/fixtures, so that no plugin of the tree is needed.
import test from 'node:test';
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import fs from 'node:fs';
import http from 'node:http';
import path from 'node:path';
import { bin, modules, call, configure, start, sleep, source } from './lib/server.mjs';

const fixtures = path.join(path.dirname(modules), 'fixtures');

// Everything of the tree off, toys on: { hello: { greeting: 'hi' } }
const off = Object.fromEntries(fs.readdirSync(path.join(source, 'plugins')).map((name) => [name, false]));
const writeToys = (at, toys) => {
  const dir = path.join(at.etc, 'plugins.d');
  for (const file of fs.readdirSync(dir)) fs.rmSync(path.join(dir, file));
  Object.entries(toys).forEach(([name, values], i) => fs.writeFileSync(path.join(dir, `${10 + i}-${name}.conf`),
    `[plugin ${name}]\nmodule = ${name}.so\n` + Object.entries(values).map(([k, v]) => `${k} = ${v}\n`).join('')));
};
const prepare = async (toys = {}, core = {}) => {
  const at = await configure({ plugins: off, init: false, core: { ...core, core: { 'module-path': fixtures, ...core.core } } });
  writeToys(at, toys);
  return at;
};
const serve = async (t, toys, core, options = {}) => {
  const server = await start({ at: await prepare(toys, core), ...options });
  t.after(async () => { await server.kill(); server.remove(); });
  return server;
};
const run = (at, ...args) => spawnSync(bin, ['-c', at.etc, ...args], { encoding: 'utf8', timeout: 60000 });
const logged = (server, event) => server.log().split('\n').filter(Boolean).map((l) => JSON.parse(l)).filter((l) => l.event === event);
const until = async (what, ms = 15000) => {
  for (const end = Date.now() + ms; Date.now() < end; await sleep(20)) { const got = await what(); if (got) return got; }
  assert.fail(`not within ${ms} ms: ${what}`);
};
// A GET over a connection of its own: kept-alive ones belong to the worker that accepted them.
const fresh = (url, headers = {}) => new Promise((ok, no) => {
  http.get(url, { agent: false, headers }, (res) => { let text = ''; res.on('data', (d) => { text += d; }); res.on('end', () => ok({ status: res.statusCode, text })); }).on('error', no);
});
// The one worker: the process whose parent is the daemon.
const workers = (server) => fs.readFileSync(`/proc/${server.child.pid}/task/${server.child.pid}/children`, 'utf8').trim().split(' ').filter(Boolean).map(Number);

test('a daemon without plugins answers health, and nothing else without a grant', async (t) => {
  const server = await serve(t);
  assert.deepEqual((await call('GET', server.base + '/health/live')).json, { status: 'pass' });
  assert.deepEqual((await call('GET', server.base + '/health/ready')).json, { status: 'pass' });
  const health = await call('GET', server.base + '/health');
  assert.deepEqual(health.json, { status: 'pass' });
  assert.equal(health.headers.get('content-type'), 'application/health+json');
  assert.equal(health.headers.get('cache-control'), 'no-store');
  const detailed = (await call('GET', server.adminBase + '/health')).json;
  assert.equal(detailed.checks.uptime[0].componentType, 'system');
  assert.ok(detailed.releaseId);
  assert.equal((await call('GET', server.base + '/fhir/Patient')).status, 404);
  assert.equal((await call('POST', server.base + '/health')).status, 405);
  assert.equal((await call('POST', server.base + '/control/stop')).status, 404, 'commands are on the control socket alone');
  assert.equal((await call('POST', server.adminBase + '/control/stop')).status, 404);
});

test('routes and hooks of a plugin serve; what is not public is refused', async (t) => {
  const server = await serve(t, { hello: { greeting: 'good morning' } });
  const hello = await call('GET', server.base + '/hello');
  assert.equal(hello.text, 'good morning');
  assert.equal(hello.headers.get('x-hello'), 'yes');
  assert.equal((await call('GET', server.base + '/hello/denied')).status, 401);
  assert.equal((await call('GET', server.adminBase + '/hello')).status, 404);
});

test('check-config prints every problem of all files, sorted, and exits 78', async (t) => {
  const at = await prepare({ hello: { tmies: 3, times: 99 }, 'missing-service': {}, 'no-symbol': {} }, { http: { 'max-boddy': '1m', 'max-header': '1' }, nonsense: { x: 1 } });
  t.after(() => fs.rmSync(at.dir, { recursive: true }));
  const check = run(at, 'check-config');
  const lines = check.stdout.trim().split('\n');
  assert.equal(check.status, 78, check.stdout + check.stderr);
  assert.equal(lines.pop(), '7 errors');
  const expected = [
    /^andiron\.conf:\d+: http\.max-boddy: unknown directive; did you mean "max-body"\?$/,
    /^andiron\.conf:\d+: http\.max-header: "1" is not a size such as 512k or 16m from 1k to 1m$/,
    /^andiron\.conf:\d+: \[nonsense\] is unknown$/,
    /^plugins\.d\/10-hello\.conf:3: hello\.tmies: unknown directive; did you mean "times"\?$/,
    /^plugins\.d\/10-hello\.conf:4: hello\.times: "99" is not a whole number from 1 to 10$/,
    /^plugins\.d\/11-missing-service\.conf:1: missing-service: needs service ghost\/1, which no enabled plugin provides$/,
    /^plugins\.d\/12-no-symbol\.conf:2: no-symbol: .*no-symbol\.so is no Andiron module/,
  ];
  assert.equal(lines.length, expected.length, check.stdout);
  for (const pattern of expected) assert.ok(lines.some((l) => pattern.test(l)), `${pattern} in\n${check.stdout}`);
  const served = run(at);
  assert.equal(served.status, 78, 'a start ends the same way');
  assert.deepEqual(served.stderr.trim().split('\n').sort(), [...lines, '7 errors'].sort());
  const json = run(at, 'check-config', '--json');
  assert.equal(json.status, 78);
  assert.equal(JSON.parse(json.stdout).problems.length, 7);
});

test('settings are overridden by environment and -o, whose mistakes are errors too', async (t) => {
  const at = await prepare({ hello: {} });
  t.after(() => fs.rmSync(at.dir, { recursive: true }));
  const print = spawnSync(bin, ['print-config', '--diff', '-c', at.etc, '-o', 'hello.times=5'], { encoding: 'utf8', env: { ...process.env, ANDIRON_HTTP__MAX_BODY: '7m', ANDIRON_HELLO__SECRET: 'hunter2' } });
  assert.match(print.stdout, /^http\.max-body = 7m +# environment$/m);
  assert.match(print.stdout, /^hello\.times = 5 +# -o$/m);
  assert.match(print.stdout, /^http\.listen = \S+ +# andiron\.conf:\d+$/m);
  assert.match(print.stdout, /^hello\.secret = \*\*\* +# environment$/m);
  assert.doesNotMatch(print.stdout, /hunter2|default/);
  assert.match(run(at, 'print-config').stdout, /^http\.max-header = 16k +# default$/m);
  assert.match(run(at, 'check-config', '-o', 'helo.times=5').stdout, /^-o: helo\.times: there is no section or enabled plugin "helo"; did you mean "hello"\?$/m);
  assert.equal(run(at, 'check-config', '-o', 'hello.times=50').status, 78);
});

test('a module that fails in init stops the start with its words', async (t) => {
  const at = await prepare({ 'failing-init': {} });
  t.after(() => fs.rmSync(at.dir, { recursive: true }));
  const served = run(at);
  assert.equal(served.status, 78);
  assert.match(served.stderr, /andiron: failing-init: the moon is not full/);
  assert.equal(run(at, 'check-config').status, 0, 'reading the table runs nothing of it');
});

test('a writable module is refused', async (t) => {
  const at = await prepare({});
  t.after(() => fs.rmSync(at.dir, { recursive: true }));
  const dir = path.join(at.dir, 'modules');
  fs.mkdirSync(dir);
  fs.copyFileSync(path.join(fixtures, 'hello.so'), path.join(dir, 'hello.so'));
  fs.chmodSync(path.join(dir, 'hello.so'), 0o666);
  writeToys(at, { hello: {} });
  const check = run(at, 'check-config', '-o', `core.module-path=${dir}`);
  assert.equal(check.status, 78);
  assert.match(check.stdout, /may be written by others \(mode 0666\); run: chmod go-w/);
});

test('a port in use ends the start with the address', async (t) => {
  const server = await serve(t);
  const at = await prepare({}, { http: { listen: `127.0.0.1:${server.port}` } });
  t.after(() => fs.rmSync(at.dir, { recursive: true }));
  const second = run(at);
  assert.equal(second.status, 75);
  assert.match(second.stderr, new RegExp(`cannot listen on 127\\.0\\.0\\.1:${server.port}: Address already in use`));
  assert.equal(fs.existsSync(server.control), true);
});

test('the control socket is not open to others, and a stale one is replaced', async (t) => {
  const server = await serve(t);
  assert.equal(fs.statSync(server.control).mode & 0o777, 0o660);
  const at = await prepare({}, { admin: { 'control-socket': server.control } });
  t.after(() => fs.rmSync(at.dir, { recursive: true }));
  assert.match(run(at).stderr, /another andiron serves the control socket/);
  const killed = [server.child.pid, ...workers(server)];
  for (const pid of killed) process.kill(pid, 'SIGKILL');
  await server.exit;
  // The worker is nobody's child any more: it holds the socket until it is gone, or a zombie.
  const runs = (pid) => { try { return !/^State:\s+[ZX]/m.test(fs.readFileSync(`/proc/${pid}/status`, 'utf8')); } catch { return false; } };
  for (const end = Date.now() + 20000; killed.some(runs) && Date.now() < end;) await sleep(10);
  assert.equal(fs.existsSync(server.control), true, 'it was left behind');
  const next = await start({ at });
  await next.stop();
  assert.equal(fs.existsSync(server.control), false, 'a proper end removes it');
});

test('control commands report, reload and stop', async (t) => {
  const server = await serve(t, { hello: {} });
  const status = run(server, 'status', '--json');
  assert.equal(status.status, 0, status.stderr);
  assert.deepEqual(JSON.parse(status.stdout).plugins, [{ name: 'hello', version: '1.2.3' }]);
  assert.match(run(server, 'status').stdout, /^health +pass$/m);
  assert.equal(run(server, 'drain').status, 0);
  assert.equal((await call('GET', server.base + '/health/ready')).status, 503);
  assert.equal((await call('GET', server.base + '/hello')).status, 200, 'still serves');
  assert.equal(run(server, 'drain', '--off').status, 0);
  assert.equal((await call('GET', server.base + '/health/ready')).status, 200);
  assert.equal(run(server, 'stop').status, 0);
  assert.deepEqual(await server.exit, { code: 0, signal: null });
  const after = run(server, 'status');
  assert.equal(after.status, 69);
  assert.match(after.stderr, /^andiron: no answer at .*\nhint: /);
});

test('a check that fails makes the node unready, by name', async (t) => {
  const server = await serve(t, { hello: { times: 10 } });
  const ready = await call('GET', server.base + '/health/ready');
  assert.equal(ready.status, 503);
  assert.deepEqual(ready.json, { status: 'fail', checks: { hello: 'fail' } });
  assert.equal((await call('GET', server.base + '/health/live')).status, 200);
  assert.equal((await call('GET', server.adminBase + '/health')).json.checks.hello[0].output, 'too many greetings');
});

// Keeps `clients` kept-alive connections busy until stopped; counts what failed.
const load = (server, clients, target = '/hello') => {
  const counts = { done: 0, failed: [] };
  let running = true;
  const one = async () => {
    const agent = new http.Agent({ keepAlive: true, maxSockets: 1 });
    while (running) {
      await new Promise((ok) => {
        const req = http.get(server.base + target, { agent }, (res) => {
          res.resume();
          res.on('end', () => { if (res.statusCode === 200) counts.done++; else counts.failed.push(res.statusCode); ok(); });
        });
        req.on('error', (e) => { counts.failed.push(e.code); ok(); });
      });
    }
    agent.destroy();
  };
  const all = Array.from({ length: clients }, one);
  return { counts, stop: async () => { running = false; await Promise.all(all); return counts; } };
};

test('reload under load fails no request and brings the new settings', async (t) => {
  const server = await serve(t, { hello: { greeting: 'one' } });
  const traffic = load(server, 8), words = [];
  for (const word of ['two', 'three', 'four']) {
    writeToys(server, { hello: { greeting: word } });
    const reload = run(server, 'reload');
    words.push([reload.status, 0]);
    words.push([(await fresh(server.base + '/hello')).text, word]);
    const enough = traffic.counts.done + 50;
    await until(() => traffic.counts.done >= enough || traffic.counts.failed.length > 0);
  }
  const { done, failed } = await traffic.stop();
  assert.deepEqual(failed, []);
  for (const [got, expected] of words) assert.equal(got, expected);
  assert.ok(done >= 150, `${done} requests`);
  assert.match(logged(server, 'config.reloaded')[0].msg, /changed hello\.greeting$/);
  await until(() => workers(server).length === 1);
  assert.deepEqual(await server.stop(), { code: 0, signal: null });
});

test('SIGHUP reloads as well', async (t) => {
  const server = await serve(t, { hello: { greeting: 'one' } });
  writeToys(server, { hello: { greeting: 'two' }, double: {} });
  server.child.kill('SIGHUP');
  await until(() => logged(server, 'config.rejected').length === 1);
  assert.equal((await fresh(server.base + '/hello')).text, 'one');
  writeToys(server, { hello: { greeting: 'two' } });
  server.child.kill('SIGHUP');
  await until(async () => (await fresh(server.base + '/hello')).text === 'two');
});

test('a wrong new configuration is refused with its problems; the old one stays', async (t) => {
  const server = await serve(t, { hello: { greeting: 'one' } });
  const before = workers(server);
  writeToys(server, { hello: { greeting: 'two', times: 0 } });
  const reload = run(server, 'reload');
  assert.equal(reload.status, 78);
  assert.match(reload.stderr, /hello\.times: "0" is not a whole number from 1 to 10/);
  assert.equal((await fresh(server.base + '/hello')).text, 'one');
  assert.deepEqual(workers(server), before);
  writeToys(server, { hello: { greeting: 'two' }, 'failing-init': {} });
  const again = run(server, 'reload');
  assert.equal(again.status, 78);
  assert.match(again.stderr, /failing-init: the moon is not full/);
  assert.equal(JSON.parse(run(server, 'status', '--json').stdout).reloadsFailed, 2);
});

test('a worker that crashes while it starts does not take the old one along', async (t) => {
  const server = await serve(t, { hello: {} });
  writeToys(server, { hello: {}, crash: { 'at-start': 'yes' } });
  const reload = run(server, 'reload');
  assert.equal(reload.status, 78);
  assert.match(reload.stderr, /SIGABRT in crash/);
  assert.equal((await call('GET', server.base + '/hello')).status, 200);
});

test('a crash is named and the worker restarted without losing the socket', async (t) => {
  const server = await serve(t, { crash: {}, hello: {} });
  const [before] = workers(server);
  await assert.rejects(fresh(server.base + '/crash', { 'x-request-id': 'the-last-one' }));
  // The listening socket stays open: this waits in its queue, and is answered by the new worker.
  assert.equal((await fresh(server.base + '/hello')).text, 'hello');
  const [line] = await until(() => { const l = logged(server, 'worker.crashed'); return l.length && l; });
  assert.match(line.msg, new RegExp(`worker ${before}: SIGABRT in crash, request the-last-one; restarting at once`));
  assert.notEqual(workers(server)[0], before);
  const restarted = await until(() => { const l = logged(server, 'worker.restarted'); return l.length && l; });
  assert.ok(Date.parse(restarted[0].ts) - Date.parse(line.ts) < 1000);
  // A second crash soon after is answered by a pause.
  await assert.rejects(fresh(server.base + '/crash'));
  const again = Date.now();
  assert.equal((await fresh(server.base + '/hello')).status, 200);
  assert.ok(Date.now() - again > 800, 'restarted after a second');
});

test('SIGKILL of the worker is survived, of the supervisor ends the worker', async (t) => {
  const server = await serve(t, { hello: {} });
  process.kill(workers(server)[0], 'SIGKILL');
  assert.equal((await fresh(server.base + '/hello')).status, 200);
  const [worker] = workers(server);
  server.child.kill('SIGKILL');
  await until(() => !fs.existsSync(`/proc/${worker}`) || /^State:\s+Z/m.test(fs.readFileSync(`/proc/${worker}/status`, 'utf8')));
});

test('SIGTERM finishes what was begun, refuses what is new, and ends with 0', async (t) => {
  const server = await serve(t, { hello: {} });
  const slow = call('GET', server.base + '/hello/slow');
  await sleep(80);
  server.child.kill('SIGTERM');
  await sleep(60);
  await assert.rejects(fresh(server.base + '/hello'), { code: 'ECONNREFUSED' });
  assert.equal((await slow).status, 200);
  assert.deepEqual(await server.exit, { code: 0, signal: null });
  assert.equal(logged(server, 'stop').length, 1);
});

test('an idle kept-alive connection is told to close, not cut', async (t) => {
  const server = await serve(t, { hello: {} });
  const agent = new http.Agent({ keepAlive: true, maxSockets: 1 });
  const get = () => new Promise((ok, no) => http.get(server.base + '/hello', { agent }, (res) => { res.resume(); res.on('end', () => ok(res)); }).on('error', no));
  assert.notEqual((await get()).headers.connection, 'close');
  server.child.kill('SIGTERM');
  await sleep(200);
  const last = await get();
  assert.equal(last.statusCode, 200);
  assert.equal(last.headers.connection, 'close');
  assert.equal((await server.exit).code, 0);
});

test('a second SIGTERM ends at once', async (t) => {
  const server = await serve(t, { hello: {} }, { http: { 'drain-grace': '30s', 'drain-timeout': '30s' } });
  const socket = http.get(server.base + '/hello', { agent: new http.Agent({ keepAlive: true }) }, (res) => res.resume());
  socket.on('error', () => {});
  await sleep(200);
  const begun = Date.now();
  server.child.kill('SIGTERM');
  await sleep(200);
  server.child.kill('SIGTERM');
  await server.exit;
  assert.ok(Date.now() - begun < 5000);
});

test('SIGUSR1 reopens the log file', async (t) => {
  const server = await serve(t, { hello: {} });
  fs.renameSync(path.join(server.dir, 'andiron.log'), path.join(server.dir, 'old.log'));
  server.child.kill('SIGUSR1');
  await until(async () => { await call('GET', server.base + '/hello'); return fs.existsSync(path.join(server.dir, 'andiron.log')) && logged(server, 'http.request').length > 0; });
});

for (const listen of ['fd:http', '127.0.0.1:%d']) test(`READY and STOPPING are told to systemd, and its socket is taken for ${listen}`, async (t) => {
  const at = await prepare({ hello: {} });
  t.after(() => fs.rmSync(at.dir, { recursive: true }));
  // Node has no datagram sockets of AF_UNIX: systemd-socket-activate and systemd-notify are not here either, so Python stands in.
  const script = `
import os, socket, subprocess, sys
path = sys.argv[1] + '/notify'
notify = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM); notify.bind(path); notify.settimeout(20)
http = socket.socket(); http.bind(('127.0.0.1', 0)); http.listen()
port = http.getsockname()[1]
def child():
    os.dup2(http.fileno(), 3); os.environ['LISTEN_PID'] = str(os.getpid())
    os.execv(sys.argv[2], [sys.argv[2], '-c', sys.argv[3], '-o', 'http.listen=' + sys.argv[4].replace('%d', str(port)), '-o', 'log.target=stderr'])
os.environ.update(NOTIFY_SOCKET=path, LISTEN_FDS='1', LISTEN_FDNAMES='http')
pid = os.fork()
if pid == 0: child()
http.close()
print(notify.recv(4096).decode().split('\\n')[0])
state = 'EXTEND'
while state.startswith('EXTEND'): state = notify.recv(4096).decode().split('\\n')[0] # each few seconds, if it takes so long
print(state)
client = socket.create_connection(('127.0.0.1', port)); client.sendall(b'GET /hello HTTP/1.1\\r\\nHost: a\\r\\nConnection: close\\r\\n\\r\\n')
print(client.recv(4096).decode().split('\\r\\n')[0])
os.kill(pid, 1)
print(notify.recv(4096).decode().split('\\n')[0]); print(notify.recv(4096).decode().split('\\n')[0])
os.kill(pid, 15)
print(notify.recv(4096).decode().split('\\n')[0])
print(os.waitpid(pid, 0)[1])
`;
  const result = spawnSync('python3', ['-c', script, at.dir, bin, at.etc, listen], { encoding: 'utf8', timeout: 60000 });
  if (result.error?.code === 'ENOENT') return t.skip('no python3');
  assert.deepEqual(result.stdout.trim().split('\n'), ['EXTEND_TIMEOUT_USEC=60000000', 'READY=1', 'HTTP/1.1 200 OK', 'RELOADING=1', 'READY=1', 'STOPPING=1', '0'], result.stderr);
});

test('a start that takes long asks systemd for more time, again and again', async (t) => {
  const at = await prepare({ hello: {}, 'slow-start': { wait: '6s' } });
  t.after(() => fs.rmSync(at.dir, { recursive: true }));
  const script = `
import os, signal, socket, sys
path = sys.argv[1] + '/notify'
notify = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM); notify.bind(path); notify.settimeout(60)
os.environ.update(NOTIFY_SOCKET=path)
pid = os.fork()
if pid == 0: os.execv(sys.argv[2], [sys.argv[2], '-c', sys.argv[3]])
states = []
while not states or states[-1] != 'READY=1': states.append(notify.recv(4096).decode().split('\\n')[0])
os.kill(pid, signal.SIGTERM); os.waitpid(pid, 0)
print(states.count('EXTEND_TIMEOUT_USEC=60000000'), len(states))
`;
  const result = spawnSync('python3', ['-c', script, at.dir, bin, at.etc], { encoding: 'utf8', timeout: 90000 });
  if (result.error?.code === 'ENOENT') return t.skip('no python3');
  const [asked, all] = result.stdout.trim().split(' ').map(Number);
  assert.ok(asked >= 2 && all === asked + 1, result.stdout + result.stderr);
});

test('as root it becomes the owner of state-dir, gains nothing and dumps no core', { skip: process.getuid() !== 0 && 'needs root' }, async (t) => {
  const at = await prepare({ hello: {} });
  const id = 65534;
  fs.mkdirSync(path.join(at.dir, 'state'));
  fs.chownSync(path.join(at.dir, 'state'), id, id);
  fs.chmodSync(at.dir, 0o755);
  fs.chownSync(at.dir, id, id);
  // The tree may lie where that user cannot go, such as /root: what it must read is copied.
  fs.copyFileSync(bin, path.join(at.dir, 'andiron'));
  fs.mkdirSync(path.join(at.dir, 'modules'));
  fs.copyFileSync(path.join(fixtures, 'hello.so'), path.join(at.dir, 'modules/hello.so'));
  const conf = path.join(at.etc, 'andiron.conf');
  fs.writeFileSync(conf, fs.readFileSync(conf, 'utf8').replace(/^module-path = .*$/m, `module-path = ${path.join(at.dir, 'modules')}`));
  const server = await start({ at, bin: path.join(at.dir, 'andiron') });
  t.after(async () => { await server.kill(); server.remove(); });
  const status = fs.readFileSync(`/proc/${workers(server)[0]}/status`, 'utf8');
  assert.match(status, new RegExp(`^Uid:\\s+${id}\\s+${id}\\s+${id}\\s+${id}$`, 'm'));
  assert.match(status, /^CapEff:\s+0+$/m);
  assert.match(status, /^NoNewPrivs:\s+1$/m);
  assert.equal((await call('GET', server.base + '/hello')).status, 200);
  assert.equal(run(server, 'reload').status, 0);
  await until(() => logged(server, 'http.request').length > 0 && logged(server, 'config.reloaded').length > 0);
  fs.renameSync(path.join(at.dir, 'andiron.log'), path.join(at.dir, 'old.log'));
  server.child.kill('SIGUSR1');
  await until(async () => { await call('GET', server.base + '/hello'); return logged(server, 'http.request').length > 0; });
});

test('a module where nothing may be executed is refused with the remedy', { skip: process.getuid() !== 0 && 'needs root' }, async (t) => {
  const at = await prepare({ hello: {} });
  t.after(() => fs.rmSync(at.dir, { recursive: true }));
  const folder = path.join(at.dir, 'noexec');
  fs.mkdirSync(folder);
  const script = 'mount -t tmpfs -o noexec none "$1" || exit 99; cp "$2" "$1/"; exec "$3" -c "$4" -o core.module-path="$1" check-config';
  const checked = spawnSync('unshare', ['--mount', 'sh', '-c', script, 'sh', folder, path.join(fixtures, 'hello.so'), bin, at.etc], { encoding: 'utf8' });
  if (checked.error || checked.status === 99 || /unshare/.test(checked.stderr)) return t.skip('may not mount');
  assert.equal(checked.status, 78);
  assert.match(checked.stdout, /hello\.so may not be executed here: .*ExecPaths=/);
});

test('a user that does not exist is a configuration error', { skip: process.getuid() !== 0 && 'needs root' }, async (t) => {
  const at = await prepare({}, { core: { user: 'no-such-user' } });
  t.after(() => fs.rmSync(at.dir, { recursive: true }));
  const served = run(at);
  assert.equal(served.status, 78);
  assert.match(served.stderr, /core\.user: there is no user "no-such-user" on this machine/);
});

test('plugins prints the tables; enable and disable keep the configuration right', async (t) => {
  const at = await prepare({ crash: {} });
  t.after(() => fs.rmSync(at.dir, { recursive: true }));
  const available = path.join(at.etc, 'plugins-available');
  fs.mkdirSync(available);
  fs.writeFileSync(path.join(available, '60-hello.conf'), '[plugin hello]\nmodule = hello.so\n');
  fs.writeFileSync(path.join(available, '70-missing-service.conf'), '[plugin missing-service]\nmodule = missing-service.so\n');
  const all = run(at, 'plugins', '--all').stdout;
  assert.match(all, /^ +1 {2}crash +1 +1\.0 +1 RECEIVE$/m);
  assert.match(all, /^ +off {2}hello +1\.2\.3/m);
  assert.match(all, /^ +! {2}no-symbol .*is no Andiron module/m);
  const enabled = run(at, 'enable', 'hello');
  assert.equal(enabled.status, 0, enabled.stderr);
  assert.match(enabled.stdout, /run: systemctl reload andiron/);
  assert.equal(fs.readlinkSync(path.join(at.etc, 'plugins.d/60-hello.conf')), '../plugins-available/60-hello.conf');
  assert.equal(run(at, 'enable', 'hello').status, 0, 'twice is no error');
  assert.deepEqual(JSON.parse(run(at, 'enable', 'hello', '--json').stdout), { enabled: ['hello'], changed: 0, reloaded: false });
  const details = run(at, 'plugins', '-v').stdout;
  assert.match(details, /times = 1\n +how often; a whole number from 1 to 10/);
  assert.match(details, /GET +\/hello +Hello +public/);
  const directives = run(at, 'plugins', '--directives').stdout.trim().split('\n').map((l) => l.split('\t'));
  assert.ok(directives.every((l) => l.length === 5), 'five columns');
  assert.deepEqual(directives.find(([section, name]) => section === 'http' && name === 'max-body').slice(2, 3), ['64m']);
  assert.deepEqual(directives.find(([section, name]) => section === 'plugin hello' && name === 'times').slice(2, 4), ['1', 'a whole number from 1 to 10']);
  const json = JSON.parse(run(at, 'plugins', '--json').stdout);
  assert.deepEqual(json.map((p) => [p.name, p.order]), [['crash', 1], ['hello', 2]]);
  const wrong = run(at, 'enable', 'missing-service');
  assert.equal(wrong.status, 78);
  assert.match(wrong.stderr, /needs service ghost\/1/);
  assert.equal(fs.existsSync(path.join(at.etc, 'plugins.d/70-missing-service.conf')), false, 'undone');
  assert.equal(run(at, 'enable', 'nobody').status, 66);
  assert.deepEqual(JSON.parse(run(at, 'disable', 'hello', '--json').stdout), { disabled: ['hello'], changed: 1, reloaded: false });
  assert.equal(fs.existsSync(path.join(at.etc, 'plugins.d/60-hello.conf')), false);
  assert.equal(run(at, 'disable', 'crash').status, 73, 'a file of the operator is not deleted');
});

test('usage errors are two lines and exit 64', async (t) => {
  const at = await prepare();
  t.after(() => fs.rmSync(at.dir, { recursive: true }));
  const wrong = run(at, 'stauts');
  assert.equal(wrong.status, 64);
  assert.match(wrong.stderr, /^andiron: no command 'stauts'; did you mean status\?\nhint: /);
  assert.equal(run(at, 'check-config', '--jsno').status, 64);
  assert.equal(run(at, 'status', '--help').status, 0);
  assert.match(run(at, '--help').stdout, /check-config/);
  assert.match(run(at, 'version').stdout, /^andiron \d+\.\d+\.\d+, ABI \d+\.\d+, libevent /);
});
