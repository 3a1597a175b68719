// The command line against running daemons, as an operator uses it: exit statuses, what is printed where, and that
// nothing is half done.
import test, { before, after, describe } from 'node:test';
import assert from 'node:assert/strict';
import { spawn, spawnSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import fs from 'node:fs';
import path from 'node:path';
import zlib from 'node:zlib';
import { bin, modules, start, configure, call, fresh, basic, sleep, store as kind } from './lib/server.mjs';
import { bearer, claimsOf, keyPair, seedScope } from './lib/smart.mjs';

const fixtures = path.join(path.dirname(modules), 'fixtures');
let server, dir, env;
const workers = (s) => fs.readFileSync(`/proc/${s.child.pid}/task/${s.child.pid}/children`, 'utf8').trim().split(' ').filter(Boolean).map(Number);
const file = (name, content, mode) => { const p = path.join(dir, name); fs.writeFileSync(p, content, { mode }); return p; };
// Runs andiron with a configuration folder, or without.
const run = (args, options = {}) => spawnSync(bin, args, { encoding: 'utf8', timeout: 60000, cwd: dir, env: { ...process.env, ...env, ...options.env }, input: options.input });
const over = (s, ...args) => run(['-c', s.etc, ...args]);
const twoLines = (r) => assert.match(r.stderr, /^andiron: .+\n(hint: .+\n)?$/);
const clean = async (s) => { assert.deepEqual(await s.stop(), { code: 0, signal: null }); assert.doesNotMatch(s.output(), /Sanitizer|runtime error/); s.remove(); };
// Names of what plugins.d switches on.
const enabled = (at) => fs.readdirSync(path.join(at.etc, 'plugins.d')).map((name) => /^\[plugin (.+)\]$/m.exec(fs.readFileSync(path.join(at.etc, 'plugins.d', name), 'utf8'))[1]).sort();
const count = async (type, query = '') => (await call('GET', `${server.fhir}/${type}?_count=0&_total=accurate${query}`, undefined, server.admin)).json.total;

before(async () => {
  server = await start({ quick: true });
  dir = fs.mkdtempSync(path.join(server.dir, 'ops-'));
  env = { ANDIRON_URL: server.base, ANDIRON_ADMIN: 'root:secret' };
});
after(() => clean(server));

describe('client and token', () => {
  const rsa = keyPair('RS384', 'ops-rsa'), ec = keyPair('ES384', 'ops-ec');
  let jwks, rsaPem, ecPem;
  before(() => {
    jwks = file('jwks.json', JSON.stringify({ keys: [rsa.jwk, ec.jwk] }));
    rsaPem = file('rsa.pem', rsa.privateKey.export({ type: 'pkcs8', format: 'pem' }), 0o600);
    ecPem = file('ec.pem', ec.privateKey.export({ type: 'sec1', format: 'pem' }), 0o600);
  });
  test('create registers a client and lets it in, in one step; the token works', async () => {
    const made = run(['client', 'create', 'lab', '--jwks', jwks, '--link-policy', 'allow']);
    assert.equal(made.status, 0, made.stderr);
    assert.match(made.stdout, /^Client\/lab registered\nAccessPolicy\/lab lets it in\n$/);
    for (const [pem, kid] of [[rsaPem, 'ops-rsa'], [ecPem, 'ops-ec']]) {
      const token = run(['token', '--client', 'lab', '--key', pem, '--kid', kid, '--scope', 'system/*.read']);
      assert.equal(token.status, 0, token.stderr);
      assert.match(token.stdout, /^[\w-]+\.[\w-]+\.[\w-]+\n$/, 'nothing but the token');
      assert.equal((await call('GET', `${server.fhir}/Patient`, undefined, bearer(token.stdout.trim()))).status, 200);
    }
    const whole = run(['token', '--client', 'lab', '--key', ecPem, '--kid', 'ops-ec', '--scope', 'system/*.read', '--json']);
    assert.deepEqual([JSON.parse(whole.stdout).token_type, JSON.parse(whole.stdout).scope], ['Bearer', seedScope]);
    const two = run(['token', '--client', 'lab', '--key', ecPem, '--kid', 'ops-ec', '--scope', 'system/Patient.read', '--scope', 'system/Observation.read']);
    assert.equal(claimsOf(two.stdout).scope, 'system/Patient.read system/Observation.read');
  });
  test('the key\'s thumbprint is its kid unless told otherwise', () => {
    const { crv, kty, x, y } = ec.jwk;
    const kid = createHash('sha256').update(JSON.stringify({ crv, kty, x, y })).digest('base64url');
    const set = file('thumb.json', JSON.stringify({ keys: [{ ...ec.jwk, kid }] }));
    assert.equal(run(['client', 'create', 'thumb', '--jwks', set, '--scope', 'system/Patient.rs', '--scope', 'system/Observation.read']).status, 0);
    const r = run(['token', '--client', 'thumb', '--key', ecPem, '--scope', 'system/Patient.rs']);
    assert.equal(r.status, 0, r.stderr);
    assert.equal(claimsOf(r.stdout).scope, 'system/Patient.rs');
  });
  test('create makes a key where it is told to, and never over another file', () => {
    const pem = path.join(dir, 'new.pem'), made = run(['client', 'create', 'fresh', '--new-key', pem, '--link-policy', 'allow']);
    assert.equal(made.status, 0, made.stderr);
    assert.equal(fs.statSync(pem).mode & 0o777, 0o600);
    const token = run(['token', '--client', 'fresh', '--key', pem, '--scope', 'system/*.read']);
    assert.equal(token.status, 0, token.stderr);
    const before = fs.readFileSync(pem, 'utf8'), again = run(['client', 'create', 'other', '--new-key', pem]);
    assert.equal(again.status, 73);
    assert.match(again.stderr, /cannot make .*new\.pem: File exists\nhint: /);
    assert.equal(fs.readFileSync(pem, 'utf8'), before);
    assert.notEqual(run(['client', 'show', 'other']).status, 0, 'and nobody was registered');
    assert.equal(run(['client', 'create', 'x', '--new-key', path.join(dir, 'x.pem'), '--jwks', jwks]).status, 64);
    const refused = run(['client', 'create', 'late', '--new-key', path.join(dir, 'late.pem')], { env: { ANDIRON_ADMIN: 'root:wrong' } });
    assert.equal(refused.status, 77, refused.stderr);
    assert.equal(fs.existsSync(path.join(dir, 'late.pem')), false, 'a key that nobody knows is not left behind');
    assert.equal(run(['client', 'delete', 'fresh']).status, 0);
  });
  test('list, show and delete', async () => {
    const list = run(['client', 'list']);
    assert.equal(list.status, 0, list.stderr);
    for (const id of ['root', 'lab', 'thumb']) assert.match(list.stdout, new RegExp(`^${id} `, 'm'));
    const lines = run(['client', 'list', '--json']).stdout.trim().split('\n').map((l) => JSON.parse(l));
    assert.deepEqual(lines.map((c) => c.id).sort(), ['lab', 'root', 'thumb']);
    assert.ok(lines.every((c) => c.resourceType === 'Client' && !('secret' in c)));
    const show = run(['client', 'show', 'lab']);
    assert.equal(JSON.parse(show.stdout).id, 'lab');
    assert.equal(run(['client', 'delete', 'thumb']).status, 0);
    assert.equal((await call('GET', `${server.base}/Client/thumb`, undefined, server.admin)).status, 410);
    assert.notEqual(run(['client', 'show', 'thumb']).status, 0);
  });
  test('delete takes the policy along that let this client in, and no other', async () => {
    const policy = (id) => call('GET', `${server.base}/AccessPolicy/${id}`, undefined, server.admin);
    assert.equal(run(['client', 'create', 'short-lived', '--jwks', jwks, '--link-policy', 'allow']).status, 0);
    const gone = run(['client', 'delete', 'short-lived']);
    assert.equal(gone.stdout, 'Client/short-lived deleted\nAccessPolicy/short-lived deleted\n', gone.stderr);
    assert.equal((await policy('short-lived')).status, 410);
    assert.equal(run(['client', 'create', 'shared', '--jwks', jwks]).status, 0);
    const body = { engine: 'allow', link: [{ resourceType: 'Client', id: 'shared' }, { resourceType: 'Client', id: 'lab' }] };
    assert.equal((await call('PUT', `${server.base}/AccessPolicy/shared`, body, server.admin)).status, 201);
    assert.equal(run(['client', 'delete', 'shared']).stdout, 'Client/shared deleted\n');
    assert.equal((await policy('shared')).status, 200);
  });
  test('more clients than a page are all listed', async () => {
    const made = await Promise.all(Array.from({ length: 130 }, (_, i) => call('PUT', `${server.base}/Client/many-${i}`, { grant_types: [] }, server.admin)));
    assert.deepEqual(made.filter((r) => r.status !== 201).map((r) => `${r.status} ${r.text}`), []);
    const ids = run(['client', 'list', '--json']).stdout.trim().split('\n').map((l) => JSON.parse(l).id);
    assert.equal(new Set(ids).size, 132);
    assert.equal(ids.length, 132);
  });
  test('each failure has its exit status, two lines, and no secret', async () => {
    const rows = [
      [77, ['client', 'list'], { ANDIRON_ADMIN: 'root:wrongSecretCanary' }], [77, ['client', 'list'], { ANDIRON_ADMIN: '' }], [69, ['client', 'list', '--url', 'http://127.0.0.1:9']], [69, ['token', '--client', 'lab', '--key', ecPem, '--url', 'http://127.0.0.1:9']],
      [66, ['token', '--client', 'lab', '--key', path.join(dir, 'none.pem')]], [65, ['token', '--client', 'lab', '--key', jwks]], [77, ['token', '--client', 'nobody', '--key', ecPem]], [77, ['token', '--client', 'lab', '--key', ecPem, '--kid', 'other']], [65, ['token', '--client', 'lab', '--key', ecPem, '--kid', 'ops-ec', '--scope', 'patient/*.read']],
      [64, ['token', '--client', 'lab']], [64, ['token']], [64, ['token', '--nonsense']], [64, ['client']], [64, ['client', 'create']], [64, ['client', 'create', 'a/b']], [64, ['client', 'explode', 'x']], [66, ['client', 'create', 'x', '--jwks', path.join(dir, 'none.json')]], [65, ['client', 'create', 'x', '--jwks', ecPem]],
      [65, ['client', 'create', 'x', '--jwks', jwks, '--scope', 'system/Patient.sr']], [64, ['client', 'create', 'x', '--jwks', jwks, '--link-policy', 'matcho']], [66, ['client', 'list', '--admin', path.join(dir, 'none')]],
    ];
    for (const [status, args, more] of rows) {
      const r = run(args, { env: more });
      assert.equal(r.status, status, `${args.join(' ')}: ${r.status} ${r.stderr}`);
      assert.equal(r.stdout, '', args.join(' '));
      assert.match(r.stderr, /^andiron: .+\n/, args.join(' '));
      assert.doesNotMatch(r.stderr, /wrongSecretCanary|PRIVATE/);
    }
    assert.equal((await call('GET', `${server.base}/Client/x`, undefined, server.admin)).status, 404, 'nothing was registered by the way');
    const admin = file('admin', 'root:secret\n', 0o600);
    assert.equal(run(['client', 'list', '--admin', admin], { env: { ANDIRON_ADMIN: 'root:wrong' } }).status, 0, 'a file comes before the environment');
  });
});

describe('sample and import', () => {
  test('sample is the same bytes for the same seed, and what it says', () => {
    const one = run(['sample', '--patients', '7', '--seed', '5']), two = run(['sample', '--patients', '7', '--seed', '5']), other = run(['sample', '--patients', '7', '--seed', '6']);
    assert.equal(one.status, 0, one.stderr);
    assert.equal(one.stdout, two.stdout);
    assert.notEqual(one.stdout, other.stdout);
    const resources = one.stdout.trim().split('\n').map((l) => JSON.parse(l)), ids = resources.map((r) => `${r.resourceType}/${r.id}`);
    assert.equal(resources.filter((r) => r.resourceType === 'Patient').length, 7);
    assert.equal(new Set(ids).size, ids.length);
    const known = new Set(ids), text = JSON.stringify(resources);
    for (const [, ref] of text.matchAll(/"reference":"([^"]+)"/g)) assert.ok(known.has(ref), `${ref} leads nowhere`);
    assert.ok(run(['sample', '--patients', '3', '--observations', '1']).stdout.length < run(['sample', '--patients', '3', '--observations', '50']).stdout.length);
    assert.equal(run(['sample', '--patients', 'x']).status, 64);
    const full = spawnSync('bash', ['-c', `"${bin}" sample --patients 2000 >/dev/full`], { encoding: 'utf8' });
    assert.equal(full.status, 73, full.stderr);
  });
  test('what sample makes is imported whole, from a pipe, gzipped, from a folder', async () => {
    const text = run(['sample', '--patients', '12', '--seed', '2', '--observations', '5']).stdout, lines = text.trim().split('\n');
    const piped = run(['import', '-'], { input: text });
    assert.equal(piped.status, 0, piped.stderr);
    assert.match(piped.stdout, new RegExp(`^all +${lines.length} +0 `, 'm'));
    assert.equal(await count('Patient'), 12);
    const first = JSON.parse(lines[0]);
    const stored = (await call('GET', `${server.fhir}/${first.resourceType}/${first.id}`, undefined, server.admin)).json;
    delete stored.meta;
    assert.deepEqual(stored, first);
    const folder = path.join(dir, 'many');
    fs.mkdirSync(folder);
    const patients = (from, n) => Array.from({ length: n }, (_, i) => JSON.stringify({ resourceType: 'Patient', id: `f${from + i}`, gender: 'other' })).join('\n');
    fs.writeFileSync(path.join(folder, 'a.ndjson'), patients(0, 30) + '\n');
    fs.writeFileSync(path.join(folder, 'b.ndjson.gz'), zlib.gzipSync(patients(30, 30)));
    fs.writeFileSync(path.join(folder, 'c.json'), JSON.stringify({ resourceType: 'Bundle', type: 'collection', entry: Array.from({ length: 10 }, (_, i) => ({ resource: { resourceType: 'Patient', id: `f${60 + i}`, gender: 'other' } })) }));
    fs.writeFileSync(path.join(folder, 'd.json'), JSON.stringify({ resourceType: 'Patient', id: 'f70', gender: 'other' }, null, 2));
    fs.writeFileSync(path.join(folder, 'e.txt'), 'not for us');
    const r = run(['import', folder, '--json', '--chunk', '7', '--jobs', '3']);
    assert.equal(r.status, 0, r.stderr + r.stdout);
    const events = r.stdout.trim().split('\n').map((l) => JSON.parse(l));
    assert.deepEqual([events.at(-1).event, events.at(-1).stored, events.at(-1).failed], ['done', 71, 0]);
    assert.equal(await count('Patient', '&gender=other&_id=' + Array.from({ length: 71 }, (_, i) => `f${i}`).join()), 71);
  });
  const bad = () => [
    '{"resourceType":"Patient","id":"g1","active":true}', '', '{"resourceType":"Patient","id":"g2"', '{"resourceType":"Patient","id":"g3","active":true}', 'not json', '{"resourceType":"Nothing","id":"g4"}', '{"resourceType":"Patient","id":"bad id"}', '{"resourceType":"Patient","id":"g5","name":[{"family":"","given":[]}]}', '{"resourceType":"Patient","id":"g6","active":true}',
  ].join('\n');
  test('bad lines are told with file and line, the others are stored, the status is 65', async () => {
    const name = file('bad.ndjson', bad());
    const r = run(['import', name]);
    assert.equal(r.status, 65);
    const told = r.stderr.split('\n').filter((l) => l.startsWith(name)).map((l) => Number(/:(\d+):/.exec(l.slice(name.length - 1))[1]));
    assert.deepEqual(told.sort(), [3, 5, 6, 7, 8], r.stderr);
    assert.match(r.stdout, /^all +3 +5 /m);
    for (const id of ['g1', 'g3', 'g6']) assert.equal((await call('GET', `${server.fhir}/Patient/${id}`, undefined, server.admin)).status, 200, id);
    for (const id of ['g2', 'g5']) assert.equal((await call('GET', `${server.fhir}/Patient/${id}`, undefined, server.admin)).status, 404, id);
    const events = run(['import', name, '--json']).stdout.trim().split('\n').map((l) => JSON.parse(l));
    assert.deepEqual(events.filter((e) => e.event === 'refused').map((e) => e.line).sort(), [3, 5, 6, 7, 8]);
  });
  test('--on-error stop ends at the first, and --resume goes on there once it is mended', async () => {
    const line = (i) => JSON.stringify({ resourceType: 'Patient', ...(i === 25 ? { name: [{}] } : {}), identifier: [{ system: 'urn:stop', value: String(i) }] });
    const name = file('stop.ndjson', Array.from({ length: 60 }, (_, i) => line(i)).join('\n')), state = path.join(dir, 'stop.state');
    const r = run(['import', name, '--on-error', 'stop', '--chunk', '10', '--jobs', '1', '--state', state]);
    assert.equal(r.status, 65, r.stderr);
    assert.match(r.stderr, /stop\.ndjson:26: /);
    const stored = await count('Patient', '&identifier=urn:stop%7C');
    assert.ok(stored < 60 && stored >= 20, `${stored}`);
    fs.writeFileSync(name, fs.readFileSync(name, 'utf8').replace('"name":[{}],', ''));
    const other = file('other.ndjson', line(1));
    const wrong = run(['import', other, '--resume', '--state', state]);
    assert.equal(wrong.status, 65, 'the state is of other files');
    assert.match(wrong.stderr, /other files/);
    const again = run(['import', name, '--resume', '--chunk', '10', '--state', state]);
    assert.equal(again.status, 0, again.stderr);
    const found = (await call('GET', `${server.fhir}/Patient?identifier=urn:stop%7C&_count=200`, undefined, server.admin)).json.entry.map((e) => Number(e.resource.identifier[0].value));
    assert.deepEqual([...new Set(found)].sort((a, b) => a - b), Array.from({ length: 60 }, (_, i) => i), 'every one');
    assert.equal(found.filter((i) => i < 20).length, 20, 'what was done is not done again');
    assert.equal(fs.existsSync(state), false, 'nothing is left to resume');
  });
  test('--resume after the server went away stores the rest, unusable lines counted', async () => {
    const state = path.join(dir, 'gone.state');
    const rows = Array.from({ length: 40 }, (_, i) => (i % 4 === 1 ? 'junk' : JSON.stringify({ resourceType: 'Patient', identifier: [{ system: 'urn:gone', value: String(i) }] })));
    const name = file('gone.ndjson', rows.join('\n'));
    // The first run meets a server that answers two chunks and then refuses: here, one that takes no Patient any more.
    let answered = 0;
    const { createServer } = await import('node:http');
    const proxy = createServer((req, res) => {
      let body = '';
      req.on('data', (d) => { body += d; });
      req.on('end', async () => {
        if (++answered > 2) return res.socket.destroy();
        const r = await call('POST', server.fhir, body, { ...server.admin, 'content-type': 'application/fhir+json' });
        res.writeHead(r.status, { 'content-type': 'application/fhir+json' });
        res.end(r.text);
      });
    });
    await new Promise((ok) => proxy.listen(0, '127.0.0.1', ok));
    const first = await new Promise((done) => {
      const child = spawn(bin, ['import', name, '--url', `http://127.0.0.1:${proxy.address().port}`, '--chunk', '6', '--jobs', '1', '--state', state], { env: { ...process.env, ...env }, cwd: dir });
      child.on('exit', (code) => done(code));
    });
    proxy.closeAllConnections();
    proxy.close();
    assert.equal(first, 69);
    assert.equal(await count('Patient', '&identifier=urn:gone%7C'), 12);
    const again = run(['import', name, '--resume', '--chunk', '6', '--state', state]);
    assert.equal(again.status, 65, again.stderr);
    assert.equal(await count('Patient', '&identifier=urn:gone%7C'), 30, 'each once');
  });
  test('failures', () => {
    for (const [status, args] of [[66, ['import', path.join(dir, 'none.ndjson')]], [64, ['import']], [64, ['import', '--jobs', '0', '-']], [64, ['import', '--on-error', 'panic', '-']], [69, ['import', '--url', 'http://127.0.0.1:9', path.join(dir, 'bad.ndjson')]]]) {
      const r = run(args, { input: '' });
      assert.equal(r.status, status, `${args.join(' ')}: ${r.stderr}`);
    }
    assert.equal(run(['import', path.join(dir, 'bad.ndjson')], { env: { ANDIRON_ADMIN: 'root:wrong' } }).status, 77);
  });
});

describe('control', () => {
  test('status says what runs; without a server it is 69', async () => {
    const json = JSON.parse(over(server, 'status', '--json').stdout);
    assert.deepEqual(json.plugins.map((p) => p.name).sort(), enabled(server));
    assert.ok(json.requests > 0 && json.uptimeSeconds >= 0 && json.reloads === 0, JSON.stringify(json));
    assert.match(over(server, 'status').stdout, /^health +pass$/m);
    const nobody = await configure({});
    const r = over(nobody, 'status');
    assert.equal(r.status, 69);
    twoLines(r);
    fs.rmSync(nobody.dir, { recursive: true });
  });
  test('reload takes a good configuration into force, and leaves the old worker with a bad one', async (t) => {
    const s = await start({ quick: true });
    t.after(() => clean(s));
    const conf = path.join(s.etc, 'plugins.d/20-auth.conf'), original = fs.readFileSync(conf, 'utf8'), [before] = workers(s);
    const algs = async () => (await fresh('GET', `${s.base}/.well-known/smart-configuration`)).json.token_endpoint_auth_signing_alg_values_supported;
    for (const [text, words] of [[`${original}assertion-algs = RS384 HS256\n`, /assertion-algs|HS256/], [`${original}assertion-agls = ES384\n`, /20-auth\.conf:\d+: auth\.assertion-agls: unknown directive; did you mean "assertion-algs"\?/], [`${original}max-ttl = 1 hour\n`, /max-ttl/], [original.replace('auth.so', 'none.so'), /none\.so/], [`${original}this is no directive\n`, /20-auth\.conf:\d+/]]) {
      fs.writeFileSync(conf, text);
      const r = over(s, 'reload');
      assert.equal(r.status, 78, r.stderr);
      assert.match(r.stderr, words);
      assert.deepEqual(workers(s), [before], 'the same worker');
      assert.deepEqual(await algs(), ['RS384', 'ES384']);
    }
    // Whoever has been told that it is done meets the new worker.
    for (const alg of ['ES256', 'RS384', 'ES256', 'PS384', 'ES384']) {
      fs.writeFileSync(conf, `${original}assertion-algs = ${alg}\n`);
      const r = over(s, 'reload');
      assert.equal(r.status, 0, r.stderr);
      assert.deepEqual(await algs(), [alg]);
    }
    assert.ok(!workers(s).includes(before) || workers(s).length === 2);
    const status = JSON.parse(over(s, 'status', '--json').stdout);
    assert.equal(status.reloadsFailed, 5);
    // A database that the new worker cannot open: found only by running, and the old one stays.
    fs.writeFileSync(conf, original);
    const store = path.join(s.etc, `plugins.d/10-store-${kind}.conf`), good = fs.readFileSync(store, 'utf8');
    fs.writeFileSync(store, good + (kind === 'postgres' ? 'schema = 1st\n' : 'path = /proc/nowhere/andiron.db\n'));
    assert.equal(over(s, 'reload').status, 78);
    assert.deepEqual(await algs(), ['ES384']);
    assert.equal((await fresh('GET', `${s.fhir}/Patient`, undefined, s.admin)).status, 200);
    fs.writeFileSync(store, good);
  });
  test('a node is ready at once after a start and after a reload, also without an init bundle', async (t) => {
    let s = await start({ quick: true, init: false });
    t.after(() => clean(s));
    const waited = async () => { for (const begun = Date.now(); ; await sleep(5)) if ((await fresh('GET', `${s.base}/health/ready`)).status === 200) return Date.now() - begun; };
    const times = [await waited()];
    for (let i = 0; i < 4; i++) {
      if (i % 2) assert.equal(over(s, 'reload').status, 0);
      else { await s.stop(); s = await start({ at: s }); }
      times.push(await waited());
    }
    // What is looked at once a second would keep most of them waiting; a busy machine one or two.
    assert.ok([...times].sort((a, b) => a - b)[2] < 800, `${times} ms`);
  });
  test('a reload under load loses no request and no write', async (t) => {
    const s = await start({ quick: true, core: { http: { 'drain-grace': '1s' } } });
    t.after(() => clean(s));
    let running = true;
    const failed = [], written = [];
    const load = Array.from({ length: 4 }, async (_, w) => {
      for (let n = 0; running; n++) {
        const id = `l${w}-${n}`;
        try {
          const r = await call('PUT', `${s.fhir}/Patient/${id}`, { resourceType: 'Patient', id }, s.admin);
          if (r.status !== 201) failed.push(`${r.status} ${r.text}`); else written.push(id);
        } catch (e) { failed.push(String(e.cause ?? e)); }
      }
    });
    for (let i = 0; i < 3; i++) { await sleep(150); const child = spawn(bin, ['-c', s.etc, 'reload']); assert.equal(await new Promise((ok) => child.on('exit', ok)), 0); }
    await sleep(150);
    running = false;
    await Promise.all(load);
    assert.deepEqual(failed, []);
    assert.ok(written.length > 20);
    const total = (await call('GET', `${s.fhir}/Patient?_count=0&_total=accurate`, undefined, s.admin)).json.total;
    assert.equal(total, written.length);
  });
  test('disable and enable are undone if they would break something, and take force with a reload', async (t) => {
    const at = await configure({ quick: true }), available = path.join(at.etc, 'plugins-available');
    fs.mkdirSync(available);
    for (const name of fs.readdirSync(path.join(at.etc, 'plugins.d'))) {
      fs.renameSync(path.join(at.etc, 'plugins.d', name), path.join(available, name));
      fs.symlinkSync(`../plugins-available/${name}`, path.join(at.etc, 'plugins.d', name));
    }
    const s = await start({ at });
    t.after(() => clean(s));
    assert.equal((await fresh('GET', `${s.adminBase}/metrics`)).status, 200);
    const off = over(s, 'disable', 'metrics');
    assert.equal(off.status, 0, off.stderr);
    assert.match(off.stdout, /reload/);
    assert.equal((await fresh('GET', `${s.adminBase}/metrics`)).status, 200, 'not before the reload');
    assert.equal(over(s, 'reload').status, 0);
    assert.equal((await fresh('GET', `${s.adminBase}/metrics`)).status, 404);
    const before = fs.readdirSync(path.join(at.etc, 'plugins.d'));
    const wrong = over(s, 'disable', `store-${kind}`);
    assert.equal(wrong.status, 78);
    assert.match(wrong.stderr + wrong.stdout, /store\/1/);
    assert.deepEqual(fs.readdirSync(path.join(at.etc, 'plugins.d')), before, 'undone');
    assert.equal(over(s, 'enable', 'metrics').status, 0);
    assert.equal(over(s, 'enable', 'metrics').status, 0, 'twice is no error');
    assert.equal(over(s, 'reload').status, 0);
    assert.equal((await fresh('GET', `${s.adminBase}/metrics`)).status, 200);
    assert.equal(over(s, 'enable', 'metrix').status, 66);
    assert.equal(over(s, 'disable', 'metrix').status, 66);
  });
  test('of two that start on one port, one serves and the other says why not', async (t) => {
    const one = await configure({ quick: true }), two = await configure({ quick: true, port: one.port });
    const children = [one, two].map((at) => {
      const child = spawn(bin, ['-c', at.etc], { stdio: ['ignore', 'ignore', 'pipe'] });
      const it = { child, text: '', exit: new Promise((ok) => child.on('exit', (code) => ok(code))) };
      child.stderr.on('data', (d) => { it.text += d; });
      return it;
    });
    t.after(async () => { for (const c of children) { c.child.kill('SIGTERM'); await c.exit; } for (const at of [one, two]) fs.rmSync(at.dir, { recursive: true, force: true }); });
    const status = await Promise.race(children.map((c) => c.exit));
    const loser = children.find((c) => c.child.exitCode !== null), winner = children.find((c) => c !== loser);
    assert.equal(status, 75, loser.text);
    assert.match(loser.text, new RegExp(`cannot listen on 127\\.0\\.0\\.1:${one.port}: Address already in use`));
    await sleep(100);
    assert.equal(winner.child.exitCode, null);
    for (const end = Date.now() + 10000; Date.now() < end; await sleep(20)) try { if ((await fresh('GET', `${one.base}/health/live`)).status === 200) return; } catch { /* not yet */ }
    assert.fail('nobody serves');
  });
});

describe('configuration', () => {
  test('folders that are missing are made, whatever their depth, for the owner of what is in them', async (t) => {
    const at = await configure({ quick: true }), deep = path.join(at.dir, 'var/lib/some/where');
    t.after(() => fs.rmSync(at.dir, { recursive: true, force: true }));
    const s = await start({ at, args: ['-o', `core.state-dir=${deep}/state`, '-o', `core.cache-dir=${deep}/cache/andiron`, '-o', `admin.control-socket=${at.dir}/run/a/b/control.sock`] });
    t.after(() => s.stop());
    const mode = (p) => fs.statSync(p).mode & 0o777;
    assert.deepEqual([mode(path.join(at.dir, 'var/lib')), mode(path.join(at.dir, 'run/a/b')), mode(path.join(at.dir, 'run/a/b/control.sock'))], [0o755, 0o755, 0o660]);
    assert.equal(mode(path.join(deep, 'state')) & 0o007, 0, 'nothing for others');
    if (kind === 'sqlite') assert.ok(fs.existsSync(path.join(deep, 'state/andiron.db')));
    assert.equal(run(['-c', at.etc, '-o', `admin.control-socket=${at.dir}/run/a/b/control.sock`, 'status']).status, 0);
  });
  const broken = async () => {
    const at = await configure({ core: { http: { 'max-boddy': '1m', 'header-timeout': '10', 'io-threads': 'many' }, htpp: { listen: 'x' }, log: { level: 'loud' }, json: { 'max-depth': '1' } }, plugins: { auth: { 'max-ttl': '10y', 'asertion-algs': 'RS384' }, smart: { wildcard: 'maybe' }, 'store-sqlite': { 'queue-max': 'many' }, fhir: { 'max-bundle-entries': '-5' } } });
    return at;
  };
  test('check-config names every problem of all files, sorted, with place and nearest name', async (t) => {
    const at = await broken();
    t.after(() => fs.rmSync(at.dir, { recursive: true }));
    const r = over(at, 'check-config');
    assert.equal(r.status, 78, r.stdout + r.stderr);
    const lines = r.stdout.trim().split('\n'), last = lines.pop();
    for (const pattern of [/^andiron\.conf:\d+: http\.max-boddy: unknown directive; did you mean "max-body"\?/, /^andiron\.conf:\d+: http\.header-timeout: "10" is not a duration/, /^andiron\.conf:\d+: http\.io-threads: "many"/, /^andiron\.conf:\d+: \[htpp\] is unknown/, /^andiron\.conf:\d+: log\.level: "loud"/, /^andiron\.conf:\d+: json\.max-depth: "1"/,
      /^plugins\.d\/20-auth\.conf:\d+: auth\.max-ttl: "10y"/, /^plugins\.d\/20-auth\.conf:\d+: auth\.asertion-algs: unknown directive; did you mean "assertion-algs"\?/, /^plugins\.d\/30-smart\.conf:\d+: smart\.wildcard: "maybe".*expand/, /^plugins\.d\/10-store-\w+\.conf:\d+: store-\w+\.queue-max: "many" is not a whole number/, /^plugins\.d\/60-fhir\.conf:\d+: fhir\.max-bundle-entries: "-5"/])
      assert.ok(lines.some((l) => pattern.test(l)), `${pattern} in\n${r.stdout}`);
    assert.equal(lines.length, 11, r.stdout);
    assert.equal(last, '11 errors');
    const place = (l) => [l.split(':')[0], Number(l.split(':')[1])];
    assert.deepEqual(lines, [...lines].sort((a, b) => (place(a)[0] < place(b)[0] ? -1 : place(a)[0] > place(b)[0] ? 1 : place(a)[1] - place(b)[1])));
    for (const l of lines) {
      const [name, number] = place(l), text = fs.readFileSync(path.join(at.etc, name), 'utf8').split('\n')[number - 1], [, section, directive] = /:\d+: (?:\[(.*?)\]|[\w-]+\.([\w-]+):)/.exec(l);
      assert.ok(text.includes(section ?? directive), `${l} points to "${text}"`);
    }
    const served = run(['-c', at.etc]);
    assert.equal(served.status, 78);
    assert.ok(lines.every((l) => served.stderr.includes(l)), 'a start says the same');
    assert.equal(fs.existsSync(path.join(at.dir, 'state')), false, 'and makes nothing');
    const json = JSON.parse(over(at, 'check-config', '--json').stdout);
    assert.equal((json.problems ?? json.errors).length, 11, JSON.stringify(json));
    const good = over(server, 'check-config');
    assert.deepEqual([good.status, good.stdout], [0, `configuration ok: ${enabled(server).length} plugins\n`]);
  });
  test('print-config shows each value with its origin, and no secret', async (t) => {
    const at = await configure({ core: { core: { 'module-path': `${modules} ${fixtures}` } }, plugins: { auth: { 'clock-skew': '7s' } } });
    t.after(() => fs.rmSync(at.dir, { recursive: true }));
    fs.writeFileSync(path.join(at.etc, 'plugins.d/90-hello.conf'), `[plugin hello]\nmodule = hello.so\nsecret = secretCanary4242\n`);
    const r = run(['-c', at.etc, '-o', 'http.max-header=20k', 'print-config', '--diff'], { env: { ANDIRON_HTTP__IDLE_TIMEOUT: '42s' } });
    assert.equal(r.status, 0, r.stderr);
    assert.match(r.stdout, /^auth\.clock-skew = 7s +# plugins\.d\/20-auth\.conf:\d+$/m);
    assert.match(r.stdout, /^hello\.secret = \*\*\* +# plugins\.d\/90-hello\.conf:3$/m);
    assert.match(r.stdout, /^http\.max-header = 20k +# .*-o/m);
    assert.match(r.stdout, /^http\.idle-timeout = 42s +# environment/m);
    assert.doesNotMatch(r.stdout, /^auth\.max-ttl/m, 'what is default is no difference');
    const whole = run(['-c', at.etc, 'print-config']);
    assert.match(whole.stdout, /^auth\.max-ttl = 1h +# default$/m);
    const json = run(['-c', at.etc, 'print-config', '--json']);
    assert.ok(JSON.parse(json.stdout).some((v) => v.section === 'hello' && v.name === 'secret' && v.value === '***'));
    for (const x of [r, whole, json]) assert.doesNotMatch(x.stdout + x.stderr, /secretCanary/);
    fs.appendFileSync(path.join(at.etc, 'plugins.d/90-hello.conf'), 'secret = secretCanary4343\ntimes = secretless\n');
    const wrong = over(at, 'check-config');
    assert.equal(wrong.status, 78);
    assert.doesNotMatch(wrong.stdout + wrong.stderr, /secretCanary/, 'nor in a complaint about it');
  });
});

describe('explain-policy', () => {
  const explain = (policy, request, ...more) => run(['-c', server.etc, 'explain-policy', '--policy', policy, '--request', request, ...more]);
  test('0 for a match, 1 for none, 2 for a policy that is rejected, 64 for usage, 66 for what is missing, 78 for a module that is none', () => {
    const request = '{"request-method":"get","uri":"/fhir/Patient","client":{"id":"lab"}}';
    const match = explain('{"engine":"allow"}', request);
    assert.equal(match.status, 0, match.stderr);
    assert.match(match.stdout, /^match/);
    const none = explain('{"engine":"matcho","matcho":{"request-method":"post"}}', request);
    assert.equal(none.status, 1, none.stderr);
    assert.match(none.stdout, /^no match/);
    assert.equal(explain('{"engine":"matcho","matcho":{}}', request).status, 2);
    const policy = file('policy.json', '{"engine":"allow"}'), asked = file('request.json', request);
    assert.equal(explain(`@${policy}`, `@${asked}`).status, 0);
    assert.equal(typeof JSON.parse(explain(`@${policy}`, request, '--json').stdout), 'object');
    assert.equal(explain('{"engine":"nonsense"}', request).status, 2);
    assert.equal(explain('{}', request).status, 2);
    assert.equal(explain('{"engine":', request).status, 64);
    assert.equal(explain('{"engine":"allow"}', '[1').status, 64);
    assert.equal(explain('@/no/such/file', request).status, 66);
    assert.equal(run(['explain-policy']).status, 64);
    assert.equal(explain('{"engine":"allow"}', request, '--module', path.join(fixtures, 'no-symbol.so')).status, 78);
    assert.equal(explain('{"engine":"allow"}', request, '--module', '/no/such.so').status, 78);
    assert.equal(explain('{"engine":"allow"}', request, '--module', path.join(modules, 'policy-allow.so')).status, 0);
  });
});

test('what an operator sees holds no secret of theirs', () => {
  const shown = server.log() + server.output();
  for (const secret of ['wrongSecretCanary', basic('root', 'secret').slice(6), 'BEGIN']) assert.ok(!shown.includes(secret), secret);
});
