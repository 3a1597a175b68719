// $meta, $meta-add, $meta-delete, $everything, $versions.
import test, { before, after, describe } from 'node:test';
import assert from 'node:assert/strict';
import { start, call, basic } from './lib/server.mjs';

let server, admin;
before(async () => { server = await start(); admin = server.admin; });
after(async () => { await server.stop(); server.remove(); });

const fhir = (method, path, body, headers = {}) => call(method, `${server.fhir}/${path}`, body, { ...admin, ...headers });
const root = (method, path, body, headers = {}) => call(method, `${server.base}/${path}`, body, { ...admin, ...headers });
const outcome = (r, status) => {
  assert.equal(r.status, status, r.text);
  assert.equal(r.json?.resourceType, 'OperationOutcome', r.text);
};
const put = async (type, id, extra = {}) => {
  const r = await fhir('PUT', `${type}/${id}`, { resourceType: type, id, ...extra });
  assert.ok(r.status === 201 || r.status === 200, r.text);
  return r.json;
};
const all = async (url, headers = admin, most = Infinity) => {
  const entries = [];
  for (let pages = 0; url; pages++) {
    assert.ok(pages < 100);
    const r = await call('GET', url, undefined, headers);
    assert.equal(r.status, 200, r.text);
    assert.ok((r.json.entry ?? []).filter((e) => e.search.mode === 'match').length <= most);
    entries.push(...(r.json.entry ?? []));
    url = r.json.link.find((l) => l.relation === 'next')?.url;
  }
  return entries;
};
const names = (entries) => [...new Set(entries.map((e) => `${e.resource.resourceType}/${e.resource.id}`))].sort();

describe('meta', () => {
  const given = (valueMeta) => ({ resourceType: 'Parameters', parameter: [{ name: 'meta', valueMeta }] });
  const meta = (r) => { assert.equal(r.status, 200, r.text); assert.equal(r.json.resourceType, 'Parameters'); assert.equal(r.json.parameter[0].name, 'return'); return r.json.parameter[0].valueMeta; };
  test('is shown, added to and taken from', async () => {
    await put('Patient', 'm1', { active: true, meta: { tag: [{ system: 'http://t', code: 'a' }] } });
    assert.deepEqual(meta(await fhir('GET', 'Patient/m1/$meta')).tag, [{ system: 'http://t', code: 'a' }]);
    let m = meta(await fhir('POST', 'Patient/m1/$meta-add', given({ tag: [{ system: 'http://t', code: 'a' }, { system: 'http://t', code: 'b' }], profile: ['http://p'] })));
    assert.deepEqual([m.tag.map((t) => t.code), m.profile, m.versionId], [['a', 'b'], ['http://p'], '2']);
    assert.deepEqual((await fhir('GET', 'Patient/m1')).json.meta, m);
    assert.equal((await fhir('GET', 'Patient/m1')).json.active, true);
    assert.equal((await fhir('GET', 'Patient?_tag=http://t|b&_id=m1')).json.total, 1);
    m = meta(await fhir('POST', 'Patient/m1/$meta-delete', given({ tag: [{ system: 'http://t', code: 'a' }, { system: 'http://t', code: 'b' }, { code: 'a' }], profile: ['http://other'] })));
    assert.deepEqual([m.tag, m.profile, m.versionId], [undefined, ['http://p'], '3']);
  });
  test('needs Parameters, a resource that is there, and honours If-Match', async () => {
    await put('Patient', 'm2');
    outcome(await fhir('POST', 'Patient/m2/$meta-add', { resourceType: 'Patient' }), 400);
    outcome(await fhir('POST', 'Patient/m2/$meta-add', { resourceType: 'Parameters' }), 400);
    outcome(await fhir('POST', 'Patient/m2/$meta-add', given({ tag: 'x' })), 400);
    outcome(await fhir('POST', 'Patient/m2/$meta-add', given({ tag: [{ code: 'x' }] }), { 'if-match': 'W/"9"' }), 412);
    outcome(await fhir('POST', 'Patient/unknown/$meta-add', given({ tag: [{ code: 'x' }] })), 404);
    outcome(await fhir('GET', 'Patient/unknown/$meta'), 404);
    outcome(await fhir('GET', 'Client/root/$meta'), 404);
    outcome(await fhir('GET', 'Nothing/1/$meta'), 404);
    await fhir('DELETE', 'Patient/m2');
    outcome(await fhir('GET', 'Patient/m2/$meta'), 410);
    outcome(await call('GET', `${server.fhir}/Patient/m1/$meta`), 401);
  });
});

test('$versions says 4.0', async () => {
  const r = await fhir('GET', '$versions');
  assert.deepEqual(r.json.parameter.map((p) => p.valueString), ['4.0', '4.0']);
});

describe('$everything', () => {
  const code = { text: 'x' }, subject = { reference: 'Patient/e1' };
  let early;
  before(async () => {
    await put('Organization', 'e1', { name: 'x' });
    await put('Practitioner', 'e1');
    await put('Patient', 'e1', { managingOrganization: { reference: 'Organization/e1' } });
    await put('Patient', 'e2');
    early = await put('Condition', 'e1', { subject });
    for (let i = 0; i < 4; i++) await put('Observation', `e${i}`, { status: 'final', code, subject: { reference: `Patient/e${i < 3 ? 1 : 2}` }, effectiveDateTime: `202${i}-06-01`, performer: [{ reference: 'Practitioner/e1' }], encounter: i === 0 ? { reference: 'Encounter/e1' } : undefined });
    await put('Encounter', 'e1', { status: 'finished', class: { code: 'x' }, subject });
  });
  const expected = ['Condition/e1', 'Encounter/e1', 'Observation/e0', 'Observation/e1', 'Observation/e2', 'Organization/e1', 'Patient/e1', 'Practitioner/e1'];
  test('is the compartment and what it refers to, on pages of any size', async () => {
    for (const count of ['', '?_count=1', '?_count=2', '?_count=3']) assert.deepEqual(names(await all(`${server.fhir}/Patient/e1/$everything${count}`, admin, Number(count.slice(8)) || 100)), expected, count);
    const matches = (await all(`${server.fhir}/Patient/e1/$everything?_count=2`)).filter((e) => e.search.mode === 'match');
    assert.equal(new Set(matches.map((e) => e.fullUrl)).size, matches.length);
    assert.equal((await fhir('GET', 'Patient/e1/$everything?_count=2')).json.link[0].url, `${server.fhir}/Patient/e1/$everything?_count=2`);
    assert.deepEqual(names(await all(`${server.fhir}/Patient/e2/$everything`)), ['Observation/e3', 'Patient/e2', 'Practitioner/e1']);
  });
  test('_type, _since, start and end choose', async () => {
    assert.deepEqual(names(await all(`${server.fhir}/Patient/e1/$everything?_type=Observation`)), ['Observation/e0', 'Observation/e1', 'Observation/e2']);
    for (const types of ['_type=Patient,Organization', '_type=Patient&_type=Organization']) assert.deepEqual(names(await all(`${server.fhir}/Patient/e1/$everything?${types}`)), ['Organization/e1', 'Patient/e1'], types);
    for (const count of [1, 2, 100]) assert.deepEqual(names(await all(`${server.fhir}/Patient/e1/$everything?_type=Practitioner&_count=${count}`)), ['Practitioner/e1'], 'that others refer to');
    const later = names(await all(`${server.fhir}/Patient/e1/$everything?_since=${encodeURIComponent(early.meta.lastUpdated)}`));
    assert.ok(later.includes('Condition/e1') && later.includes('Observation/e0') && !later.includes('Patient/e1'), later.join());
    assert.deepEqual(names(await all(`${server.fhir}/Patient/e1/$everything?start=2021-01-01&end=2021-12-31&_type=Observation,Patient`)), ['Observation/e1', 'Patient/e1']);
    for (const query of ['_type=Nothing', '_type=Client', '_since=yesterday', 'start=x', '_count=0', '_count=x', '_cursor=x']) outcome(await fhir('GET', `Patient/e1/$everything?${query}`), 400);
  });
  test('of an encounter; and of nothing else', async () => {
    assert.deepEqual(names(await all(`${server.fhir}/Encounter/e1/$everything?_type=Encounter,Observation`)), ['Encounter/e1', 'Observation/e0']);
    outcome(await fhir('GET', 'Observation/e1/$everything'), 404);
    outcome(await fhir('GET', 'Patient/unknown/$everything'), 404);
    outcome(await fhir('GET', 'Client/root/$everything'), 404);
  });
  test('leaves out what a token has no scope for', async () => {
    await root('PUT', 'Client/scoped', { grant_types: ['client_credentials'], secret: 'a secret of some length', scope: ['system/Patient.rs', 'system/Observation.rs', 'system/Practitioner.u'], auth: { client_credentials: { token_format: 'jwt' } } });
    await root('PUT', 'AccessPolicy/scoped', { engine: 'allow', link: [{ resourceType: 'Client', id: 'scoped' }] });
    const get = async (scope) => { const r = await call('POST', `${server.base}/auth/token`, `grant_type=client_credentials&scope=${scope}`, { authorization: basic('scoped', 'a secret of some length'), 'content-type': 'application/x-www-form-urlencoded' }); assert.equal(r.status, 200, r.text); return { authorization: `Bearer ${r.json.access_token}` }; };
    const both = await get('system/Patient.rs system/Observation.rs system/Practitioner.u'), other = await get('system/Observation.rs');
    assert.deepEqual(names(await all(`${server.fhir}/Patient/e1/$everything`, both)), ['Observation/e0', 'Observation/e1', 'Observation/e2', 'Patient/e1']);
    outcome(await call('GET', `${server.fhir}/Patient/e1/$everything?_type=Condition`, undefined, both), 403);
    outcome(await call('GET', `${server.fhir}/Patient/e1/$everything`, undefined, other), 403);
    assert.equal((await call('GET', `${server.fhir}/Patient/e1/$meta`, undefined, both)).status, 200);
    outcome(await call('POST', `${server.fhir}/Patient/e1/$meta-add`, { resourceType: 'Parameters', parameter: [{ name: 'meta', valueMeta: { tag: [{ code: 'x' }] } }] }, both), 403);
    assert.equal((await call('GET', `${server.fhir}/$versions`, undefined, both)).status, 200);
  });
});

describe('meta of a type and of all types', () => {
  const own = 'http://use.example/';
  const meta = (r) => { assert.equal(r.status, 200, r.text); return r.json.parameter?.[0].valueMeta ?? {}; };
  const ours = (list) => list?.filter((c) => (c.system ?? c).startsWith?.(own));
  const tag = (code, more) => ({ system: own + 'tags', code, ...more });
  before(async () => {
    for (let i = 0; i < 30; i++) await put('Device', `use${i}`, { meta: { tag: [tag('common', { display: 'In common' }), tag(i % 2 ? 'odd' : 'even')], profile: [own + 'profile|1'] }, status: i % 2 ? 'active' : 'inactive' });
    await put('Device', 'use-secret', { meta: { security: [{ system: own + 'labels', code: 'R,1|x' }], tag: [tag('inactive only'), { code: 'without a system' }] }, status: 'inactive' });
    await put('Location', 'use-l', { meta: { tag: [tag('place')] } });
    await put('Location', 'use-gone', { meta: { tag: [tag('gone')] } });
    await fhir('DELETE', 'Location/use-gone');
    await put('Location', 'use-changed', { meta: { tag: [tag('changed')] } });
    await put('Location', 'use-changed', { meta: { tag: [tag('place')] } });
  });
  test('is the union of profiles, labels and tags of what is stored now', async () => {
    const m = meta(await fhir('GET', 'Device/$meta'));
    assert.deepEqual(m.tag.map((t) => t.code), ['without a system', 'common', 'even', 'inactive only', 'odd']);
    assert.deepEqual(m.tag[1], tag('common', { display: 'In common' }));
    assert.deepEqual(m.profile, [own + 'profile|1']);
    assert.deepEqual(m.security, [{ system: own + 'labels', code: 'R,1|x' }]);
    assert.deepEqual(ours(meta(await fhir('POST', 'Location/$meta')).tag), [tag('place')]);
    assert.deepEqual(meta(await fhir('GET', 'Substance/$meta')), {});
    const everywhere = meta(await fhir('GET', '$meta'));
    assert.deepEqual(ours(everywhere.tag).map((t) => t.code), ['common', 'even', 'inactive only', 'odd', 'place']);
    assert.deepEqual(meta(await fhir('POST', '$meta', { resourceType: 'Parameters' })), everywhere);
    outcome(await fhir('GET', 'Client/$meta'), 404);
    outcome(await fhir('GET', 'Nothing/$meta'), 404);
    outcome(await call('GET', `${server.fhir}/$meta`), 401);
    outcome(await call('GET', `${server.fhir}/Device/$meta`), 401);
  });
  test('says nothing of what a token may not see', async () => {
    const token = async (scope) => {
      await root('PUT', 'Client/use', { grant_types: ['client_credentials'], secret: 'a secret of some length', scope: scope.split(' '), auth: { client_credentials: { token_format: 'jwt' } } });
      await root('PUT', 'AccessPolicy/use', { engine: 'allow', link: [{ resourceType: 'Client', id: 'use' }] });
      const r = await call('POST', `${server.base}/auth/token`, `grant_type=client_credentials&scope=${encodeURIComponent(scope)}`, { authorization: basic('use', 'a secret of some length'), 'content-type': 'application/x-www-form-urlencoded' });
      assert.equal(r.status, 200, r.text);
      return { authorization: `Bearer ${r.json.access_token}` };
    };
    const active = await token('system/Device.rs?status=active');
    for (const path of ['Device/$meta', '$meta']) {
      const m = meta(await call('GET', `${server.fhir}/${path}`, undefined, active));
      assert.deepEqual([m.tag.map((t) => t.code), m.profile, m.security], [['common', 'odd'], [own + 'profile|1'], undefined], path);
    }
    outcome(await call('GET', `${server.fhir}/Location/$meta`, undefined, active), 403);
    const inactive = meta(await call('GET', `${server.fhir}/Device/$meta`, undefined, await token('system/Device.rs?status=inactive')));
    assert.deepEqual([inactive.tag.map((t) => t.code), inactive.security.length], [['without a system', 'common', 'even', 'inactive only'], 1], 'whatever is in their names');
    outcome(await call('GET', `${server.fhir}/Device/$meta`, undefined, await token('system/Device.r')), 403);
    assert.deepEqual(meta(await call('GET', `${server.fhir}/$meta`, undefined, await token('system/Location.rs'))).tag, [tag('place')]);
  });
  test('of more values than may be listed it is refused', async () => {
    const few = await start({ plugins: { fhir: { 'max-count': 3, 'default-count': 3 } } });
    try {
      for (let i = 0; i < 4; i++) {
        assert.equal((await call('GET', `${few.fhir}/Basic/$meta`, undefined, few.admin)).status, 200);
        assert.equal((await call('PUT', `${few.fhir}/Basic/${i}`, { resourceType: 'Basic', id: String(i), code: { text: 'x' }, meta: { tag: [{ system: 'http://a', code: String(i) }] } }, few.admin)).status, 201);
      }
      outcome(await call('GET', `${few.fhir}/Basic/$meta`, undefined, few.admin), 422);
    } finally { await few.stop(); few.remove(); }
  });
});

test('operations are posted to with Parameters as well', async () => {
  const parameters = (...list) => ({ resourceType: 'Parameters', ...(list.length ? { parameter: list } : {}) });
  const count = { name: '_count', valueInteger: 2 }, type = { name: '_type', valueString: 'Observation,Patient' };
  const r = await fhir('POST', 'Patient/e1/$everything', parameters(count, type, { name: 'start', valueDate: '2021-01-01' }));
  assert.equal(r.status, 200, r.text);
  const next = r.json.link.find((l) => l.relation === 'next').url;
  assert.match(next, /_count=2&_type=Observation%2CPatient&start=2021-01-01&_cursor=/);
  assert.deepEqual(names([...r.json.entry, ...await all(next)]), ['Observation/e1', 'Observation/e2', 'Patient/e1']);
  outcome(await fhir('POST', 'Patient/e1/$everything', parameters({ name: '_count', valueString: 'x' })), 400);
  outcome(await fhir('POST', 'Patient/e1/$everything', { resourceType: 'Patient' }), 400);
  outcome(await fhir('POST', 'Patient/e1/$everything', 'x', { 'content-type': 'text/plain' }), 415);
  assert.equal((await fhir('POST', 'Patient/e1/$everything')).status, 200);
  assert.equal((await fhir('POST', 'Patient/e1/$meta', parameters())).json.parameter[0].name, 'return');
  assert.equal((await fhir('POST', '$versions', parameters())).json.parameter.length, 2);
  assert.equal((await fhir('GET', 'Patient/e1/$validate')).json.issue[0].severity, 'information');
});

test('metadata lists the operations where they are', async () => {
  const { json } = await call('GET', `${server.fhir}/metadata`);
  const of = (type) => json.rest[0].resource.find((r) => r.type === type).operation.map((o) => o.name);
  assert.ok(of('Patient').includes('everything') && of('Encounter').includes('everything') && !of('Observation').includes('everything'));
  for (const name of ['meta', 'meta-add', 'meta-delete']) assert.ok(of('Observation').includes(name), name);
  assert.ok(json.rest[0].operation.some((o) => o.name === 'versions'));
});
