// Commands of the README, the first hour and the operator guide, taken from their texts, and tools/quickstart over the
// build under test. What needs packages and systemd is run by packaging/test-deb.
import test from 'node:test';
import assert from 'node:assert/strict';
import { createHash, generateKeyPairSync } from 'node:crypto';
import { spawn, spawnSync } from 'node:child_process';
import fs from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { bin, freePort, modules, notOn, sanitized, sleep, source, start } from './lib/server.mjs';

const read = (name) => fs.readFileSync(path.join(source, name), 'utf8');
const readme = read('README.md'), firstHour = read('docs/first-hour.md'), operatorGuide = read('docs/operator-guide.md');
// Lines of the indented blocks below a heading.
const commands = (heading, text = readme) => {
  const at = text.indexOf(`\n## ${heading}\n`);
  assert.ok(at >= 0, heading);
  return text.slice(at + heading.length + 5).split('\n## ')[0].split('\n').filter((l) => l.startsWith('    ')).map((l) => l.slice(4));
};
const shell = (script, options) => new Promise((done) => {
  const child = spawn('bash', ['-c', script], { stdio: ['ignore', 'pipe', 'pipe'], ...options });
  let stdout = '', stderr = '';
  child.stdout.on('data', (d) => { stdout += d; });
  child.stderr.on('data', (d) => { stderr += d; });
  child.on('close', (status) => done({ status, stdout, stderr }));
});
const has = (program) => spawnSync('bash', ['-c', `command -v ${program}`]).status === 0;

test('the four steps end with a Bundle', { skip: !has('curl') && 'no curl' }, async (t) => {
  const server = await start({ quick: true }), dir = fs.mkdtempSync(path.join(os.tmpdir(), 'andiron-readme-'));
  t.after(async () => { await server.stop(); server.remove(); fs.rmSync(dir, { recursive: true }); });
  const { privateKey, publicKey } = generateKeyPairSync('rsa', { modulusLength: 2048 }), { e, kty, n } = publicKey.export({ format: 'jwk' });
  const kid = createHash('sha256').update(JSON.stringify({ e, kty, n })).digest('base64url');
  fs.writeFileSync(path.join(dir, 'lab.pem'), privateKey.export({ type: 'pkcs8', format: 'pem' }), { mode: 0o600 });
  fs.writeFileSync(path.join(dir, 'lab-keys.json'), JSON.stringify({ keys: [{ kty, n, e, kid, alg: 'RS384', use: 'sig' }] }));
  fs.symlinkSync(bin, path.join(dir, 'andiron'));
  const lines = commands('The four steps').map((l) => l.replace('http://127.0.0.1:8080', server.base).replace('root:SECRET', 'root:secret'));
  const r = await shell(`set -e\n${lines.join('\n').replace('curl ', 'curl -sS ')}`, { cwd: dir, env: { ...process.env, PATH: `${dir}:${process.env.PATH}` } });
  assert.equal(r.status, 0, r.stderr);
  const bundle = JSON.parse(r.stdout.slice(r.stdout.indexOf('{')));
  assert.deepEqual([bundle.resourceType, bundle.type, bundle.total], ['Bundle', 'searchset', 0]);
});

test('each command that the README names is one, with the options it shows', () => {
  const shown = [...readme.matchAll(/(?:^ {4}|`|&& |\$\()(?:PREFIX\/bin\/)?andiron ((?:[a-z-]+)(?: [^`#\n&]*)?)/gm)].map((m) => m[1].trim());
  assert.ok(shown.length > 8, shown.join('\n'));
  for (const text of shown) {
    const [name, ...words] = text.split(/\s+/), help = spawnSync(bin, [name, '--help'], { encoding: 'utf8' });
    assert.equal(help.status, 0, `andiron ${text}`);
    for (const word of words) if (/^--?[a-z]/.test(word)) assert.match(help.stdout, new RegExp(`(^|[\\s[|])${word}\\b`, 'm'), `andiron ${text}`);
  }
});

// A folder whose programs come first: andiron is the one under test and knows where the server is, sudo is already root.
const programs = (dir, server) => {
  const sh = (name, text) => fs.writeFileSync(path.join(dir, name), `#!/bin/sh\n${text}\n`, { mode: 0o755 });
  sh('andiron', `exec ${bin} -c ${server.etc} "$@"`);
  sh('sudo', 'exec "$@"');
  return { cwd: dir, env: { ...process.env, ANDIRON_URL: server.base, PATH: `${dir}:${process.env.PATH}` } };
};

test('the first hour, but for the packages', { skip: !has('curl') && 'no curl' }, async (t) => {
  const server = await start({ quick: true }), dir = fs.mkdtempSync(path.join(os.tmpdir(), 'andiron-hour-'));
  t.after(async () => { await server.stop(); server.remove(); fs.rmSync(dir, { recursive: true }); });
  fs.writeFileSync(path.join(dir, 'admin.secret'), 'secret');
  const [install, ...lines] = commands('Five commands', firstHour), more = commands('Something to look at', firstHour);
  assert.equal(install, 'sudo apt install ./andiron*.deb');
  assert.ok(lines.length <= 4, 'five commands in all');
  const script = [...lines, 'echo; echo ====', ...more].map((l) => l.replace('http://127.0.0.1:8080', server.base).replace('/etc/andiron/admin.secret', path.join(dir, 'admin.secret')).replace('curl ', 'curl -sS '));
  const r = await shell(`set -e\n${script.join('\n')}`, programs(dir, server));
  assert.equal(r.status, 0, r.stderr);
  const [first, second] = r.stdout.split('\n====\n').map((text) => JSON.parse(text.slice(text.search(/^\{/m))));
  assert.deepEqual([first.resourceType, first.type, first.total], ['Bundle', 'searchset', 0]);
  assert.equal(second.entry.length, 2);
  assert.equal(second.entry[0].resource.code.coding[0].code, '4548-4');
});

test('the operator guide: a backup and its restore', { skip: notOn('postgres', 'it has its own means') }, async (t) => {
  const server = await start({ quick: true }), dir = fs.mkdtempSync(path.join(os.tmpdir(), 'andiron-guide-'));
  t.after(async () => { await server.kill(); server.remove(); fs.rmSync(dir, { recursive: true }); });
  const [backup, restore] = commands('Back up and restore', operatorGuide).map((l) => l.replaceAll('/backup/', `${dir}/`));
  const options = programs(dir, server);
  const made = await shell(backup, options);
  assert.equal(made.status, 0, made.stderr);
  const [file] = fs.readdirSync(dir).filter((n) => /^andiron-\d{4}-\d\d-\d\d$/.test(n));
  await server.stop();
  fs.writeFileSync(path.join(dir, 'systemctl'), '#!/bin/sh\necho "$@" >>systemctl.log\n', { mode: 0o755 });
  const put = await shell(restore.replace(/andiron-\d{4}-\d\d-\d\d/, file), options);
  assert.equal(put.status, 0, put.stderr);
  assert.equal(fs.readFileSync(path.join(dir, 'systemctl.log'), 'utf8'), 'stop andiron\nstart andiron\n');
});

test('an installation as the README makes it serves, and a policy engine is made and built against it', { skip: sanitized && 'a module of others is not sanitized' }, async (t) => {
  const dir = fs.mkdtempSync(path.join(os.tmpdir(), 'andiron-prefix-')), prefix = path.join(dir, 'prefix'), etc = path.join(prefix, 'etc/andiron');
  t.after(() => fs.rmSync(dir, { recursive: true }));
  const [build, install, enable, serve, ...none] = commands('Build, install, run');
  assert.match(build, /^cmake -G Ninja -S \. -B build .*&& ninja -C build$/); // as tools/test does
  assert.deepEqual([install, none], ['cmake --install build', []]);
  const run = async (line, options = {}) => {
    const r = await shell(`set -e\n${line}`, { cwd: dir, ...options });
    assert.equal(r.status, 0, `${line}\n${r.stdout}${r.stderr}`);
    return r.stdout;
  };
  await run(`${install.replace(/build$/, path.dirname(modules))} --prefix ${prefix}`);
  const files = fs.readdirSync(prefix, { recursive: true }), folderOf = (name) => path.join(prefix, path.dirname(files.find((f) => path.basename(f) === name)));
  const port = await freePort(), base = `http://127.0.0.1:${port}`;
  fs.mkdirSync(path.join(etc, 'conf.d'), { recursive: true });
  fs.writeFileSync(path.join(etc, 'conf.d/here.conf'), `[http]\nlisten = 127.0.0.1:${port}\nbase-url = ${base}\n[admin]\nlisten =\ncontrol-socket = ${dir}/control.sock\n[core]\nstate-dir = ${dir}/state\ncache-dir = ${dir}/cache\nmodule-path = ${folderOf('store-sqlite.so')}\n[init]\nbundle =\n`);
  const here = (line) => line.replaceAll('PREFIX/bin/andiron', `${prefix}/bin/andiron -c ${etc}`);
  await run(here(enable));
  const [check, start] = serve.split(' && ');
  assert.match(await run(here(check)), /configuration ok: \d+ plugins/);
  const child = spawn('bash', ['-c', `exec ${here(start)}`], { stdio: 'ignore' }), over = new Promise((ok) => child.on('close', ok));
  let ready;
  while (ready?.status !== 200 && child.exitCode === null) ready = await fetch(`${base}/health/ready`).catch(() => sleep(50));
  child.kill();
  assert.equal(await over, 0);
  assert.equal(ready.status, 200);
  for (const name of ['andiron.pc', 'andiron-test.pc']) {
    const pc = path.join(folderOf(name), name);
    fs.writeFileSync(pc, fs.readFileSync(pc, 'utf8').replace(/^prefix=.*/m, `prefix=${prefix}`));
  }
  const env = { ...process.env, PATH: `${prefix}/bin:${process.env.PATH}`, PKG_CONFIG_PATH: folderOf('andiron.pc') };
  assert.match(await run(commands('Write a policy engine').join('\n'), { env }), /100% tests passed/);
});

test('every block of commands is run: by a test here, or by packaging/test-deb', () => {
  const blocks = (text) => [...text.matchAll(/^## (.+)$/gm)].map((m) => m[1]).filter((h) => commands(h, text).length > 0);
  assert.deepEqual(blocks(readme), ['Packages', 'The four steps', 'Build, install, run', 'Write a policy engine', 'Benchmarks']);
  assert.deepEqual(blocks(firstHour), ['Five commands', 'Something to look at', 'systemd holds the socket']);
  assert.deepEqual(blocks(operatorGuide), ['Back up and restore']);
  // Those that take minutes are programs of this tree, which parse.
  for (const line of ['tools/quickstart', 'tools/test', ...commands('Packages'), ...commands('Benchmarks')]) assert.ok(fs.statSync(path.join(source, line.split(/\s/)[0])).mode & 0o100, line);
});

test('tools/quickstart --once ends well', { skip: !(has('curl') && has('openssl')) && 'no curl or openssl' }, async () => {
  const dir = fs.mkdtempSync(path.join(os.tmpdir(), 'andiron-quickstart-'));
  const r = await shell('tools/quickstart --once', { cwd: source, env: { ...process.env, PORT: String(await freePort()), QUICKSTART_DIR: path.join(dir, 'data'), QUICKSTART_BUILD: path.dirname(modules) } });
  fs.rmSync(dir, { recursive: true });
  assert.equal(r.status, 0, r.stdout.slice(-3000) + r.stderr);
  assert.match(r.stdout, /\nevery answer was as specified\n$/);
  assert.doesNotMatch(r.stdout, /NOT AS SPECIFIED/);
});
