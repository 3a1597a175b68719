// Reads from a replica: by those who have written nothing that it lacks; by the primary where there is none.
import { test } from 'node:test';
import assert from 'node:assert/strict';
import { startPostgres } from './lib/postgres.mjs';
import { start, call, basic, sleep } from './lib/server.mjs';

test('a client reads what it wrote, others read from the replica, and the primary serves when that is gone', async () => {
  const primary = await startPostgres();
  let standby, server;
  try {
    primary.database('replicated');
    standby = await startPostgres({ standbyOf: primary });
    server = await start({ quick: true, plugins: { 'store-postgres': { dsn: primary.dsn('replicated'), 'replica-dsn': standby.dsn('replicated') } } });
    const secret = 'a secret of some length', other = { authorization: basic('other', secret) };
    const put = async (path, body, headers = server.admin) => {
      const r = await call('PUT', `${server.fhir}/${path}`, body, headers);
      assert.ok(r.status < 300, r.text);
    };
    await put('Client/other', { resourceType: 'Client', id: 'other', secret, grant_types: ['basic'] });
    await put('AccessPolicy/other', { resourceType: 'AccessPolicy', id: 'other', engine: 'allow', link: [{ resourceType: 'Client', id: 'other' }] });
    await put('Patient/old', { resourceType: 'Patient', id: 'old', name: [{ family: 'Before' }] });
    const status = async (path, headers) => (await call('GET', `${server.fhir}/${path}`, undefined, headers)).status;
    const found = async (headers) => (await call('GET', `${server.fhir}/Patient?family=Late`, undefined, headers)).json.entry?.length ?? 0;
    const until = async (what) => { for (let i = 0; !(await what()); i++) { assert.ok(i < 400); await sleep(25); } };
    await until(async () => (await status('Patient/old', other)) === 200);
    // The replica stands still; whoever reads from it sees nothing new.
    await until(async () => standby.sql("SELECT count(*) FROM pg_stat_activity WHERE datname = 'replicated' AND application_name = 'andiron'")[0] !== '0');
    standby.sql('SELECT pg_wal_replay_pause()');
    await until(async () => standby.sql('SELECT pg_get_wal_replay_pause_state()')[0] === 'paused');
    await put('Patient/late', { resourceType: 'Patient', id: 'late', name: [{ family: 'Late' }] });
    assert.equal(await status('Patient/late', server.admin), 200, 'its own write');
    assert.equal(await found(server.admin), 1);
    await until(async () => (await status('Patient/late', other)) === 404); // from the replica
    assert.equal(await found(other), 0);
    // What nodes cache is never read from a replica.
    await put('Client/new', { resourceType: 'Client', id: 'new', secret, grant_types: ['basic'] });
    await put('AccessPolicy/new', { resourceType: 'AccessPolicy', id: 'new', engine: 'allow', link: [{ resourceType: 'Client', id: 'new' }] });
    assert.equal(await status('Patient/old', { authorization: basic('new', secret) }), 200);
    standby.sql('SELECT pg_wal_replay_resume()');
    await until(async () => (await status('Patient/late', other)) === 200);
    assert.equal(await found(other), 1);
    // Without it, all is read from the primary.
    await standby.end('kill');
    for (let i = 0; i < 20; i++) assert.equal(await status('Patient/late', other), 200);
    await put('Patient/later', { resourceType: 'Patient', id: 'later' });
    assert.equal(await status('Patient/later', other), 200);
  } finally {
    await server?.stop();
    server?.remove();
    await standby?.stop();
    await primary.stop();
  }
});
