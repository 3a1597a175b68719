// What the PostgreSQL store does when its database is restarted, frozen, out of space, or another one: no acknowledged
// write is lost, none is there twice, and service goes on without a restart of the daemon.
import { test, describe, before, after } from 'node:test';
import assert from 'node:assert/strict';
import { execFileSync, spawnSync } from 'node:child_process';
import fs from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { startPostgres } from './lib/postgres.mjs';
import { start, configure, call, sleep } from './lib/server.mjs';

const impatient = { 'statement-timeout': '1s', 'connect-wait': '1s', 'connect-timeout': '1s', 'poll-interval': '100ms' };
const daemon = (dsn, more = {}) => start({ quick: true, plugins: { 'store-postgres': { dsn, ...impatient, ...more } } });

// What was committed outlives the processes of the server, which is what is killed here; the machine goes on.
const durable = { settings: { synchronous_commit: 'on' } };

// Writes from several clients until stop() is called: what was acknowledged, what was not, and every status.
const writing = (server, { clients = 8, prefix = 'w' } = {}) => {
  const acknowledged = [], others = [], statuses = {}, retryAfter = new Set();
  let on = true, number = 0, slowest = 0;
  const one = async () => {
    while (on) {
      const id = `${prefix}-${++number}`, begun = Date.now();
      const r = await call('PUT', `${server.fhir}/Patient/${id}`, { resourceType: 'Patient', id, name: [{ family: id }] }, server.admin)
        .catch((e) => ({ status: `failed: ${e.cause?.code ?? e}` }));
      statuses[r.status] = (statuses[r.status] ?? 0) + 1;
      slowest = Math.max(slowest, Date.now() - begun);
      (r.status === 201 ? acknowledged : others).push(id);
      if (r.status === 503) retryAfter.add(r.headers.get('retry-after'));
      if (r.status !== 201) await sleep(20);
    }
  };
  const all = Array.from({ length: clients }, one);
  return { acknowledged, others, statuses, retryAfter, slowest: () => slowest, stop: async () => { on = false; await Promise.all(all); } };
};

// How many versions each resource of a load has, straight from the tables.
const versions = (pg, database, prefix = 'w') => Object.fromEntries(pg.sql(
  `SELECT r.id, count(*) FROM andiron.resource r JOIN andiron.version v USING (rid) WHERE r.id LIKE '${prefix}-%' GROUP BY r.id`, database)
  .filter(Boolean).map((l) => [l.split('|')[0], Number(l.split('|')[1])]));
const agrees = (load, found) => {
  for (const id of load.acknowledged) assert.equal(found[id], 1, `${id} was acknowledged`);
  for (const [id, count] of Object.entries(found)) assert.equal(count, 1, id);
  assert.deepEqual(Object.keys(load.statuses).filter((s) => !['201', '503', '504', '507'].includes(s)), [], JSON.stringify(load.statuses));
};

const serves = async (server) => (await call('GET', `${server.fhir}/Patient?_summary=count`, undefined, server.admin).catch(() => ({}))).status === 200;
const writes = async (server, id) => (await call('PUT', `${server.fhir}/Patient/${id}`, { resourceType: 'Patient', id }, server.admin).catch(() => ({}))).status < 300;
const ready = async (server) => (await call('GET', `${server.base}/health/ready`)).status;
// Milliseconds until it is so.
const until = async (what, limitMs = 15000) => {
  const begun = Date.now();
  while (!(await what())) {
    assert.ok(Date.now() - begun < limitMs, `not within ${limitMs} ms`);
    await sleep(20);
  }
  return Date.now() - begun;
};

// A file system of its own, where the machine allows it.
const smallDisk = (megabytes) => {
  const dir = fs.mkdtempSync(path.join(os.tmpdir(), 'andiron-disk-'));
  fs.chmodSync(dir, 0o755);
  if (spawnSync('mount', ['-t', 'tmpfs', '-o', `size=${megabytes}m,mode=0777`, 'tmpfs', dir]).status === 0)
    return { dir, end: () => { execFileSync('umount', ['-l', dir]); fs.rmSync(dir, { recursive: true, force: true }); } };
  fs.rmSync(dir, { recursive: true, force: true });
  return undefined;
};

// Each with a cluster of its own, beside each other: most of the time they wait.
describe('faults', { concurrency: 3 }, () => {
  describe('one database', { concurrency: 1 }, () => {
    let pg, server, database;
    before(async () => {
      pg = await startPostgres(durable);
      database = 'faults';
      server = await daemon(pg.database(database));
    });
    after(async () => { await server?.stop(); server?.remove(); await pg?.stop(); });

    test('restarted under load: nothing is lost or doubled, and service goes on by itself', async () => {
      const load = writing(server, { prefix: 'restart' });
      await until(() => load.acknowledged.length > 50);
      await pg.end('fast');
      await until(() => load.statuses[503] > 5);
      await until(async () => (await ready(server)) === 503);
      const r = await call('GET', `${server.fhir}/Patient/restart-1`, undefined, server.admin);
      assert.equal(r.status, 503, r.text);
      assert.match(r.headers.get('retry-after'), /^\d+$/);
      assert.equal(r.json.resourceType, 'OperationOutcome');
      await pg.begin();
      const before = load.acknowledged.length;
      await until(() => load.acknowledged.length > before + 20);
      await load.stop();
      await until(async () => (await ready(server)) === 200);
      for (const after of load.retryAfter) assert.match(after ?? 'none', /^\d+$/);
      agrees(load, versions(pg, database, 'restart'));
    });

    test('connections ended in the middle of load: nothing is lost or doubled', async () => {
      const load = writing(server, { prefix: 'ended', clients: 12 });
      const end = `SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity WHERE datname = '${database}' AND pid <> pg_backend_pid()`;
      for (let i = 0; i < 12; i++) {
        await sleep(80);
        pg.sql(end);
      }
      const before = load.acknowledged.length;
      await until(() => load.acknowledged.length > before + 20);
      await load.stop();
      assert.ok(load.acknowledged.length > 50, JSON.stringify(load.statuses));
      agrees(load, versions(pg, database, 'ended'));
      await server.logged(/store\.connection\.lost/);
    });

    test('reads go on while connections are ended: each is tried once more', async () => {
      assert.ok(await writes(server, 'read-1'));
      let on = true;
      const statuses = {};
      const readers = Array.from({ length: 6 }, async () => {
        while (on) {
          const r = await call('GET', `${server.fhir}/Patient/read-1`, undefined, server.admin);
          statuses[r.status] = (statuses[r.status] ?? 0) + 1;
        }
      });
      // One connection at a time: the other one is there for the second try.
      for (let i = 0; i < 8; i++) {
        await sleep(100);
        pg.sql(`SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = '${database}' AND pid <> pg_backend_pid() AND query NOT LIKE '%snapshot%' ORDER BY random() LIMIT 1`);
      }
      on = false;
      await Promise.all(readers);
      assert.deepEqual(Object.keys(statuses), ['200'], JSON.stringify(statuses));
    });

    test('frozen: requests are answered in bounded time, health says so, and service goes on', async () => {
      const load = writing(server, { prefix: 'frozen', clients: 4 });
      await until(() => load.acknowledged.length > 10);
      const pids = pg.freeze();
      try {
        await until(async () => (await ready(server)) === 503, 10000);
        const begun = Date.now(), r = await call('GET', `${server.fhir}/Patient/frozen-1`, undefined, server.admin);
        assert.ok([503, 504].includes(r.status), String(r.status));
        assert.ok(Date.now() - begun < 6000);
      } finally { pg.thaw(pids); }
      const before = load.acknowledged.length;
      await until(() => load.acknowledged.length > before + 10);
      await load.stop();
      assert.ok(load.slowest() < 12000, String(load.slowest()));
      await until(async () => (await ready(server)) === 200);
      agrees(load, versions(pg, database, 'frozen'));
    });

    test('crashed at once and recovered: what was acknowledged is there', async () => {
      const load = writing(server, { prefix: 'crash' });
      await until(() => load.acknowledged.length > 50);
      await pg.end('kill');
      await sleep(200);
      await pg.begin();
      const before = load.acknowledged.length;
      await until(() => load.acknowledged.length > before + 10);
      await load.stop();
      await until(async () => (await ready(server)) === 200);
      agrees(load, versions(pg, database, 'crash'));
    });

    test('pools and queues at their limits refuse what is too much, and nothing hangs', async () => {
      const own = await daemon(pg.database('small'), { 'read-connections': '1', 'write-connections': '1', window: '1', 'queue-max': '16', 'policy-connections': '1', 'policy-queue': '1' });
      try {
        assert.ok(await writes(own, 'first'));
        const statuses = {};
        const one = async (method, id, body) => {
          const r = await call(method, `${own.fhir}/Patient/${id}`, body, own.admin);
          statuses[r.status] = (statuses[r.status] ?? 0) + 1;
          if (r.status === 503) assert.match(r.headers.get('retry-after'), /^\d+$/);
        };
        await Promise.all(Array.from({ length: 300 }, (_, i) => (i % 3 ? one('GET', 'first') : one('PUT', `small-${i}`, { resourceType: 'Patient', id: `small-${i}` }))));
        assert.deepEqual(Object.keys(statuses).filter((s) => !['200', '201', '503'].includes(s)), [], JSON.stringify(statuses));
        assert.ok(statuses[200] > 0 && statuses[201] > 0, JSON.stringify(statuses));
        assert.ok(await serves(own) && await writes(own, 'last'));
        const used = Number(pg.sql("SELECT count(*) FROM pg_stat_activity WHERE datname = 'small' AND application_name = 'andiron'")[0]);
        const loops = Number(/^andiron_store_pool_connections\{state="up"\} (\d+)$/m.exec((await call('GET', `${own.adminBase}/metrics`)).text)[1]);
        assert.equal(used, loops, 'as many as it says');
        assert.match((await call('GET', `${own.adminBase}/metrics`)).text, /^andiron_store_postgres_waiting 0$/m);
      } finally { await own.stop(); own.remove(); }
    });

    test('no database at the start: the daemon says which, without the password, and exits', async () => {
      const at = await configure({ plugins: { 'store-postgres': { dsn: `host=127.0.0.1 port=1 user=andiron password=not-to-be-shown-anywhere dbname=x`, ...impatient, 'start-timeout': '500ms' } } });
      try {
        await assert.rejects(start({ at }), (e) => {
          assert.notEqual(e.exit.code, 0);
          assert.match(e.message, /database: .*refused/);
          assert.doesNotMatch(e.message, /not-to-be-shown/);
          return true;
        });
      } finally { fs.rmSync(at.dir, { recursive: true, force: true }); }
    });

    test('a connection string that is none is refused without being shown', async () => {
      const at = await configure({ plugins: { 'store-postgres': { dsn: 'postgresql://andiron:not-to-be-shown-anywhere@[', ...impatient } } });
      try {
        await assert.rejects(start({ at }), (e) => {
          assert.match(e.message, /store-postgres\.dsn is no connection string/);
          assert.doesNotMatch(e.message, /not-to-be-shown/);
          return true;
        });
      } finally { fs.rmSync(at.dir, { recursive: true, force: true }); }
    });
  });

  test('a full disk refuses writes with 507, reads go on, and writes do when there is space again', async (t) => {
    const disk = smallDisk(48);
    if (!disk) { t.skip('no file system may be mounted here'); return; }
    const pg = await startPostgres();
    let server;
    try {
      const space = path.join(disk.dir, 'space'), filler = path.join(disk.dir, 'filler');
      fs.mkdirSync(space);
      const { uid, gid } = fs.statSync(pg.data);
      fs.chownSync(space, uid, gid);
      pg.sql(`CREATE TABLESPACE small LOCATION '${space}'`);
      pg.sql('CREATE DATABASE full_disk TABLESPACE small');
      server = await daemon(pg.dsn('full_disk'));
      assert.ok(await writes(server, 'first'));
      const free = fs.statfsSync(disk.dir);
      fs.writeFileSync(filler, Buffer.alloc(Math.max(0, Number(free.bavail) * Number(free.bsize) - 262144)));
      const load = writing(server, { prefix: 'full', clients: 4 });
      await until(() => load.statuses[507] > 3, 30000);
      assert.ok(await serves(server), 'it reads');
      fs.rmSync(filler);
      const before = load.acknowledged.length;
      await until(() => load.acknowledged.length > before + 10);
      await load.stop();
      agrees(load, versions(pg, 'full_disk', 'full'));
    } finally {
      await server?.stop();
      server?.remove();
      await pg.stop();
      disk.end();
    }
  });

  test('primary killed and its standby promoted: service again within two seconds, all that was acknowledged is there once', async () => {
    const primary = await startPostgres(durable);
    let standby, server;
    try {
      const database = 'failover';
      primary.database(database);
      standby = await startPostgres({ standbyOf: primary, ...durable });
      primary.sql("ALTER SYSTEM SET synchronous_standby_names = 'standby'");
      primary.sql('SELECT pg_reload_conf()');
      await until(() => primary.sql("SELECT count(*) FROM pg_stat_replication WHERE sync_state = 'sync'")[0] === '1');
      server = await daemon(`host=127.0.0.1,127.0.0.1 port=${primary.port},${standby.port} dbname=${database} user=postgres target_session_attrs=read-write`);
      const load = writing(server, { prefix: 'failover', clients: 16 }), wanted = Number(process.env.ANDIRON_FAILOVER_WRITES ?? 500);
      await until(() => load.acknowledged.length >= wanted, 300000);
      await primary.end('kill');
      const before = load.acknowledged.length;
      // The new one waits for nobody.
      fs.appendFileSync(path.join(standby.data, 'postgresql.auto.conf'), "synchronous_standby_names = ''\n");
      standby.promote();
      const took = await until(() => load.acknowledged.length > before);
      await until(() => load.acknowledged.length > before + 50);
      await load.stop();
      agrees(load, versions(standby, database, 'failover'));
      assert.ok(took < 2000 * (process.env.ANDIRON_SLOW ? 5 : 2), `${took} ms`);
      assert.equal((await call('GET', `${server.fhir}/Patient/failover-1`, undefined, server.admin)).status, 200);
      console.log(`# ${load.acknowledged.length} writes, ${took} ms from promotion to the next`);
    } finally {
      await server?.stop();
      server?.remove();
      await standby?.stop();
      await primary.stop();
    }
  });
});
