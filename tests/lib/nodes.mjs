// Several nodes over one database of PostgreSQL, started alike, ended as a machine ends them, and a balancer before them
// that is configured as etc/examples/haproxy.cfg says.
import { spawn } from 'node:child_process';
import fs from 'node:fs';
import net from 'node:net';
import os from 'node:os';
import path from 'node:path';
import { configure, freePort, plant, sleep, source, start } from './server.mjs';

const sealKey = plant('the nodes of a test seal their keys with this secret');

// Options of a node: options of start(), with its plugins; base is what all of them are called from outside.
export const nodeOptions = ({ dsn, base, plugins = {}, core = {}, ...more }) => ({
  quick: true, ...more,
  core: { ...core, http: { ...(base ? { 'base-url': base } : {}), ...core.http } },
  plugins: { ...plugins, 'store-postgres': { dsn, ...plugins['store-postgres'] }, jwks: { 'seal-key': sealKey, 'token-alg': 'ES256', ...plugins.jwks } },
});
export const node = (options) => start(nodeOptions(options));
export const configureNode = (options) => configure(nodeOptions(options));

// Its supervisor and its workers.
const processes = (server) => {
  const pid = server.child.pid;
  try { return [pid, ...fs.readFileSync(`/proc/${pid}/task/${pid}/children`, 'utf8').trim().split(/\s+/).filter(Boolean).map(Number)]; } catch { return [pid]; }
};
// Not there, or nothing but its exit status.
const isGone = (pid) => { try { return /^\d+ \(.*\) [ZX]/s.test(fs.readFileSync(`/proc/${pid}/stat`, 'utf8')); } catch { return true; } };
// A machine that stands still; killNode() ends it.
export const freezeNode = (server) => { for (const pid of processes(server)) process.kill(pid, 'SIGSTOP'); };
// kill -9 of all that belongs to a node; resolves when all of it is gone.
export const killNode = async (server) => {
  const pids = processes(server);
  for (const pid of pids) try { process.kill(pid, 'SIGKILL'); } catch { /* gone */ }
  await server.exit;
  while (!pids.every(isGone)) await sleep(5);
};
// A node that was ended, again at its place.
export const restartNode = async (at) => {
  for (const end = Date.now() + 10000; ; await sleep(50))
    try { return await start({ at }); } catch (e) { if (e.exit?.code !== 75 || Date.now() > end) throw e; } // somebody still holds the port
};

// Milliseconds until it is so; fails after limitMs.
export const until = async (what, holds, limitMs = 20000) => {
  const begun = Date.now();
  for (;;) {
    if (await holds()) return Date.now() - begun;
    if (Date.now() - begun > limitMs) throw new Error(`not within ${limitMs} ms: ${what}`);
    await sleep(10);
  }
};

export const haproxy = ['/usr/sbin/haproxy', '/usr/bin/haproxy'].find((f) => fs.existsSync(f));

// HAProxy before nodes of these ports. up(): how many of them it takes for ready; takes(n): whether that one gets requests, or has
// some under way. What it did not do well is in output().
export const balancer = async (ports) => {
  const dir = fs.mkdtempSync(path.join(os.tmpdir(), 'andiron-balancer-')), port = await freePort(), admin = path.join(dir, 'admin');
  const example = fs.readFileSync(path.join(source, 'etc/examples/haproxy.cfg'), 'utf8');
  const [head, rest] = [example.slice(0, example.indexOf('defaults')), example.slice(example.indexOf('defaults'))];
  const servers = ports.map((p, i) => `    server n${i} 127.0.0.1:${p} check\n`).join('');
  fs.writeFileSync(path.join(dir, 'cfg'), `${head}global\n    stats socket ${admin} level admin\n    log stdout format raw daemon\n${rest
    .replace('mode http', 'mode http\n    log global\n    option httplog\n    option dontlog-normal')
    .replace(/^ {4}bind .*$/m, `    bind 127.0.0.1:${port}`).replace(/^ {4}server .*\n/gm, '')}${servers}`);
  const child = spawn(haproxy, ['-db', '-f', path.join(dir, 'cfg')], { stdio: ['ignore', 'pipe', 'pipe'] });
  let output = '', ended = false;
  child.stdout.on('data', (d) => { output += d; });
  child.stderr.on('data', (d) => { output += d; });
  const exit = new Promise((ok) => child.on('exit', () => { ended = true; ok(); }));
  const status = () => new Promise((ok) => {
    let text = '';
    const socket = net.connect(admin, () => socket.end('show stat\n'));
    socket.on('data', (d) => { text += d; });
    socket.on('error', () => ok([]));
    socket.on('close', () => ok(text.split('\n').map((l) => l.split(',')).filter((l) => l[0] === 'nodes' && l[1] !== 'BACKEND').map((l) => ({ status: l[17], under: Number(l[4]) }))));
  });
  const up = async () => {
    if (ended) throw new Error(`haproxy ended:\n${output}`);
    return (await status()).filter(({ status: s }) => s.startsWith('UP') && !s.includes('/')).length;
  };
  const takes = async (n) => { const s = (await status())[n]; return !s || s.status.startsWith('UP') || s.under > 0; };
  return { port, base: `http://127.0.0.1:${port}`, up, takes, output: () => output, stop: async () => { child.kill('SIGKILL'); await exit; fs.rmSync(dir, { recursive: true, force: true }); } };
};
