// andiron migrate: what stored data needs is told without touching it, and done before a start where that is wanted.
import { test } from 'node:test';
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import fs from 'node:fs';
import path from 'node:path';
import { startPostgres } from './lib/postgres.mjs';
import { bin, configure, notOn } from './lib/server.mjs';

const migrate = (at, ...args) => {
  const r = spawnSync(bin, ['-c', at.etc, 'migrate', ...args], { encoding: 'utf8' });
  return [r.status, (r.stdout + r.stderr).trim()];
};

test('store-sqlite: looking makes no file; an older schema is told and brought up to date, a newer one refused', { skip: notOn('postgres', 'of store-sqlite') }, async () => {
  const at = await configure({ plugins: { 'store-sqlite': { path: '' } } }), file = path.join(at.dir, 'state/andiron.db');
  const set = (version) => assert.equal(spawnSync('python3', ['-c', 'import sqlite3,sys; d=sqlite3.connect(sys.argv[1]); d.execute("UPDATE meta SET v=? WHERE k=\'schema\'",(int(sys.argv[2]),)); d.commit()', file, String(version)]).status, 0);
  try {
    fs.mkdirSync(path.dirname(file), { recursive: true });
    assert.deepEqual(migrate(at, '--check'), [0, 'store-sqlite: no data yet; a start makes schema version 4']);
    assert.ok(!fs.existsSync(file));
    assert.deepEqual(migrate(at), [0, 'store-sqlite: no data yet; made schema version 4']);
    assert.equal(fs.statSync(file).mode & 0o777, 0o600);
    assert.deepEqual(migrate(at, '--check'), [0, 'store-sqlite: schema version 4, nothing to do']);
    set(2);
    for (let i = 0; i < 2; i++) assert.deepEqual(migrate(at, '--check'), [75, 'store-sqlite: schema version 2, needs 4']);
    assert.deepEqual(migrate(at), [0, 'store-sqlite: schema version 2, now 4']);
    assert.deepEqual(migrate(at), [0, 'store-sqlite: schema version 4, nothing to do']);
    set(99);
    const [status, text] = migrate(at);
    assert.equal(status, 78, text);
    assert.match(text, /schema version 99.*install the newer andiron/);
    assert.equal(migrate(at, '--chek')[0], 64);
  } finally { fs.rmSync(at.dir, { recursive: true, force: true }); }
});

test('store-postgres: the same; what a newer program allows is used as it is', async () => {
  const pg = await startPostgres();
  const at = await configure({ plugins: { 'store-postgres': { dsn: pg.database('migrated') } } });
  const meta = (name, value) => pg.sql(`UPDATE andiron.meta SET v = '${value}' WHERE k = '${name}'`, 'migrated');
  try {
    const version = Number(/version (\d+)$/.exec(migrate(at, '--check')[1])[1]);
    assert.deepEqual(migrate(at, '--check'), [0, `store-postgres: no data yet; a start makes schema version ${version}`]);
    assert.equal(pg.sql("SELECT count(*) FROM pg_namespace WHERE nspname = 'andiron'", 'migrated')[0], '0');
    assert.deepEqual(migrate(at), [0, `store-postgres: no data yet; made schema version ${version}`]);
    assert.deepEqual(migrate(at, '--check'), [0, `store-postgres: schema version ${version}, nothing to do`]);
    meta('schema', 1);
    assert.deepEqual(migrate(at, '--check'), [75, `store-postgres: schema version 1, needs ${version}`]);
    assert.deepEqual(migrate(at), [0, `store-postgres: schema version 1, now ${version}`]);
    assert.deepEqual(migrate(at, '--check'), [0, `store-postgres: schema version ${version}, nothing to do`]);
    meta('schema', 99);
    assert.deepEqual(migrate(at), [0, 'store-postgres: schema version 99, nothing to do']);
    meta('schema-least', 99);
    const [status, text] = migrate(at, '--check');
    assert.equal(status, 78, text);
    assert.match(text, /install the newer andiron/);
    await pg.end();
    assert.deepEqual(migrate(at, '--check').slice(0, 1), [69]);
  } finally {
    fs.rmSync(at.dir, { recursive: true, force: true });
    await pg.stop();
  }
});
