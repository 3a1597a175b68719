// The examples of every kind of extension, built as their READMEs say against an installed andiron, and asked.
import test, { before, after } from 'node:test';
import assert from 'node:assert/strict';
import fs from 'node:fs';
import path from 'node:path';
import { basic, call, configure, fresh, modules, source, start } from './lib/server.mjs';
import { install, serve, sh } from './lib/prefix.mjs';

const examples = path.join(source, 'examples');
const sources = (kind) => fs.readdirSync(path.join(examples, kind)).filter((f) => /\.c$/.test(f) && !f.startsWith('test_'));
const key = 'a-key-of-some-length-0123456789abcdef';
let home, server;

// Builds examples/KIND outside of the tree and installs it, without switching it on.
const make = (kind) => {
  const folder = path.join(home.work, kind);
  fs.cpSync(path.join(examples, kind), folder, { recursive: true });
  const command = fs.readFileSync(path.join(folder, 'README.md'), 'utf8').match(/^ {4}(gcc .*)$/m)[1];
  const r = sh(command.replace(/^gcc/, '${CC:-cc} -std=c11 -Wall -Wextra -pedantic -Werror'), { cwd: folder, env: home.env });
  assert.equal(r.status, 0, r.text);
  fs.mkdirSync(home.moduledir, { recursive: true });
  for (const file of fs.readdirSync(folder)) if (file.endsWith('.so')) fs.copyFileSync(path.join(folder, file), path.join(home.moduledir, file));
  return folder;
};
const enable = (folder) => {
  const conf = fs.readdirSync(folder).find((f) => /^\d\d-.*\.conf$/.test(f));
  fs.copyFileSync(path.join(folder, conf), path.join(home.confdir, 'plugins.d', conf));
};
const andiron = (args) => sh(`andiron ${args}`, { cwd: home.work, env: home.env });
const reload = () => { const r = andiron('reload'); assert.equal(r.status, 0, r.text); };
const ask = (method, target, body, headers = {}) => fresh(method, server.base + target, body, headers);
const asAdmin = (method, target, body) => ask(method, target, body, server.admin);

before(async () => {
  home = install();
  server = await serve(home);
  for (const kind of ['endpoint', 'resource-type', 'authenticator']) enable(make(kind));
  fs.writeFileSync(path.join(home.confdir, 'api-keys'), `clerk:${key}\nghost:${key}-of-nobody\n`, { mode: 0o600 });
  reload();
  for (const id of ['clerk', 'asleep']) assert.equal((await asAdmin('PUT', `/Client/${id}`, { resourceType: 'Client', id, grant_types: ['basic'], secret: `the secret of ${id}` })).status, 201);
});
after(async () => { await server.stop(); server.remove(); home.remove(); });

test('every example is short, has a conf and a README, and passes test-plugin', () => {
  for (const kind of fs.readdirSync(examples)) {
    let all = 0;
    for (const file of sources(kind)) {
      const lines = fs.readFileSync(path.join(examples, kind, file), 'utf8').split('\n').length - 1;
      assert.ok(lines < 150 || kind === 'store', `${kind}/${file}: ${lines} lines`);
      all += lines;
    }
    assert.ok(all <= (kind === 'store' ? 400 : 150), `${kind}: ${all} lines`);
    assert.ok(fs.existsSync(path.join(examples, kind, 'README.md')), kind);
    assert.ok(fs.readdirSync(path.join(examples, kind)).some((f) => /^\d\d-.*\.conf$/.test(f)), kind);
  }
  for (const [name, options] of [['whoami', ''], ['ward', ''], ['api-key', `-o api-key.keys=a:${key}`]]) {
    const r = andiron(`${options} test-plugin ${home.moduledir}/${name}.so`);
    assert.equal(r.status, 0, r.text);
    assert.match(r.text, /0 failed, 0 warnings/, r.text);
  }
});

test('endpoint: open to whom a policy lets in', async () => {
  const clerk = { authorization: basic('clerk', 'the secret of clerk') };
  assert.equal((await ask('GET', '/whoami')).status, 401);
  assert.equal((await ask('GET', '/whoami', undefined, clerk)).status, 403);
  assert.equal((await asAdmin('PUT', '/AccessPolicy/whoami', { resourceType: 'AccessPolicy', engine: 'allow', link: [{ reference: 'Operation/WhoAmI' }] })).status, 201);
  const r = await ask('GET', '/whoami', undefined, clerk);
  assert.deepEqual(r.json, { kind: 'Client', id: 'clerk', 'granted-by': 'AccessPolicy/whoami' });
  assert.equal(r.headers.get('cache-control'), 'no-store');
});

test('authenticator: a key is its Client, a wrong one nobody', async () => {
  const by = (text, more = {}) => ask('GET', '/whoami', undefined, { 'x-api-key': text, ...more });
  assert.equal((await by(key)).json.id, 'clerk');
  for (const wrong of [key.slice(1), key + 'x', key.replace('a', 'b'), 'x', `${key}-of-nobody`]) assert.equal((await by(wrong)).status, 401, wrong);
  assert.equal((await by(key, server.admin)).status, 401); // two answers to one question
  await asAdmin('PUT', '/Client/clerk', { resourceType: 'Client', id: 'clerk', active: false, grant_types: ['basic'], secret: 'the secret of clerk' });
  assert.equal((await by(key)).status, 401);
  await asAdmin('PUT', '/Client/clerk', { resourceType: 'Client', id: 'clerk', grant_types: ['basic'], secret: 'the secret of clerk' });
  assert.equal((await by(key)).status, 200);
  const short = andiron(`-o api-key.keys=lab:short test-plugin ${home.moduledir}/api-key.so`);
  assert.match(short.text, /pair 1 must be CLIENT:KEY with a key of at least 32 characters/);
  assert.doesNotMatch(server.log(), new RegExp(key));
});

test('resource type: checked, stored, searched, versioned', async () => {
  const ward = (more = {}) => ({ resourceType: 'Ward', id: '3n', name: '3 North', beds: 24, site: { reference: 'Organization/main' }, ...more });
  assert.equal((await asAdmin('PUT', '/fhir/Organization/main', { resourceType: 'Organization', id: 'main', name: 'Main' })).status, 201);
  assert.equal((await asAdmin('PUT', '/Ward/3n', ward())).status, 201);
  assert.equal((await asAdmin('PUT', '/Ward/3n', ward({ beds: 25 }))).status, 200);
  assert.equal((await asAdmin('GET', '/Ward/3n/_history')).json.entry.length, 2);
  for (const query of ['name=3%20nor', 'site=Organization/main']) assert.equal((await asAdmin('GET', `/Ward?${query}`)).json.entry?.length, 1, query);
  assert.equal((await asAdmin('GET', '/Ward?name=south')).json.entry?.length ?? 0, 0);
  const wrong = [[{ name: undefined }, 'Ward.name'], [{ beds: -1 }, 'Ward.beds'], [{ beds: 1.5 }, 'Ward.beds'], [{ beds: '24' }, 'Ward.beds'], [{ site: { reference: 'Patient/a' } }, 'Ward.site'], [{ color: 'red' }, 'Ward']];
  for (const [more, where] of wrong) {
    const r = await asAdmin('PUT', '/Ward/x', { ...ward(more), id: 'x' });
    assert.equal(r.status, 422, r.text);
    assert.deepEqual(r.json.issue[0].expression, [where], r.text);
  }
});

test('filter: nothing is written while it is on', async () => {
  enable(make('filter'));
  reload();
  for (const [method, target] of [['PUT', '/fhir/Patient/a'], ['POST', '/fhir/Patient'], ['DELETE', '/fhir/Organization/main'], ['PATCH', '/fhir/Organization/main'], ['PUT', '/Ward/3n']]) {
    const r = await asAdmin(method, target, method === 'DELETE' ? undefined : { resourceType: 'Patient', id: 'a' });
    assert.equal(r.status, 503, `${method} ${target}: ${r.text}`);
    assert.equal(r.headers.get('retry-after'), '60');
    assert.match(r.json.issue[0].diagnostics, /read-only/);
  }
  assert.equal((await asAdmin('GET', '/fhir/Organization/main')).status, 200);
  assert.equal((await asAdmin('POST', '/fhir/Organization/_search?_count=1')).status, 200);
  const batch = await asAdmin('POST', '/fhir', { resourceType: 'Bundle', type: 'batch', entry: [{ request: { method: 'GET', url: 'Organization/main' } }, { request: { method: 'DELETE', url: 'Organization/main' } }] });
  assert.deepEqual(batch.json.entry.map((e) => e.response.status.slice(0, 3)), ['200', '503'], batch.text);
  const transaction = await asAdmin('POST', '/fhir', { resourceType: 'Bundle', type: 'transaction', entry: [{ request: { method: 'DELETE', url: 'Organization/main' } }] });
  assert.ok(transaction.status >= 400, transaction.text);
  assert.match(transaction.text, /503/);
  assert.equal((await asAdmin('GET', '/fhir/Organization/main')).status, 200);
});

test('store: the server stands on it, conditions, history, search and tokens of clients included', async () => {
  make('store');
  const at = await configure({ quick: true, plugins: { 'store-sqlite': false, 'policy-sql': false }, core: { core: { 'module-path': `${home.moduledir} ${modules}` } } });
  fs.copyFileSync(path.join(examples, 'store/10-store-memory.conf'), path.join(at.etc, 'plugins.d/10-store-memory.conf'));
  const own = await start({ at, bin: path.join(home.prefix, 'bin/andiron') });
  const own_ask = (method, target, body, headers = {}) => fresh(method, own.base + target, body, { ...own.admin, ...headers });
  try {
    const patient = (family, more = {}) => ({ resourceType: 'Patient', id: 'a', name: [{ family }], birthDate: '1980-02-03', ...more });
    assert.equal((await own_ask('PUT', '/fhir/Patient/a', patient('Abel'))).status, 201);
    assert.equal((await own_ask('PUT', '/fhir/Patient/a', patient('Abelson'))).status, 200);
    assert.equal((await own_ask('PUT', '/fhir/Patient/a', patient('Old'), { 'if-match': 'W/"1"' })).status, 412);
    assert.equal((await own_ask('GET', '/fhir/Patient/a')).json.meta.versionId, '2');
    assert.equal((await own_ask('GET', '/fhir/Patient/a/_history')).json.entry.length, 2);
    assert.equal((await own_ask('GET', '/fhir/Patient/a/_history/1')).json.name[0].family, 'Abel');
    const observation = { resourceType: 'Observation', status: 'final', code: { coding: [{ system: 'http://loinc.org', code: '4548-4' }] }, subject: { reference: 'Patient/a' }, valueQuantity: { value: 5.4, unit: '%', system: 'http://unitsofmeasure.org', code: '%' } };
    for (let i = 0; i < 3; i++) assert.equal((await own_ask('POST', '/fhir/Observation', observation)).status, 201);
    const found = async (query) => (await own_ask('GET', `/fhir/${query}`)).json.total;
    const expected = { 'Patient?name=abels': 1, 'Patient?name=cain': 0, 'Patient?birthdate=ge1980-01-01': 1, 'Patient?birthdate=lt1980': 0, 'Patient?_id=a': 1, 'Observation?code=4548-4': 3, 'Observation?code=http://loinc.org|1': 0, 'Observation?subject=Patient/a&value-quantity=gt5': 3, 'Observation?subject.name=abelson': 3, 'Observation?code:not=4548-4': 0, 'Patient?_has:Observation:subject:code=4548-4': 1 };
    for (const [query, total] of Object.entries(expected)) assert.equal(await found(`${query}&_total=accurate`), total, query);
    const page = await own_ask('GET', '/fhir/Observation?_count=2'), next = page.json.link.find((l) => l.relation === 'next').url;
    assert.equal(page.json.entry.length, 2);
    assert.equal((await call('GET', next, undefined, own.admin)).json.entry.length, 1);
    const families = ['Dan', 'Abel', 'Eve'];
    for (const [i, family] of families.entries()) assert.equal((await own_ask('PUT', `/fhir/Patient/s${i}`, patient(family, { id: `s${i}`, active: true }))).status, 201);
    const sorted = await own_ask('GET', '/fhir/Patient?active=true&_sort=-family&_count=2'), rest = sorted.json.link.find((l) => l.relation === 'next').url;
    const shown = [...sorted.json.entry, ...(await call('GET', rest, undefined, own.admin)).json.entry];
    assert.deepEqual(shown.map((e) => e.resource.name[0].family), ['Eve', 'Dan', 'Abel']);
    const included = await own_ask('GET', '/fhir/Observation?_include=Observation:subject&_count=1');
    assert.deepEqual(included.json.entry.map((e) => `${e.search.mode} ${e.resource.resourceType}`), ['match Observation', 'include Patient']);
    assert.deepEqual((await own_ask('GET', '/fhir/Patient?_id=a&_revinclude=Observation:subject')).json.entry.map((e) => e.search.mode), ['match', 'include', 'include', 'include']);
    assert.equal((await own_ask('POST', '/fhir/Patient', patient('New'), { 'if-none-exist': 'name=abelson' })).status, 200);
    assert.equal((await own_ask('DELETE', '/fhir/Patient/a')).status < 300, true);
    assert.equal((await own_ask('GET', '/fhir/Patient/a')).status, 410);
    assert.equal((await own_ask('PUT', '/Client/clerk', { resourceType: 'Client', id: 'clerk', grant_types: ['basic'], secret: 'the secret of clerk' })).status, 201);
    const clerk = { authorization: basic('clerk', 'the secret of clerk') };
    assert.equal((await own_ask('GET', '/fhir/Patient', undefined, clerk)).status, 403);
    await own_ask('PUT', '/AccessPolicy/clerk', { resourceType: 'AccessPolicy', engine: 'allow', link: [{ reference: 'Client/clerk' }] });
    assert.equal((await own_ask('GET', '/fhir/Patient', undefined, clerk)).status, 200);
  } finally { await own.stop(); own.remove(); }
});
