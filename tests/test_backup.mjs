// andiron backup and restore (packaging-and-operations 6 and 9, OP-2): one file made while serving, checked before anything of it
// is used; whatever is killed in whatever moment, nothing half-restored is ever served.
import test, { before, after, describe } from 'node:test';
import assert from 'node:assert/strict';
import { execFileSync, spawn } from 'node:child_process';
import { createHash } from 'node:crypto';
import fs from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { bin, start, call, rootBundle, sleep, notOn, source, store } from './lib/server.mjs';
import { allow, bearer, getToken, headerOf, keyPair, putClient, seedClient } from './lib/smart.mjs';

const launched = new Set();
const launch = async (options) => { const s = await start(options); launched.add(s); return s; };
after(async () => { for (const s of launched) { await s.kill(); s.remove(); } });

const begin = (server, ...args) => spawn(bin, ['-c', server.etc, ...args], { stdio: ['ignore', 'pipe', 'pipe'] });
const ended = (child) => new Promise((ok) => {
  let stdout = '', stderr = '';
  child.stdout.on('data', (d) => { stdout += d; });
  child.stderr.on('data', (d) => { stderr += d; });
  child.on('close', (status, signal) => ok({ status, signal, stdout, stderr }));
});
const run = (server, ...args) => ended(begin(server, ...args));
const good = async (server, ...args) => {
  const r = await run(server, ...args);
  assert.equal(r.status, 0, r.stderr);
  return r;
};
const refused = async (status, pattern, server, ...args) => {
  const r = await run(server, ...args);
  assert.equal(r.status, status, r.stderr);
  assert.match(r.stderr, /^andiron: .+\nhint: .+\n$/);
  assert.match(r.stderr, pattern);
};
const key = keyPair('ES384', 'c');
const quick = { quick: true, plugins: { jwks: { 'token-alg': 'ES256' } } };
const put = (server, id, family) => call('PUT', `${server.fhir}/Patient/${id}`, { resourceType: 'Patient', id, name: [{ family }] }, server.admin);
const find = async (server, family, headers = server.admin) => (await call('GET', `${server.fhir}/Patient?family=${family}`, undefined, headers)).json;

// Everything in a folder with its content: what must not change.
const look = (dir, at = '') => fs.readdirSync(path.join(dir, at), { withFileTypes: true }).flatMap((e) => {
  const name = path.join(at, e.name);
  if (e.isDirectory()) return look(dir, name);
  return [[name, e.isSymbolicLink() ? fs.readlinkSync(path.join(dir, name)) : createHash('sha256').update(fs.readFileSync(path.join(dir, name))).digest('hex')]];
}).sort();
const stateOf = (server) => [look(server.etc), look(path.join(server.dir, 'state'))];

// A server with a Patient "Before" and a client with a token, its backup, then a Patient "Later" and another line in its configuration; stopped.
const prepared = async () => {
  const server = await launch(quick), file = path.join(server.dir, 'andiron.backup');
  await putClient(server, 'c', seedClient({ jwks: [key.jwk] }));
  await allow(server, 'c');
  assert.equal((await put(server, 'one', 'Before')).status, 201);
  const token = await getToken(server, 'c', key);
  await good(server, 'backup', file);
  assert.equal((await put(server, 'two', 'Later')).status, 201);
  assert.equal((await put(server, 'one', 'Changed')).status, 200);
  await good(server, 'keys', 'rotate', '--now');
  fs.appendFileSync(path.join(server.etc, 'andiron.conf'), '# later\n');
  await server.stop();
  return { server, file, token };
};

describe('backup and restore', { skip: notOn('postgres', 'it has its own means') }, () => {
  let server, file, token;
  before(async () => { ({ server, file, token } = await prepared()); });

  test('a backup is one private tar archive whose manifest tells what is in it', () => {
    assert.equal(fs.statSync(file).mode & 0o777, 0o600);
    const names = execFileSync('tar', ['-tf', file], { encoding: 'utf8' }).trim().split('\n');
    for (const name of ['store.db', 'config/andiron.conf', 'config/plugins.d/10-store-sqlite.conf', 'config/init.json', 'manifest.json']) assert.ok(names.includes(name), name);
    assert.ok(names.some((n) => n.startsWith('keys/')));
    const manifest = JSON.parse(execFileSync('tar', ['-xOf', file, 'manifest.json']));
    assert.equal(manifest.format, 1);
    assert.equal(manifest.store.plugin, 'store-sqlite');
    assert.ok(manifest.store.schema >= 1);
    for (const f of manifest.files) if (!f.folder && !f.link) assert.equal(createHash('sha256').update(execFileSync('tar', ['-xOf', file, f.name], { maxBuffer: 1 << 28 })).digest('hex'), f.sha256, f.name);
    assert.deepEqual(fs.readdirSync(path.join(server.dir, 'state')).filter((n) => n.startsWith('snapshot-')), []);
    assert.ok(!fs.existsSync(`${file}.partial`));
  });
  test('a file that is there is not overwritten', async () => {
    const was = fs.readFileSync(file);
    await refused(73, /exists already/, server, 'backup', file);
    assert.deepEqual(fs.readFileSync(file), was);
  });
  test('a backup needs a running server, and leaves no file without one', async () => {
    const other = path.join(server.dir, 'none.backup');
    await refused(69, /no answer at/, server, 'backup', other);
    assert.ok(!fs.existsSync(other) && !fs.existsSync(`${other}.partial`));
  });
  test('a damaged or cut file is refused before anything changes', async () => {
    const bytes = fs.readFileSync(file), bad = path.join(server.dir, 'bad.backup'), was = stateOf(server);
    const manifest = bytes.indexOf('manifest.json'), conf = bytes.indexOf('config/andiron.conf');
    const cases = [[3000, 'store'], [bytes.indexOf('-----BEGIN') + 40, 'a key'], [conf + 5, 'a name'], [conf + 520, 'configuration'], [bytes.indexOf('"sha256":"') + 12, 'a checksum'], [manifest, 'its name']];
    for (const [at, what] of cases) {
      const changed = Buffer.from(bytes);
      changed[at] ^= 1;
      fs.writeFileSync(bad, changed);
      await refused(65, /damaged or incomplete|nothing was changed/, server, 'restore', bad);
      assert.deepEqual(stateOf(server), was, what);
    }
    for (const end of [0, 100, 512, 5000, conf, manifest, manifest + 600, bytes.length - 1024 - 512]) {
      fs.writeFileSync(bad, bytes.subarray(0, end));
      await refused(65, /damaged or incomplete/, server, 'restore', bad);
    }
    await refused(65, /damaged or incomplete/, server, 'restore', path.join(source, 'README.md'));
    assert.deepEqual(stateOf(server), was);
    assert.equal((await run(server, 'restore', '/nowhere.backup')).status, 66);
  });
  test('restored, it serves what it served: reads, search, and tokens of that time', async () => {
    await good(server, 'restore', file);
    assert.doesNotMatch(fs.readFileSync(path.join(server.etc, 'andiron.conf'), 'utf8'), /# later/);
    assert.ok(!fs.existsSync(path.join(server.etc, '.restore')) && !fs.existsSync(path.join(server.dir, 'state/restore')));
    const again = await launch({ at: server });
    assert.equal((await call('GET', `${again.fhir}/Patient/one`, undefined, again.admin)).json.name[0].family, 'Before');
    assert.equal((await call('GET', `${again.fhir}/Patient/two`, undefined, again.admin)).status, 404);
    assert.equal((await find(again, 'Before')).total ?? (await find(again, 'Before')).entry.length, 1);
    assert.equal((await find(again, 'Later')).entry?.length ?? 0, 0);
    assert.equal((await find(again, 'Before', bearer(token))).entry.length, 1);
    assert.equal(headerOf(await getToken(again, 'c', key)).kid, headerOf(token).kid);
    const checked = await run(again, 'check', '--json');
    assert.deepEqual(JSON.parse(checked.stdout).differences, [], checked.stdout);
    await refused(75, /is running/, again, 'restore', file);
    assert.equal((await call('GET', `${again.fhir}/Patient/one`, undefined, again.admin)).status, 200);
    await again.stop();
  });
  test('a backup of a newer schema is refused, and nothing changes', async () => {
    const work = fs.mkdtempSync(path.join(server.dir, 'newer-')), newer = path.join(server.dir, 'newer.backup');
    execFileSync('tar', ['-xf', file, '-C', work]);
    execFileSync('python3', ['-c', `import sqlite3,sys\nc=sqlite3.connect(sys.argv[1])\nc.execute("UPDATE meta SET v=99 WHERE k='schema'")\nc.commit()\nc.close()`, path.join(work, 'store.db')]);
    const manifest = JSON.parse(fs.readFileSync(path.join(work, 'manifest.json')));
    const db = fs.readFileSync(path.join(work, 'store.db')), listed = manifest.files.find((f) => f.name === 'store.db');
    Object.assign(listed, { size: db.length, sha256: createHash('sha256').update(db).digest('hex') });
    fs.writeFileSync(path.join(work, 'manifest.json'), JSON.stringify(manifest));
    // Members as andiron writes them: the names it was given, in its order, their owners by name.
    const own = manifest.files.find((f) => f.name === 'config/andiron.conf');
    listed.user = own.user; listed.group = own.group;
    fs.writeFileSync(path.join(work, 'manifest.json'), JSON.stringify(manifest));
    execFileSync('tar', ['--format=ustar', '--no-recursion', `--owner=${own.user}`, `--group=${own.group}`, '-C', work, '-cf', newer, ...manifest.files.map((f) => f.name), 'manifest.json']);
    const was = stateOf(server);
    await refused(65, /schema version 99, this andiron knows/, server, 'restore', newer);
    assert.deepEqual(stateOf(server), was);
  });
  test('an archive cannot write elsewhere: names that lead out, and links in the way, are refused', async () => {
    const work = fs.mkdtempSync(path.join(server.dir, 'hostile-'));
    fs.mkdirSync(path.join(work, 'config'));
    fs.writeFileSync(path.join(work, 'x'), 'x');
    fs.symlinkSync('/tmp', path.join(work, 'config/out'));
    const make = (name, ...args) => { const f = path.join(server.dir, name); execFileSync('tar', ['--format=ustar', '-P', '--no-recursion', '-C', work, '-cf', f, ...args]); return f; };
    const files = [
      make('a.backup', '--transform=s,^x$,config/../../x,', 'x'), make('b.backup', '--transform=s,^x$,/etc/x,', 'x'), make('c.backup', '--transform=s,^x$,keys/.,', 'x'),
      make('d.backup', '--transform=s,^x$,config/out/x,', 'config/out', 'x'),
      make('e.backup', '--transform=s,^x$,files/../x,', 'x'), make('f.backup', '--transform=s,^config/out$,files/tmp/out,', 'config/out'),
    ];
    for (const f of files) await refused(65, /a file that is none of a backup/, server, 'restore', f);
  });
});

describe('killed in the middle', { skip: notOn('postgres', 'it has its own means') }, () => {
  test('a backup leaves no file of its name, and the next one works', async () => {
    const server = await launch(quick);
    for (let i = 0; i < 40; i++) await put(server, `p${i}`, 'X'.repeat(50000));
    const file = path.join(server.dir, 'killed.backup');
    let began = Date.now();
    await good(server, 'backup', path.join(server.dir, 'whole.backup'));
    const took = Date.now() - began;
    let killed = 0;
    for (let i = 0; i < 8; i++) {
      const child = begin(server, 'backup', file), over = ended(child);
      await sleep((took * (i + 0.5)) / 8);
      child.kill('SIGKILL');
      const r = await over;
      if (r.signal) killed++;
      if (fs.existsSync(file)) { // it was complete: then it is whole
        JSON.parse(execFileSync('tar', ['-xOf', file, 'manifest.json']));
        fs.rmSync(file);
      }
    }
    assert.ok(killed > 2, `${killed}`);
    await good(server, 'backup', file);
    assert.equal(fs.statSync(file).size > 2000000, true);
    await server.stop();
  });

  test('a restore: what then serves is all old or all new, or it does not serve until the restore was finished', async () => {
    const { server, file } = await prepared(), kept = path.join(server.dir, 'kept');
    fs.mkdirSync(kept);
    for (const part of ['etc', 'state']) fs.cpSync(path.join(server.dir, part), path.join(kept, part), { recursive: true, verbatimSymlinks: true });
    const reset = () => { for (const part of ['etc', 'state']) { fs.rmSync(path.join(server.dir, part), { recursive: true }); fs.cpSync(path.join(kept, part), path.join(server.dir, part), { recursive: true, verbatimSymlinks: true }); } };
    // Old: Patient/two and "# later"; new: neither. The first key signs again.
    const seen = async () => {
      const s = await launch({ at: server });
      const two = (await call('GET', `${s.fhir}/Patient/two`, undefined, s.admin)).status === 200;
      const family = (await call('GET', `${s.fhir}/Patient/one`, undefined, s.admin)).json.name[0].family;
      const conf = /# later/.test(fs.readFileSync(path.join(s.etc, 'andiron.conf'), 'utf8'));
      const keys = JSON.parse((await good(s, 'keys', 'list', '--json')).stdout).keys;
      assert.ok(keys.every((k) => k.private), 'every key has its file');
      await s.stop();
      assert.equal(family, two ? 'Changed' : 'Before');
      assert.equal(conf, two);
      assert.equal(keys.length, two ? 2 : 1);
      return two ? 'old' : 'new';
    };
    const began = Date.now();
    await good(server, 'restore', file);
    const took = Date.now() - began, found = { old: 0, new: 0, refused: 0 };
    assert.equal(await seen(), 'new');
    // The second half is where things change places.
    for (let i = 0; i < 10; i++) {
      reset();
      const child = begin(server, 'restore', file), over = ended(child);
      await sleep(took * (i < 2 ? 0.2 + i * 0.2 : 0.5 + (i - 2) * 0.06));
      child.kill('SIGKILL');
      await over;
      await sleep(300); // its child may still be at it: it ends by itself
      let what;
      try {
        what = await seen();
      } catch (error) {
        if (!error.exit) throw error;
        assert.equal(error.exit.code, 78);
        assert.match(error.output, /restore into it was interrupted; run it again to its end: andiron restore FILE/);
        what = 'refused';
        await good(server, 'restore', file);
        assert.equal(await seen(), 'new');
      }
      found[what]++;
    }
    assert.equal(found.old + found.new + found.refused, 10);
  });

  test('the mark of an unfinished restore keeps a server from starting, wherever it stands', async () => {
    const { server, file } = await prepared();
    for (const dir of [server.etc, path.join(server.dir, 'state')]) {
      fs.writeFileSync(path.join(dir, '.restore-unfinished'), '');
      await assert.rejects(launch({ at: server }), (e) => e.exit.code === 78 && /was interrupted/.test(e.output));
      // Another attempt that fails does not take it away.
      const bad = path.join(server.dir, 'cut.backup');
      fs.writeFileSync(bad, fs.readFileSync(file).subarray(0, 4096));
      await refused(65, /damaged/, server, 'restore', bad);
      assert.ok(fs.existsSync(path.join(dir, '.restore-unfinished')));
      await good(server, 'restore', file);
      assert.ok(!fs.existsSync(path.join(dir, '.restore-unfinished')));
    }
    await (await launch({ at: server })).stop();
  });
});

test('--keep-config restores to where the present configuration says; --without-store saves the rest', { skip: notOn('postgres', 'below') }, async () => {
  const { server, file } = await prepared();
  const other = await launch(quick);
  await other.stop();
  await good(other, 'restore', '--keep-config', file);
  const again = await launch({ at: other });
  assert.equal((await call('GET', `${again.fhir}/Patient/one`, undefined, again.admin)).json.name[0].family, 'Before');
  const rest = path.join(other.dir, 'rest.backup');
  const said = JSON.parse((await good(again, 'backup', '--without-store', '--json', rest)).stdout);
  assert.deepEqual(said, { event: 'done', store: false, bytes: 0 });
  await again.stop();
  const r = await good(again, 'restore', '--json', rest);
  assert.match(r.stderr, /holds no store\nhint: .*pg_restore/);
  assert.equal(JSON.parse(r.stdout).store, false);
  assert.equal((await (await launch({ at: other })).stop()).code, 0);
  assert.ok(server);
});

test('files elsewhere that the configuration names are in the backup; restore --files puts back those that are missing', { skip: notOn('postgres', 'it is the same there') }, async (t) => {
  const outside = fs.mkdtempSync(path.join(os.tmpdir(), 'andiron-outside-')), at = (name) => path.join(outside, name);
  t.after(() => fs.rmSync(outside, { recursive: true, force: true }));
  const texts = { 'seal.key': 's'.repeat(44), 'chain.key': 'c'.repeat(44), 'root.secret': 'secret' };
  for (const [name, text] of Object.entries(texts)) fs.writeFileSync(at(name), text, { mode: 0o600 });
  const bundle = rootBundle();
  bundle.entry[0].resource.secret = `\${file:${at('root.secret')}}`;
  const dir = fs.mkdtempSync(path.join(os.tmpdir(), 'andiron-')), etc = path.join(dir, 'etc');
  fs.mkdirSync(etc);
  fs.symlinkSync(at('seal.key'), path.join(etc, 'seal.key')); // one that lies elsewhere, by a link of the configuration
  const server = await launch({ ...quick, dir, init: bundle, plugins: { jwks: { 'token-alg': 'ES256', 'seal-key': '@seal.key' }, audit: { 'chain-key': `@${at('chain.key')}` } } });
  const file = path.join(server.dir, 'outside.backup');
  await good(server, 'backup', file);
  await server.stop();
  const names = execFileSync('tar', ['-tf', file], { encoding: 'utf8' }).trim().split('\n');
  assert.deepEqual(names.filter((n) => n.startsWith('files/')).sort(), Object.keys(texts).map((n) => `files${at(n)}`).sort());
  assert.ok(!names.some((n) => n.startsWith('files/') && n.includes(server.dir)), 'nothing twice');

  // As they are: nothing to say.
  assert.equal((await good(server, 'restore', file)).stderr, '');
  // One is gone and another has changed since: neither is touched unless that is asked for.
  fs.rmSync(at('seal.key'));
  fs.writeFileSync(at('root.secret'), 'renewed');
  const told = (await good(server, 'restore', file)).stderr;
  assert.match(told, /seal\.key is missing, .*\nhint: restore --files/);
  assert.match(told, /root\.secret is not as in the backup .*left as it is\nhint: /);
  assert.ok(!fs.existsSync(at('seal.key')));
  await good(server, 'restore', '--files', file);
  assert.equal(fs.readFileSync(at('seal.key'), 'utf8'), texts['seal.key']);
  assert.equal(fs.statSync(at('seal.key')).mode & 0o777, 0o600);
  assert.equal(fs.readFileSync(at('root.secret'), 'utf8'), 'renewed');
  fs.rmSync(outside, { recursive: true });
  await good(server, 'restore', '--files', file);
  for (const [name, text] of Object.entries(texts)) assert.equal(fs.readFileSync(at(name), 'utf8'), text);
  assert.deepEqual(fs.readdirSync(outside).sort(), Object.keys(texts).sort());
  const again = await launch({ at: server });
  assert.equal((await call('GET', `${again.fhir}/Patient`, undefined, again.admin)).status, 200);
  await again.stop();
});

test('with store-postgres a backup says to use pg_dump, and still saves keys and configuration', { skip: store === 'postgres' ? false : 'needs PostgreSQL' }, async () => {
  const server = await launch(quick), file = path.join(server.dir, 'pg.backup');
  await refused(78, /store-postgres makes no copies.*\nhint: .*pg_dump.*--without-store/, server, 'backup', file);
  assert.ok(!fs.existsSync(file) && !fs.existsSync(`${file}.partial`));
  await good(server, 'backup', '--without-store', file);
  await server.stop();
  await good(server, 'restore', file);
  assert.equal((await (await launch({ at: server })).stop()).code, 0);
});
