// Searches that ask for as much as they can: each page is bounded in what it looks at and brings, says what is too much, and
// following its links comes to the whole answer.
import { test, before, after } from 'node:test';
import assert from 'node:assert/strict';
import { call, start, store } from './lib/server.mjs';

const PATIENTS = 40, EACH = 15, BUDGET = 300, INCLUDES = 50;
let server;

const codes = ['a', 'b', 'c', 'd', 'e'];
const patients = Array.from({ length: PATIENTS }, (_, i) => ({ resourceType: 'Patient', id: `p${i}`, name: [{ family: `Family${i % 7}`, given: [`Given${i}`] }] }));
const observations = Array.from({ length: PATIENTS * EACH }, (_, i) => ({
  resourceType: 'Observation', id: `o${i}`, status: i === 77 ? 'preliminary' : 'final', code: { coding: [{ system: 'http://c', code: codes[i % codes.length] }] },
  subject: { reference: `Patient/p${(i * 7) % PATIENTS}` }, valueQuantity: { value: i }, ...(i > 0 ? { hasMember: [{ reference: `Observation/o${i - 1}` }] } : {}),
}));

before(async () => {
  server = await start({ plugins: { 'store-sqlite': { 'scan-budget': String(BUDGET), 'max-includes': String(INCLUDES) } } });
  const all = [...patients, ...observations];
  for (let i = 0; i < all.length; i += 200) {
    const entry = all.slice(i, i + 200).map((resource) => ({ resource, request: { method: 'PUT', url: `${resource.resourceType}/${resource.id}` } }));
    const answer = await call('POST', server.fhir, { resourceType: 'Bundle', type: 'batch', entry }, server.admin);
    assert.equal(answer.status, 200, answer.text.slice(0, 300));
    assert.ok(answer.json.entry.every((e) => e.response.status.startsWith('201')));
  }
});
after(async () => { if (server) { await server.stop(); server.remove(); } });

const post = async (type, body) => {
  const response = await fetch(`${server.fhir}/${type}/_search`, { method: 'POST', body, headers: { ...server.admin, prefer: 'handling=strict', 'content-type': 'application/x-www-form-urlencoded' } });
  return { status: response.status, json: JSON.parse(await response.text()) };
};
const ids = (bundle) => (bundle.entry ?? []).filter((e) => e.search.mode === 'match').map((e) => e.resource.id);
const explained = (bundle) => JSON.parse(bundle.entry.find((e) => e.search.mode === 'outcome' && /"plan"/.test(JSON.stringify(e.resource).replaceAll('\\', ''))).resource.issue.at(-1).diagnostics);
// All ids over all pages, and the most that one page looked at.
const walk = async (search) => {
  const found = [];
  let url = `${server.fhir}/${search}&_explain=true`, most = 0, pages = 0;
  while (url) {
    const r = await call('GET', url, undefined, server.admin);
    assert.equal(r.status, 200, `${search}: ${r.text.slice(0, 300)}`);
    found.push(...ids(r.json));
    most = Math.max(most, explained(r.json).probed);
    const next = r.json.link.find((l) => l.relation === 'next')?.url;
    url = next === undefined ? undefined : next + (next.includes('_explain') ? '' : '&_explain=true');
    assert.ok(++pages < 1000, `${search} does not end`);
  }
  assert.equal(new Set(found).size, found.length, `${search} brings some twice`);
  return { found: found.sort(), most, pages };
};
const list = (name, count, value) => `${name}=${Array.from({ length: count }, (_, i) => value(i)).join(',')}`;
const of = (filter) => observations.filter(filter).map((o) => o.id).sort();

test('thousands of values are answered off the loop, and more than the limit are refused with what would be right', async () => {
  const some = Array.from({ length: 14 }, (_, k) => list('code', 250, (i) => (i === 9 ? 'a' : `http://c%7Cx${k}-${i}`))).join('&');
  const answer = await post('Observation', `${some}&_count=5&_explain=true`);
  assert.equal(answer.status, 200, JSON.stringify(answer.json).slice(0, 300));
  assert.equal(ids(answer.json).length, 5);
  if (store !== 'postgres') assert.equal(explained(answer.json).on, 'pool'); // there the database does it
  for (const [name, count, value] of [['code', 255, (i) => `x${i}`], ['code:not', 255, (i) => `x${i}`], ['subject', 255, (i) => `p${i}`], ['subject:Patient.name', 255, (i) => `x${i}`], ['subject:Patient.name:contains', 255, (i) => `x${i}`], ['_has:DiagnosticReport:result:code', 255, (i) => `x${i}`]]) {
    const refused = await post('Observation', Array.from({ length: 20 }, () => list(name, count, value)).join('&'));
    assert.equal(refused.status, 400, name);
    assert.match(refused.json.issue[0].diagnostics, /more than 4000 conditions: give fewer values/);
  }
  assert.match((await post('Observation', list('code', 257, (i) => `x${i}`))).json.issue[0].diagnostics, /more than 256 values/);
  assert.equal((await post('Observation', Array.from({ length: 257 }, () => 'code=a').join('&'))).status, 400);
});

test('nested chains stay within their budget, page by page, and come to the whole answer', async () => {
  const subject = (o) => o.subject.reference.slice(8), family = (o) => patients[Number(subject(o).slice(1))].name[0];
  const cases = [
    ['Observation?subject:Patient.name:contains=iven3', of((o) => /iven3/.test(family(o).given[0]))],
    ['Observation?subject:Patient.name:contains=nobody', []],
    ['Observation?subject:Patient._has:Observation:subject:value-quantity=lt10', of((o) => observations.some((x) => x.valueQuantity.value < 10 && subject(x) === subject(o)))],
    ['Observation?subject:Patient._has:Observation:subject:code:not=a', of((o) => observations.some((x) => x.code.coding[0].code !== 'a' && subject(x) === subject(o)))],
    ['Observation?has-member:Observation.has-member:Observation.subject:Patient.name:contains=iven1', of((o) => { const n = Number(o.id.slice(1)) - 2; return n >= 0 && /iven1/.test(family(observations[n]).given[0]); })],
    ['Observation?_has:Observation:has-member:_has:Observation:has-member:status:not=final', ['o75']],
    ['Observation?status:not=final', ['o77']],
    ['Observation?code:missing=true', []],
  ];
  for (const [search, expected] of cases) for (const count of [7, 1000]) {
    const { found, most } = await walk(`${search}&_count=${count}`);
    assert.deepEqual(found, expected, search);
    // Until it comes a step further a page may take twenty times its budget, or it would never; once more for its total.
    assert.ok(most <= 22 * BUDGET + 2000, `${search} looked at ${most} rows for one page`);
  }
  for (const deep of [`Observation?${'has-member:Observation.'.repeat(60)}code=a`, `Observation?${'_has:Observation:has-member:'.repeat(60)}code=a`]) {
    const r = await call('GET', `${server.fhir}/${deep}`, undefined, server.admin);
    assert.equal(r.status, 400, deep.slice(0, 80));
    assert.match(r.json.issue[0].diagnostics, /pass through 3 references at most/);
  }
});

test('includes end at their limit, and say so', async () => {
  for (const search of ['Patient?_revinclude=Observation:subject&_count=40', 'Observation?_id=o599&_include:iterate=Observation:has-member', 'Patient?_count=40&_revinclude=*&_include:iterate=*&_revinclude:iterate=*']) {
    const r = await call('GET', `${server.fhir}/${search}`, undefined, server.admin);
    assert.equal(r.status, 200, r.text.slice(0, 300));
    const included = r.json.entry.filter((e) => e.search.mode === 'include');
    assert.ok(included.length <= INCLUDES, `${search}: ${included.length}`);
    const all = r.json.entry.filter((e) => e.search.mode !== 'outcome').map((e) => `${e.resource.resourceType}/${e.resource.id}`);
    assert.equal(new Set(all).size, all.length, search);
    assert.ok(r.json.entry.some((e) => e.search.mode === 'outcome' && /includ/.test(JSON.stringify(e.resource))), `${search} does not say that there is more`);
  }
});
