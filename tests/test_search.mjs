// Searches over HTTP against a reference: every search is also answered by match-terms, which holds the same
// resources in memory and compares as store.h says. Searches are made from the index terms of the resources
// themselves, so each finds something or only just nothing; what needs several resources is checked by hand below.
import test, { before, after } from 'node:test';
import assert from 'node:assert/strict';
import { spawn, execFileSync } from 'node:child_process';
import fs from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { start, call, source, indexAgrees } from './lib/server.mjs';

const folder = [process.env.NPM_MODULES, path.join(source, 'tests/node_modules')].filter(Boolean).map((m) => path.join(m, 'hl7.fhir.r4.examples')).find((f) => fs.existsSync(f));
const unit = path.join(process.env.ANDIRON_BUILD ?? path.join(source, 'build'), 'unit');
const skip = folder ? false : 'NPM_MODULES has no hl7.fhir.r4.examples';

const TYPES = ['Observation', 'Patient', 'Encounter', 'Condition', 'MedicationRequest', 'Practitioner', 'Organization', 'Location', 'RiskAssessment',
  'MolecularSequence', 'DocumentReference', 'ChargeItem', 'Library', 'ConceptMap', 'Group', 'Claim', 'CarePlan', 'ValueSet'];
const PER_PARAM = 6; // searches made from one parameter of one type

let server, resources;

const feed = (program, args, lines) => new Promise((resolve, reject) => {
  const child = spawn(path.join(unit, program), args, { stdio: ['pipe', 'pipe', 'inherit'] });
  const chunks = [];
  child.stdout.on('data', (c) => chunks.push(c));
  child.on('error', reject);
  child.on('close', (code) => (code === 0 ? resolve(Buffer.concat(chunks).toString().trim().split('\n').map((l) => JSON.parse(l))) : reject(new Error(`${program}: ${code}`))));
  child.stdin.end(lines.join('\n') + '\n');
});

before(async () => {
  if (skip) return;
  server = await start();
  resources = [];
  for (const file of fs.readdirSync(folder).sort()) {
    const type = file.split('-')[0];
    if (!TYPES.includes(type) || fs.statSync(path.join(folder, file)).size > 100000) continue;
    if (type === 'ValueSet' && resources.filter((r) => r.resourceType === type).length >= 60) continue;
    const resource = JSON.parse(fs.readFileSync(path.join(folder, file), 'utf8'));
    if (resource.resourceType !== type) continue;
    const put = await call('PUT', `${server.fhir}/${type}/${resource.id}`, resource, server.admin);
    if (put.status === 201) resources.push(resource);
  }
});
after(async () => { if (server) { await server.stop(); server.remove(); } });

// Ids of all matches, over all pages.
async function ids(search) {
  const found = [];
  let url = `${server.fhir}/${search}${search.includes('?') ? '&' : '?'}_count=20`;
  while (url) {
    const page = await call('GET', url, undefined, { ...server.admin, prefer: 'handling=strict' });
    if (page.status !== 200) throw new Error(`${search}: ${page.status} ${page.text.slice(0, 300)}`);
    found.push(...(page.json.entry ?? []).filter((e) => e.search.mode === 'match').map((e) => e.resource.id));
    url = page.json.link.find((l) => l.relation === 'next')?.url;
  }
  return found;
}

// ---- searches made from terms -----------------------------------------------------

const escape = (s) => s.replace(/([\\,|$])/g, '\\$1');
const instant = (us) => new Date(us / 1000).toISOString();
const PREFIXES = ['', 'ne', 'gt', 'lt', 'ge', 'le', 'sa', 'eb', 'ap'];
const finite = (x) => typeof x === 'number' && Math.abs(x) < 1e15;

// Values and modifiers that ask for a term, or for its neighbours.
function asked(t) {
  const plain = (list) => list.map((v) => ['', v]);
  switch (t.kind) {
    case 'token':
      if (t.exact !== undefined) return [[':of-type', `${escape(t.system ?? '')}|${escape(t.text)}|${escape(t.exact)}`]];
      return [...plain([escape(t.text), `${escape(t.system ?? '')}|${escape(t.text)}`, `|${escape(t.text)}`, `${escape(t.text)},nothing`, `${escape(t.text)}x`]),
        ...(t.system ? plain([`${escape(t.system)}|`]) : []), [':not', escape(t.text)]];
    case 'string':
      if (t.exact === undefined) return plain([escape(t.text)]);
      return [...plain([escape(t.text.slice(0, 5).trim() || t.text), escape(t.exact.toUpperCase())]), [':exact', escape(t.exact)], [':exact', escape(t.text)],
        [':contains', escape(t.text.slice(1, 6).trim() || t.text)], [':text', escape(t.text.slice(0, 4).trim() || t.text)]];
    case 'reference':
      return t.system ? [...plain([t.text, `${t.system}/${t.text}`, `${server.fhir}/${t.system}/${t.text}`]), [`:${t.system}`, t.text]] : plain([escape(t.text)]);
    case 'date': {
      const at = Math.abs(t.low) < 1e17 ? t.low : Math.abs(t.high) < 1e17 ? t.high : undefined;
      if (at === undefined) return [];
      const text = instant(at);
      return plain(PREFIXES.flatMap((p) => [p + text, p + text.slice(0, 10), p + text.slice(0, 7), p + text.slice(0, 4)]).filter((v) => !v.startsWith('ap')));
    }
    case 'number':
      return finite(t.low) ? plain(PREFIXES.flatMap((p) => [`${p}${t.low}`, `${p}${t.low + 1}`])) : [];
    case 'quantity': {
      const units = ['', ...(t.text ? [`|${escape(t.system ?? '')}|${escape(t.text)}`, `||${escape(t.text)}`, '||other'] : []), ...(t.exact ? [`||${escape(t.exact)}`] : [])];
      const value = finite(t.low) ? t.low : t.high;
      return finite(value) ? plain(PREFIXES.flatMap((p) => units.map((u) => `${p}${value}${u}`))) : [];
    }
    case 'uri':
      return [...plain([escape(t.text)]), [':below', escape(t.text.replace(/\/[^/]*$/, ''))], [':above', escape(`${t.text}/more`)]];
    case 'present':
      return [[':missing', 'true'], [':missing', 'false']];
    default:
      return [];
  }
}

function compositeValues(terms) {
  const first = terms.find((t) => t.part === 1);
  return [2, 3].map((n) => terms.find((t) => t.part === n && t.group === first.group)).filter(Boolean)
    .reduce((lists, t) => lists.flatMap((l) => asked(t).filter(([m]) => m === '').slice(0, 6).map(([, v]) => [...l, v])), asked(first).slice(0, 2).map(([, v]) => [v]))
    .map((parts) => parts.join('$'));
}

// A fixed spread over all of a list, so that the same searches are made every time.
const spread = (list, count) => (list.length <= count ? list : Array.from({ length: count }, (_, i) => list[Math.floor((i * list.length) / count)]));

function searchesFrom(printed) {
  const byParam = new Map();
  for (const { type, terms } of printed)
    for (const t of terms) {
      const key = `${type}?${t.param.replace('#word', '')}`;
      byParam.set(key, [...(byParam.get(key) ?? []), t]);
    }
  const searches = new Set();
  for (const [key, terms] of byParam) {
    if (key.endsWith('?near')) continue;
    const groups = terms.some((t) => t.part);
    const values = groups ? compositeValues(terms.filter((t) => t.part)).map((v) => ['', v])
      : [...new Set(['token', 'string', 'reference', 'date', 'number', 'quantity', 'uri'])].flatMap((kind) => {
        const own = terms.filter((t) => t.kind === kind);
        return spread(own, PER_PARAM).flatMap((t, i) => spread(asked(t), 9).filter((_, k) => i < 2 || k % PER_PARAM === i % PER_PARAM));
      });
    const isText = terms.some((t) => t.kind === 'token');
    for (const [modifier, value] of values) {
      const isReference = terms.some((t) => t.kind === 'reference') && isText;
      if (isReference && modifier === ':not') continue;
      const asIdentifier = isReference && !value.includes('/') && modifier === '' && /[|]/.test(value) ? ':identifier' : modifier;
      searches.add(`${key}${asIdentifier}=${encodeURIComponent(value)}`);
    }
    searches.add(`${key}:missing=true`);
    searches.add(`${key}:missing=false`);
  }
  return [...searches];
}

const inPairs = (searches) => searches.filter((_, i) => i % 7 === 0).flatMap((s, i, all) => {
  const other = all[i + 1];
  return other && other.split('?')[0] === s.split('?')[0] ? [`${s}&${other.split('?')[1]}`] : [];
});

test('a store finds exactly what the reference finds', { skip, timeout: 900000 }, async () => {
  const lines = resources.map((r) => JSON.stringify(r));
  const printed = await feed('print-terms', [], lines);
  const single = searchesFrom(printed);
  const file = path.join(fs.mkdtempSync(path.join(os.tmpdir(), 'andiron-search-')), 'searches');
  // the reference knows no base URL: absolute references to the server are checked elsewhere
  fs.writeFileSync(file, [...single, ...inPairs(single)].filter((s) => !s.includes(encodeURIComponent(server.fhir))).join('\n') + '\n');
  const expected = await feed('match-terms', [file], lines);
  fs.rmSync(path.dirname(file), { recursive: true });

  const wrong = [];
  let compared = 0, nonempty = 0, next = 0;
  const one = async ({ search, ids: want, error }) => {
    if (error) { // an artificial combination, such as :text on a string
      const refused = await call('GET', `${server.fhir}/${search}`, undefined, { ...server.admin, prefer: 'handling=strict' });
      if (refused.status !== 400) wrong.push(`${search}: ${refused.status}, but the reference says ${error}`);
      return;
    }
    compared++;
    if (want.length > 0) nonempty++;
    try {
      const got = await ids(search);
      if (new Set(got).size !== got.length) wrong.push(`${search}: twice on its pages`);
      const [a, b] = [want.slice().sort(), [...new Set(got)].sort()];
      if (a.join() !== b.join()) wrong.push(`${search}: lacks ${a.filter((x) => !b.includes(x)).slice(0, 5)}; too much ${b.filter((x) => !a.includes(x)).slice(0, 5)}`);
    } catch (e) { wrong.push(e.message); }
  };
  await Promise.all(Array.from({ length: 4 }, async () => { while (next < expected.length) await one(expected[next++]); }));
  console.log(`# ${resources.length} resources, ${compared} searches (${nonempty} find something), ${expected.filter((e) => e.error).length} refused by both`);
  assert.ok(compared > 3000, `only ${compared} searches were compared`);
  assert.deepEqual(wrong.slice(0, 25), [], `${wrong.length} of ${compared} differ`);
});

// ---- what needs several resources ---------------------------------------------------

const admin = () => ({ ...server.admin, prefer: 'handling=strict' });
const reference = (r, path) => path.split('.').reduce((v, k) => v?.[k], r)?.reference;
const byKey = (type) => new Map(resources.filter((r) => r.resourceType === type).map((r) => [`${type}/${r.id}`, r]));

test('chains and _has find what following the references by hand finds', { skip }, async () => {
  const patients = byKey('Patient');
  const observations = resources.filter((r) => r.resourceType === 'Observation');
  const male = observations.filter((o) => patients.get(reference(o, 'subject'))?.gender === 'male').map((o) => o.id).sort();
  const notMale = observations.filter((o) => { const p = patients.get(reference(o, 'subject')); return p && p.gender !== 'male'; }).map((o) => o.id).sort();
  assert.ok(male.length > 3 && notMale.length > 0);
  assert.deepEqual((await ids('Observation?subject:Patient.gender=male')).sort(), male);
  assert.deepEqual((await ids('Observation?patient.gender=male')).sort(), male);
  assert.deepEqual((await ids('Observation?subject.gender=male')).sort(), male);
  assert.deepEqual((await ids('Observation?subject:Patient.gender:not=male')).sort(), notMale);
  const observed = [...patients.keys()].filter((k) => observations.some((o) => reference(o, 'subject') === k && o.status === 'final')).map((k) => k.slice(8)).sort();
  assert.deepEqual((await ids('Patient?_has:Observation:patient:status=final')).sort(), observed);
  const byHas = observations.filter((o) => observed.includes(reference(o, 'subject')?.slice(8)) && reference(o, 'subject').startsWith('Patient/')).map((o) => o.id).sort();
  assert.deepEqual((await ids('Observation?patient._has:Observation:patient:status=final')).sort(), byHas);
});

test('includes come once with each page and are not counted', { skip }, async () => {
  const page = await call('GET', `${server.fhir}/Observation?status=final&_include=Observation:patient&_count=5&_total=accurate`, undefined, admin());
  assert.equal(page.status, 200, page.text);
  const matches = page.json.entry.filter((e) => e.search.mode === 'match').map((e) => e.resource);
  const included = page.json.entry.filter((e) => e.search.mode === 'include').map((e) => `${e.resource.resourceType}/${e.resource.id}`);
  assert.equal(matches.length, 5);
  const wanted = new Set(matches.map((m) => reference(m, 'subject')).filter((k) => byKey('Patient').has(k)));
  assert.deepEqual(included.sort(), [...wanted].sort());
  assert.equal(page.json.total, resources.filter((r) => r.resourceType === 'Observation' && r.status === 'final').length);
  const reverse = await call('GET', `${server.fhir}/Patient?_id=f001&_revinclude=Observation:subject`, undefined, admin());
  const about = resources.filter((r) => r.resourceType === 'Observation' && reference(r, 'subject') === 'Patient/f001').map((r) => r.id);
  assert.deepEqual(reverse.json.entry.filter((e) => e.search.mode === 'include').map((e) => e.resource.id).sort(), about.sort());
});

test('sorting holds over pages, and resources without the key come last', { skip }, async () => {
  const born = new Map(resources.filter((r) => r.resourceType === 'Patient').map((r) => [r.id, r.birthDate]));
  for (const [key, sign] of [['birthdate', 1], ['-birthdate', -1]]) {
    const order = await ids(`Patient?_sort=${key}`);
    assert.equal(order.length, born.size);
    assert.equal(new Set(order).size, born.size);
    const dates = order.map((id) => born.get(id));
    const known = dates.filter(Boolean);
    assert.deepEqual(dates.slice(known.length).filter(Boolean), []);
    for (let i = 1; i < known.length; i++) assert.ok(sign * (Date.parse(known[i - 1]) - Date.parse(known[i])) <= 0, `${known[i - 1]}, ${known[i]}`);
  }
  assert.deepEqual(await ids('Patient?_sort=_id'), [...born.keys()].sort());
  const families = (await ids('Patient?_sort=family')).map((id) => resources.find((r) => r.resourceType === 'Patient' && r.id === id).name?.flatMap((n) => n.family ?? []).map((f) => f.toLowerCase()).sort()[0]).filter(Boolean);
  assert.deepEqual(families, families.slice().sort());
});

// Least (or with -, greatest) value of each key; those without one last, in either direction.
const byKeys = (list, keys) => [...list].sort((a, b) => {
  for (const [sign, values] of keys) {
    const [x, y] = [a, b].map((r) => values(r).filter((v) => v !== undefined).sort((v, w) => sign * (v < w ? -1 : v > w ? 1 : 0))[0]);
    if (x === y) continue;
    if (x === undefined || y === undefined) return x === undefined ? 1 : -1;
    return sign * (x < y ? -1 : 1);
  }
  return 0;
});

test('codes, references and URLs sort, and so do several keys', { skip }, async () => {
  const status = (r) => [r.status], subject = (r) => [r.subject?.reference].filter((k) => k && !k.startsWith('#')), url = (r) => [r.url];
  const code = (r) => (r.code?.coding ?? []).map((c) => c.code), from = (r) => [Date.parse(r.effectiveDateTime ?? r.effectivePeriod?.start ?? r.effectiveInstant ?? NaN)].filter((t) => !Number.isNaN(t));
  const observations = resources.filter((r) => r.resourceType === 'Observation'), sets = resources.filter((r) => r.resourceType === 'ValueSet');
  for (const [list, sort, keys] of [
    [observations, 'status', [[1, status]]], [observations, '-code', [[-1, code]]], [observations, 'subject', [[1, subject]]], [sets, 'url', [[1, url]]], [sets, '-url', [[-1, url]]],
    [observations, 'status,-date', [[1, status], [-1, from]]], [observations, '-subject,code,-date', [[-1, subject], [1, code], [-1, from]]], [observations, 'code,status,_id', [[1, code], [1, status], [1, (r) => [r.id]]]],
  ]) {
    const found = (await ids(`${list[0].resourceType}?_sort=${sort}`)).map((id) => list.find((r) => r.id === id));
    const shown = (all) => all.map((r) => JSON.stringify(keys.map(([sign, values]) => values(r).filter((v) => v !== undefined).sort((v, w) => sign * (v < w ? -1 : v > w ? 1 : 0))[0] ?? null)));
    assert.equal(new Set(found.map((r) => r?.id)).size, list.length, sort);
    assert.deepEqual(shown(found), shown(byKeys(list, keys)), sort);
  }
  const everything = await ids('?_type=Patient,Observation&_sort=_id');
  assert.deepEqual(everything, resources.filter((r) => ['Patient', 'Observation'].includes(r.resourceType)).map((r) => r.id).sort());
  const refused = await call('GET', `${server.fhir}/Observation?_sort=code-value-quantity`, undefined, admin());
  assert.equal(refused.status, 400);
  assert.match(refused.text, /nothing can be sorted by code-value-quantity/);
});

test('_list finds the items of a list', { skip }, async () => {
  const list = { resourceType: 'List', id: 'ward', status: 'current', mode: 'working', entry: ['Patient/f001', 'Patient/nobody', 'Observation/f001'].map((reference) => ({ item: { reference } })) };
  assert.equal((await call('PUT', `${server.fhir}/List/ward`, list, server.admin)).status, 201);
  for (const search of ['Patient?_list=ward', 'Patient?_list=List/ward', 'Patient?_list=none,ward', 'Patient?_list=ward&gender=male']) assert.deepEqual(await ids(search), ['f001'], search);
  assert.deepEqual(await ids('Observation?patient._list=ward&_id=f001'), ['f001']);
  assert.deepEqual(await ids('Patient?_list=none'), []);
  assert.equal((await call('GET', `${server.fhir}/Patient?_list=$current-problems`, undefined, admin())).status, 400);
  assert.equal((await call('DELETE', `${server.fhir}/List/ward`, undefined, server.admin)).status, 204);
});

test('self and next say what was applied, and a page link works alone', { skip }, async () => {
  const page = await call('GET', `${server.fhir}/Observation?status=final&nonsense=1&_count=3`, undefined, server.admin);
  assert.equal(page.status, 200, page.text);
  const link = (name) => page.json.link.find((l) => l.relation === name)?.url;
  assert.equal(link('self'), `${server.fhir}/Observation?status=final&_count=3`);
  const next = await call('GET', link('next'), undefined, server.admin);
  assert.equal(next.status, 200, next.text);
  const other = await call('GET', link('next').replace('status=final', 'status=preliminary'), undefined, server.admin);
  assert.equal(other.status, 400, 'a cursor serves only its own query');
});

test('every parameter that the server lists can be searched', { skip }, async () => {
  const { json } = await call('GET', `${server.fhir}/metadata`, undefined, server.admin);
  const values = { number: '1', date: '2013', string: 'a', token: 'a', reference: 'Patient/1', quantity: '1', uri: 'http://a', special: '1|1|1|km' };
  const wrong = [];
  const all = json.rest[0].resource.flatMap((r) => (r.searchParam ?? []).filter((p) => values[p.type]).map((p) => `${r.type}?${p.name}=${encodeURIComponent(values[p.type])}`));
  let next = 0;
  await Promise.all(Array.from({ length: 4 }, async () => {
    while (next < all.length) {
      const search = all[next++];
      const r = await call('GET', `${server.fhir}/${search}`, undefined, admin());
      if (r.status !== 200) wrong.push(`${search}: ${r.status} ${r.text.slice(0, 200)}`);
    }
  }));
  assert.ok(all.length > 1500, `${all.length} listed`);
  assert.deepEqual(wrong.slice(0, 20), []);
});

test('andiron check finds every index term as it should be', { skip }, async () => {
  assert.ok(await indexAgrees(server) > 0);
});
