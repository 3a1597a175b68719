// Every command: help, exit status and errors of two lines (packaging-and-operations 6, CL-1 and CL-3), and --json where the server has
// something to say.
import test, { after, before, describe } from 'node:test';
import assert from 'node:assert/strict';
import { execFileSync, spawn } from 'node:child_process';
import fs from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { bin, configure, source, start, store } from './lib/server.mjs';

const run = (etc, ...args) => new Promise((ok) => {
  const child = spawn(bin, ['-c', etc, ...args], { stdio: ['ignore', 'pipe', 'pipe'], env: { ...process.env, ANDIRON_URL: 'http://127.0.0.1:1' } });
  let stdout = '', stderr = '';
  child.stdout.on('data', (d) => { stdout += d; });
  child.stderr.on('data', (d) => { stderr += d; });
  child.on('close', (status) => ok({ status, stdout, stderr }));
});
const twoLines = (r, status, what) => {
  assert.equal(r.status, status, `${what}: ${r.stderr}`);
  assert.match(r.stderr, /^andiron: .+\nhint: .+\n$/, what);
};

describe('every command', () => {
  let at, commands;
  before(async () => {
    at = await configure();
    const { stdout } = await run(at.etc, '--help');
    commands = [...stdout.matchAll(/^ {2}([a-z][a-z-]*) {2,}/gm)].map((m) => m[1]);
    assert.ok(commands.length > 20 && commands.includes('backup') && commands.includes('doctor'), commands.join(' '));
  });
  after(() => fs.rmSync(at.dir, { recursive: true }));

  test('has --help, on standard output', async () => {
    for (const command of commands) {
      const r = await run(at.etc, command, '--help');
      assert.equal(r.status, 0, command);
      assert.match(r.stdout, new RegExp(`^usage: andiron ${command}`), command);
      assert.equal(r.stderr, '', command);
    }
  });
  test('refuses an option that it does not have: two lines, 64', async () => {
    for (const command of commands) twoLines(await run(at.etc, command, '--no-such-option'), 64, command);
    twoLines(await run(at.etc, 'no-such-command'), 64, 'no-such-command');
  });
  test('that needs a server says where it looked for one: two lines, 69', async () => {
    const needing = { status: [], reload: [], stop: [], drain: [], keys: ['list'], policies: [], check: [], audit: ['verify'], client: ['list'], ...(store === 'sqlite' ? { backup: [`${at.dir}/none`] } : {}) };
    for (const [command, args] of Object.entries(needing)) twoLines(await run(at.etc, command, ...args), 69, command);
  });
});

test('--json is one object, of everything that text shows', async () => {
  const server = await start({ quick: true });
  try {
    for (const args of [['version'], ['check-config'], ['print-config'], ['plugins'], ['status'], ['keys', 'list'], ['policies'], ['doctor']]) {
      const r = await run(server.etc, ...args, '--json');
      for (const line of r.stdout.trim().split('\n')) JSON.parse(line);
      assert.ok(r.stdout.length > 2, args.join(' '));
    }
    const status = JSON.parse((await run(server.etc, 'status', '--json')).stdout);
    for (const name of ['version', 'uptimeSeconds', 'connections', 'requestsPerSecond', 'p50Microseconds', 'p99Microseconds', 'reloads', 'health', 'plugins']) assert.ok(name in status, name);
    assert.ok(!('lastReload' in status));
    assert.equal((await run(server.etc, 'reload')).status, 0);
    const later = JSON.parse((await run(server.etc, 'status', '--json')).stdout);
    assert.ok(Math.abs(Date.parse(later.lastReload) - Date.now()) < 60000, later.lastReload);
    assert.match((await run(server.etc, 'status')).stdout, /^last reload +20.+Z$/m);
    const said = async (...args) => { const r = await run(server.etc, ...args, '--json'); assert.equal(r.status, 0, r.stderr); return JSON.parse(r.stdout); };
    assert.deepEqual(await said('reload'), { reloaded: true });
    assert.deepEqual(await said('drain'), { draining: true });
    assert.deepEqual(await said('drain', '--off'), { draining: false });
    const migrated = await said('migrate', '--check');
    assert.deepEqual([migrated.plugin, migrated.needed, migrated.from], [`store-${store}`, false, migrated.to]);
    assert.deepEqual(await said('stop'), { stopping: true });
    assert.deepEqual((await server.exit).code, 0);
  } finally {
    await server.stop();
    server.remove();
  }
});

test('completion knows the commands, their options, plugins that are on and off, and clients', async (t) => {
  const server = await start({ quick: true, plugins: { bulk: false } }), dir = fs.mkdtempSync(path.join(os.tmpdir(), 'andiron-completion-'));
  t.after(async () => { await server.stop(); server.remove(); fs.rmSync(dir, { recursive: true }); });
  fs.writeFileSync(path.join(dir, 'andiron'), `#!/bin/sh\nexec ${bin} -c ${server.etc} "$@"\n`, { mode: 0o755 });
  fs.mkdirSync(path.join(server.etc, 'plugins-available'), { recursive: true });
  fs.copyFileSync(path.join(source, 'plugins/bulk/60-bulk.conf'), path.join(server.etc, 'plugins-available/60-bulk.conf'));
  const env = { ...process.env, PATH: `${dir}:${process.env.PATH}`, ANDIRON_URL: server.base, ANDIRON_ADMIN: 'root:secret' };
  const completed = (...line) => {
    const script = 'source "$0"; COMP_WORDS=("$@"); COMP_CWORD=$(($# - 1)); _andiron; printf "%s\\n" "${COMPREPLY[@]}"';
    return execFileSync('bash', ['-c', script, path.join(source, 'packaging/system/andiron.completion'), 'andiron', ...line], { env, cwd: dir, encoding: 'utf8' }).trim().split('\n');
  };
  const all = completed('');
  for (const command of ['status', 'reload', 'client', 'import', 'restore', 'explain-policy', '-c', '--help']) assert.ok(all.includes(command), command);
  assert.deepEqual(completed('back'), ['backup']);
  assert.deepEqual(completed('restore', '--k'), ['--keep-config']);
  assert.deepEqual(completed('enable', 'bu'), ['bulk']);
  assert.ok(!completed('disable', '').includes('bulk') && completed('disable', '').includes('jwks'));
  assert.deepEqual(completed('-c', server.etc, 'keys', 'ro'), ['rotate']);
  assert.deepEqual(completed('client', 'show', ''), ['root']);
});
