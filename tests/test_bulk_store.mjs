// Exports over another store: examples/store, which cannot be visited and cannot purge.
import test, { before, after } from 'node:test';
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import fs from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { call, configure, modules, sleep, source, start } from './lib/server.mjs';
import { bytes, download, lines, load, manifest, observation, patient, stored } from './lib/bulk.mjs';

const count = 700;
let server;
before(async () => {
  const folder = path.join(source, 'examples/store'), own = fs.mkdtempSync(path.join(os.tmpdir(), 'andiron-modules-'));
  execFileSync(process.env.CC ?? 'cc', ['-D_GNU_SOURCE', '-shared', '-fPIC', '-fvisibility=hidden', '-O2', `-I${source}/include`, '-o', path.join(own, 'store-memory.so'), path.join(folder, 'memory.c'), '-lm']);
  const at = await configure({ quick: true, plugins: { 'store-sqlite': false, 'policy-sql': false, bulk: { 'slice-rows': 100, 'slice-bytes': '20k', checkpoint: '50ms' } } });
  fs.copyFileSync(path.join(folder, '10-store-memory.conf'), path.join(at.etc, 'plugins.d/10-store-memory.conf'));
  const conf = path.join(at.etc, 'andiron.conf');
  fs.writeFileSync(conf, fs.readFileSync(conf, 'utf8').replace(`module-path = ${modules}`, `module-path = ${own} ${modules}`));
  server = await start({ at });
  server.own = own;
  await load(server, 10, patient);
  await load(server, count, observation);
});
after(async () => { await server.stop(); server.remove(); fs.rmSync(server.own, { recursive: true }); });

test('every resource comes once, as it is stored, also filtered and streamed', async () => {
  const all = await download(server, await manifest(server, '$export?_type=Observation,Patient'));
  assert.equal(new Set(all.map(([, line]) => JSON.parse(line).id)).size, count + 10);
  assert.equal(all.length, count + 10);
  for (const [type, line] of all.filter((_, i) => i % 50 === 0)) assert.equal(line, await stored(server, `${type}/${JSON.parse(line).id}`));
  const some = await download(server, await manifest(server, `$export?_type=Observation&_typeFilter=${encodeURIComponent('Observation?status=amended')}`));
  assert.equal(some.length, Math.ceil(count / 3));
  assert.equal(lines((await bytes('GET', `${server.fhir}/Observation/$export-stream`, server.admin)).body).length, count);
});
test('deletions are told', async () => {
  await sleep(20);
  const first = await manifest(server, '$export?_type=Patient');
  await sleep(20);
  await call('DELETE', `${server.fhir}/Patient/p3`, undefined, server.admin);
  const m = await manifest(server, `$export?_type=Patient&_since=${first.transactionTime.replace(/\.\d+Z/, 'Z')}`);
  const gone = await download(server, m, { list: 'deleted' });
  assert.deepEqual(gone.map(([, line]) => JSON.parse(line).entry[0].request.url), ['Patient/p3']);
  assert.equal((await call('DELETE', m.url, undefined, server.admin)).status, 202);
  assert.equal((await call('GET', m.url, undefined, server.admin)).status, 404);
});
