// What comes back of a search: pages forward and back, also while others write; reverse includes; explanations.
import test, { before, after } from 'node:test';
import assert from 'node:assert/strict';
import { start, call, basic, indexAgrees } from './lib/server.mjs';

let server;
before(async () => { server = await start({ quick: true }); });
after(async () => { if (server) { await server.stop(); server.remove(); } });

const strict = () => ({ ...server.admin, prefer: 'handling=strict' });
const get = async (url, headers = strict()) => call('GET', url.startsWith('http') ? url : `${server.fhir}/${url}`, undefined, headers);
const put = async (resource) => {
  const r = await call('PUT', `${server.fhir}/${resource.resourceType}/${resource.id}`, resource, server.admin);
  assert.ok(r.status < 300, r.text);
};
const bundle = async (resources) => {
  const entry = resources.map((resource) => ({ resource, request: { method: 'PUT', url: `${resource.resourceType}/${resource.id}` } }));
  const r = await call('POST', server.fhir, { resourceType: 'Bundle', type: 'transaction', entry }, server.admin);
  assert.equal(r.status, 200, r.text);
};
const link = (page, relation) => page.json.link.find((l) => l.relation === relation)?.url;
const matches = (page) => (page.json.entry ?? []).filter((e) => e.search.mode === 'match').map((e) => e.resource.id);

const statuses = ['registered', 'preliminary', 'final', 'amended', 'corrected'];
const observation = (id, n) => ({
  resourceType: 'Observation', id, status: statuses[n % 5], code: { coding: [{ system: 'http://walk', code: n % 3 ? 'kept' : 'rare' }] },
  subject: { reference: `Patient/w${n % 7}` }, ...(n % 11 ? { effectiveDateTime: `2020-01-${String(1 + n % 28).padStart(2, '0')}` } : {}),
});

test('prev leads back over the pages that next came by', async () => {
  await bundle(Array.from({ length: 23 }, (_, n) => ({ resourceType: 'Basic', id: `b${n}`, code: { text: 'x' } })));
  for (const sort of ['', '&_sort=_lastUpdated']) {
    const pages = [];
    let page = await get(`Basic?_count=5${sort}`);
    assert.equal(link(page, 'prev'), undefined, 'the first page has none before it');
    for (;;) {
      pages.push(matches(page));
      if (!link(page, 'next')) break;
      page = await get(link(page, 'next'));
      assert.equal(link(page, 'first'), `${server.fhir}/Basic?_count=5${sort}`);
    }
    assert.deepEqual(pages.map((p) => p.length), [5, 5, 5, 5, 3]);
    for (let i = pages.length - 2; i >= 0; i--) {
      page = await get(link(page, 'prev'));
      assert.deepEqual(matches(page), pages[i], `page ${i}${sort}`);
      assert.equal(page.json.total, 23);
    }
    assert.equal(link(page, 'prev'), undefined);
    assert.deepEqual(matches(await get(link(page, 'next'))), pages[1], 'and forward again');
  }
  const page = await get(link(await get('Basic?_count=5'), 'next'));
  assert.equal((await get(link(page, 'prev').replace('_count=5', '_count=5&code=x'))).status, 400, 'a cursor serves only its own query');
});

test('a walk over pages shows each unchanged resource exactly once while others write', async () => {
  const still = Array.from({ length: 240 }, (_, n) => `still-${n}`);
  await bundle(still.map((id, n) => observation(id, n)));
  let writing = true, writes = 0;
  const writer = async (w) => {
    for (let n = 0; writing; n++, writes++) {
      const id = `moving-${w}-${n % 15}`;
      if (n % 4 === 3) assert.ok((await call('DELETE', `${server.fhir}/Observation/${id}`, undefined, server.admin)).status < 300);
      else await put(observation(id, n * 3 + w));
    }
  };
  const writers = [writer(0), writer(1)];
  try {
    for (const search of ['_count=7', '_count=7&_sort=_lastUpdated', '_count=9&_sort=date', '_count=9&_sort=-date', '_count=8&_sort=status,-date', '_count=8&_sort=-code,subject,date', '_count=9&_sort=subject',
      '_count=11&_sort=_id', '_count=5&code=http://walk|rare', '_count=5&code=http://walk|kept&_sort=-status', '_count=6&subject=Patient/w3&_sort=date,_id', '_count=9&status:not=final']) {
      const seen = new Map(), before = writes;
      for (let url = `Observation?${search}`; url;) {
        const page = await get(url);
        assert.equal(page.status, 200, page.text);
        for (const id of matches(page)) seen.set(id, (seen.get(id) ?? 0) + 1);
        url = link(page, 'next');
      }
      const wanted = still.filter((_, n) => {
        const o = observation('', n);
        const value = (name) => new URLSearchParams(search).get(name);
        return (!value('code') || value('code').endsWith(o.code.coding[0].code)) && (!value('subject') || o.subject.reference === value('subject')) && (!value('status:not') || o.status !== value('status:not'));
      });
      assert.deepEqual([...seen].filter(([id, count]) => id.startsWith('still') && count !== 1), [], search);
      assert.deepEqual([...seen.keys()].filter((id) => id.startsWith('still')).sort(), wanted.sort(), search);
      while (writes === before) await new Promise((ok) => setTimeout(ok, 5)); // there were writes meanwhile
    }
  } finally { writing = false; }
  await Promise.all(writers);
});

test('_revinclude=* brings whatever refers to the matches', async () => {
  await bundle([{ resourceType: 'Patient', id: 'hub' }, { resourceType: 'Encounter', id: 'spoke', status: 'planned', class: { code: 'AMB' }, subject: { reference: 'Patient/hub' } },
    { ...observation('spoke', 1), subject: { reference: 'Patient/hub' } }, { resourceType: 'List', id: 'spoke', status: 'current', mode: 'working', entry: [{ item: { reference: 'Patient/hub' } }] }]);
  const page = await get('Patient?_id=hub&_revinclude=*');
  assert.equal(page.status, 200, page.text);
  assert.deepEqual(page.json.entry.filter((e) => e.search.mode === 'include').map((e) => `${e.resource.resourceType}/${e.resource.id}`).sort(), ['Encounter/spoke', 'List/spoke', 'Observation/spoke']);
});

test('_explain is for those who may test policies, and unknown to all others', async () => {
  const explained = async (search) => {
    const page = await get(`${search}&_explain=true`);
    assert.equal(page.status, 200, page.text);
    assert.equal(link(page, 'self'), `${server.fhir}/${search}`);
    const outcome = page.json.entry.find((e) => e.search.mode === 'outcome').resource.issue;
    assert.deepEqual(outcome.map((i) => [i.severity, i.code]), [['information', 'informational']]);
    return JSON.parse(outcome[0].diagnostics);
  };
  const token = await explained('Observation?code=http://walk%7Crare&_count=2');
  assert.equal(token.plan.driver, 'token');
  assert.ok(Number(token.plan.entries) >= 80, token.plan.entries);
  assert.ok(token.probed > 0 && token.microseconds >= 0 && token.rows === 2);
  const both = await explained('Observation?code=http://walk%7Crare&subject=Patient/w3&_sort=-date&_count=2');
  assert.deepEqual([both.plan.driver, both.plan.of.map((p) => p.driver)], ['all', ['token', 'reference']]);
  assert.match(both.order, /sort/);

  const client = { resourceType: 'Client', id: 'reader', secret: 'secret', grant_types: ['basic'] };
  await put(client);
  const policy = { resourceType: 'AccessPolicy', id: 'reader', engine: 'allow', link: [{ resourceType: 'Operation', id: 'FhirSearch' }] };
  assert.ok((await call('PUT', `${server.base}/AccessPolicy/reader`, policy, server.admin)).status < 300);
  const reader = { authorization: basic('reader', 'secret') };
  const lenient = await get('Observation?_count=1&_explain=true', reader);
  assert.equal(lenient.status, 200, lenient.text);
  assert.match(lenient.json.entry.find((e) => e.search.mode === 'outcome').resource.issue[0].diagnostics, /'_explain' is not known/);
  const refused = await get('Observation?_count=1&_explain=true', { ...reader, prefer: 'handling=strict' });
  assert.equal(refused.status, 400);
  assert.match(refused.text, /no search parameter \\"_explain\\"/);
});

test('andiron check finds every index term as it should be', async () => {
  assert.ok(await indexAgrees(server) > 0);
});
