// A rolling upgrade: nodes of this release and of the next one, whose schema has a step more (build/modules-next), work on one
// database, while it is changed and afterwards. No request fails, and a node may go back.
import { test } from 'node:test';
import assert from 'node:assert/strict';
import { spawn, spawnSync } from 'node:child_process';
import path from 'node:path';
import { startPostgres } from './lib/postgres.mjs';
import { configureNode, node, until } from './lib/nodes.mjs';
import { bin, call, indexAgrees, modules, start } from './lib/server.mjs';

const next = path.join(process.env.ANDIRON_BUILD ?? path.dirname(bin), 'modules-next');

// One after the other, each at a node that takes requests: created, read, changed, searched, in a transaction, conditionally.
const loading = (live, admin) => {
  const failures = [], made = [];
  let on = true, done = 0;
  // The node is chosen when it is asked: one that was there a moment ago may be on its way out.
  const ask = async (which, method, where, body, right, headers) => {
    const n = live.at(which % live.length);
    n.busy = (n.busy ?? 0) + 1;
    const r = await call(method, `${n.fhir}/${where}`, body, { ...admin, ...headers }).catch((e) => ({ status: 0, text: String(e.cause ?? e) }));
    n.busy--;
    if (right.includes(r.status)) done++;
    else failures.push(`${method} ${where}: ${r.status} ${r.text.slice(0, 200)}`);
    return r;
  };
  const one = async (c) => {
    for (let i = 0; on && failures.length < 100; i++) {
      const id = `u-${c}-${i}`, resource = { resourceType: 'Patient', id, identifier: [{ system: 'urn:u', value: id }] };
      await ask(c + i, 'PUT', `Patient/${id}`, resource, [201]);
      made.push(id);
      await ask(c + i + 1, 'PUT', `Patient/${id}`, { ...resource, active: true }, [200]);
      const found = await ask(0, 'GET', `Patient?identifier=urn:u|${id}`, undefined, [200]);
      if (found.json?.entry?.length !== 1 || found.json.entry[0].resource.meta.versionId !== '2') failures.push(`not found: ${found.text}`);
      await ask(-1, 'POST', '', { resourceType: 'Bundle', type: 'transaction', entry: [0, 1].map((n) => ({ resource: { resourceType: 'Observation', id: `${id}-${n}`, status: 'final', code: { text: 'x' }, subject: { reference: `Patient/${id}` } }, request: { method: 'PUT', url: `Observation/${id}-${n}` } })) }, [200]);
      await ask(0, 'POST', 'Patient', resource, [200], { 'if-none-exist': `identifier=urn:u|${id}` });
      await ask(-1, 'GET', `Patient/${id}/_history`, undefined, [200]);
    }
  };
  const all = [0, 1, 2, 3].map(one);
  const goesOn = async () => { const before = done; await until('the load goes on', () => done > before + 40 || failures.length > 0, 60000); assert.deepEqual(failures, []); };
  return { made, goesOn, stop: async () => { on = false; await Promise.all(all); assert.deepEqual(failures, []); } };
};

test('nodes of two releases at once', async () => {
  const pg = await startPostgres(), nodes = [];
  try {
    const dsn = pg.database('rolling'), newer = { core: { core: { 'module-path': `${next}, ${modules}` } } };
    const migrate = (at, ...args) => { const r = spawnSync(bin, ['-c', at.etc, 'migrate', ...args], { encoding: 'utf8' }); return [r.status, (r.stdout + r.stderr).trim()]; };
    const version = () => pg.sql("SELECT convert_from(v, 'UTF8') FROM andiron.meta WHERE k = 'schema'", 'rolling')[0];
    nodes.push(await node({ dsn }), await node({ dsn, init: false }));
    const live = [...nodes], admin = nodes[0].admin, load = loading(live, admin);
    await load.goesOn();
    // The next release looks, and changes nothing.
    const at = await configureNode({ dsn, init: false, ...newer }), old = Number(version());
    assert.deepEqual(migrate(at, '--check'), [75, `store-postgres: schema version ${old}, needs ${old + 1}`]);
    assert.equal(version(), String(old));
    await load.goesOn();
    // Its first node changes the schema under the old ones.
    // Somebody reads one table, and then another that the change has locked already: neither ends the other.
    const reader = spawn('psql', ['-X', '-q', '-v', 'ON_ERROR_STOP=1', '-h', pg.dir, '-p', String(pg.port), '-U', 'postgres', '-d', 'rolling'], { stdio: ['pipe', 'ignore', 'pipe'] });
    let said = '';
    reader.stderr.on('data', (d) => { said += d; });
    const read = new Promise((ok) => reader.on('close', ok));
    reader.stdin.write('BEGIN; LOCK TABLE andiron.version IN ACCESS SHARE MODE;\n');
    const locks = (sql) => pg.sql(`SELECT count(*) FROM pg_locks l JOIN pg_stat_activity a USING (pid) WHERE a.datname = 'rolling' AND ${sql}`, 'rolling')[0] !== '0';
    await until('the table is read', () => locks("l.relation = 'andiron.version'::regclass AND a.application_name = 'psql' AND a.pid <> pg_backend_pid()"));
    const starting = start({ at });
    await until('the change waits for it', () => locks("l.mode = 'AccessExclusiveLock' AND NOT l.granted"), 60000);
    reader.stdin.end('LOCK TABLE andiron.resource IN ACCESS SHARE MODE; COMMIT;\n');
    assert.equal(await read, 0, said);
    const first = await starting;
    nodes.push(first);
    assert.equal(version(), String(old + 1));
    assert.deepEqual(migrate(at, '--check'), [0, `store-postgres: schema version ${old + 1}, nothing to do`]);
    assert.deepEqual(migrate(nodes[0], '--check'), [0, `store-postgres: schema version ${old + 1}, nothing to do`], 'the old release says so, too');
    live.push(first);
    await load.goesOn();
    // What was changed on a node of one release is in force on those of the other.
    const secret = 'a secret of some length', mine = { authorization: `Basic ${Buffer.from(`ward:${secret}`).toString('base64')}` };
    assert.equal((await call('PUT', `${first.fhir}/Client/ward`, { resourceType: 'Client', id: 'ward', secret, grant_types: ['basic'] }, admin)).status, 201);
    await until('the client is known', async () => (await call('GET', `${nodes[1].fhir}/Patient`, undefined, mine)).status === 403);
    // One after the other: out of the balancer, what it has under way ends, stop, the next release at its place.
    const out = async (n) => { live.splice(live.indexOf(n), 1); await until('it is idle', () => !n.busy); assert.deepEqual(await n.stop(), { code: 0, signal: null }); };
    await out(nodes[1]);
    const second = await node({ dsn, init: false, ...newer });
    nodes.push(second);
    live.push(second);
    await load.goesOn();
    // An old one may still start: a node that goes back.
    await out(nodes[0]);
    nodes[0] = await start({ at: nodes[0] });
    live.push(nodes[0]);
    await load.goesOn();
    await load.stop();
    const counts = new Map(pg.sql("SELECT r.id, count(*) FROM andiron.resource r JOIN andiron.version v USING (rid) WHERE r.id LIKE 'u-%' GROUP BY r.id", 'rolling').map((l) => l.split('|')));
    for (const id of load.made) assert.deepEqual([counts.get(id), counts.get(`${id}-0`), counts.get(`${id}-1`)], ['2', '1', '1'], id);
    assert.equal(counts.size, 3 * load.made.length);
    for (const n of [nodes[0], second]) await indexAgrees(n);
    for (const n of nodes) assert.doesNotMatch(n.log(), /store\.statement\.failed/);
  } finally {
    for (const n of nodes) { await n.stop(); n.remove(); }
    await pg.stop();
  }
});
