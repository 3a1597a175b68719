// Plugin audit: what is recorded, by whom it can be read, that nobody can change it, that the chain tells what was removed,
// and what happens while events cannot be written.
import { after, before, describe, test } from 'node:test';
import assert from 'node:assert/strict';
import { execFileSync, spawn, spawnSync } from 'node:child_process';
import fs from 'node:fs';
import path from 'node:path';
import { basic, bin, call, configure, sleep, start, store, storeOf } from './lib/server.mjs';
import { allow, assertion, bearer, getToken, keyPair, postToken, putClient, seedClient, tokenRequest } from './lib/smart.mjs';

const until = async (what, ms = 20000) => { for (const end = Date.now() + ms; Date.now() < end; await sleep(50)) { const found = await what(); if (found) return found; } return what(); };
const events = async (server, query, admin = server.admin) => {
  const r = await call('GET', `${server.fhir}/AuditEvent?${query}&_count=1000&_tag=urn:andiron:audit|server`, undefined, admin);
  assert.equal(r.status, 200, r.text);
  return (r.json.entry ?? []).map((e) => e.resource);
};
const one = (server, query) => until(async () => { const found = await events(server, query); return found.length > 0 && found[0]; });
const requestOf = (e) => e.entity.find((x) => x.what.identifier?.system === 'urn:andiron:request-id').what.identifier.value;
const subtypes = (e) => e.subtype.map((s) => s.code);
const verify = (server, ...args) => {
  const r = spawnSync(bin, ['-c', server.etc, 'audit', 'verify', '--json', ...args], { encoding: 'utf8' });
  return { status: r.status, ...(r.stdout ? JSON.parse(r.stdout) : {}), stderr: r.stderr };
};
const sqlite = (server, ...sql) => execFileSync('python3', ['-c', 'import sqlite3,sys\ndb=sqlite3.connect(sys.argv[1],timeout=30)\nfor q in sys.argv[2:]: db.execute(q)\ndb.commit()', path.join(server.dir, 'state/andiron.db'), ...sql]);

describe('what is recorded', () => {
  let server, key;
  before(async () => {
    server = await start({ plugins: { audit: { delay: '10ms' } } });
    key = keyPair('ES384');
    await putClient(server, 'lab', seedClient({ jwks: { keys: [key.jwk] } }));
    await allow(server, 'lab');
  });
  after(async () => { await server.stop(); server.remove(); });

  test('a token that is granted, with client, address and request id', async () => {
    const r = await postToken(server, tokenRequest(assertion(server, 'lab', key)));
    assert.equal(r.status, 200, r.text);
    const e = await one(server, `entity:identifier=urn:andiron:request-id|${r.headers.get('x-request-id')}`);
    assert.deepEqual([subtypes(e), e.outcome, e.action], [['token', 'Token'], '0', 'E']);
    assert.deepEqual(e.agent[0].who.identifier, { system: 'urn:andiron:Client', value: 'lab' });
    assert.deepEqual(e.agent[0].network, { address: '127.0.0.1', type: '2' });
    assert.equal((await events(server, 'altid=lab&subtype=Token&outcome=0')).length, 1);
  });
  test('a token that is refused, with the error', async () => {
    const r = await postToken(server, tokenRequest(assertion(server, 'lab', keyPair('ES384', key.kid))));
    assert.equal(r.status, 401, r.text);
    const e = await one(server, `entity:identifier=urn:andiron:request-id|${r.headers.get('x-request-id')}`);
    assert.deepEqual([subtypes(e), e.outcome, e.outcomeDesc], [['token', 'Token'], '4', '401 invalid_client']);
    assert.equal(e.agent[0].altId, 'lab');
  });
  test('a denied request, with its reason; and one without credentials', async () => {
    await putClient(server, 'nobody', { secret: 'a secret of some length', grant_types: ['basic'] });
    for (const [headers, who] of [[{ authorization: basic('nobody', 'a secret of some length') }, 'nobody'], [{}, undefined]]) {
      const r = await call('GET', `${server.fhir}/Patient/1`, undefined, headers);
      assert.equal(r.status, who ? 403 : 401);
      const e = await one(server, `entity:identifier=urn:andiron:request-id|${r.headers.get('x-request-id')}`);
      assert.deepEqual([subtypes(e), e.outcome, e.agent[0].altId], [['denied', 'FhirRead'], '4', who]);
      assert.equal(e.entity[0].what.reference, 'Patient/1');
    }
  });
  test('a change of a Client or AccessPolicy, stored before it is answered, with the policy that allowed it', async () => {
    for (const [method, url, body, action, target] of [
      ['PUT', '/Client/new', { grant_types: ['basic'], secret: 'a secret of some length' }, 'C', 'Client/new'],
      ['PUT', '/fhir/Client/new', { resourceType: 'Client', id: 'new', active: false, grant_types: ['basic'], secret: 'a secret of some length' }, 'U', 'Client/new'],
      ['DELETE', '/Client/new', undefined, 'D', 'Client/new'],
      ['POST', '/AccessPolicy', { engine: 'allow', link: [{ resourceType: 'Client', id: 'new' }] }, 'C', undefined],
    ]) {
      const r = await call(method, server.base + url, body, server.admin);
      assert.ok(r.status < 300, r.text);
      const [e] = await events(server, `entity:identifier=urn:andiron:request-id|${r.headers.get('x-request-id')}`);
      assert.ok(e, `${method} ${url} was answered before it was recorded`);
      assert.deepEqual([subtypes(e)[0], e.action, e.outcome, e.agent[0].altId], ['change', action, '0', 'root']);
      assert.equal(e.entity[0].what.reference, target ?? `AccessPolicy/${r.json.id}`);
      assert.match(e.agent[0].policy[0], /^AccessPolicy\//);
    }
  });
  test('changes by entries of a Bundle, if it is done', async () => {
    const entry = (id) => ({ resource: { resourceType: 'AccessPolicy', engine: 'allow', link: [{ reference: 'Client/lab' }] }, request: { method: 'PUT', url: `AccessPolicy/${id}` } });
    for (const type of ['transaction', 'batch']) {
      const r = await call('POST', server.fhir, { resourceType: 'Bundle', type, entry: [entry(`${type}-1`), entry(`${type}-2`)] }, server.admin);
      assert.equal(r.status, 200, r.text);
      const found = await events(server, `entity:identifier=urn:andiron:request-id|${r.headers.get('x-request-id')}`);
      assert.deepEqual(found.map((e) => e.entity[0].what.reference).sort(), [`AccessPolicy/${type}-1`, `AccessPolicy/${type}-2`], type);
    }
    const r = await call('POST', server.fhir, { resourceType: 'Bundle', type: 'transaction', entry: [entry('none'), { resource: { resourceType: 'Patient', nonsense: 1 }, request: { method: 'POST', url: 'Patient' } }] }, server.admin);
    assert.ok(r.status >= 400);
    await sleep(300);
    assert.deepEqual(await events(server, `entity:identifier=urn:andiron:request-id|${r.headers.get('x-request-id')}`), []);
  });
  test('a rotation of keys', async () => {
    execFileSync(bin, ['-c', server.etc, 'keys', 'rotate'], { encoding: 'utf8' });
    const e = await one(server, 'subtype=change&entity:identifier=urn:andiron:request|' + encodeURIComponent('POST /control/keys/rotate'));
    assert.equal(e.outcome, '0');
  });
  test('an export', async () => {
    const r = await call('GET', `${server.fhir}/$export?_type=Patient`, undefined, { ...server.admin, accept: 'application/fhir+json', prefer: 'respond-async' });
    assert.equal(r.status, 202, r.text);
    const e = await one(server, `entity:identifier=urn:andiron:request-id|${r.headers.get('x-request-id')}`);
    assert.deepEqual(subtypes(e), ['export', 'FhirExport']);
    const stream = await call('GET', `${server.fhir}/Patient/$export-stream`, undefined, server.admin);
    assert.equal(stream.status, 200, stream.text);
    assert.deepEqual(subtypes(await one(server, `entity:identifier=urn:andiron:request-id|${stream.headers.get('x-request-id')}`)), ['export', 'FhirExportStream']);
  });
  test('nothing of what is let through, unless it is asked for', async () => {
    const r = await call('PUT', `${server.fhir}/Patient/1`, { resourceType: 'Patient', id: '1' }, server.admin);
    assert.equal(r.status, 201);
    await sleep(300);
    assert.deepEqual(await events(server, `entity:identifier=urn:andiron:request-id|${r.headers.get('x-request-id')}`), []);
  });
  test('each event is a valid AuditEvent, and holds no secret', async () => {
    for (const e of await events(server, '_sort=-_lastUpdated')) {
      const { id, ...rest } = e;
      const r = await call('POST', `${server.fhir}/AuditEvent/$validate`, rest, server.admin);
      assert.doesNotMatch(r.text, /"severity":"error"/, `${id}: ${r.text}`);
    }
  });
  test('the chain holds', () => {
    const v = verify(server);
    assert.deepEqual([v.status, v['problem-count'], v.verified], [0, 0, v.last]);
    assert.ok(v.verified >= 12);
    assert.equal(verify(server, '--expect', `${v.last}:${v.hash}`).status, 0);
    assert.match(execFileSync(bin, ['-c', server.etc, 'audit', 'verify'], { encoding: 'utf8' }), /^\d+ events verified, up to \d+:[\w-]{43}\n/);
  });
});

describe('events are read-only', () => {
  let server, event, key;
  before(async () => {
    server = await start({ plugins: { audit: { delay: '10ms' } } });
    key = keyPair('ES384');
    await putClient(server, 'lab', seedClient({ scope: ['system/AuditEvent.cruds'], jwks: { keys: [key.jwk] } }));
    await allow(server, 'lab');
    event = await one(server, 'subtype=change');
  });
  after(async () => { await server.stop(); server.remove(); });

  const unchanged = async () => {
    const r = await call('GET', `${server.fhir}/AuditEvent/${event.id}`, undefined, server.admin);
    assert.deepEqual([r.status, r.json], [200, event]);
  };
  test('to administrators', async () => {
    const body = { ...event, outcome: '8', meta: {} };
    for (const [method, url, sent, headers = {}] of [
      ['PUT', `/AuditEvent/${event.id}`, body], ['DELETE', `/AuditEvent/${event.id}`],
      ['PATCH', `/AuditEvent/${event.id}`, [{ op: 'replace', path: '/outcome', value: '8' }], { 'content-type': 'application/json-patch+json' }],
      ['DELETE', `/AuditEvent?altid=root&_tag=urn:andiron:audit|server`],
      ['PUT', `/AuditEvent?_id=${event.id}`, body],
      ['POST', `/AuditEvent/${event.id}/$meta-delete`, { resourceType: 'Parameters', parameter: [{ name: 'meta', valueMeta: { tag: event.meta.tag } }] }],
      ['POST', '', { resourceType: 'Bundle', type: 'transaction', entry: [{ request: { method: 'DELETE', url: `AuditEvent/${event.id}` } }] }],
    ]) {
      const r = await call(method, server.fhir + url, sent, { ...server.admin, ...headers });
      assert.notEqual(r.status, 200, `${method} ${url}: ${r.text}`);
      await unchanged();
    }
    const forged = await call('POST', `${server.fhir}/AuditEvent`, { ...event, id: undefined }, server.admin);
    assert.equal(forged.status, 403, 'whoever writes an AuditEvent as the server does');
    const own = await call('POST', `${server.fhir}/AuditEvent`, { ...event, id: undefined, meta: undefined, extension: undefined }, server.admin);
    assert.equal(own.status, 201, own.text);
    assert.equal((await call('DELETE', `${server.fhir}/AuditEvent/${own.json.id}`, undefined, server.admin)).status, 204);
  });
  test('and unseen by tokens that are limited by scopes', async () => {
    const token = await getToken(server, 'lab', key, 'system/AuditEvent.cruds');
    assert.equal((await call('GET', `${server.fhir}/AuditEvent/${event.id}`, undefined, bearer(token))).status, 404);
    const r = await call('GET', `${server.fhir}/AuditEvent`, undefined, bearer(token));
    assert.deepEqual([r.status, r.json.entry ?? []], [200, []]);
  });
});

describe('the chain', { skip: store === 'postgres' && 'reaches into the SQLite file' }, () => {
  let server;
  before(async () => {
    server = await start({ plugins: { audit: { delay: '10ms' } } });
    for (let i = 0; i < 8; i++) await call('GET', `${server.fhir}/Patient/${i}`);
    await until(() => verify(server).last >= 8);
  });
  after(async () => { await server.stop(); server.remove(); });

  test('tells what was changed, removed, or made anew', async () => {
    const good = verify(server);
    assert.deepEqual([good.status, good['problem-count']], [0, 0]);
    const vid = "(SELECT v.vid FROM version v JOIN resource r ON r.vid=v.vid WHERE r.id='audit.00000000000000000003')";
    sqlite(server, `UPDATE version SET body=CAST(replace(CAST(body AS TEXT),'"outcome":"4"','"outcome":"0"') AS BLOB) WHERE vid=${vid}`);
    const changed = verify(server);
    assert.deepEqual([changed.stderr, changed.status, changed['problem-count'], changed.problems?.[0].event], ['', 1, 1, 'audit.00000000000000000003'], JSON.stringify(changed));
    sqlite(server, `DELETE FROM version WHERE vid=${vid}`, "DELETE FROM resource WHERE id='audit.00000000000000000003'");
    const removed = verify(server);
    assert.equal(removed['problem-count'], 1, JSON.stringify(removed));
    assert.equal(removed.status, 1);
    assert.deepEqual(removed.problems[0], { event: 'audit.00000000000000000003', problem: 'is missing' });
    assert.equal(verify(server, '--expect', `${good.last}:${'A'.repeat(43)}`).problems.at(-1).event, `audit.${String(good.last).padStart(20, '0')}`);
    assert.equal(verify(server, '--expect', 'nonsense').status, 64);
  });
});

// Nobody else writes the store until what this gives is called.
const lock = (server) => {
  const held = spawn('python3', ['-c', 'import sqlite3,sys,time\ndb=sqlite3.connect(sys.argv[1],timeout=30,isolation_level=None)\ndb.execute("BEGIN IMMEDIATE")\nprint("held",flush=True)\nsys.stdin.read()', path.join(server.dir, 'state/andiron.db')]);
  return new Promise((ok) => held.stdout.once('data', () => ok(() => new Promise((gone) => { held.once('exit', gone); held.stdin.end(); }))));
};
describe('when events cannot be written', { skip: store === 'postgres' && 'locks the SQLite file' }, () => {
  test('changes are refused, the rest goes on, and nothing is lost when it is over', async () => {
    const server = await start({ plugins: { audit: { delay: '10ms' }, 'store-sqlite': { timeout: '500ms' } } });
    try {
      const release = await lock(server);
      const ids = [];
      for (let i = 0; i < 5; i++) ids.push((await call('GET', `${server.fhir}/Patient/1`)).headers.get('x-request-id'));
      await until(() => /audit\.unwritten/.test(server.log()));
      const r = await call('PUT', `${server.base}/Client/x`, { grant_types: ['basic'], secret: 'a secret of some length' }, server.admin);
      assert.equal(r.status, 503, r.text);
      assert.match(r.text, /audit events cannot be written/);
      assert.equal((await call('GET', `${server.fhir}/Patient/1`)).status, 401);
      assert.ok(await until(async () => (await call('GET', `${server.base}/health/ready`)).status === 503));
      await release();
      assert.ok(await until(async () => (await events(server, 'subtype=denied')).length >= 6));
      const recorded = (await events(server, 'subtype=denied')).map(requestOf);
      assert.deepEqual(ids.filter((id) => !recorded.includes(id)), []);
      const again = await until(async () => { const x = await call('PUT', `${server.base}/Client/x`, { grant_types: ['basic'], secret: 'a secret of some length' }, server.admin); return x.status === 201 && x; });
      assert.equal(again.status, 201);
      assert.equal(verify(server)['problem-count'], 0);
    } finally { await server.stop(); server.remove(); }
  });
});

describe('on-failure, while events cannot be written', { skip: store === 'postgres' && 'locks the SQLite file' }, () => {
  const failing = async (t, audit) => {
    const server = await start({ plugins: { audit: { delay: '10ms', ...audit }, 'store-sqlite': { timeout: '500ms' } } });
    t.after(async () => { await server.stop(); server.remove(); });
    assert.equal((await call('PUT', `${server.fhir}/Patient/1`, { resourceType: 'Patient', id: '1' }, server.admin)).status, 201);
    const release = await lock(server);
    await call('GET', `${server.fhir}/Patient/1`); // denied, so recorded
    assert.ok(await until(() => /audit\.unwritten/.test(server.log())));
    return { server, release };
  };
  const token = (server) => call('POST', `${server.base}/auth/token`, 'grant_type=client_credentials&client_id=nobody&client_secret=nothing', { 'content-type': 'application/x-www-form-urlencoded' });
  test('refuse: whatever would be recorded gets 503, what would not goes on', async (t) => {
    const { server, release } = await failing(t, { 'on-failure': 'refuse' });
    const r = await token(server);
    assert.equal(r.status, 503, r.text);
    assert.match(r.text, /audit events cannot be written/);
    assert.equal(r.headers.get('retry-after'), '1');
    assert.equal((await call('GET', `${server.fhir}/Patient/1`, undefined, server.admin)).status, 200);
    await release();
    assert.ok(await until(async () => (await token(server)).status === 401));
  });
  test('continue: nothing is refused for it; what waits is bounded, the others are counted and told of', async (t) => {
    const { server, release } = await failing(t, { 'on-failure': 'continue', queue: 16 });
    assert.equal((await token(server)).status, 401);
    for (let i = 0; i < 40; i++) assert.equal((await call('GET', `${server.fhir}/Patient/1`)).status, 401);
    const metrics = (await call('GET', `${server.adminBase}/metrics`)).text, lost = Number(/^andiron_audit_lost_total (\d+)/m.exec(metrics)[1]);
    assert.match(metrics, /^andiron_audit_failing 1$/m);
    assert.ok(lost > 0 && lost < 42, `${lost}`); // one batch is in the writer's hands, beside the queue
    await release();
    const told = async () => (await events(server, 'subtype=lost')).reduce((n, e) => n + Number(/^(\d+) events/.exec(e.outcomeDesc)[1]), 0);
    await until(async () => (await told()) === lost);
    assert.equal(await told(), lost);
    assert.equal(verify(server)['problem-count'], 0);
  });
});

test('what waits is written before the end, a second process goes on with the chain', async () => {
  const one = await start({ plugins: { audit: { delay: '5s' } } });
  const two = await start({ plugins: { audit: { delay: '10ms' }, ...storeOf(one) }, state: path.join(one.dir, 'state') });
  try {
    for (let i = 0; i < 10; i++) for (const s of [one, two]) await call('GET', `${s.fhir}/Patient/${i}`);
    await one.stop();
    await until(async () => (await events(two, 'subtype=denied')).length === 20);
    const v = verify(two);
    assert.deepEqual([v.status, v['problem-count'], v.verified], [0, 0, v.last]);
    assert.equal((await events(two, 'subtype=denied')).length, 20);
  } finally { await two.stop(); one.remove(); two.remove(); }
});

test('a flood of refusals is counted, not stored', async () => {
  const server = await start({ plugins: { audit: { 'max-refusals': 5, delay: '10ms' } } });
  try {
    for (let i = 0; i < 10; i++) await Promise.all(Array.from({ length: 20 }, () => call('GET', `${server.fhir}/Patient/1`)));
    const lost = await one(server, 'subtype=lost');
    assert.match(lost.outcomeDesc, /^\d+ events were not recorded singly$/);
    assert.ok((await events(server, 'subtype=denied')).length < 200);
    assert.equal(verify(server)['problem-count'], 0);
  } finally { await server.stop(); server.remove(); }
});

test('old events are forgotten, and the chain says so', async () => {
  const server = await start({ plugins: { audit: { keep: '2s', delay: '10ms' } } });
  try {
    for (let i = 0; i < 20; i++) await call('GET', `${server.fhir}/Patient/${i}`);
    const forgot = await until(async () => (await events(server, 'subtype=forgotten')).length > 0, 30000);
    assert.ok(forgot);
    const v = await until(() => { const x = verify(server); return x.forgotten > 10 && x; }, 30000);
    assert.deepEqual([v.status, v['problem-count']], [0, 0], JSON.stringify(v));
    assert.ok(v.verified < 20);
  } finally { await server.stop(); server.remove(); }
});

test('every access is recorded where that is asked for', async () => {
  const server = await start({ plugins: { audit: { accesses: 'all', delay: '10ms' } } });
  try {
    const put = await call('PUT', `${server.fhir}/Patient/1`, { resourceType: 'Patient', id: '1' }, server.admin);
    const e = await one(server, `entity:identifier=urn:andiron:request-id|${put.headers.get('x-request-id')}`);
    assert.deepEqual([subtypes(e), e.action, e.entity[0].what.reference], [['access', 'FhirUpdate'], 'C', 'Patient/1']);
    const got = await call('GET', `${server.fhir}/Patient?_id=1`, undefined, server.admin);
    const read = await one(server, `entity:identifier=urn:andiron:request-id|${got.headers.get('x-request-id')}`);
    assert.deepEqual([subtypes(read), read.action], [['access', 'FhirSearch'], 'E']);
  } finally { await server.stop(); server.remove(); }
});

test('another key makes another chain', async () => {
  const at = await configure({ plugins: { audit: { delay: '10ms', 'chain-key': 'one key of more than sixteen characters' } } });
  const server = await start({ at });
  try {
    await call('GET', `${server.fhir}/Patient/1`);
    await one(server, 'subtype=denied');
    assert.equal(verify(server)['problem-count'], 0);
  } finally { await server.stop(); }
  const conf = path.join(at.etc, 'plugins.d/80-audit.conf');
  fs.writeFileSync(conf, fs.readFileSync(conf, 'utf8').replace('one key', 'another key'));
  const again = await start({ at });
  try {
    const v = verify(again);
    assert.deepEqual([v.status, v.problems.length > 0], [1, true]);
  } finally { await again.stop(); again.remove(); }
});
