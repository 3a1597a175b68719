// The init bundle, as seed-semantics.md section 10 has it (IB-1..6).
import test, { after, describe } from 'node:test';
import assert from 'node:assert/strict';
import fs from 'node:fs';
import path from 'node:path';
import { basic, call, configure, rootBundle, source, start, storeOf } from './lib/server.mjs';

const entry = (method, url, resource) => ({ resource, request: { method, url } });
const policy = (id, more = {}) => entry('PUT', `AccessPolicy/${id}`, { resourceType: 'AccessPolicy', id, engine: 'allow', ...more });
const bad = { resourceType: 'AccessPolicy', id: 'bad', engine: 7 };

// Starts and must end by itself; what it wrote.
const failing = async (t, options) => {
  const at = options.at ?? await configure(options);
  t.after(() => fs.rmSync(at.dir, { recursive: true, force: true }));
  const error = await start({ ...options, at }).then(async (s) => { await s.kill(); assert.fail('it started'); }, (e) => e);
  await assert.rejects(fetch(at.base + '/health/live'), 'nothing listens');
  return error;
};

test('a transaction that fails stops the start with 78, the place and the reason', async (t) => {
  const init = rootBundle();
  init.entry.push(entry('PUT', 'AccessPolicy/bad', bad));
  const error = await failing(t, { init });
  assert.equal(error.exit.code, 78, error.message);
  assert.match(error.output, /andiron: init\.bundle: .*init\.json was refused \(4\d\d\): .+/);
});

test('a failing entry of a batch is a warning, and the others are applied', async (t) => {
  const init = { ...rootBundle(), type: 'batch' };
  init.entry.splice(1, 0, entry('PUT', 'AccessPolicy/bad', bad));
  const server = await start({ init });
  t.after(async () => { await server.stop(); server.remove(); });
  await server.logged(/"event":"init.entry"/);
  const warnings = server.log().split('\n').filter((l) => l.includes('"event":"init.entry"')).map((l) => JSON.parse(l));
  assert.equal(warnings.length, 1);
  assert.match(warnings[0].msg, /^init\.bundle: entry 1: 4\d\d/);
  assert.equal((await call('GET', server.base + '/Client/root', undefined, server.admin)).status, 200);
});

test('what is no bundle, no JSON, or not there stops the start with 78', async (t) => {
  const cases = [
    [{ resourceType: 'Patient' }, /is no Bundle of type transaction or batch/],
    [{ resourceType: 'Bundle', type: 'collection' }, /is no Bundle of type transaction or batch/],
  ];
  for (const [init, words] of cases) {
    const error = await failing(t, { init });
    assert.equal(error.exit.code, 78);
    assert.match(error.output, words);
  }
  const at = await configure({});
  fs.writeFileSync(path.join(at.etc, 'init.json'), '{"resourceType":"Bundle",}');
  const broken = await failing(t, { at });
  assert.equal(broken.exit.code, 78);
  assert.match(broken.output, /init\.json: line 1, column 26/);
  fs.rmSync(path.join(at.etc, 'init.json'));
  const missing = await failing(t, { at });
  assert.equal(missing.exit.code, 78);
  assert.match(missing.output, /init\.bundle: cannot read .*init\.json: No such file/);
});

test('${env:} and ${file:} are filled in; what is not set stops the start', async (t) => {
  const at = await configure({ init: false });
  const secret = path.join(at.dir, 'secret');
  fs.writeFileSync(secret, 'from-a-file-"quoted"\n');
  const init = rootBundle();
  init.entry[0].resource.secret = `\${file:${secret}}`;
  init.entry[1].resource.description = '${env:WHO} may do ${everything}';
  fs.writeFileSync(path.join(at.etc, 'init.json'), JSON.stringify(init));
  const env = { ANDIRON_INIT_BUNDLE: `file://${path.join(at.etc, 'init.json')}` };
  const error = await failing(t, { at, env });
  assert.equal(error.exit.code, 78);
  assert.match(error.output, /\$\{env:WHO\}: the variable is not set in the environment/);
  const server = await start({ at, env: { ...env, WHO: 'root' } });
  t.after(() => server.kill());
  const admin = { authorization: 'Basic ' + Buffer.from('root:from-a-file-"quoted"').toString('base64') };
  const stored = await call('GET', server.base + '/AccessPolicy/root', undefined, admin);
  assert.equal(stored.status, 200, stored.text);
  assert.equal(stored.json.description, 'root may do ${everything}');
  assert.ok(!server.log().includes('from-a-file'), 'no secret in the log');
});

test('applied again, an equal bundle makes no new versions', async (t) => {
  const server = await start({});
  t.after(() => server.remove());
  const versions = async (s) => Promise.all(['Client', 'AccessPolicy'].map(async (type) => (await call('GET', `${s.base}/${type}/root`, undefined, s.admin)).json.meta.versionId));
  const before = await versions(server);
  assert.equal((await server.stop()).code, 0);
  const again = await start({ at: server });
  assert.deepEqual(await versions(again), before);
  assert.equal((await again.stop()).code, 0);
});

test('without a plugin that serves POST /fhir the message says what is missing', async (t) => {
  const plugins = Object.fromEntries(fs.readdirSync(path.join(source, 'plugins')).map((n) => [n, false]));
  const error = await failing(t, { plugins });
  assert.equal(error.exit.code, 78);
  assert.match(error.output, /no enabled plugin serves POST \/fhir; run: andiron enable fhir/);
});

describe('IB-4, CL-6: two nodes over one store', () => {
  // Also where a test has failed: else its daemons would keep node waiting.
  const left = new Set();
  const launch = async (options) => { const s = await start(options); left.add(s); return s; };
  after(async () => { for (const s of left) await s.kill(); });
  // On SQLite a node hears of what others store by looking: so seldom that this alone would come too late.
  const beside = (one) => Object.fromEntries(Object.entries(storeOf(one)).map(([name, values]) => [name, name === 'store-sqlite' ? { ...values, 'poll-interval': '10s' } : values]));
  const end = async (...nodes) => { for (const n of nodes) { await n.stop(); assert.doesNotMatch(n.output(), /Sanitizer|runtime error/); n.remove(); } };

  test('started at once let in by the policies of the bundle from the first request on', async () => {
    for (let round = 0; round < 4; round++) {
      // The store is there already, without what the bundle brings: it is not making it that is tried here.
      const one = await configure({ quick: true, init: false, plugins: { jwks: { 'token-alg': 'ES256' } } });
      await (await launch({ at: one })).stop();
      const two = await configure({ quick: true, init: false, plugins: { ...beside(one), jwks: { 'token-alg': 'ES256' } } });
      const bundle = path.join(one.dir, 'bundle.json');
      fs.writeFileSync(bundle, JSON.stringify(rootBundle()));
      const nodes = await Promise.all([one, two].map((at) => launch({ at, env: { ANDIRON_INIT_BUNDLE: bundle } })));
      const answers = await Promise.all(nodes.map((n) => call('GET', `${n.base}/AccessPolicy/root`, undefined, n.admin)));
      assert.deepEqual(answers.map((r) => r.status), [200, 200], answers.map((r) => r.text).join());
      assert.equal(answers[0].json.meta.versionId, answers[1].json.meta.versionId);
      await end(...nodes);
    }
  });

  test('what one stored is in force at the other that was asked for the same, one by one and in a transaction', async () => {
    const one = await launch({ quick: true });
    const two = await launch({ quick: true, plugins: beside(one) });
    for (const way of ['alone', 'transaction', 'batch']) {
      const id = `same-${way}`, secret = 'a secret of some length';
      const ask = async (n) => {
        const bodies = { Client: { resourceType: 'Client', id, secret, grant_types: ['basic'] }, AccessPolicy: { resourceType: 'AccessPolicy', id, engine: 'allow', link: [{ resourceType: 'Client', id }] } };
        if (way === 'alone') return Promise.all(Object.entries(bodies).map(async ([type, body]) => (await call('PUT', `${n.base}/${type}/${id}`, body, n.admin)).status));
        const r = await call('POST', n.fhir, { resourceType: 'Bundle', type: way, entry: Object.entries(bodies).map(([type, body]) => entry('PUT', `${type}/${id}`, body)) }, n.admin);
        assert.equal(r.status, 200, r.text);
        return r.json.entry.map((e) => Number(e.response.status.slice(0, 3)));
      };
      assert.deepEqual(await ask(one), [201, 201]);
      assert.deepEqual(await ask(two), [200, 200]);
      for (const n of [one, two]) assert.equal((await call('GET', `${n.fhir}/Patient?_count=1`, undefined, { authorization: basic(id, secret) })).status, 200, `${way} ${n === one}`);
      assert.equal((await call('GET', `${two.base}/AccessPolicy/${id}`, undefined, two.admin)).json.meta.versionId, (await call('GET', `${one.base}/AccessPolicy/${id}`, undefined, one.admin)).json.meta.versionId);
    }
    await end(two, one);
  });
});
