// The PostgreSQL store behind a pooler that gives each transaction another connection (pgbouncer), with prepare = no.
import { test } from 'node:test';
import assert from 'node:assert/strict';
import { execFileSync, spawn } from 'node:child_process';
import fs from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { startPostgres } from './lib/postgres.mjs';
import { start, call, freePort, sleep } from './lib/server.mjs';

const bouncer = ['/usr/sbin/pgbouncer', '/usr/bin/pgbouncer'].find((f) => fs.existsSync(f));

const startBouncer = async (pg) => {
  const dir = fs.mkdtempSync(path.join(os.tmpdir(), 'andiron-bouncer-')), port = await freePort();
  const as = process.getuid() === 0 ? { uid: Number(execFileSync('id', ['-u', 'postgres'])), gid: Number(execFileSync('id', ['-g', 'postgres'])) } : {};
  fs.writeFileSync(path.join(dir, 'ini'), `[databases]
* = host=127.0.0.1 port=${pg.port} user=postgres
[pgbouncer]
listen_addr = 127.0.0.1
listen_port = ${port}
unix_socket_dir =
auth_type = any
pool_mode = transaction
default_pool_size = 3
logfile = ${dir}/log
`);
  fs.chmodSync(dir, 0o755);
  if (as.uid !== undefined) fs.chownSync(dir, as.uid, as.gid);
  const child = spawn(bouncer, [path.join(dir, 'ini')], { ...as, stdio: 'ignore' });
  const log = () => (fs.existsSync(path.join(dir, 'log')) ? fs.readFileSync(path.join(dir, 'log'), 'utf8') : '');
  for (const end = Date.now() + 10000; Date.now() < end && !/listening on/.test(log());) await sleep(20);
  return { port, log, stop: async () => { child.kill('SIGINT'); await new Promise((ok) => child.on('exit', ok)); fs.rmSync(dir, { recursive: true, force: true }); } };
};

test('behind pgbouncer in transaction mode: reads, writes, searches, transactions and policies', { skip: bouncer ? false : 'no pgbouncer is installed' }, async () => {
  const pg = await startPostgres(), pooler = await startBouncer(pg);
  let server;
  try {
    pg.database('pooled');
    server = await start({ quick: true, plugins: { 'store-postgres': { dsn: `host=127.0.0.1 port=${pooler.port} dbname=pooled user=postgres`, prepare: 'no', 'policy-dsn': pg.dsn('pooled') } } });
    const put = (type, id, more = {}) => call('PUT', `${server.fhir}/${type}/${id}`, { resourceType: type, id, ...more }, server.admin);
    const made = await Promise.all(Array.from({ length: 60 }, (_, i) => put('Patient', `p${i}`, { name: [{ family: `Name${i % 3}` }] })));
    assert.deepEqual(made.filter((r) => r.status !== 201).map((r) => r.text), []);
    const all = await Promise.all(Array.from({ length: 60 }, (_, i) => call('GET', `${server.fhir}/Patient/p${i}`, undefined, server.admin)));
    assert.deepEqual(all.filter((r) => r.status !== 200).map((r) => r.text), []);
    const found = await call('GET', `${server.fhir}/Patient?family=Name1&_count=5&_total=accurate&_sort=_id`, undefined, server.admin);
    assert.equal(found.json.total, 20, found.text);
    assert.equal(found.json.entry.length, 5);
    const again = await put('Patient', 'p1', { active: true });
    assert.equal(again.json.meta.versionId, '2', again.text);
    const bundle = { resourceType: 'Bundle', type: 'transaction', entry: Array.from({ length: 20 }, (_, i) => ({ resource: { resourceType: 'Observation', status: 'final', code: { text: 'x' }, subject: { reference: `Patient/p${i}` } }, request: { method: 'POST', url: 'Observation' } })) };
    const sent = await call('POST', server.fhir, bundle, server.admin);
    assert.equal(sent.status, 200, sent.text);
    assert.equal((await call('GET', `${server.fhir}/Patient/p1/_history`, undefined, server.admin)).json.entry.length, 2);
    assert.equal((await call('GET', `${server.fhir}/Observation?subject=Patient/p3`, undefined, server.admin)).json.entry.length, 1);
    assert.doesNotMatch(server.log(), /store\.statement\.failed/);
    assert.doesNotMatch(pooler.log(), /unsupported/);
  } finally {
    await server?.stop();
    server?.remove();
    await pooler.stop();
    await pg.stop();
  }
});
