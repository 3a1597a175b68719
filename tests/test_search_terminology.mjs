// Tokens by stored terminology: :in and :not-in of ValueSets, :above and :below of CodeSystems, against an oracle; who may
// ask about what; and where it can be asked.
import test, { before, after } from 'node:test';
import assert from 'node:assert/strict';
import { start, call } from './lib/server.mjs';
import { scopedToken } from './lib/smart.mjs';
import { isInSet, subsumes } from './lib/oracle/terminology.mjs';
import { random } from './lib/oracle/queries.mjs';

const SEED = Number(process.env.ORACLE_SEED ?? 1);
const URL = 'http://terms.example';
const SYSTEMS = [`${URL}/a`, `${URL}/b`, `${URL}/c`];
const CODES = Array.from({ length: 10 }, (_, i) => `c${i}`);

let server;
before(async () => { server = await start({ quick: true }); });
after(async () => { if (server) { await server.stop(); server.remove(); } });

const strict = () => ({ ...server.admin, prefer: 'handling=strict' });
const get = (url, headers = strict()) => call('GET', `${server.fhir}/${url}`, undefined, headers);
const put = async (resource) => {
  const r = await call('PUT', `${server.fhir}/${resource.resourceType}/${resource.id}`, resource, server.admin);
  assert.ok(r.status < 300, r.text);
};
const putAll = async (resources) => {
  const entry = resources.map((resource) => ({ resource, request: { method: 'PUT', url: `${resource.resourceType}/${resource.id}` } }));
  const r = await call('POST', server.fhir, { resourceType: 'Bundle', type: 'transaction', entry }, server.admin);
  assert.equal(r.status, 200, r.text);
};
async function found(search, headers) {
  const page = await get(`${search}&_count=1000&_elements=id`, headers);
  assert.equal(page.status, 200, `${search}: ${page.text}`);
  return (page.json.entry ?? []).filter((e) => e.search.mode === 'match').map((e) => e.resource.id).sort();
}
const refused = async (search, words, headers) => {
  const r = await get(search, headers);
  assert.equal(r.status, 400, `${search}: ${r.text}`);
  assert.match(r.json.issue[0].diagnostics ?? r.json.issue[0].details?.text, words);
};

const set = (id, more) => ({ resourceType: 'ValueSet', id, url: `${URL}/${id}`, status: 'active', ...more });
const including = (id, ...include) => set(id, { compose: { include } });
const system = (id, concept, more = {}) => ({ resourceType: 'CodeSystem', id, url: `${URL}/${id}`, status: 'active', content: 'complete', concept, ...more });
const observation = (id, ...coding) => ({ resourceType: 'Observation', id, status: 'final', code: { coding }, subject: { reference: `Patient/p-${id}` } });
const codes = (...list) => list.map((code) => ({ code }));

// ---- against the oracle ------------------------------------------------------------------------------------------------

const someCodes = (r) => codes(...CODES.filter(() => r.chance(0.4)), r.pick(CODES));
function somePart(r, earlier) {
  const kind = r.next();
  const sets = earlier.length ? [r.pick(earlier), ...(r.chance(0.3) ? [r.pick(earlier)] : [])].map((s) => (s.version && r.chance(0.5) ? `${s.url}|${s.version}` : s.url)) : undefined;
  if (kind < 0.25 && sets) return { valueSet: sets };
  if (kind < 0.4 && sets) return { system: r.pick(SYSTEMS), concept: someCodes(r), valueSet: sets };
  if (kind < 0.45) return { system: r.pick(SYSTEMS) };
  return { system: r.pick(SYSTEMS), concept: someCodes(r) };
}
function someSets(r, count) {
  const sets = [];
  for (let n = 0; n < count; n++) {
    const more = r.chance(0.3) ? { version: `${n}.0` } : {};
    const compose = { include: Array.from({ length: 1 + Math.floor(r.next() * 3) }, () => somePart(r, sets)) };
    if (r.chance(0.4)) compose.exclude = [somePart(r, sets)];
    const nested = (depth) => someCodes(r).map(({ code }) => ({ system: r.pick(SYSTEMS), code, ...(r.chance(0.2) ? { abstract: true } : {}), ...(depth > 0 && r.chance(0.3) ? { contains: nested(depth - 1) } : {}) }));
    sets.push(set(`s${n}`, r.chance(0.8) ? { ...more, compose } : { ...more, expansion: { timestamp: '2024-01-01T00:00:00Z', contains: nested(2) } }));
  }
  return sets;
}
// A hierarchy that nests some concepts and gives others parents by property; with several parents, and roots.
function someSystem(r, url) {
  const concept = [], all = [];
  for (const code of CODES) {
    const c = { code };
    const upper = all.length ? r.pick(all) : undefined;
    if (upper && r.chance(0.3)) c.property = [{ code: r.pick(['parent', 'subsumedBy']), valueCode: r.pick(all).code }];
    if (upper && r.chance(0.2)) (upper.property ??= []).push({ code: 'child', valueCode: code });
    if (upper && r.chance(0.5)) (upper.concept ??= []).push(c); else concept.push(c);
    all.push(c);
  }
  const property = ['parent', 'subsumedBy', 'child'].map((code) => ({ code, type: 'code' }));
  return { ...system(url.split('/').at(-1), concept), url, property };
}

test(':in, :not-in, :above and :below find what an independent reading of the standard finds', async (t) => {
  const r = random(SEED), coding = () => ({ system: r.pick([...SYSTEMS, undefined]), code: r.pick(CODES) });
  const observations = Array.from({ length: 80 }, (_, n) => observation(`o${n}`, ...Array.from({ length: Math.floor(r.next() * 3) }, coding)));
  for (const o of observations) if (o.code.coding.length === 0) o.code = { text: 'none' };
  const sets = someSets(r, 24), systems = SYSTEMS.slice(0, 2).map((url) => someSystem(r, url));
  await putAll([...observations, ...sets, ...systems, ...observations.map((o) => ({ resourceType: 'Patient', id: `p-${o.id}` }))]);
  await putAll(observations.map((o) => ({ resourceType: 'DiagnosticReport', id: `d-${o.id}`, status: 'final', code: { text: 'x' }, result: [{ reference: `Observation/${o.id}` }] })));
  const lookup = (_, name) => sets.find((s) => name === s.url || name === `${s.url}|${s.version}`);
  const ids = (is, of = (o) => o.id) => observations.filter(is).map(of).sort();
  const having = (is) => (o) => (o.code.coding ?? []).some(is);
  const canSay = (s) => { // what is left of a whole system cannot be said; see the refusals
    const parts = (x) => [...(x.compose?.include ?? []), ...(x.compose?.exclude ?? [])];
    const deep = (x) => [x, ...parts(x).flatMap((p) => p.valueSet ?? []).flatMap((url) => deep(lookup('ValueSet', url)))];
    return deep(s).every((x) => !x.compose?.exclude || ![...deep(x)].some((y) => parts(y).some((p) => p.system && !p.concept)));
  };
  let asked = 0, refusals = 0, hits = 0;
  for (const s of sets) {
    const names = [s.url, `ValueSet/${s.id}`, `${server.fhir}/ValueSet/${s.id}`, ...(s.version ? [`${s.url}|${s.version}`] : [])];
    const value = encodeURIComponent(r.pick(names)), is = having((c) => isInSet(s, c, lookup));
    const direct = await get(`Observation?code:in=${value}&_count=1000`);
    if (direct.status === 400) {
      assert.match(direct.text, /excludes codes of/);
      assert.ok(!canSay(s), `${s.id} should be usable: ${direct.text}`);
      refusals++;
      continue;
    }
    for (const [search, wanted] of [
      [`Observation?code:in=${value}`, ids(is)], [`Observation?code:not-in=${value}`, ids((o) => !is(o))],
      [`DiagnosticReport?result.code:in=${value}`, ids(is, (o) => `d-${o.id}`)],
      [`Patient?_has:Observation:subject:code:in=${value}`, ids(is, (o) => `p-${o.id}`)],
      [`Observation?code:in=${value}&code:not-in=${value}`, []],
    ]) {
      assert.deepEqual(await found(search), wanted, search);
      asked++;
      hits += wanted.length;
    }
  }
  for (const s of systems) {
    for (const code of CODES) {
      const value = encodeURIComponent(`${s.url}|${code}`);
      for (const [modifier, is] of [['below', (c) => subsumes(s, code, c.code)], ['above', (c) => subsumes(s, c.code, code)]]) {
        const wanted = ids(having((c) => c.system === s.url && is(c)));
        assert.deepEqual(await found(`Observation?code:${modifier}=${value}`), wanted, `${modifier} ${value}`);
        asked++;
        hits += wanted.length;
      }
    }
  }
  t.diagnostic(`seed ${SEED}: ${asked} searches, ${hits} hits, ${refusals} sets refused`);
  assert.ok(asked > 60 && refusals < sets.length * 0.75);
});

// ---- what cannot be said -----------------------------------------------------------------------------------------------

test('what stored resources do not tell is refused with the construct named', async () => {
  const filter = [{ property: 'concept', op: 'is-a', value: 'c0' }];
  await putAll([
    including('filters', { system: SYSTEMS[0], filter }),
    set('whole-less', { compose: { include: [{ system: SYSTEMS[0] }], exclude: [{ system: SYSTEMS[0], concept: codes('c1') }] } }),
    including('loop-a', { valueSet: [`${URL}/loop-b`] }), including('loop-b', { valueSet: [`${URL}/loop-a`] }),
    including('lacks', { valueSet: [`${URL}/nowhere`] }),
    set('paged', { expansion: { timestamp: '2024-01-01T00:00:00Z', total: 900, contains: [{ system: SYSTEMS[0], code: 'c1' }] } }),
    set('active-only', { compose: { inactive: false, include: [{ system: SYSTEMS[0], concept: codes('c1') }] } }),
    set('empty', {}),
    including('many', { system: SYSTEMS[0], concept: codes(...Array.from({ length: 1001 }, (_, n) => `n${n}`)) }),
    including('twins-1', { system: SYSTEMS[0], concept: codes('c1') }),
    { ...including('twins-2', { system: SYSTEMS[0], concept: codes('c2') }), url: `${URL}/twins-1`, version: '2' },
    system('partly', codes('x'), { content: 'fragment' }), system('groups', codes('x'), { hierarchyMeaning: 'grouped-by' }),
  ]);
  const code = (modifier, value) => `Observation?code:${modifier}=${encodeURIComponent(value)}`;
  await refused(code('in', `${URL}/filters`), /"http:\/\/terms.example\/filters" cannot be used: compose.include.filter is not supported/);
  await refused(code('in', `${URL}/whole-less`), /excludes codes of "http:\/\/terms.example\/a", of which it includes all/);
  await refused(code('in', `${URL}/loop-a`), /includes itself/);
  await refused(code('in', `${URL}/lacks`), /no ValueSet "http:\/\/terms.example\/nowhere" here/);
  await refused(code('in', `${URL}/paged`), /expansion that is not complete/);
  await refused(code('in', `${URL}/active-only`), /compose.inactive/);
  await refused(code('in', `${URL}/empty`), /without compose and expansion/);
  await refused(code('in', `${URL}/many`), /more than 1000 codes/);
  await refused(code('in', `${URL}/twins-1`), /several ValueSets .* name one, as in url\|version/);
  assert.equal((await get(code('in', `${URL}/twins-1|2`))).status, 200);
  await refused(code('in', 'filters'), /canonical URL or "ValueSet\/id", not "filters"/);
  await refused(code('in', 'CodeSystem/partly'), /canonical URL or "ValueSet\/id"/);
  await refused(code('in', 'ValueSet/gone'), /no ValueSet "ValueSet\/gone" here/);
  await refused(code('below', 'c1'), /must be "system\|code"/);
  await refused(code('below', `${URL}/unknown|x`), /no CodeSystem/);
  await refused(code('below', `${URL}/partly|x`), /content is "fragment"/);
  await refused(code('above', `${URL}/groups|x`), /hierarchyMeaning is "grouped-by"/);
  await refused('Patient?name:in=x', /has no modifier ":in"/);
});

test('filters are passed over where the ValueSet has its whole expansion', async () => {
  const filter = [{ property: 'concept', op: 'is-a', value: 'c0' }];
  await putAll([observation('expanded', { system: SYSTEMS[0], code: 'only' }),
    set('with-expansion', { compose: { include: [{ system: SYSTEMS[0], filter }] }, expansion: { timestamp: '2024-01-01T00:00:00Z', total: 1, contains: [{ system: SYSTEMS[0], code: 'only' }] } })]);
  assert.deepEqual(await found(`Observation?code:in=${URL}/with-expansion`), ['expanded']);
});

// ---- what is stored now ------------------------------------------------------------------------------------------------

test('the next search sees a changed ValueSet and a changed CodeSystem, also large ones', async () => {
  await putAll([observation('n1', { system: `${URL}/now`, code: 'x' }), observation('n2', { system: `${URL}/now`, code: 'y' })]);
  const long = { definition: 'long '.repeat(20000) }; // parsed on the pool
  for (const [code, id] of [['x', 'n1'], ['y', 'n2'], ['x', 'n1']]) {
    await put(including('now', { system: `${URL}/now`, concept: [{ code, extension: [{ url: `${URL}/note`, valueString: long.definition }] }] }));
    assert.deepEqual(await found(`Observation?code:in=${URL}/now`), [id]);
  }
  const below = () => found(`Observation?code:below=${encodeURIComponent(`${URL}/now|x`)}`);
  await put({ ...system('now', [{ code: 'x', concept: codes('y') }]), description: long.definition });
  assert.deepEqual(await below(), ['n1', 'n2']);
  await put(system('now', codes('x', 'y')));
  assert.deepEqual(await below(), ['n1']);
  await call('DELETE', `${server.fhir}/ValueSet/now`, undefined, server.admin);
  await refused(`Observation?code:in=${URL}/now`, /no ValueSet/);
});

test('POST _search, conditional interactions and batches ask about ValueSets; transactions refuse to', async () => {
  await putAll([observation('w1', { system: `${URL}/w`, code: 'x' }), including('w', { system: `${URL}/w`, concept: codes('x') })]);
  const form = await call('POST', `${server.fhir}/Observation/_search`, `code:in=${URL}/w`, { ...strict(), 'content-type': 'application/x-www-form-urlencoded' });
  assert.deepEqual(form.json.entry?.map((e) => e.resource.id), ['w1'], form.text);
  const { id, ...anew } = observation('w1', { system: `${URL}/w`, code: 'x' });
  const created = await call('POST', `${server.fhir}/Observation`, anew, { ...server.admin, 'if-none-exist': `code:in=${URL}/w` });
  assert.equal(created.status, 200, created.text);
  const none = await call('POST', `${server.fhir}/Observation`, anew, { ...server.admin, 'if-none-exist': `code:in=${URL}/not-there` });
  assert.equal(none.status, 400, none.text);
  const updated = await call('PUT', `${server.fhir}/Observation?code:in=${URL}/w`, { ...anew, status: 'amended' }, server.admin);
  assert.equal(updated.status, 200, updated.text);
  assert.equal((await get('Observation/w1')).json.status, 'amended');
  const entry = [{ request: { method: 'GET', url: `Observation?code:in=${URL}/w` } },
    { request: { method: 'POST', url: 'Observation', ifNoneExist: `code:in=${URL}/w` }, resource: anew }];
  const batch = await call('POST', server.fhir, { resourceType: 'Bundle', type: 'batch', entry }, server.admin);
  assert.deepEqual(batch.json.entry.map((e) => e.response.status.slice(0, 3)), ['200', '200'], batch.text);
  assert.equal(batch.json.entry[0].resource.entry.length, 1);
  const transaction = await call('POST', server.fhir, { resourceType: 'Bundle', type: 'transaction', entry: [entry[1]] }, server.admin);
  assert.equal(transaction.status, 400, transaction.text);
  assert.match(transaction.text, /cannot be asked about by the criteria of a transaction/);
  const removed = await call('DELETE', `${server.fhir}/Observation?code:in=${URL}/w`, undefined, server.admin);
  assert.equal(removed.status, 204, removed.text);
  assert.deepEqual(await found(`Observation?code:in=${URL}/w`), []);
});

// ---- who may ask -------------------------------------------------------------------------------------------------------

test('a ValueSet out of sight is not there, and without its type nothing can be asked', async () => {
  await putAll([observation('v1', { system: `${URL}/v`, code: 'x' }), including('seen', { system: `${URL}/v`, concept: codes('x') }),
    { ...including('hidden', { system: `${URL}/v`, concept: codes('x') }), status: 'draft' },
    including('through', { valueSet: [`${URL}/hidden`] }), { ...system('v', codes('x')), status: 'draft' }]);
  const bearer = async (id, ...scope) => ({ ...(await scopedToken(server, id, scope)).headers, prefer: 'handling=strict' });
  const some = await bearer('some', 'system/Observation.rs', 'system/ValueSet.rs?status=active', 'system/CodeSystem.rs?status=active');
  assert.deepEqual(await found(`Observation?code:in=${URL}/seen`, some), ['v1']);
  for (const name of [`${URL}/hidden`, 'ValueSet/hidden', `${URL}/through`]) await refused(`Observation?code:in=${name}`, /there is no ValueSet "(http:\/\/terms.example\/|ValueSet\/)hidden" here/, some);
  await refused(`Observation?code:below=${encodeURIComponent(`${URL}/v|x`)}`, /there is no CodeSystem/, some);
  const without = await bearer('none', 'system/Observation.rs');
  for (const name of ['seen', 'nowhere']) assert.equal((await get(`Observation?code:in=${URL}/${name}`, without)).status, 403);
});

test('a scope cannot ask about a ValueSet, and a Client is told so', async () => {
  await assert.rejects(scopedToken(server, 'asks', [`system/Observation.rs?code:in=${URL}/seen`]), /422 .*stored ValueSets cannot be asked about here.*Client.scope/);
});
