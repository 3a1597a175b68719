// Scopes with queries: what a token with them sees, and that nothing tells of what it does not see. Two servers, one with
// data that lies outside of the scopes and one without, must give the same answers to anything a token may ask.
import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import { isDeepStrictEqual } from 'node:util';
import { call, start } from './lib/server.mjs';
import { scopedToken } from './lib/smart.mjs';

const scopes = ['system/Patient.cruds?active=true', 'system/Observation.cruds?category=laboratory', 'system/Observation.cruds?status=amended', 'system/Condition.cruds?clinical-status=active', 'system/Encounter.cruds?status=finished', 'system/Practitioner.cruds', 'system/DiagnosticReport.cruds', 'system/Organization.cruds?_tag:not=Hidden'];

// xorshift32: the same data and queries in every run; ANDIRON_SEED asks for others.
let seed = Number(process.env.ANDIRON_SEED ?? 20260101);
const roll = (n) => { seed ^= seed << 13; seed ^= seed >>> 17; seed ^= seed << 5; return (seed >>> 0) % n; };
const pick = (list) => list[roll(list.length)];
const maybe = (x) => (roll(2) ? x : undefined);

// ---- data: each resource is seen by the scopes or not ------------------------------------------------------------

const families = ['Adler', 'Berg', 'Curie', 'Dvorak'], codes = ['718-7', '789-8', '4548-4', '2345-7'];
const concept = (system, code) => ({ coding: [{ system, code }] });
const observationCategory = 'http://terminology.hl7.org/CodeSystem/observation-category';
const people = Array.from({ length: 14 }, (_, i) => `p${i}`), doctors = ['d0', 'd1', 'd2'], houses = Array.from({ length: 6 }, (_, i) => `o${i}`);
const encounters = Array.from({ length: 16 }, (_, i) => `e${i}`), observations = Array.from({ length: 60 }, (_, i) => `b${i}`);

const make = {
  Organization: (id) => { const seen = roll(3) > 0; return { seen, body: { resourceType: 'Organization', id, meta: seen ? undefined : { tag: [{ code: 'Hidden' }] }, name: pick(families), partOf: maybe({ reference: `Organization/${pick(houses)}` }) } }; },
  Practitioner: (id) => ({ seen: true, body: { resourceType: 'Practitioner', id, name: [{ family: pick(families) }] } }),
  Patient: (id) => { const seen = roll(2) === 0; return { seen, body: { resourceType: 'Patient', id, active: seen, name: [{ family: pick(families) }], gender: pick(['male', 'female']), birthDate: `19${50 + roll(40)}-0${1 + roll(9)}-11`, generalPractitioner: maybe([{ reference: `Practitioner/${pick(doctors)}` }]), managingOrganization: maybe({ reference: `Organization/${pick(houses)}` }), link: maybe([{ other: { reference: `Patient/${pick(people)}` }, type: 'seealso' }]) } }; },
  Encounter: (id) => { const seen = roll(2) === 0; return { seen, body: { resourceType: 'Encounter', id, status: seen ? 'finished' : 'planned', class: { code: 'AMB' }, subject: { reference: `Patient/${pick(people)}` }, serviceProvider: maybe({ reference: `Organization/${pick(houses)}` }) } }; },
  Condition: (id) => { const seen = roll(2) === 0; return { seen, body: { resourceType: 'Condition', id, clinicalStatus: concept('http://terminology.hl7.org/CodeSystem/condition-clinical', seen ? 'active' : 'resolved'), code: concept('http://snomed.info/sct', pick(codes)), subject: { reference: `Patient/${pick(people)}` }, encounter: maybe({ reference: `Encounter/${pick(encounters)}` }) } }; },
  Observation: (id) => {
    const category = pick(['laboratory', 'vital-signs', 'vital-signs']), status = pick(['final', 'final', 'amended']);
    return { seen: category === 'laboratory' || status === 'amended', body: { resourceType: 'Observation', id, status, category: [concept(observationCategory, category)], code: concept('http://loinc.org', pick(codes)), subject: { reference: `Patient/${pick(people)}` }, encounter: maybe({ reference: `Encounter/${pick(encounters)}` }), performer: maybe([{ reference: `Practitioner/${pick(doctors)}` }]), effectiveDateTime: `20${10 + roll(12)}-0${1 + roll(9)}-1${roll(10)}`, valueQuantity: { value: roll(90) / 10, unit: 'mg', system: 'http://unitsofmeasure.org', code: 'mg' }, hasMember: maybe([{ reference: `Observation/${pick(observations)}` }]) } };
  },
  DiagnosticReport: (id) => ({ seen: true, body: { resourceType: 'DiagnosticReport', id, status: 'final', code: concept('http://loinc.org', pick(codes)), subject: { reference: `Patient/${pick(people)}` }, result: [{ reference: `Observation/${pick(observations)}` }, { reference: `Observation/${pick(observations)}` }] } }),
};

// Steps [type, id, body or null (delete), seen]: creates, then changes that bring things into sight, out of it, or keep them.
const steps = () => {
  const list = [], now = new Map();
  const step = (type, id, made) => { list.push({ type, id, ...made }); now.set(`${type}/${id}`, made); };
  for (const [type, ids] of Object.entries({ Organization: houses, Practitioner: doctors, Patient: people, Encounter: encounters, Condition: Array.from({ length: 24 }, (_, i) => `c${i}`), Observation: observations, DiagnosticReport: Array.from({ length: 8 }, (_, i) => `r${i}`) })) for (const id of ids) step(type, id, make[type](id));
  for (let i = 0; i < 40; i++) {
    const type = pick(['Observation', 'Observation', 'Condition', 'Encounter', 'Patient']), id = pick([...now.keys()].filter((k) => k.startsWith(type + '/'))).split('/')[1];
    const was = now.get(`${type}/${id}`);
    step(type, id, was.body && roll(5) === 0 ? { body: null, seen: was.seen } : make[type](id));
  }
  // A resource is in sight if its last content is; then those of its versions that are. What is out of sight has never been there.
  const last = new Map();
  for (const s of list) last.set(`${s.type}/${s.id}`, s.seen);
  return list.map((s) => ({ ...s, visible: s.seen && last.get(`${s.type}/${s.id}`) }));
};

// ---- answers, without what two servers cannot have in common ------------------------------------------------------

const bare = (v) => {
  if (Array.isArray(v)) return v.map(bare);
  if (v === null || typeof v !== 'object') return v;
  return Object.fromEntries(Object.entries(v).filter(([k]) => k !== 'versionId' && k !== 'lastUpdated' && k !== 'etag' && k !== 'lastModified').map(([k, x]) => [k, bare(x)]));
};
const comparable = (server, r) => {
  if (!r.json) return { status: r.status, text: r.text };
  const json = JSON.parse(r.text.replaceAll(server.base, 'BASE').replaceAll(/_cursor=[^"&]*/g, '_cursor=X').replaceAll(/"diagnostics":"[^"]*"/g, '"diagnostics":""'));
  if (json.type === 'history') for (const e of json.entry ?? []) { delete e.request.method; e.response = { deleted: e.response.status === '204' }; }
  const body = bare(json);
  for (const e of body.entry ?? []) if (e.resource?.meta && !Object.keys(e.resource.meta).length) delete e.resource.meta;
  // Included rows have no order that means anything; they stand behind the matches.
  const included = (e) => e.search?.mode === 'include', name = (e) => `${e.resource.resourceType}/${e.resource.id}`;
  if (json.type === 'searchset' && body.entry) body.entry = [...body.entry.filter((e) => !included(e)), ...body.entry.filter(included).sort((x, y) => (name(x) < name(y) ? -1 : 1))];
  return { status: r.status, body };
};
// Ids of each page, total and links: what an answer comes to, for messages.
const outline = (pages) => pages.map((p) => `${p.status} total=${p.body?.total} ${(p.body?.entry ?? []).map((e) => `${e.search?.mode?.[0] ?? '-'}:${e.resource ? `${e.resource.resourceType}/${e.resource.id ?? ''}` : e.fullUrl}`).join(' ')}${(p.body?.link ?? []).some((l) => l.relation === 'next') ? ' ..' : ''}`).join('\n    ');
const same = (a, b, what) => assert.ok(isDeepStrictEqual(a, b), `${what}\n  with hidden data:\n    ${outline(a)}\n  without:\n    ${outline(b)}`);
const next = (r) => r.json?.link?.find((l) => l.relation === 'next')?.url;

// ---- random searches ------------------------------------------------------------------------------------------------

const leaf = {
  Patient: () => pick([`family=${pick(families)}`, `gender=${pick(['male', 'female'])}`, 'gender:not=male', `active=${pick(['true', 'false'])}`, 'active:not=true', 'link:missing=false', 'link:missing=true', `birthdate=${pick(['lt', 'ge'])}1970`, `general-practitioner=${pick(doctors)}`, `organization=Organization/${pick(houses)}`, `_id=${pick(people)},${pick(people)}`, `link=Patient/${pick(people)}`]),
  Observation: () => pick([`code=${pick(codes)}`, `code:not=${pick(codes)}`, `category=${pick(['laboratory', 'vital-signs'])}`, 'category:not=laboratory', `status=${pick(['final', 'amended'])}`, 'status:not=amended', `subject=Patient/${pick(people)}`, `date=ge201${roll(10)}`, `value-quantity=gt${roll(9)}`, 'has-member:missing=false', `has-member=Observation/${pick(observations)}`, `encounter=${pick(encounters)}`, `code-value-quantity=${pick(codes)}$gt${roll(5)}`, `performer=Practitioner/${pick(doctors)}`]),
  Condition: () => pick([`code=${pick(codes)}`, `clinical-status=${pick(['active', 'resolved'])}`, 'clinical-status:not=active', `subject=Patient/${pick(people)}`, 'encounter:missing=true', `patient=${pick(people)}`]),
  Encounter: () => pick([`status=${pick(['finished', 'planned'])}`, 'status:not=finished', `subject=Patient/${pick(people)}`, 'service-provider:missing=true']),
  Practitioner: () => pick([`family=${pick(families)}`, 'family:missing=true', `_id=${pick(doctors)}`]),
  Organization: () => pick([`name=${pick(families)}`, 'partof:missing=false', '_tag=Hidden', '_tag:missing=true']),
  DiagnosticReport: () => pick([`code=${pick(codes)}`, `result=Observation/${pick(observations)}`, `subject=Patient/${pick(people)}`]),
};
// type -> [reference, target], and [source, reference] that lead here
const forward = { Patient: [['general-practitioner', 'Practitioner'], ['organization', 'Organization'], ['link', 'Patient']], Observation: [['subject', 'Patient'], ['encounter', 'Encounter'], ['has-member', 'Observation'], ['performer', 'Practitioner']], Condition: [['subject', 'Patient'], ['encounter', 'Encounter']], Encounter: [['subject', 'Patient'], ['service-provider', 'Organization']], DiagnosticReport: [['result', 'Observation'], ['subject', 'Patient']], Organization: [['partof', 'Organization']], Practitioner: [] };
const backward = {};
for (const [source, list] of Object.entries(forward)) for (const [reference, target] of list) (backward[target] ??= []).push([source, reference]);

const criterion = (type, depth = 0) => {
  const kind = roll(depth < 2 ? 5 : 1);
  if (kind === 3 && forward[type].length) { const [reference, target] = pick(forward[type]); return `${reference}:${target}.${criterion(target, depth + 1)}`; }
  if (kind === 4 && backward[type]?.length) { const [source, reference] = pick(backward[type]); return `_has:${source}:${reference}:${criterion(source, depth + 1)}`; }
  return leaf[type]();
};
const include = (type) => pick([
  () => { const [reference, target] = pick(forward[type].length ? forward[type] : [['x', 'Patient']]); return pick([`_include=${type}:${reference}`, `_include=${type}:${reference}:${target}`, `_include=${type}:*`]); },
  () => { const [source, reference] = pick(backward[type] ?? [['Observation', 'subject']]); return `_revinclude=${source}:${reference}`; },
  () => `_include=${type}:*&_include:iterate=Observation:has-member&_include:iterate=Patient:link&_include:iterate=Patient:organization`,
  () => '_revinclude=Observation:subject&_revinclude:iterate=DiagnosticReport:result&_include:iterate=DiagnosticReport:subject',
])();
const sorts = { Observation: ['date', '-date', 'value-quantity', '-_lastUpdated', '_lastUpdated,date', '_id', '-_id'], Patient: ['family', '-birthdate,family', '_id', '-_lastUpdated'] };
const search = (type) => [
  ...Array.from({ length: roll(3) }, () => criterion(type)),
  ...(roll(2) ? [include(type)] : []),
  ...(roll(2) ? [`_sort=${pick(sorts[type] ?? ['_id', '_lastUpdated'])}`] : []),
  ...(roll(3) ? [`_count=${pick([1, 2, 3, 5, 50])}`] : []),
  ...(roll(2) ? [`_total=${pick(['accurate', 'estimate', 'none'])}`] : []),
  ...(roll(6) ? [] : ['_summary=count']),
  ...(roll(6) ? [] : [`_elements=${pick(['subject', 'status', 'name'])}`]),
].join('&');
const types = Object.keys(make);
const query = () => pick([
  () => { const type = pick(types); return `/${type}?${search(type)}`; },
  () => { const type = pick(types); return `/${type}?${search(type)}`; },
  () => { const type = pick(['Observation', 'Observation', 'Patient', 'Condition']); return `/${type}?${search(type)}`; },
  () => { const type = pick(['Observation', 'Condition', 'Encounter']); return `/Patient/${pick(people)}/${type}?${search(type)}`; },
  () => `/Patient/${pick(people)}/*?_count=${pick([3, 100])}&_total=accurate`,
  () => `/?_type=${pick(types)},${pick(types)}&_count=${pick([4, 50])}&_total=accurate${pick(['', '&_sort=_id', '&_sort=-_lastUpdated', `&_id=${pick(people)},${pick(observations)}`])}`,
  () => `/?_total=accurate&_count=${pick([7, 200])}`,
  () => `/${pick([`Patient/${pick(people)}`, `Encounter/${pick(encounters)}`])}/$everything?_count=${pick([4, 200])}`,
  () => `/${pick([`Patient/${pick(people)}`, `Observation/${pick(observations)}`, `Condition/c${roll(24)}`, `Encounter/${pick(encounters)}`, `Organization/${pick(houses)}`])}${pick(['', '', '/$meta', '?_summary=true'])}`,
  () => `/${pick([`Patient/${pick(people)}`, `Observation/${pick(observations)}`, `Condition/c${roll(24)}`])}/_history${pick(['', '?_count=1'])}`,
  () => `/${pick(['Observation', 'Patient', 'Condition', 'Encounter'])}/_history?_count=${pick([1, 3, 10, 200])}`,
  () => `/_history?_count=${pick([5, 100])}`,
])();

describe('answers do not depend on what is out of sight', () => {
  let all, part, tokens;
  const data = steps();
  before(async () => {
    [all, part] = await Promise.all([start({ quick: true }), start({ quick: true })]);
    for (const server of [all, part]) for (const s of data) {
      if (server === part && !s.visible) continue;
      const r = await call(s.body ? 'PUT' : 'DELETE', `${server.fhir}/${s.type}/${s.id}`, s.body ?? undefined, server.admin);
      assert.ok(r.status < 300, `${s.type}/${s.id}: ${r.status} ${r.text}`);
    }
    tokens = new Map();
    for (const server of [all, part]) tokens.set(server, (await scopedToken(server, 'narrow', scopes)).headers);
  });
  after(async () => { for (const s of [all, part]) { await s?.stop(); s?.remove(); } });

  // Every page of an answer.
  const walk = async (server, headers, target) => {
    const pages = [];
    for (let url = server.fhir + target; url && pages.length < 80;) {
      const r = await call('GET', url, undefined, headers);
      pages.push(comparable(server, r));
      url = next(r);
    }
    return pages;
  };
  const entries = (pages) => pages.flatMap((p) => p.body?.entry ?? []).filter((e) => e.search?.mode !== 'outcome').map((e) => e.resource ?? e);

  test('there is something to hide, and something to see', () => {
    assert.ok(data.filter((s) => s.visible).length > 60 && data.filter((s) => !s.visible).length > 60);
    assert.ok(data.some((s) => s.seen && !s.visible) && data.some((s) => !s.body && s.visible) && data.some((s) => !s.body && !s.visible));
  });

  test('searches, reads and histories', async () => {
    let found = 0;
    const asked = Number(process.env.ANDIRON_QUERIES ?? 300);
    for (let i = 0; i < asked; i++) {
      const target = query();
      const [a, b] = [await walk(all, tokens.get(all), target), await walk(part, tokens.get(part), target)];
      same(a, b, `${i}: ${target}`);
      // And the token sees all of what is there for it.
      if (a[0].status === 200) {
        const c = await walk(part, part.admin, target);
        assert.deepEqual(entries(b), entries(c), `${i}: ${target}`);
        // Unless it is asked for, a total comes where it happens to be known.
        const [mine, whole] = [b[0].body.total, c[0].body.total];
        if (target.includes('_total=accurate') || (mine !== undefined && whole !== undefined)) assert.equal(mine, whole, `${i}: ${target}`);
      }
      found += entries(a).length;
    }
    assert.ok(found > asked, `${found} entries in ${asked} answers`);
  });

  test('hidden types do not make short pages', async () => {
    // 300 hidden versions between two visible ones.
    const put = (id, category) => call('PUT', `${all.fhir}/Observation/${id}`, { ...make.Observation(id).body, status: 'final', category: [concept(observationCategory, category)] }, all.admin);
    await put('far-1', 'laboratory');
    for (let i = 0; i < 300; i++) await put('far-hidden', 'vital-signs');
    await put('far-2', 'laboratory');
    const r = await call('GET', `${all.fhir}/Observation/_history?_count=2`, undefined, tokens.get(all));
    assert.deepEqual(r.json.entry.map((e) => e.resource.id), ['far-2', 'far-1']);
    const first = await call('GET', `${all.fhir}/Observation/_history?_count=1`, undefined, tokens.get(all));
    assert.deepEqual((await call('GET', next(first), undefined, tokens.get(all))).json.entry.map((e) => e.resource.id), ['far-1']);
  });
});
