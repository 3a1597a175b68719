// The keys that sign access tokens: states, rotation and revocation over several processes, `andiron keys`
// (seed-semantics 8, packaging-and-operations 6 and 9).
import test, { before, after, describe } from 'node:test';
import assert from 'node:assert/strict';
import { generateKeyPairSync } from 'node:crypto';
import { execFileSync, spawn } from 'node:child_process';
import fs from 'node:fs';
import path from 'node:path';
import { bin, start, configure, call, control, rootBundle, sleep, storeOf } from './lib/server.mjs';
import { allow, bearer, claimsOf, getToken, headerOf, keyPair, putClient, seedClient } from './lib/smart.mjs';

const run = (server, ...args) => new Promise((ok) => {
  const child = spawn(bin, ['-c', server.etc, 'keys', ...args], { stdio: ['ignore', 'pipe', 'pipe'] });
  let stdout = '', stderr = '';
  child.stdout.on('data', (d) => { stdout += d; });
  child.stderr.on('data', (d) => { stderr += d; });
  child.on('close', (status) => ok({ status, stdout, stderr }));
});
const keys = async (server, ...args) => {
  const r = await run(server, ...args, '--json');
  assert.equal(r.status, 0, r.stderr);
  return JSON.parse(r.stdout).keys;
};
const published = async (server) => (await call('GET', `http://127.0.0.1:${server.port}/.well-known/jwks.json`)).json.keys.map((k) => k.kid).sort();
const until = async (what, check, ms = 20000) => {
  const end = Date.now() + ms;
  for (;;) {
    if (await check()) return;
    assert.ok(Date.now() < end, `not in time: ${what}`);
    await sleep(50);
  }
};
const ready = (server) => call('GET', `http://127.0.0.1:${server.port}/health/ready`);
const read = async (server, token) => (await call('GET', `http://127.0.0.1:${server.port}/fhir/Patient?_count=1`, undefined, bearer(token))).status;
const key = keyPair('ES384', 'c');
const client = async (server) => {
  await putClient(server, 'c', seedClient({ jwks: [key.jwk] }));
  await allow(server, 'c');
};
// Another daemon over the same store, with its own port and control socket. It gives the same base-url. The first one has its key by then.
const beside = async (one, { state, jwks = {}, auth = {} } = {}) => await published(one) && launch({
  init: false, quick: true, plugins: { ...storeOf(one), jwks, auth }, core: { http: { 'base-url': one.base }, ...(state ? { core: { 'state-dir': state } } : {}) },
});
const tokenAt = async (server, base) => getToken({ ...server, base: `http://127.0.0.1:${server.port}`, aud: base }, 'c', key);
const end = async (...servers) => {
  for (const s of servers) { await s.stop(); assert.doesNotMatch(s.output(), /Sanitizer|runtime error/); }
  for (const s of servers) s.remove();
};
// Also where a test has failed: else its daemons would keep node waiting.
const left = new Set();
const launch = async (options) => { const s = await start(options); left.add(s); return s; };
after(async () => { for (const s of left) await s.kill(); });
const pem = (server, name, text, mode = 0o600) => {
  const dir = path.join(server.dir, 'state/keys');
  fs.mkdirSync(dir, { recursive: true, mode: 0o700 });
  fs.writeFileSync(path.join(dir, name), text, { mode });
};
const privatePem = (type, options, format = { type: 'pkcs8', format: 'pem' }) => generateKeyPairSync(type, options).privateKey.export(format);

describe('andiron keys', () => {
  let server;
  before(async () => { server = await launch({ quick: true, plugins: { jwks: { 'token-alg': 'ES256', 'max-age': '60s' } } }); await client(server); });
  after(() => end(server));

  test('lists what signs', async () => {
    const list = await keys(server, 'list');
    assert.equal(list.length, 1);
    assert.deepEqual({ ...list[0], kid: 0, created: 0, signsFrom: 0 }, { kid: 0, alg: 'ES256', state: 'active', created: 0, signsFrom: 0, private: true });
    assert.deepEqual([list[0].kid], await published(server));
    const text = await run(server, 'list');
    assert.match(text.stdout, new RegExp(`KID .*\\n${list[0].kid}  ES256  active   \\d{4}-\\d\\d-\\d\\dT\\d\\d:\\d\\d:\\d\\dZ`));
  });
  test('KS-3: publishes the next key before it signs, once', async () => {
    const [old] = await keys(server, 'list');
    const list = await keys(server, 'rotate');
    assert.deepEqual(list.map((k) => k.state), ['active', 'next']);
    assert.ok(Date.parse(list[1].signsFrom) > Date.now() + 60_000, list[1].signsFrom);
    assert.equal((await published(server)).length, 2);
    assert.equal(headerOf(await getToken(server, 'c', key)).kid, old.kid);
    const again = await run(server, 'rotate');
    assert.equal(again.status, 75);
    assert.match(again.stderr, /^andiron: key \S+ is the next one already and signs in \d+ s \(409\)\nhint: .+\n$/);
    // The active one cannot go before the next has been published for long enough.
    const early = await run(server, 'retire', old.kid);
    assert.equal(early.status, 75);
    assert.match(early.stderr, /not been published for long enough/);
    assert.equal((await keys(server, 'retire', list[1].kid)).length, 1);
    assert.equal((await published(server)).length, 1);
  });
  test('KS-3: rotates at once if told so, and old tokens go on', async () => {
    const token = await getToken(server, 'c', key);
    const list = await keys(server, 'rotate', '--now');
    assert.deepEqual(list.map((k) => k.state), ['retired', 'active']);
    assert.ok(Date.parse(list[0].until) > Date.now() + 3600_000);
    const other = await getToken(server, 'c', key);
    assert.equal(headerOf(other).kid, list[1].kid);
    for (const t of [token, other]) assert.equal(await read(server, t), 200);
    // A next key is made to sign by the same words.
    await keys(server, 'rotate');
    assert.deepEqual((await keys(server, 'rotate', '--now')).map((k) => k.state), ['retired', 'retired', 'active']);
  });
  test('KS-3: revokes: tokens that were just accepted fail at once, also one that is cached', async () => {
    const token = await getToken(server, 'c', key);
    for (let i = 0; i < 3; i++) assert.equal(await read(server, token), 200);
    const { kid } = headerOf(token);
    const list = await keys(server, 'retire', kid, '--revoke');
    assert.equal(list.find((k) => k.kid === kid).state, 'revoked');
    assert.equal(list.filter((k) => k.state === 'active').length, 1);
    assert.equal(await read(server, token), 401);
    assert.ok(!(await published(server)).includes(kid));
    assert.equal(await read(server, await getToken(server, 'c', key)), 200);
    await until('its file is gone', async () => !fs.readdirSync(path.join(server.dir, 'state/keys')).some((f) => f.includes(kid)));
    // A revoked key stays revoked, whatever is done next.
    assert.equal((await keys(server, 'retire', kid)).find((k) => k.kid === kid).state, 'revoked');
  });
  test('takes an operator\'s key, if it fits', async () => {
    const file = path.join(server.dir, 'own.pem');
    fs.writeFileSync(file, privatePem('ec', { namedCurve: 'P-256' }, { type: 'sec1', format: 'pem' }));
    const list = await keys(server, 'rotate', '--now', '--key', file);
    assert.equal(headerOf(await getToken(server, 'c', key)).kid, list.find((k) => k.state === 'active').kid);
    const twice = await run(server, 'rotate', '--now', '--key', file);
    assert.equal(twice.status, 75);
    assert.match(twice.stderr, /is there already/);
    fs.writeFileSync(file, privatePem('rsa', { modulusLength: 2048 }));
    const other = await run(server, 'rotate', '--now', '--key', file);
    assert.equal(other.status, 65);
    assert.match(other.stderr, /^andiron: the key cannot sign by ES256, which `token-alg` asks for \(422\)\nhint: /);
    fs.writeFileSync(file, 'no key');
    const none = await run(server, 'rotate', '--key', file);
    assert.equal(none.status, 65);
    assert.match(none.stderr, /not a private key in PEM form.*\nhint: openssl pkey/);
  });
  test('says what is wrong with its arguments', async () => {
    for (const args of [[], ['no'], ['retire'], ['retire', 'a/b'], ['list', '--now'], ['rotate', 'x'], ['retire', 'x', 'y'], ['list', '--revoke'], ['list', '--x']]) {
      const r = await run(server, ...args);
      assert.equal(r.status, 64, args.join(' '));
      assert.match(r.stderr, /^andiron: .+\n/);
    }
    const unknown = await run(server, 'retire', 'nobody');
    assert.equal(unknown.status, 65);
    assert.match(unknown.stderr, /^andiron: there is no key 'nobody' \(404\)\nhint: andiron keys list\n$/);
    // Every 64th thumbprint begins with a hyphen.
    const kid = `-${'A_'.repeat(21)}`;
    for (const args of [['retire', kid], ['retire', kid, '--revoke'], ['retire', '--revoke', kid]]) assert.match((await run(server, ...args)).stderr, new RegExp(`^andiron: there is no key '${kid}'`));
    for (const args of [['list', kid], ['retire', kid, 'x'], ['retire', kid, kid]]) assert.equal((await run(server, ...args)).status, 64, args.join(' '));
    assert.equal((await run(server, 'rotate', '--key', '/nowhere.pem')).status, 66);
    assert.match((await run(server, '--help')).stdout, /usage: andiron keys list/);
    assert.equal((await run({ etc: (await configure()).etc }, 'list')).status, 69);
  });
  test('by HTTP needs a policy, and no scope reaches it', async () => {
    const rotate = (headers) => call('POST', `${server.base}/auth/keys/$rotate`, undefined, headers);
    assert.equal((await rotate({})).status, 401);
    assert.equal((await rotate(bearer(await getToken(server, 'c', key)))).status, 403);
    const r = await rotate(server.admin);
    assert.equal(r.status, 200, r.text);
    assert.equal(r.json.keys.filter((k) => k.state === 'next').length, 1);
    const again = await rotate(server.admin);
    assert.equal(again.status, 409);
    assert.equal(again.json.issue[0].code, 'conflict');
    assert.equal((await call('GET', `${server.base}/control/keys`, undefined, server.admin)).status, 404);
  });
  test('stays what it was over a restart', async () => {
    const before = await keys(server, 'list');
    await server.stop();
    server = await launch({ at: server });
    assert.deepEqual(await keys(server, 'list'), before);
  });
});

describe('two processes over one store', () => {
  // Through both all the time: every token that was issued is read at both, whatever the keys do.
  for (const way of ['one folder of key files', 'keys sealed in the store']) {
    test(`rotate without a failing token: ${way}`, async () => {
      const secret = '0123456789abcdef0123456789abcdef';
      const jwks = { 'token-alg': 'ES256', 'max-age': '1s', ...(way.startsWith('keys') ? { 'seal-key': secret } : {}) };
      const one = await launch({ quick: true, plugins: { jwks, auth: { 'max-ttl': '4s' } } });
      const two = await beside(one, { jwks, auth: { 'max-ttl': '4s' }, ...(way.startsWith('keys') ? {} : { state: path.join(one.dir, 'state') }) });
      await client(one);
      await until('the other knows the client and its policy', async () => { try { return await read(two, await tokenAt(two, one.base)) === 200; } catch { return false; } });
      const first = (await keys(one, 'list'))[0].kid;
      let stop = false, count = 0;
      const kids = new Map([[one, new Set()], [two, new Set()]]);
      const tokens = [];
      const load = async (at, other) => {
        while (!stop) {
          const token = await tokenAt(at, one.base);
          kids.get(at).add(headerOf(token).kid);
          tokens.push(token);
          for (const s of [other, at]) assert.equal(await read(s, token), 200, `${headerOf(token).kid} at ${s.port}`);
          // Some of the tokens before, shortly before their end.
          for (const old of tokens.splice(0, Math.max(0, tokens.length - 40))) if (claimsOf(old).exp * 1000 > Date.now() + 2000) assert.equal(await read(other, old), 200);
          count++;
        }
      };
      const loads = [load(one, two), load(two, one)];
      const lists = [];
      const rotation = (async () => {
        const [next] = (await keys(two, 'rotate')).filter((k) => k.state === 'next');
        await until('it is published at the other', async () => (await published(one)).includes(next.kid), 5000);
        await until('it signs at both', async () => [one, two].every((s) => kids.get(s).has(next.kid)));
        lists.push(await keys(one, 'list'));
        assert.deepEqual(lists[0].map((k) => [k.kid, k.state]), [[first, 'retired'], [next.kid, 'active']]);
        assert.deepEqual(await keys(two, 'list'), lists[0]);
        await until('the old one is gone', async () => !(await published(one)).includes(first) && !(await published(two)).includes(first), 40000);
      })();
      try { await Promise.race([rotation, ...loads.map((l) => l.then(() => new Promise(() => {})))]); } finally { stop = true; }
      await Promise.all(loads);
      assert.ok(count > 20, `${count} tokens`);
      await until('its row and file are gone', async () => (await keys(one, 'list')).length === 1 && !fs.readdirSync(path.join(one.dir, 'state/keys')).some((f) => f.includes(first)));
      if (way.startsWith('keys')) for (const s of [one, two]) assert.deepEqual(fs.readdirSync(path.join(s.dir, 'state/keys')), []);
      await end(two, one);
    });
  }

  // Both make a first key and one of them gets it into the store; whoever is asked for a token before that waits.
  for (const way of ['one folder of key files', 'keys sealed in the store']) {
    test(`started at once over an empty store give tokens from the first request on: ${way}`, async () => {
      const sealed = way.startsWith('keys'), jwks = { 'token-alg': 'ES256', ...(sealed ? { 'seal-key': '0123456789abcdef0123456789abcdef' } : {}) };
      const init = rootBundle();
      for (const [type, resource] of [['Client', seedClient({ id: 'c', resourceType: 'Client', jwks: [key.jwk] })], ['AccessPolicy', { resourceType: 'AccessPolicy', id: 'c', engine: 'allow', link: [{ resourceType: 'Client', id: 'c' }] }]])
        init.entry.push({ resource, request: { method: 'PUT', url: `${type}/c` } });
      for (let round = 0; round < 3; round++) {
        const at = await configure({ quick: true, init, plugins: { jwks } });
        const other = await configure({ quick: true, init, plugins: { ...storeOf(at), jwks }, core: { http: { 'base-url': at.base }, ...(sealed ? {} : { core: { 'state-dir': path.join(at.dir, 'state') } }) } });
        // The tables are there already: it is the first key that is raced for, not they.
        fs.mkdirSync(path.join(at.dir, 'state'), { mode: 0o700 });
        execFileSync(bin, ['-c', at.etc, 'migrate']);
        const both = await Promise.all([at, other].map((one) => launch({ at: one })));
        const tokens = await Promise.all([...both, ...both].map((s) => tokenAt(s, at.base)));
        const kids = await Promise.all(both.map(published));
        assert.equal(kids[0].length, 1);
        assert.deepEqual(kids[1], kids[0]);
        for (const s of both) for (const token of tokens) assert.equal(await read(s, token), 200);
        for (const s of both) await until('it is ready', async () => (await ready(s)).status === 200);
        for (const one of sealed ? [at, other] : [at]) assert.deepEqual(fs.readdirSync(path.join(one.dir, 'state/keys')), sealed ? [] : [`ES256-${kids[0][0]}.pem`]);
        await end(...both);
      }
    });
  }

  for (const way of ['one folder of key files', 'keys sealed in the store']) test(`rotated at the same time have one next key: ${way}`, async () => {
    const sealed = way.startsWith('keys'), jwks = { 'token-alg': 'ES256', ...(sealed ? { 'seal-key': '0123456789abcdef0123456789abcdef' } : {}) };
    const one = await launch({ quick: true, plugins: { jwks } });
    const two = await beside(one, { jwks, ...(sealed ? {} : { state: path.join(one.dir, 'state') }) });
    const asked = await Promise.all([0, 1, 2, 3, 4, 5].map((i) => control(i % 2 ? one : two, 'POST', '/control/keys/rotate')));
    assert.deepEqual(asked.map((r) => r.status).sort(), [200, 409, 409, 409, 409, 409], asked.map((r) => r.text).join());
    const listed = await keys(one, 'list');
    assert.deepEqual(listed.map((k) => [k.state, k.private]), [['active', true], ['next', true]]);
    // Files of the keys that did not get into the store are gone, and no others.
    assert.deepEqual(fs.readdirSync(path.join(one.dir, 'state/keys')).sort(), sealed ? [] : listed.map((k) => `ES256-${k.kid}.pem`).sort());
    await end(two, one);
  });

  test('KS-3: know within seconds of a key that the other revoked', async () => {
    const jwks = { 'token-alg': 'ES256', 'seal-key': '0123456789abcdef0123456789abcdef' };
    const one = await launch({ quick: true, plugins: { jwks } });
    const two = await beside(one, { jwks });
    await client(one);
    const token = await getToken(one, 'c', key);
    await until('the other knows the client', async () => (await read(two, token)) === 200);
    const { kid } = headerOf(token);
    await keys(one, 'retire', kid, '--revoke');
    assert.equal(await read(one, token), 401);
    await until('the other refuses it', async () => (await read(two, token)) === 401, 5000);
    assert.ok(!(await published(two)).includes(kid));
    assert.equal(await read(two, await getToken(one, 'c', key)), 200);
    await end(two, one);
  });

  test('KS-2: of which one lacks the private part: it verifies, but is not ready and says why', async () => {
    const one = await launch({ quick: true, plugins: { jwks: { 'token-alg': 'ES256' } } });
    const two = await beside(one, { jwks: { 'token-alg': 'ES256' } });
    await client(one);
    const token = await getToken(one, 'c', key);
    await until('the other knows the client', async () => (await read(two, token)) === 200);
    await until('the other is not ready', async () => (await ready(two)).status === 503);
    assert.equal((await ready(one)).status, 200);
    const health = await call('GET', `${two.adminBase}/health`);
    assert.match(health.text, /no private part of the active key/);
    const [shown] = await keys(two, 'list');
    assert.equal(shown.private, false);
    await assert.rejects(tokenAt(two, one.base), /503 .*temporarily_unavailable/);
    // Its operator may also rotate there.
    await keys(two, 'rotate', '--now');
    await until('the other is ready', async () => (await ready(two)).status === 200);
    await end(two, one);
  });

  test('KS-2: of which one is given the file of the private part while it runs: it takes it', async () => {
    const jwks = { 'token-alg': 'ES256', 'max-age': '1h' };
    const one = await launch({ quick: true, plugins: { jwks } });
    const two = await beside(one, { jwks });
    await client(one);
    await until('the other knows the client', async () => (await read(two, await getToken(one, 'c', key))) === 200);
    await until('the other is not ready', async () => /no private part/.test((await call('GET', `${two.adminBase}/health`)).text));
    const [file] = fs.readdirSync(path.join(one.dir, 'state/keys'));
    pem(two, file, fs.readFileSync(path.join(one.dir, 'state/keys', file)));
    await until('the other is ready', async () => (await ready(two)).status === 200);
    assert.equal(await read(one, await tokenAt(two, one.base)), 200);
    await end(two, one);
  });

  test('with different seal-keys do not open each other\'s keys', async () => {
    const one = await launch({ quick: true, plugins: { jwks: { 'token-alg': 'ES256', 'seal-key': 'a'.repeat(32) } } });
    const two = await beside(one, { jwks: { 'token-alg': 'ES256', 'seal-key': 'b'.repeat(32) } });
    await until('the other is not ready', async () => (await ready(two)).status === 503);
    await until('and it says why', () => /keys\.private\.unusable.*another `seal-key`/.test(two.log())); // 503 also before it has read the keys
    // What lies in the store is no private key in clear.
    for (const file of fs.readdirSync(path.join(one.dir, 'state')).filter((f) => f.startsWith('andiron.db'))) assert.ok(!fs.readFileSync(path.join(one.dir, 'state', file)).includes('PRIVATE KEY'), file);
    await end(two, one);
  });
});

describe('key files of operators', () => {
  test('of a first start sign: RSA and EC, in any PEM form', async () => {
    const rows = [
      ['RS256', privatePem('rsa', { modulusLength: 2048 }, { type: 'pkcs1', format: 'pem' })],
      ['PS256', privatePem('rsa', { modulusLength: 3072 })],
      ['ES384', privatePem('ec', { namedCurve: 'P-384' }, { type: 'sec1', format: 'pem' })],
      ['EdDSA', privatePem('ed25519', {})],
    ];
    for (const [alg, text] of rows) {
      const at = await configure({ quick: true, plugins: { jwks: { 'token-alg': alg } } });
      pem(at, 'mine.pem', text);
      const server = await launch({ at });
      await client(server);
      const header = headerOf(await getToken(server, 'c', key));
      assert.equal(header.alg, alg);
      assert.deepEqual([header.kid], await published(server));
      assert.deepEqual(fs.readdirSync(path.join(server.dir, 'state/keys')), ['mine.pem']);
      await end(server);
    }
  });
  test('put there later become the next key; those for another algorithm are left with a warning', async () => {
    let server = await launch({ quick: true, plugins: { jwks: { 'token-alg': 'ES256' } } });
    await server.stop();
    pem(server, 'new.pem', privatePem('ec', { namedCurve: 'P-256' }));
    pem(server, 'other.pem', privatePem('rsa', { modulusLength: 2048 }));
    server = await launch({ at: server });
    await until('it is next', async () => (await keys(server, 'list')).map((k) => k.state).join() === 'active,next');
    await server.logged(/keys\.file\.unused.*other\.pem/);
    await end(server);
  });
  test('KS-2: that are weak, mismatched, encrypted, open to others or broken stop the start', async () => {
    const good = privatePem('ec', { namedCurve: 'P-256' });
    const rsa = generateKeyPairSync('rsa', { modulusLength: 2048 }).privateKey.export({ format: 'jwk' });
    const other = generateKeyPairSync('rsa', { modulusLength: 2048 }).privateKey.export({ format: 'jwk' });
    const rows = [
      ['weak', privatePem('rsa', { modulusLength: 1024 }), 0o600, /RSA key has 1024 bits/],
      ['other curve', privatePem('ec', { namedCurve: 'secp256k1' }), 0o600, /cannot be used/],
      ['mismatched', mismatched(rsa, other), 0o600, /cannot be used/],
      ['encrypted', privatePem('ec', { namedCurve: 'P-256' }, { type: 'pkcs8', format: 'pem', cipher: 'aes-256-cbc', passphrase: 'x' }), 0o600, /without a password/],
      ['open', good, 0o640, /chmod 600/],
      ['empty', '', 0o600, /cannot be used/],
    ];
    for (const [name, text, mode, message] of rows) {
      const at = await configure();
      pem(at, 'x.pem', text, mode);
      fs.chmodSync(path.join(at.dir, 'state/keys/x.pem'), mode);
      await assert.rejects(start({ at }), (e) => e.exit.code === 78 && /x\.pem/.test(e.message) && message.test(e.message), name);
      fs.rmSync(at.dir, { recursive: true });
    }
  });
  test('a seal-key that is too short stops the start', async () => {
    await assert.rejects(start({ plugins: { jwks: { 'seal-key': 'short' } } }), (e) => e.exit.code === 78 && /seal-key/.test(e.message) && /32 characters/.test(e.message) && !/short/.test(e.message));
  });
});

test('another token-alg is published before it signs, and old tokens still verify', async () => {
  let server = await launch({ quick: true, plugins: { jwks: { 'token-alg': 'ES256', 'max-age': '1s' } } });
  await client(server);
  const one = await getToken(server, 'c', key);
  await server.stop();
  fs.appendFileSync(path.join(server.etc, 'plugins.d/20-jwks.conf'), '\ntoken-alg = ES384\n');
  const conf = path.join(server.etc, 'plugins.d/20-jwks.conf');
  fs.writeFileSync(conf, fs.readFileSync(conf, 'utf8').replace(/^token-alg = ES256\n/m, ''));
  server = await launch({ at: server });
  await until('it is next', async () => (await keys(server, 'list')).map((k) => `${k.alg} ${k.state}`).join() === 'ES256 active,ES384 next');
  assert.equal(headerOf(await getToken(server, 'c', key)).alg, 'ES256');
  await until('it signs', async () => headerOf(await getToken(server, 'c', key)).alg === 'ES384');
  for (const t of [one, await getToken(server, 'c', key)]) assert.equal(await read(server, t), 200);
  await end(server);
});

// PKCS#1 with the primes of one key and the modulus of another.
function mismatched(a, b) {
  const int = (v) => {
    let bytes = Buffer.from(v, 'base64url');
    if (bytes[0] & 0x80) bytes = Buffer.concat([Buffer.from([0]), bytes]);
    return tlv(2, bytes);
  };
  const body = Buffer.concat([Buffer.from([2, 1, 0]), int(b.n), int(a.e), int(a.d), int(a.p), int(a.q), int(a.dp), int(a.dq), int(a.qi)]);
  return `-----BEGIN RSA PRIVATE KEY-----\n${tlv(0x30, body).toString('base64').match(/.{1,64}/g).join('\n')}\n-----END RSA PRIVATE KEY-----\n`;
}
function tlv(tag, body) {
  const len = body.length < 128 ? [body.length] : body.length < 256 ? [0x81, body.length] : [0x82, body.length >> 8, body.length & 255];
  return Buffer.concat([Buffer.from([tag, ...len]), body]);
}
