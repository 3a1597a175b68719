// Where search.html is often misread: one test for each reading, with the smallest data that shows it.
import test, { before, after } from 'node:test';
import assert from 'node:assert/strict';
import { start, call } from './lib/server.mjs';

let server;
const ask = (method, where, body, headers) => call(method, `${server.fhir}/${where}`, body, { ...server.admin, ...headers });
const put = async (body) => { const r = await ask('PUT', `${body.resourceType}/${body.id}`, body); assert.equal(r.status, 201, r.text); };
const strict = { prefer: 'handling=strict' };
const get = async (search, headers = strict) => { const r = await ask('GET', search, undefined, headers); assert.equal(r.status, 200, `${search}: ${r.text}`); return r.json; };
const of = (bundle, mode = 'match') => (bundle.entry ?? []).filter((e) => e.search.mode === mode).map((e) => e.resource.id);
const ids = async (search) => of(await get(search)).sort();
const finds = async (search, ...expected) => assert.deepEqual(await ids(search), expected.sort(), search);
const enc = encodeURIComponent;
const observation = (id, more) => put({ resourceType: 'Observation', id, status: 'final', code: { text: id }, ...more });

before(async () => { server = await start({ quick: true }); });
after(async () => { if (server) { await server.stop(); server.remove(); } });

test('casts are judged from the reference, `as` is a filter, unions span types, parents give parameters to all', async () => {
  await observation('of-patient', { subject: { reference: 'Patient/nobody' }, valueQuantity: { value: 3 } });
  await observation('of-group', { subject: { reference: 'Group/nobody' }, valueString: 'three' });
  await finds('Observation?patient=nobody', 'of-patient');
  await finds('Observation?subject=Group/nobody', 'of-group');
  await finds('Observation?value-quantity=3', 'of-patient');
  await finds('Observation?value-string=three', 'of-group');
  await put({ resourceType: 'Binary', id: 'bin', contentType: 'text/plain', meta: { tag: [{ code: 'parents' }] } });
  await put({ resourceType: 'Bundle', id: 'bun', type: 'collection', meta: { tag: [{ code: 'parents' }] } });
  await finds('Binary?_tag=parents', 'bin');
  await finds('Bundle?_tag=parents', 'bun');
});

test(':not finds resources without the element, ne does not, :missing works on all kinds', async () => {
  await put({ resourceType: 'Patient', id: 'male', active: true, gender: 'male', birthDate: '1970-01-01' });
  await put({ resourceType: 'Patient', id: 'neither', active: true });
  await finds('Patient?active=true&gender:not=female', 'male', 'neither');
  await finds('Patient?active=true&birthdate=ne2000', 'male');
  for (const name of ['gender', 'birthdate', 'family', 'organization', 'phone']) assert.ok((await ids(`Patient?active=true&${name}:missing=true`)).includes('neither'), name);
  await finds('Patient?active=true&gender:missing=false', 'male');
  await finds('Observation?value-quantity:missing=false&_id=of-patient,of-group', 'of-patient');
  await finds('Observation?code-value-quantity:missing=true&_id=of-patient,of-group', 'of-group', 'of-patient');
});

test('dates: eq contains, open ends are infinite, no zone is UTC, a Timing has its outer limits, + is a blank', async () => {
  const seen = (id, effective) => observation(id, { method: { coding: [{ code: 'dated' }] }, ...effective });
  await seen('instant', { effectiveDateTime: '2020-05-06T10:00:00Z' });
  await seen('day', { effectiveDateTime: '2020-05-06' });
  await seen('open', { effectivePeriod: { start: '2020-05-06T09:00:00Z' } });
  await seen('timing', { effectiveTiming: { event: ['2019-01-01T00:00:00Z', '2021-01-01T00:00:00Z'] } });
  await finds('Observation?method=dated&date=2020-05-06', 'day', 'instant');
  await finds('Observation?method=dated&date=2020-05-06T10:00:00Z', 'instant');
  await finds('Observation?method=dated&date=2020-05-06T10:00:00', 'instant');
  await finds('Observation?method=dated&date=gt2999', 'open');
  await finds('Observation?method=dated&date=ap2020-05-06T12:00:00Z&date=lt2020', 'timing');
  await finds(`Observation?method=dated&date=${enc('2020-05-06T12:00:00+02:00')}`, 'instant');
  assert.equal((await ask('GET', 'Observation?method=dated&date=2020-05-06T12:00:00+02:00')).status, 400);
});

test('numbers have the range of their digits, for comparisons the exact value; integers match exactly', async () => {
  const risk = (id, probabilityDecimal) => put({ resourceType: 'RiskAssessment', id, status: 'final', subject: { reference: 'Patient/x' }, prediction: [{ probabilityDecimal }] });
  for (const [id, p] of [['p95', 95], ['p995', 99.5], ['p100', 100], ['p1004', 100.4], ['p1005', 100.5]]) await risk(id, p);
  await finds('RiskAssessment?probability=100', 'p100', 'p1004', 'p995');
  await finds('RiskAssessment?probability=1e2', 'p100', 'p1004', 'p1005', 'p95', 'p995');
  await finds('RiskAssessment?probability=gt100', 'p1004', 'p1005');
  await finds('RiskAssessment?probability=le100', 'p100', 'p95', 'p995');
  await put({ resourceType: 'MolecularSequence', id: 'seq', coordinateSystem: 0, variant: [{ start: 7, end: 8 }] });
  await finds('MolecularSequence?variant-start=7', 'seq');
  await finds('MolecularSequence?variant-start=7.4');
});

test('quantities have three forms, and comparators of stored values count', async () => {
  const UCUM = 'http://unitsofmeasure.org', q = (id, valueQuantity) => observation(id, { method: { coding: [{ code: 'measured' }] }, valueQuantity });
  await q('mg', { value: 5.4, unit: 'milligram', system: UCUM, code: 'mg' });
  await q('below', { value: 5.4, comparator: '<', unit: 'mg' });
  const find = (value, ...expected) => finds(`Observation?method=measured&value-quantity=${enc(value)}`, ...expected);
  await find(`5.4|${UCUM}|mg`, 'mg');
  await find('5.4||mg', 'mg');
  await find('5.4||milligram', 'mg');
  await find('5.4', 'mg');
  await find('lt5.4', 'below');
  await find('lt5||mg', 'below');
});

test('tokens have four forms, codes the system of their binding, and case unless they are strings', async () => {
  const p = (id, more) => put({ resourceType: 'Patient', id, ...more });
  await p('sys', { identifier: [{ system: 'http://s', value: 'A1' }], telecom: [{ system: 'phone', value: '555' }], active: true });
  await p('nosys', { identifier: [{ value: 'A1' }], active: false, gender: 'female' });
  const find = (what, ...expected) => finds(`Patient?_id=sys,nosys${what}`, ...expected);
  await find('&identifier=A1', 'nosys', 'sys');
  await find(`&identifier=${enc('http://s|A1')}`, 'sys');
  await find(`&identifier=${enc('|A1')}`, 'nosys');
  await find(`&identifier=${enc('http://s|')}`, 'sys');
  await find('&identifier=a1');
  await find(`&gender=${enc('http://hl7.org/fhir/administrative-gender|female')}`, 'nosys');
  await find('&phone=555', 'sys');
  await find('&active=false', 'nosys');
  await put({ resourceType: 'StructureMap', id: 'sm', url: 'http://sm', name: 'x', status: 'draft', version: 'v1B', group: [{ name: 'g', typeMode: 'none', input: [{ name: 'i', mode: 'source' }], rule: [{ name: 'r', source: [{ context: 'c' }] }] }] });
  await finds('StructureMap?version=V1b', 'sm');
});

test('strings begin a text or a word, folded; :exact and :contains; escapes', async () => {
  const p = (id, family, given) => put({ resourceType: 'Patient', id, name: [{ family, ...(given ? { given } : {}) }] });
  await p('au', 'Åström-Berg', ['Zoë']);
  await p('sign', 'a,b|c$d\\e');
  await finds('Patient?family=astrom', 'au');
  await finds(`Patient?family=${enc('A\u030astro\u0308m')}`, 'au');
  await finds('Patient?family=berg', 'au');
  await finds('Patient?family=strom');
  await finds('Patient?given=zoe', 'au');
  await finds(`Patient?family:exact=${enc('Åström-Berg')}`, 'au');
  await finds(`Patient?family:exact=${enc('åström-berg')}`);
  await finds('Patient?family:contains=trom', 'au');
  await finds(`Patient?family:exact=${enc('a\\,b\\|c\\$d\\\\e')}`, 'sign');
  await observation('esc', { code: { coding: [{ system: 'http://e', code: 'x$y' }] }, valueQuantity: { value: 1 } });
  await finds(`Observation?code-value-quantity=${enc('http://e|x\\$y$1')}`, 'esc');
  await finds(`Observation?code=${enc('http://e|x\\$y')}`, 'esc');
});

test('the parts of a composite are of one repetition', async () => {
  const part = (code, value) => ({ code: { coding: [{ code }] }, valueQuantity: { value } });
  await observation('bp', { component: [part('sys', 120), part('dia', 80)] });
  await finds(`Observation?component-code-value-quantity=${enc('sys$120')}`, 'bp');
  await finds(`Observation?component-code-value-quantity=${enc('sys$80')}`);
  await finds(`Observation?combo-code-value-quantity=${enc('dia$80')}`, 'bp');
  await finds(`Observation?combo-code-value-quantity=${enc('dia$120')}`);
});

test('references: own URLs are relative ones, an id alone any type, versions, canonicals, contained ones never', async () => {
  await observation('ref', { subject: { reference: `${server.fhir}/Patient/male` }, performer: [{ reference: 'Practitioner/doc', identifier: { system: 'http://i', value: '9' } }] });
  await observation('versioned', { subject: { reference: 'Patient/male/_history/1' } });
  await observation('inside', { contained: [{ resourceType: 'Patient', id: 'male' }], subject: { reference: '#male' } });
  for (const value of ['male', 'Patient/male', `${server.fhir}/Patient/male`]) await finds(`Observation?subject=${enc(value)}`, 'ref', 'versioned');
  await finds('Observation?performer=doc', 'ref');
  await finds('Observation?performer:Practitioner=doc', 'ref');
  await finds('Observation?performer:Organization=doc');
  await finds(`Observation?performer:identifier=${enc('http://i|9')}`, 'ref');
  await finds(`Observation?subject=${enc('#male')}`);
  await put({ resourceType: 'QuestionnaireResponse', id: 'qr', status: 'completed', questionnaire: 'http://q/1|2.0' });
  await finds(`QuestionnaireResponse?questionnaire=${enc('http://q/1')}`, 'qr');
  await finds(`QuestionnaireResponse?questionnaire=${enc('http://q/1|2.0')}`, 'qr');
  await finds(`QuestionnaireResponse?questionnaire=${enc('http://q/1|3.0')}`);
});

test('chains end in modifiers and prefixes, lead into _has, and _has into _has', async () => {
  await put({ resourceType: 'Organization', id: 'org', name: 'Org' });
  await put({ resourceType: 'Patient', id: 'linked', gender: 'female', birthDate: '1990-05-05', managingOrganization: { reference: 'Organization/org' } });
  await observation('chained', { subject: { reference: 'Patient/linked' }, method: { coding: [{ code: 'm' }] } });
  await finds('Observation?subject:Patient.gender:not=male&method=m', 'chained');
  await finds('Observation?subject:Patient.birthdate=gt1990-05-04&method=m', 'chained');
  await finds('Observation?subject:Patient.birthdate=gt1990-05-05&method=m');
  await finds('Observation?subject:Patient.organization.name=org', 'chained');
  await finds('Observation?subject:Patient._has:Observation:subject:method=m&method=m', 'chained');
  await finds('Organization?_has:Patient:organization:_has:Observation:subject:method=m', 'org');
  await finds('Patient?_has:Observation:subject:subject:Patient.organization.name=org', 'linked');
});

test('includes are one hop, come once with each page and are not counted; _count counts matches', async () => {
  for (let i = 0; i < 3; i++) await observation(`inc${i}`, { subject: { reference: 'Patient/linked' }, method: { coding: [{ code: 'inc' }] } });
  let page = await get('Observation?method=inc&_include=Observation:subject&_count=2&_total=accurate');
  assert.deepEqual([of(page).length, of(page, 'include'), page.total], [2, ['linked'], 3]);
  page = (await call('GET', page.link.find((l) => l.relation === 'next').url, undefined, server.admin)).json;
  assert.deepEqual([of(page).length, of(page, 'include')], [1, ['linked']]);
  assert.deepEqual(of(await get('Observation?method=inc&_include=Observation:subject&_include=Patient:organization'), 'include'), ['linked']);
  assert.deepEqual(of(await get('Observation?method=inc&_include=Observation:subject&_include:iterate=Patient:organization'), 'include').sort(), ['linked', 'org']);
  assert.deepEqual(of(await get('Patient?_id=linked&_include=Patient:link&_revinclude=Patient:link'), 'include'), []);
  for (const none of ['_count=0', '_summary=count']) {
    page = await get(`Observation?method=inc&_include=Observation:subject&${none}`);
    assert.deepEqual([page.entry, page.total], [undefined, 3], none);
  }
});

test('_elements and _summary tag SUBSETTED and keep mandatory elements; sorting keeps all', async () => {
  for (const search of ['Observation?_id=bp&_elements=method', 'Observation?_id=bp&_summary=text']) {
    const [{ resource }] = (await get(search)).entry;
    assert.ok(resource.meta.tag.some((t) => t.code === 'SUBSETTED'), search);
    assert.deepEqual([resource.status, resource.code.text], ['final', 'bp'], search);
    assert.equal(resource.component, undefined, search);
  }
  const all = [];
  let page = await get('Patient?_sort=birthdate&_count=2&_id=male,neither,linked,au');
  for (;;) {
    all.push(...of(page));
    const next = page.link.find((l) => l.relation === 'next');
    if (!next) break;
    page = (await call('GET', next.url, undefined, server.admin)).json;
  }
  assert.deepEqual([all.slice(0, 2), all.slice(2).sort()], [['male', 'linked'], ['au', 'neither']]);
});

test('strict handling names what is unknown; lenient leaves it out of self and says so; what is malformed is 400 in both', async () => {
  const lenient = { prefer: 'handling=lenient' };
  for (const [search, text] of [['Patient?famly=x', /"famly"; did you mean "family"/], ['Patient?_sort=famly', /"famly"/], ['Patient?_include=Patient:famly', /"famly"/], ['Patient?_has:Observation=1', /_has must read/]]) {
    const refused = await ask('GET', search, undefined, strict);
    assert.equal(refused.status, 400, search);
    assert.match(refused.json.issue[0].diagnostics, text);
    for (const headers of [lenient, {}]) { // which is the default
      const page = await get(`${search}&_count=1`, headers);
      assert.doesNotMatch(page.link.find((l) => l.relation === 'self').url, /fam|_has/, search);
      assert.match(page.entry.find((e) => e.search.mode === 'outcome').resource.issue[0].diagnostics, /ignored/);
    }
  }
  for (const bad of ['Patient?family:nonsense=x', 'Patient?birthdate:exact=2000', 'Observation?date=2013-13', 'RiskAssessment?probability=abc'])
    for (const headers of [strict, lenient]) assert.equal((await ask('GET', bad, undefined, headers)).status, 400, bad);
});

test('all forms of a reference are equal, and POST _search is GET', async () => {
  await put({ resourceType: 'Practitioner', id: 'doc' });
  await put({ resourceType: 'PractitionerRole', id: 'role', practitioner: { reference: 'Practitioner/doc' } });
  for (const value of ['doc', 'Practitioner/doc']) await finds(`PractitionerRole?practitioner=${enc(value)}`, 'role');
  for (const value of ['linked', 'Patient/linked']) await finds(`Observation?patient=${enc(value)}&method=m`, 'chained');
  const form = await ask('POST', 'Observation/_search', 'patient=linked&method=m', { 'content-type': 'application/x-www-form-urlencoded' });
  assert.equal(form.status, 200, form.text);
  assert.deepEqual(of(form.json), ['chained']);
});
