// Sessions of expired tokens are forgotten, with their history and every index row; those of tokens that live are not.
import test from 'node:test';
import assert from 'node:assert/strict';
import fs from 'node:fs';
import path from 'node:path';
import { basic, call, configure, freePort, sleep, start, store, stored, storeOf } from './lib/server.mjs';
import { allow, bearer, claimsOf, putClient } from './lib/smart.mjs';

const runs = (pid) => fs.existsSync(`/proc/${pid}`) && !/^State:\s+Z/m.test(fs.readFileSync(`/proc/${pid}/status`, 'utf8'));
const secret = 'a secret of some length';
const until = async (what, ms = 60000) => { for (const end = Date.now() + ms; Date.now() < end; await sleep(100)) if (await what()) return true; return false; };
const put = (server, id, seconds, format = 'jwt') => putClient(server, id, { grant_types: ['client_credentials'], secret, auth: { client_credentials: { access_token_expiration: seconds, ...(format ? { token_format: format } : {}) } } });
const tokenOf = async (server, id) => {
  const r = await call('POST', `${server.base}/auth/token`, { grant_type: 'client_credentials' }, { authorization: basic(id, secret) });
  assert.equal(r.status, 200, r.text);
  return r.json.access_token;
};
const many = async (server, id, count) => { for (let n = 0; n < count; n += 20) await Promise.all(Array.from({ length: Math.min(20, count - n) }, () => tokenOf(server, id))); };
const sessions = async (server, client) => { const r = await call('GET', `${server.base}/Session?client=Client/${client}&_summary=count`, undefined, server.admin); assert.equal(r.status, 200, r.text); return r.json.total; };
const metric = async (server, name) => Number((await call('GET', `${server.adminBase}/metrics`)).text.match(new RegExp(`^${name}(?:\\{\\})? (\\d+)`, 'm'))?.[1] ?? NaN);
const introspect = async (server, id, token) => (await call('POST', `${server.base}/auth/introspect`, { token }, { authorization: basic(id, secret) })).json;
// Index rows and versions that belong to nobody, and what SQLite itself says of its file.
const nobodys = [
  ...['ix_token', 'ix_ref', 'ix_date', 'ix_num', 'ix_str'].map((t) => `SELECT count(*) FROM ${t} WHERE vid NOT IN (SELECT vid FROM resource WHERE st=0)`),
  'SELECT count(*) FROM version WHERE rid NOT IN (SELECT rid FROM resource)',
  'SELECT count(*) FROM resource WHERE st<2 AND vid NOT IN (SELECT vid FROM version)',
  'SELECT count(*) FROM ix_ref WHERE tgt NOT IN (SELECT rid FROM resource)',
];
const values = 'SELECT count(*) FROM ix_value';
const versions = "SELECT count(*) FROM version WHERE type=(SELECT id FROM restype WHERE name='Session')";
const versionsOf = (server) => stored(server, versions)[0];
const sound = (server) => {
  assert.deepEqual(stored(server, ...nobodys), nobodys.map(() => 0));
  if (store === 'sqlite') assert.deepEqual(stored(server, 'PRAGMA integrity_check'), ['ok']);
};
// Two daemons over one store need one secret for the keys in it.
const quick = { plugins: { auth: { 'keep-sessions': '1s', 'clock-skew': '0s' }, jwks: { 'seal-key': '0123456789abcdef0123456789abcdef', 'token-alg': 'ES256' } } };

test('expired sessions go with history and index rows, living ones stay usable', async (t) => {
  const server = await start({ quick: true, ...quick });
  t.after(async () => { await server.stop(); server.remove(); });
  await put(server, 'long', 600);
  await allow(server, 'long');
  const revoke = async (id, token) => assert.equal((await call('POST', `${server.base}/auth/revoke`, { token }, { authorization: basic(id, secret) })).status, 200);
  const [alive, revoked] = [await tokenOf(server, 'long'), await tokenOf(server, 'long')];
  await revoke('long', revoked);
  const [before] = stored(server, values);
  // First those that live longest, so that their time passes meanwhile.
  await put(server, 'later', 10);
  await put(server, 'unseen', 10, null);
  const ended = await tokenOf(server, 'later'), removed = await tokenOf(server, 'later'), unseen = await tokenOf(server, 'unseen');
  assert.equal((await call('DELETE', `${server.base}/Session/${claimsOf(removed).jti}`, undefined, server.admin)).status, 204);
  await revoke('later', ended);
  await revoke('unseen', unseen);
  await put(server, 'brief', 2);
  await put(server, 'opaque', 2, null);
  await many(server, 'brief', 130);
  await many(server, 'opaque', 30);
  assert.ok(await until(async () => (await Promise.all(['brief', 'opaque', 'later', 'unseen'].map((id) => sessions(server, id)))).every((n) => n === 0)), 'sessions are still there');
  const gone = await call('GET', `${server.base}/Session/${claimsOf(ended).jti}`, undefined, server.admin);
  assert.equal(gone.status, 404, gone.text);
  assert.equal((await call('GET', `${server.base}/Session/${claimsOf(ended).jti}/_history`, undefined, server.admin)).status, 404);
  assert.deepEqual(await introspect(server, 'later', ended), { active: false });
  // What lives can still be presented, introspected and revoked; what was revoked is refused still, as its token has not expired.
  assert.equal(await sessions(server, 'long'), 2);
  assert.equal((await introspect(server, 'long', alive)).active, true);
  assert.equal((await call('GET', `${server.fhir}/Patient`, undefined, bearer(alive))).status, 200);
  assert.equal((await call('GET', `${server.fhir}/Patient`, undefined, bearer(revoked))).status, 401);
  assert.equal((await call('GET', `${server.base}/Session/${claimsOf(revoked).jti}/_history`, undefined, server.admin)).json.entry.length, 2);
  await revoke('long', alive);
  assert.equal((await call('GET', `${server.fhir}/Patient`, undefined, bearer(alive))).status, 401);
  assert.ok(await metric(server, 'andiron_auth_sessions_forgotten_total') >= 162);
  sound(server);
  // A deleted one is kept as long as a token could have lived. Two clients more have names in the index, tokens have none.
  assert.equal(versionsOf(server), 6);
  assert.ok(stored(server, values)[0] <= before + 12, 'values of tokens stay');
});

test('kill -9 while sessions are being forgotten leaves no orphans, and the next start goes on', async (t) => {
  const at = await configure({ quick: true, ...quick, plugins: { ...quick.plugins, auth: { ...quick.plugins.auth, 'keep-sessions': '1h' } } });
  let server = await start({ at });
  t.after(async () => { await server.stop(); server.remove(); });
  await put(server, 'brief', 1);
  await put(server, 'long', 3000);
  await many(server, 'brief', 350);
  const alive = await tokenOf(server, 'long');
  await server.stop();
  const conf = path.join(at.etc, 'plugins.d', '20-auth.conf');
  fs.writeFileSync(conf, fs.readFileSync(conf, 'utf8').replace(/^keep-sessions = 1h$/m, 'keep-sessions = 1s'));
  // The claim of the settings before lasts for a minute.
  stored(server, "DELETE FROM claim WHERE name='auth/sweep' RETURNING name");
  await sleep(1000);
  let before = versionsOf(server), kills = 0;
  assert.ok(before > 350);
  while (versionsOf(server) > 1 && kills < 4) {
    server = await start({ at });
    const [worker] = fs.readFileSync(`/proc/${server.child.pid}/task/${server.child.pid}/children`, 'utf8').trim().split(' ').map(Number);
    await sleep(970 + 30 * kills); // the first page begins about a second after the start
    for (const pid of [server.child.pid, worker]) try { process.kill(pid, 'SIGKILL'); } catch { /* gone */ }
    await server.exit;
    await until(() => !runs(worker));
    kills++;
    sound(server);
    const left = versionsOf(server);
    assert.ok(left <= before);
    before = left;
  }
  assert.ok(kills >= 1);
  server = await start({ at });
  assert.ok(await until(async () => await sessions(server, 'brief') === 0));
  assert.equal((await introspect(server, 'long', alive)).active, true);
  sound(server);
});

test('of two daemons over one store one forgets at a time, and the other takes over', async (t) => {
  const first = await start({ quick: true, ...quick });
  const second = await start({ quick: true, plugins: { ...quick.plugins, ...storeOf(first) }, core: { http: { 'base-url': first.base } }, port: await freePort() });
  second.base = `http://127.0.0.1:${second.port}`;
  t.after(async () => { await second.stop(); await first.stop(); second.remove(); first.remove(); });
  await put(first, 'brief', 1);
  await many(first, 'brief', 120);
  const forgotten = async () => (await metric(first, 'andiron_auth_sessions_forgotten_total')) + (await metric(second, 'andiron_auth_sessions_forgotten_total'));
  assert.ok(await until(async () => await forgotten() === 120), String(await forgotten()));
  assert.equal(await sessions(first, 'brief'), 0);
  // Each Session was counted by one of them alone, and none is missing.
  await many(first, 'brief', 20);
  await first.kill();
  const left = await metric(second, 'andiron_auth_sessions_forgotten_total');
  assert.ok(left >= 0);
  assert.ok(await until(async () => versionsOf(first) === 0), 'the other does not go on');
  sound(first);
});

test('of keep-sessions, values that are none are refused', async () => {
  for (const value of ['0s', '1', 'for ever']) {
    const failed = await start({ plugins: { auth: { 'keep-sessions': value } } }).then((s) => s.stop().then(() => undefined), (e) => e);
    assert.equal(failed?.exit?.code, 78, value);
    assert.match(failed.output, /keep-sessions/);
  }
});
