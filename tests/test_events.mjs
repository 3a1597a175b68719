// andiron-events(7) lists the events that the code logs: no more, no less.
import test from 'node:test';
import assert from 'node:assert/strict';
import fs from 'node:fs';
import path from 'node:path';
import { source } from './lib/server.mjs';

const sources = (folder) => fs.readdirSync(path.join(source, folder), { recursive: true })
  .filter((f) => f.endsWith('.c') && !path.basename(f).startsWith('test_')).map((f) => fs.readFileSync(path.join(source, folder, f), 'utf8'));
const code = [...sources('core'), ...sources('plugins')];
const listed = [...fs.readFileSync(path.join(source, 'packaging/man/andiron-events.7'), 'utf8').matchAll(/^\.It Cm (\S+) Pq /gm)].map((m) => m[1]);

test('every event that is logged is listed', () => {
  const logged = new Set();
  for (const text of code) for (const statement of text.split(';')) {
    const at = statement.search(/\bANDIRON_LOG_(ERROR|WARN|INFO|DEBUG)\b/);
    for (const m of at < 0 ? [] : statement.slice(at).matchAll(/"(start|stop|[a-z]+(?:\.[a-z-]+)+)",/g)) logged.add(m[1]);
  }
  assert.ok(logged.size > 70, `${logged.size}`);
  assert.deepEqual([...logged].filter((e) => !listed.includes(e)), []);
});
test('every event that is listed is somewhere in the code, once in the list, in order', () => {
  assert.deepEqual(listed.filter((e) => !code.some((text) => text.includes(`"${e}"`))), []);
  assert.deepEqual(listed, [...new Set(listed)].sort());
});
