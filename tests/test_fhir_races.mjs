// What must be one step although many do it at once: conditional interactions and references, by themselves and in
// transactions, over two processes and one store.
import test, { before, after, describe } from 'node:test';
import assert from 'node:assert/strict';
import { configure, start, call, storeOf } from './lib/server.mjs';

let first, second, admin;
before(async () => {
  first = await start();
  const at = await configure({ state: `${first.dir}/state`, plugins: storeOf(first) });
  second = await start({ at });
  admin = first.admin;
});
after(async () => { await second.stop(); await first.stop(); second.remove(); first.remove(); });

const MANY = 64;
// The requests alternate between the two servers.
const fhir = (method, path, body, headers = {}, server = first) => call(method, path ? `${server.fhir}/${path}` : server.fhir, body, { ...admin, ...headers });
const many = (ask, count = MANY) => Promise.all(Array.from({ length: count }, (_, i) => ask(i, i % 2 ? second : first)));
const run = (entry, server, type = 'transaction') => fhir('POST', '', { resourceType: 'Bundle', type, entry }, {}, server);
const counted = (answers) => answers.reduce((sum, r) => ({ ...sum, [r.status]: (sum[r.status] ?? 0) + 1 }), {});
const total = async (query) => (await fhir('GET', `${query}&_total=accurate&_count=0`)).json.total;
const patient = (v, extra = {}) => ({ resourceType: 'Patient', identifier: [{ system: 'http://r', value: v }], ...extra });
const by = (v, type = 'Patient') => `${type}?identifier=http://r|${v}`;
const put = async (id, v) => { const r = await fhir('PUT', `Patient/${id}`, patient(v, { id })); assert.ok(r.status < 300, r.text); };

describe('64 at once', () => {
  test('a conditional create makes one: 201 once, 200 for all others', async () => {
    assert.deepEqual(counted(await many((i, at) => fhir('POST', 'Patient', patient('c1'), { 'if-none-exist': 'identifier=http://r|c1' }, at))), { 201: 1, 200: MANY - 1 });
    assert.equal(await total(by('c1')), 1);
  });
  test('the same as an entry of a transaction, whose references lead to the one', async () => {
    const answers = await many((i, at) => run([
      { fullUrl: 'urn:uuid:00000000-0000-4000-8000-000000000001', resource: patient('c2'), request: { method: 'POST', url: 'Patient', ifNoneExist: 'identifier=http://r|c2' } },
      { resource: { resourceType: 'Basic', code: { text: `${i}` }, identifier: [{ system: 'http://r', value: 'c2' }], subject: { reference: 'urn:uuid:00000000-0000-4000-8000-000000000001' } }, request: { method: 'POST', url: 'Basic' } },
    ], at));
    assert.deepEqual(counted(answers), { 200: MANY });
    assert.equal(answers.filter((r) => r.json.entry[0].response.status === '201').length, 1);
    const [{ resource }] = (await fhir('GET', by('c2'))).json.entry;
    assert.equal(await total(by('c2')), 1);
    assert.equal(await total(`Basic?subject=Patient/${resource.id}&identifier=http://r|c2`), MANY);
  });
  test('a conditional update makes one and updates it: every request is a version', async () => {
    assert.deepEqual(counted(await many((i, at) => fhir('PUT', by('u1'), patient('u1', { active: i % 3 === 0 }), {}, at))), { 201: 1, 200: MANY - 1 });
    const { json } = await fhir('GET', by('u1'));
    assert.deepEqual([json.total, json.entry[0].resource.meta.versionId], [1, String(MANY)]);
  });
  test('the same as an entry of a transaction', async () => {
    const answers = await many((i, at) => run([{ resource: patient('u2'), request: { method: 'PUT', url: by('u2') } }], at));
    assert.deepEqual(counted(answers), { 200: MANY });
    const { json } = await fhir('GET', by('u2'));
    assert.deepEqual([json.total, json.entry[0].resource.meta.versionId], [1, String(MANY)]);
  });
  test('patches of one resource are all done, one after the other', async () => {
    await put('p1', 'p1');
    const patch = (i) => [{ op: 'add', path: i === 'first' ? '/name' : '/name/-', value: i === 'first' ? [{ text: 'first' }] : { text: `${i}` } }];
    await fhir('PATCH', 'Patient/p1', patch('first'), { 'content-type': 'application/json-patch+json' });
    const answers = await many((i, at) => (i % 4 < 2
      ? fhir('PATCH', i % 4 ? 'Patient/p1' : by('p1'), patch(i), { 'content-type': 'application/json-patch+json' }, at)
      : run([{ resource: { resourceType: 'Binary', contentType: 'application/json-patch+json', data: Buffer.from(JSON.stringify(patch(i))).toString('base64') }, request: { method: 'PATCH', url: i % 4 === 2 ? 'Patient/p1' : by('p1') } }], at)));
    assert.deepEqual(counted(answers), { 200: MANY }, answers.find((r) => r.status !== 200)?.text);
    const { json } = await fhir('GET', 'Patient/p1');
    assert.equal(json.name.length, MANY + 1);
    assert.equal(json.meta.versionId, String(MANY + 2));
  });
  test('a conditional delete deletes once, and its criteria match no second one', async () => {
    await put('d1', 'd1');
    assert.deepEqual(counted(await many((i, at) => fhir('DELETE', by('d1'), undefined, {}, at))), { 204: MANY });
    const history = (await fhir('GET', 'Patient/d1/_history')).json.entry;
    assert.deepEqual(history.map((e) => e.request.method), ['DELETE', 'PUT']);
  });
  test('of several matches none is written', async () => {
    await put('m1', 'm');
    await put('m2', 'm');
    assert.deepEqual(counted(await many((i, at) => [
      () => fhir('POST', 'Patient', patient('m'), { 'if-none-exist': 'identifier=http://r|m' }, at),
      () => fhir('PUT', by('m'), patient('m'), {}, at),
      () => fhir('DELETE', by('m'), undefined, {}, at),
      () => run([{ resource: patient('m'), request: { method: 'POST', url: 'Patient', ifNoneExist: 'identifier=http://r|m' } }], at),
    ][i >> 1 & 3]())), { 412: MANY });
    assert.equal(await total(by('m')), 2);
  });
  test('one version is updated by one If-Match', async () => {
    await put('i1', 'i1');
    assert.deepEqual(counted(await many((i, at) => fhir('PUT', 'Patient/i1', patient('i1', { id: 'i1' }), { 'if-match': 'W/"1"' }, at))), { 200: 1, 412: MANY - 1 });
    // Each * succeeds; of the lists one, if it comes before all of those.
    const mixed = await many((i, at) => fhir('PUT', 'Patient/i1', patient('i1', { id: 'i1' }), { 'if-match': i % 2 ? '*' : 'W/"2", W/"1"' }, at));
    assert.ok(mixed.every((r, i) => r.status === 200 || (i % 2 === 0 && r.status === 412)), JSON.stringify(counted(mixed)));
    assert.ok(mixed.filter((r, i) => i % 2 === 0 && r.status === 200).length <= 1);
  });
});

// A conditional reference in a commit leads to what its criteria match in that very commit, or the commit fails.
test('conditional references hold while what they match comes and goes', async () => {
  const rounds = 40;
  const practitioner = (id, v) => ({ resourceType: 'Practitioner', id, identifier: [{ system: 'http://r', value: v }] });
  // Two practitioners hand the identifier over to each other in transactions; there is always exactly one that has it.
  const hand = (to, at) => run([0, 1].map((n) => ({ resource: practitioner(`h${n}`, n === to ? 'chief' : 'other'), request: { method: 'PUT', url: `Practitioner/h${n}` } })), at);
  assert.equal((await hand(0, first)).status, 200);
  let stop = false;
  const changing = (async () => { for (let i = 1; !stop; i++) assert.equal((await hand(i % 2, i % 4 < 2 ? first : second)).status, 200); })();
  const refer = async (n, at) => {
    for (let i = 0; i < rounds; i++) {
      const r = await run([{ resource: { resourceType: 'Basic', code: { text: 'x' }, identifier: [{ system: 'http://r', value: 'reference' }], author: { reference: by('chief', 'Practitioner') } }, request: { method: 'POST', url: 'Basic' } }], at);
      assert.equal(r.status, 200, r.text);
    }
  };
  await Promise.all([refer(0, first), refer(1, second), refer(2, first), refer(3, second)]);
  stop = true;
  await changing;
  // Of each reference: the version of its target that was current at that instant had the identifier.
  const holders = {};
  for (const id of ['h0', 'h1']) {
    holders[id] = [];
    for (let url = `${first.fhir}/Practitioner/${id}/_history?_count=1000`; url;) {
      const { json } = await call('GET', url, undefined, admin);
      holders[id].push(...json.entry.map((e) => [e.response.lastModified, e.resource.identifier[0].value]));
      url = json.link.find((l) => l.relation === 'next')?.url;
    }
  }
  const { json } = await fhir('GET', `Basic?identifier=http://r|reference&_count=1000`);
  assert.equal(json.entry.length, 4 * rounds);
  for (const { resource } of json.entry) {
    const current = holders[resource.author.reference.split('/')[1]].find(([at]) => at <= resource.meta.lastUpdated);
    assert.equal(current[1], 'chief', `${resource.author.reference} at ${resource.meta.lastUpdated}`);
  }
});
