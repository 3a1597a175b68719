// Searches over HTTP against an oracle: fhirpath.js evaluates the official expressions of R4's search parameters over the
// official examples, rules written from the standard's text decide what matches (lib/oracle/rules.mjs, which also lists
// where Andiron decides what the standard leaves open), and whole result sets, page by page, must be equal.
//
// ORACLE_SEED chooses other searches, ORACLE_PER_PARAM how many of each parameter of each type.
import test, { before, after } from 'node:test';
import assert from 'node:assert/strict';
import http from 'node:http';
import { start, call, indexAgrees } from './lib/server.mjs';
import { evaluator, loadExamples, loadParams, skip } from './lib/oracle/data.mjs';
import { matches } from './lib/oracle/rules.mjs';
import { random, searches } from './lib/oracle/queries.mjs';
import { linkSearches, sortSearches } from './lib/oracle/links.mjs';

const SEED = Number(process.env.ORACLE_SEED ?? 1);
const PER_PARAM = Number(process.env.ORACLE_PER_PARAM ?? 4);

let server, examples, agent;
const known = []; // of each parameter of each type, what its resources have

const each = async (list, width, one) => { let next = 0; await Promise.all(Array.from({ length: width }, async () => { while (next < list.length) await one(list[next++]); })); };

before(async () => {
  if (skip) return;
  server = await start();
  agent = new http.Agent({ keepAlive: true, maxSockets: 8 });
  examples = loadExamples();
  // In transactions, each of which is one commit; what the server refuses as invalid is left out of the examples.
  await each([...examples], 2, async ([type, list]) => {
    const bundle = { resourceType: 'Bundle', type: 'batch', entry: list.map((resource) => ({ resource, request: { method: 'PUT', url: `${type}/${resource.id}` } })) };
    const answer = await call('POST', server.fhir, bundle, server.admin);
    assert.equal(answer.status, 200, answer.text.slice(0, 300));
    examples.set(type, list.filter((_, i) => answer.json.entry[i].response.status.startsWith('201')));
  });
});
after(async () => { agent?.destroy(); if (server) { await server.stop(); server.remove(); } });

const get = (url) => new Promise((ok, no) => {
  http.get(url, { agent, headers: { ...server.admin, prefer: 'handling=strict' } }, (res) => {
    const chunks = [];
    res.on('data', (c) => chunks.push(c));
    res.on('end', () => ok({ status: res.statusCode, text: Buffer.concat(chunks).toString() }));
  }).on('error', no);
});

// Ids of all matches, over all pages.
async function found(search, count) {
  return (await inOrder(search, count)).sort();
}
async function inOrder(search, count) {
  const ids = [];
  let url = `${server.fhir}/${search}&_count=${count}&_elements=id`;
  while (url) {
    const page = await get(url);
    if (page.status !== 200) throw new Error(`${page.status} ${page.text.slice(0, 300)}`);
    const bundle = JSON.parse(page.text);
    for (const e of bundle.entry ?? []) if (e.search.mode === 'match') ids.push(e.resource.id);
    url = bundle.link.find((l) => l.relation === 'next')?.url;
  }
  return ids;
}

const microseconds = () => BigInt(Date.now()) * 1000n;

test('every search finds exactly what the oracle says', { skip }, async (t) => {
  const r = random(SEED), oracle = evaluator(), began = microseconds();
  const { byType, byUrl } = loadParams([...examples.keys()]);
  const asked = [];
  const counts = { resources: 0, pairs: 0, withValues: 0 };
  for (const [type, resources] of examples) {
    counts.resources += resources.length;
    for (const param of byType.get(type)) {
      if (['_id', '_lastUpdated'].includes(param.code) || resources.length === 0) continue;
      const kind = param.type, kinds = param.component?.map((c) => byUrl.get(c.definition).type);
      const values = resources.map((resource) => (kind === 'composite' ? oracle.groups(param, resource) : oracle.values(param, resource)));
      counts.pairs++;
      known.push({ type, param, kind, kinds, values, resources });
      if (values.some((v) => v.length > 0)) counts.withValues++;
      for (const search of searches({ kind, kinds }, values.flat(), PER_PARAM, r, { base: server.fhir, targets: param.target, code: param.code, versions: resources.map((x) => x.version).filter(Boolean) })) asked.push({ ...search, type, param, kind, kinds, values, resources });
    }
  }
  const wrong = [], byKind = {};
  let hits = 0, open = 0;
  await each(asked, 8, async (a) => {
    const text = `${a.type}?${a.param.code}${a.modifier ? `:${a.modifier}` : ''}=${encodeURIComponent(a.value)}`;
    // What must be found and what may: "ap" depends on the time, and words far behind in a long text are a courtesy.
    const [must, may] = [{ now: began, isShort: true }, { now: microseconds() + 60000000n }]
      .map((options) => a.resources.filter((x, i) => matches(a, a.values[i], { base: server.fhir, targets: a.param.target, code: a.param.code, version: x.version, ...options })).map((x) => x.id).sort());
    const isOpen = String(must) !== String(may);
    const got = await found(text, r.pick([5, 100, 100, 100])).catch((e) => [e.message]);
    const key = `${a.kind}${a.modifier ? `:${/^[A-Z]/.test(a.modifier) ? '[type]' : a.modifier}` : ''}`;
    byKind[key] = (byKind[key] ?? 0) + 1;
    hits += got.length;
    if (isOpen) open++;
    const missing = must.filter((id) => !got.includes(id) && may.includes(id)), tooMany = got.filter((id) => !may.includes(id) && !must.includes(id));
    if (missing.length + tooMany.length > 0 || new Set(got).size !== got.length || (!isOpen && got.length !== must.length)) wrong.push(`${text}\n    missing: ${missing}\n    too many: ${tooMany}`);
  });
  t.diagnostic(`seed ${SEED}: ${asked.length} searches over ${counts.resources} resources, ${counts.pairs} parameters of types, ${counts.withValues} with values; ${hits} hits, ${open} searches with some choice; ${JSON.stringify(byKind)}`);
  if (process.env.ORACLE_ALL) console.log(wrong.join('\n'));
  assert.deepEqual(wrong.slice(0, 20), [], `${wrong.length} of ${asked.length} searches differ`);
  assert.ok(asked.length > PER_PARAM * 1000 && open < asked.length / 20);
});

test('chains and _has find exactly what the oracle says', { skip }, async (t) => {
  const asked = linkSearches(known, Math.ceil(PER_PARAM / 2), random(SEED + 1), server.fhir), wrong = [];
  let hits = 0;
  await each(asked, 8, async ({ text, expected }) => {
    const got = await found(text, 100).catch((e) => [e.message]);
    hits += got.length;
    if (String(got) !== String(expected)) wrong.push(`${text}\n    found: ${got}\n    expected: ${expected}`);
  });
  t.diagnostic(`${asked.length} searches, ${asked.filter((a) => a.text.includes('?_has')).length} of them _has; ${hits} hits`);
  assert.deepEqual(wrong.slice(0, 20), [], `${wrong.length} of ${asked.length} searches differ`);
  assert.ok(asked.length > 300 && hits > 300, `${asked.length} searches, ${hits} hits`);
});

test('sorted answers have all resources, in the order that the oracle says', { skip }, async (t) => {
  const r = random(SEED + 2), asked = sortSearches(known, PER_PARAM, r), wrong = [];
  await each(asked, 8, async ({ text, wrong: what }) => {
    const said = await inOrder(text, r.pick([3, 7, 100])).then(what, (e) => e.message);
    if (said !== undefined) wrong.push(`${text}: ${said}`);
  });
  t.diagnostic(`${asked.length} searches`);
  assert.deepEqual(wrong.slice(0, 20), [], `${wrong.length} of ${asked.length} searches differ`);
  assert.ok(asked.length > 300);
});

test('andiron check finds every index term as it should be', { skip }, async () => {
  assert.ok(await indexAgrees(server) > 0);
});
