// andiron doctor: a checklist with verdicts and remedies (packaging-and-operations 6).
import test, { after } from 'node:test';
import assert from 'node:assert/strict';
import { execFileSync, spawn } from 'node:child_process';
import fs from 'node:fs';
import path from 'node:path';
import { bin, start, call, configure, sleep } from './lib/server.mjs';

const launched = new Set();
after(async () => { for (const s of launched) { await s.kill(); s.remove(); } });
const launch = async (options) => { const s = await start(options); launched.add(s); return s; };
const run = (at, ...args) => new Promise((ok) => {
  const child = spawn(bin, ['-c', at.etc, 'doctor', ...args], { stdio: ['ignore', 'pipe', 'pipe'] });
  let stdout = '', stderr = '';
  child.stdout.on('data', (d) => { stdout += d; });
  child.stderr.on('data', (d) => { stderr += d; });
  child.on('close', (status) => ok({ status, stdout, stderr }));
});
const checks = async (at) => {
  const r = await run(at, '--json'), found = JSON.parse(r.stdout);
  for (const c of found.checks) assert.ok(c.status === 'ok' || c.remedy, `a remedy for ${c.check}: ${c.text}`);
  for (const verdict of ['ok', 'warn', 'fail']) assert.equal(found[verdict], found.checks.filter((c) => c.status === verdict).length);
  assert.equal(r.status, found.fail > 0 ? 1 : 0);
  return found.checks;
};
const of = (list, check, status) => list.filter((c) => c.check === check && (!status || c.status === status));

test('a server that is as it should be: every check is there and none fails', async () => {
  const server = await launch({ quick: true });
  fs.chmodSync(path.join(server.etc, 'init.json'), 0o600);
  fs.chmodSync(path.join(server.dir, 'state'), 0o750);
  // It serves before the first second of its checks is over.
  for (const end = Date.now() + 20000; Date.now() < end && (await call('GET', `${server.base}/health/ready`)).status !== 200;) await sleep(50);
  const list = await checks(server);
  assert.deepEqual(list.filter((c) => c.status === 'fail'), []);
  for (const name of ['config', 'modules', 'plugins', 'files', 'clock', 'disk', 'tls', 'base-url', 'server', 'health', 'keys', 'policies', 'dev.mode']) assert.ok(of(list, name).length, name);
  assert.equal(of(list, 'policies')[0].status, 'ok');
  const text = await run(server);
  assert.match(text.stdout, /^ok {4}server {7}answers in [\d.]+ ms$/m);
  assert.match(text.stdout, /^\d+ ok, \d+ warn, 0 fail\n$/m);

  // What is wrong is told, with what to do.
  fs.chmodSync(path.join(server.etc, 'init.json'), 0o644);
  const keys = path.join(server.dir, 'state/keys'), file = path.join(keys, fs.readdirSync(keys)[0]);
  fs.chmodSync(file, 0o644);
  await call('PUT', `${server.base}/AccessPolicy/open`, { resourceType: 'AccessPolicy', engine: 'allow' }, server.admin);
  const ill = await checks(server);
  assert.deepEqual(of(ill, 'files', 'fail').map((c) => c.remedy).sort(), [`chmod go-rwx ${file}`, `chmod o-rwx ${path.join(server.etc, 'init.json')}`].sort());
  assert.match(of(ill, 'policies', 'warn')[0].text, /^AccessPolicy\/open: allows everything/);
  fs.chmodSync(file, 0o600);
  await server.stop();
});

test('without a server: configuration, plugins that are off, an old certificate, and a base-url in the open', async () => {
  const at = await configure({ plugins: { smart: false, search: false }, core: { dev: { mode: 'on' } } });
  fs.chmodSync(path.join(at.etc, 'init.json'), 0o600);
  const pem = path.join(at.dir, 'tls.pem'), key = path.join(at.dir, 'tls.key');
  execFileSync('openssl', ['req', '-x509', '-newkey', 'rsa:2048', '-nodes', '-keyout', key, '-out', pem, '-days', '10', '-subj', '/CN=x'], { stdio: 'ignore' });
  fs.appendFileSync(path.join(at.etc, 'andiron.conf'), `[tls]\ncertificate = ${pem}\nkey = @${key}\n`);
  const list = await checks(at);
  assert.deepEqual(of(list, 'plugins', 'warn').map((c) => c.remedy).filter((r) => /smart|search/.test(r)), ['andiron enable search --now', 'andiron enable smart --now']);
  assert.match(of(list, 'tls', 'warn')[0].text, /ends in (9|10) days/);
  assert.equal(of(list, 'dev.mode')[0].status, 'warn');
  assert.match(of(list, 'server', 'warn')[0].text, /does not run/);
  fs.appendFileSync(path.join(at.etc, 'andiron.conf'), 'nonsense = 1\n');
  assert.equal(of(await checks(at), 'config')[0].status, 'fail');
  assert.equal((await run(at, 'x')).status, 64);
  fs.rmSync(at.dir, { recursive: true });
});
