// The PostgreSQL store behind a pooler that gives each transaction another connection (pgbouncer), with prepare = no.
import { test } from 'node:test';
import assert from 'node:assert/strict';
import { execFileSync, spawn } from 'node:child_process';
import fs from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { startPostgres } from './lib/postgres.mjs';
import { basic, call, freePort, sleep, start } from './lib/server.mjs';

const bouncer = ['/usr/sbin/pgbouncer', '/usr/bin/pgbouncer'].find((f) => fs.existsSync(f));

// Clients of it are who they say they are: postgres, or one of the others.
const startBouncer = async (pg, users = []) => {
  const dir = fs.mkdtempSync(path.join(os.tmpdir(), 'andiron-bouncer-')), port = await freePort();
  const as = process.getuid() === 0 ? { uid: Number(execFileSync('id', ['-u', 'postgres'])), gid: Number(execFileSync('id', ['-g', 'postgres'])) } : {};
  fs.writeFileSync(path.join(dir, 'ini'), `[databases]
* = host=127.0.0.1 port=${pg.port}
[pgbouncer]
listen_addr = 127.0.0.1
listen_port = ${port}
unix_socket_dir =
auth_type = trust
auth_file = ${dir}/users
pool_mode = transaction
default_pool_size = 3
logfile = ${dir}/log
`);
  fs.writeFileSync(path.join(dir, 'users'), ['postgres', ...users].map((u) => `"${u}" ""\n`).join(''));
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

test('behind pgbouncer in transaction mode: SQL of policies by a role that may see nothing else, and both limits of time', { skip: bouncer ? false : 'no pgbouncer is installed' }, async () => {
  const pg = await startPostgres(), pooler = await startBouncer(pg, ['policies']);
  let server;
  try {
    pg.database('pooled');
    pg.sql('CREATE ROLE policies LOGIN');
    const dsn = (user) => `host=127.0.0.1 port=${pooler.port} dbname=pooled user=${user}`, secret = 'a secret of some length';
    server = await start({ quick: true, plugins: { 'store-postgres': { dsn: dsn('postgres'), prepare: 'no', 'policy-dsn': dsn('policies'), 'statement-timeout': '1s', 'policy-connections': '2' }, 'policy-sql': { timeout: '3s' } } });
    const put = (path, body) => call('PUT', `${server.fhir}/${path}`, { resourceType: path.split('/')[0], id: path.split('/')[1], ...body }, server.admin);
    const made = async (path, body) => { const r = await put(path, body); assert.ok(r.status < 300, r.text); };
    const clientWith = async (id, query) => {
      await made(`Client/${id}`, { secret, grant_types: ['basic'] });
      await made(`AccessPolicy/${id}`, { engine: 'sql', sql: { query }, link: [{ resourceType: 'Client', id }] });
      return async (path) => (await call('GET', `${server.fhir}/${path}`, undefined, { authorization: basic(id, secret) })).status;
    };
    await made('Patient/open', { active: true });
    await made('Patient/shut', { active: false });
    // The views are made with the first policy, which waits for that.
    const session = (sql) => {
      const child = spawn('psql', ['-X', '-q', '-h', '127.0.0.1', '-p', String(pg.port), '-U', 'postgres', '-d', 'pooled'], { stdio: ['pipe', 'pipe', 'ignore'] });
      child.stdin.write(`BEGIN; ${sql}; SELECT 'there';\n`);
      const exit = new Promise((ok) => child.on('exit', ok));
      return new Promise((ok) => child.stdout.once('data', () => ok({ end: () => { child.stdin.end('COMMIT;\n'); return exit; } })));
    };
    const migrating = await session('SELECT pg_advisory_xact_lock(1097753714, 1)');
    setTimeout(migrating.end, 3500);
    const ask = await clientWith('asks', "SELECT (resource->>'active')::bool FROM patient WHERE id = {{params.resource/id}}");
    const all = await Promise.all(Array.from({ length: 16 }, (_, i) => ask(`Patient/${i % 2 ? 'open' : 'shut'}`)));
    assert.deepEqual(all, all.map((_, i) => (i % 2 ? 200 : 403)));
    for (const query of ['SELECT true FROM andiron.resource', 'SELECT true FROM andiron.meta', 'SELECT true FROM client', 'SELECT rolname = rolname FROM pg_authid', "SELECT pg_read_file('/etc/hostname') IS NOT NULL"])
      assert.equal((await put('AccessPolicy/more', { engine: 'sql', sql: { query }, link: [{ resourceType: 'Client', id: 'asks' }] })).status, 422, query);
    assert.equal(pg.sql("SELECT has_schema_privilege('policies', 'andiron', 'USAGE')", 'pooled')[0], 'f');

    // What takes too long grants nothing, is ended at the server, and is in nobody's way.
    const slow = await clientWith('slow', 'WITH RECURSIVE n(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM n) SELECT count(*) > 0 FROM n');
    assert.deepEqual(await Promise.all([slow('Patient/open'), slow('Patient/open'), slow('Patient/open')]), [403, 403, 403]);
    const running = () => pg.sql("SELECT count(*) FROM pg_stat_activity WHERE usename = 'policies' AND state <> 'idle'", 'pooled')[0];
    for (const end = Date.now() + 10000; running() !== '0'; await sleep(50)) assert.ok(Date.now() < end, 'it runs on');
    assert.equal(await ask('Patient/open'), 200);

    // The store's own limit is told with each transaction.
    const locker = await session('LOCK TABLE andiron.version IN ACCESS EXCLUSIVE MODE');
    const begun = Date.now(), r = await call('GET', `${server.fhir}/Patient/open`, undefined, server.admin);
    assert.equal(r.status, 504, r.text);
    assert.ok(Date.now() - begun >= 900, 'not before its time');
    await locker.end();
    assert.equal((await call('GET', `${server.fhir}/Patient/open`, undefined, server.admin)).status, 200);
    assert.doesNotMatch(pooler.log(), /unsupported|closing because: .*(error|invalid)/i);
  } finally {
    await server?.stop();
    server?.remove();
    await pooler.stop();
    await pg.stop();
  }
});
