// The seed's walk-through against a fresh daemon: tests/walk.mjs plays the client.
import test from 'node:test';
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import path from 'node:path';
import { start, freePort, source } from './lib/server.mjs';

test('the walk-through ends with 0 failed', async (t) => {
  const keys = await freePort();
  const server = await start({ plugins: { jwks: { allow: `http://127.0.0.1:${keys}` } } });
  t.after(async () => { await server.stop(); server.remove(); });
  const walk = spawn(process.execPath, [path.join(source, 'tests/walk.mjs')], {
    env: { ...process.env, BASE: server.base, ADMIN: 'root:secret', JWKS_PORT: String(keys) }, stdio: ['ignore', 'pipe', 'inherit'],
  });
  let output = '';
  walk.stdout.on('data', (d) => { output += d; });
  const code = await new Promise((ok) => walk.on('exit', ok));
  assert.equal(code, 0, output.split('\n').filter((l) => !l.startsWith('PASS')).join('\n'));
  assert.match(output, /\n\d\d+ passed, 0 failed\n$/);
});
