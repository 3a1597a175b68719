// The README's commands, taken from its text, and tools/quickstart over the build under test.
import test from 'node:test';
import assert from 'node:assert/strict';
import { createHash, generateKeyPairSync } from 'node:crypto';
import { spawn, spawnSync } from 'node:child_process';
import fs from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { bin, freePort, modules, source, start } from './lib/server.mjs';

const readme = fs.readFileSync(path.join(source, 'README.md'), 'utf8');
// Lines of the indented blocks below a heading.
const commands = (heading) => {
  const at = readme.indexOf(`\n## ${heading}\n`);
  assert.ok(at >= 0, heading);
  return readme.slice(at + heading.length + 5).split('\n## ')[0].split('\n').filter((l) => l.startsWith('    ')).map((l) => l.slice(4));
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

test('tools/quickstart --once ends well', { skip: !(has('curl') && has('openssl')) && 'no curl or openssl' }, async () => {
  const dir = fs.mkdtempSync(path.join(os.tmpdir(), 'andiron-quickstart-'));
  const r = await shell('tools/quickstart --once', { cwd: source, env: { ...process.env, PORT: String(await freePort()), QUICKSTART_DIR: path.join(dir, 'data'), QUICKSTART_BUILD: path.dirname(modules) } });
  fs.rmSync(dir, { recursive: true });
  assert.equal(r.status, 0, r.stdout.slice(-3000) + r.stderr);
  assert.match(r.stdout, /\nevery answer was as specified\n$/);
  assert.doesNotMatch(r.stdout, /NOT AS SPECIFIED/);
});
