// What scopes with queries are granted as, and what a token with them may read and write, one rule at a time.
import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import { basic, call, start } from './lib/server.mjs';
import { putClient, scopedToken } from './lib/smart.mjs';

const concept = (code, system = 'http://terminology.hl7.org/CodeSystem/observation-category') => ({ coding: [{ system, code }] });
const observation = (id, category, more = {}) => ({ resourceType: 'Observation', ...(id ? { id } : {}), status: 'final', category: [concept(category)], code: concept('718-7', 'http://loinc.org'), ...more });
const lab = (id, more) => observation(id, 'laboratory', more), vital = (id, more) => observation(id, 'vital-signs', more);
const patch = (path, value) => [{ op: 'replace', path, value }];
const asPatch = { 'content-type': 'application/json-patch+json' };

let server, admin, id = 0;
const fresh = () => `x${++id}`;
before(async () => {
  server = await start({ quick: true, plugins: { fhir: { 'conditional-delete-multiple': 'on' } } });
  admin = (method, target, body, headers = {}) => call(method, server.fhir + target, body, { ...server.admin, ...headers });
});
after(async () => { await server?.stop(); server?.remove(); });

const client = async (scopes, asked) => {
  const { headers, scope } = await scopedToken(server, `client-${++id}`, scopes, asked);
  const as = (method, target, body, more = {}) => call(method, server.fhir + target, body, { ...headers, ...more });
  return Object.assign(as, { headers, scope });
};
const stored = async (resource) => { const r = await admin('PUT', `/${resource.resourceType}/${resource.id}`, resource); assert.ok(r.status < 300, r.text); return resource.id; };
const storedLab = () => stored(lab(fresh())), storedVital = () => stored(vital(fresh()));
const is = (r, status) => { assert.equal(r.status, status, r.text); return r; };
const forbidden = (r) => { is(r, 403); assert.equal(r.json.issue[0].code, 'forbidden'); assert.ok(!/laboratory|category/.test(r.text), 'an answer does not say what the limit is'); };
const unchanged = async (id, category) => assert.equal(is(await admin('GET', `/Observation/${id}`), 200).json.category[0].coding[0].code, category);

describe('granting', () => {
  test('a query is part of what is granted, from either side', async () => {
    for (const [allowed, asked, granted] of [
      [['system/Observation.rs?category=laboratory'], 'system/Observation.read', 'system/Observation.rs?category=laboratory'],
      [['system/Observation.rs'], 'system/Observation.rs?category=laboratory', 'system/Observation.rs?category=laboratory'],
      [['system/Observation.cruds?category=laboratory'], 'system/Observation.rs?status=final', 'system/Observation.rs?category=laboratory&status=final'],
      [['system/Observation.r', 'system/Observation.rs?category=laboratory'], 'system/Observation.rs', 'system/Observation.r system/Observation.s?category=laboratory'],
      [['system/Observation.rs?category=laboratory', 'system/Observation.rs?category=vital-signs'], 'system/*.rs', 'system/Observation.rs?category=laboratory system/Observation.rs?category=vital-signs'],
      [['system/*.rs'], 'system/Observation.rs?nonsense=1 system/Observation.rs?subject.name=x system/Patient.r', 'system/Patient.r'],
      [['system/Observation.rs'], 'system/Observation.rs?code=http%3A%2F%2Floinc.org%7C718-7', 'system/Observation.rs?code=http%3A%2F%2Floinc.org%7C718-7'],
    ]) assert.equal((await client(allowed, asked)).scope, granted);
  });
  test('a query that the type does not have is refused at registration, with the reason', async () => {
    for (const [scope, reason] of [
      ['system/Observation.rs?nonsense=1', /no search parameter/], ['system/Observation.rs?categori=x', /did you mean \\"category\\"/], ['system/Observation.rs?date=yesterday', /date/],
      ['system/Observation.rs?category:nope=x', /modifier/], ['system/Observation.rs?subject.name=x', /no chains/], ['system/Patient.rs?_has:Observation:patient:code=x', /no chains/],
      ['system/Observation.rs?_count=1', /_count/], ['system/Observation.rs?_include=Observation:subject', /_include/], ['system/Observation.rs?_sort=date', /_sort/], ['system/Observation.rs?_filter=x', /_filter/], ['system/Observation.rs?_list=1', /chains/],
      ['system/Observation.rs?category=%zz', /UTF-8/], ['system/Observation.rs?category', /name=value/], ['system/*.rs?_id=1', /needs a type/], ['system/Observation.read?category=x', /v2/],
    ]) {
      const r = await call('PUT', `${server.base}/Client/refused`, { grant_types: ['client_credentials'], secret: 'a secret of some length', scope: [scope] }, server.admin);
      is(r, 422);
      assert.equal(r.json.issue[0].code, 'value');
      assert.match(r.text, reason, scope);
    }
  });
  test('a request cannot grow without bounds', async () => {
    const codes = Array.from({ length: 40 }, (_, i) => `system/Observation.rs?code=${i}`);
    await putClient(server, 'many', { grant_types: ['client_credentials'], secret: 'a secret of some length', scope: codes });
    const scope = Array.from({ length: 40 }, (_, i) => `system/Observation.rs?status=${i}`).join(' ');
    const r = await call('POST', `${server.base}/auth/token`, new URLSearchParams({ grant_type: 'client_credentials', scope }).toString(), { authorization: basic('many', 'a secret of some length'), 'content-type': 'application/x-www-form-urlencoded' });
    assert.deepEqual([r.status, r.json.error], [400, 'invalid_scope'], r.text);
  });
});

describe('reading', () => {
  let as;
  before(async () => { as = await client(['system/Observation.rs?category=laboratory', 'system/Patient.s']); });
  test('what does not match is as if it were not there', async () => {
    const [seen, hidden] = [await storedLab(), await storedVital()];
    is(await as('GET', `/Observation/${seen}`), 200);
    for (const path of ['', '/_history', '/_history/1', '/$meta']) {
      const [there, nowhere] = [is(await as('GET', `/Observation/${hidden}${path}`), 404), is(await as('GET', `/Observation/nowhere${path}`), 404)];
      assert.equal(there.text.replaceAll(hidden, 'nowhere'), nowhere.text);
    }
    is(await as('GET', `/Patient/${hidden}`), 403); // searched, but not read
  });
  test('versions are judged by what they say, and by what the resource is now', async () => {
    const id = fresh();
    for (const body of [vital(id), lab(id), vital(id), lab(id)]) await stored(body);
    const versions = async (a) => is(await a('GET', `/Observation/${id}/_history`), 200).json.entry.map((e) => e.response.etag);
    assert.deepEqual(await versions(as), ['W/"4"', 'W/"2"']);
    assert.deepEqual(await versions(admin), ['W/"4"', 'W/"3"', 'W/"2"', 'W/"1"']);
    for (const [v, status] of [[1, 404], [2, 200], [3, 404], [4, 200], [5, 404]]) is(await as('GET', `/Observation/${id}/_history/${v}`), status);
    await stored(vital(id)); // out of sight, with its past
    for (const path of ['', '/_history', '/_history/2', '/_history/4']) is(await as('GET', `/Observation/${id}${path}`), 404);
    assert.ok(!(await as('GET', '/Observation/_history?_count=1000')).text.includes(`Observation/${id}"`));
  });
  test('a deletion is that of what was there before it', async () => {
    for (const [seen, id] of [[true, await storedLab()], [false, await storedVital()]]) {
      is(await admin('DELETE', `/Observation/${id}`), 204);
      is(await as('GET', `/Observation/${id}`), seen ? 410 : 404);
      is(await as('GET', `/Observation/${id}/_history/2`), seen ? 410 : 404);
      is(await as('GET', `/Observation/${id}/_history/1`), seen ? 200 : 404);
      is(await as('GET', `/Observation/${id}/_history`), seen ? 200 : 404);
      assert.equal((await as('GET', '/Observation/_history?_count=1000')).json.entry.filter((e) => e.fullUrl.endsWith(`/${id}`)).length, seen ? 2 : 0);
    }
  });
  test('SC-14: a chain into a type without s is 403, whatever it would find; with a query it sees only what matches', async () => {
    const [seen, hidden] = [await storedLab(), await storedVital()];
    await stored({ resourceType: 'DiagnosticReport', id: 'chained', status: 'final', code: concept('x'), result: [{ reference: `Observation/${seen}` }, { reference: `Observation/${hidden}` }] });
    const reports = await client(['system/DiagnosticReport.rs', 'system/Observation.s?category=laboratory']);
    assert.equal(is(await reports('GET', `/DiagnosticReport?result._id=${seen}`), 200).json.total, 1);
    assert.equal(is(await reports('GET', `/DiagnosticReport?result._id=${hidden}`), 200).json.total, 0);
    const blind = await client(['system/DiagnosticReport.rs', 'system/Observation.r']);
    is(await blind('GET', `/DiagnosticReport?result._id=${seen}`), 403);
    is(await blind('GET', `/Observation?_has:DiagnosticReport:result:status=final`), 403);
    is(await reports('GET', `/Patient?_has:Observation:patient:status=final`), 403);
  });
  test('SC-18: a link of another token serves nobody else', async () => {
    for (let i = 0; i < 3; i++) await storedLab();
    const link = (await as('GET', '/Observation?_count=1')).json.link.find((l) => l.relation === 'next').url;
    is(await call('GET', link, undefined, as.headers), 200);
    is(await call('GET', link, undefined, (await client(['system/Observation.rs?status=final'])).headers), 400);
    is(await call('GET', link, undefined, (await client(['system/Patient.rs'])).headers), 403);
  });
  test('several types at once: without s left out, named refused', async () => {
    is(await as('GET', '/?_type=Observation,Patient'), 200);
    is(await as('GET', '/?_type=Observation,Condition'), 403);
    const types = new Set((await as('GET', '/?_count=1000')).json.entry.map((e) => e.resource.resourceType));
    assert.ok([...types].every((t) => t === 'Observation' || t === 'Patient'), [...types].join());
  });
  test('what nobody has judged is refused', async () => {
    for (const target of ['/Observation/$lastn', '/Observation/$stats', '/Observation/x/$nonsense', '/$nonsense']) assert.ok([403, 404, 405].includes((await as('GET', target)).status), target);
    is(await as('GET', '/Client'), 403);
    is(await as('GET', '/AccessPolicy'), 403);
  });
});

describe('writing', () => {
  let as;
  before(async () => { as = await client(['system/Observation.cruds?category=laboratory', 'system/Observation.cruds?status=amended', 'system/Organization.cruds?_tag:not=Hidden']); });

  test('create: what comes must match one of the scopes', async () => {
    is(await as('POST', '/Observation', lab()), 201);
    is(await as('POST', '/Observation', vital(undefined, { status: 'amended' })), 201);
    forbidden(await as('POST', '/Observation', vital()));
  });
  test('update: what is stored and what comes must match', async () => {
    const [seen, hidden] = [await storedLab(), await storedVital()];
    is(await as('PUT', `/Observation/${seen}`, lab(seen, { status: 'amended' })), 200);
    forbidden(await as('PUT', `/Observation/${seen}`, vital(seen)));
    forbidden(await as('PUT', `/Observation/${hidden}`, lab(hidden)));
    forbidden(await as('PUT', `/Observation/${hidden}`, lab(hidden), { 'if-match': 'W/"1"' }));
    forbidden(await as('PUT', `/Observation/${hidden}`, lab(hidden), { 'if-none-match': '*' }));
    await unchanged(hidden, 'vital-signs');
    await unchanged(seen, 'laboratory');
    const made = fresh();
    is(await as('PUT', `/Observation/${made}`, lab(made)), 201);
    forbidden(await as('PUT', `/Observation/${fresh()}`, vital(`x${id}`)));
    is(await as('PUT', `/Observation/${made}`, lab(made), { 'if-match': 'W/"9"' }), 412);
    is(await as('PUT', `/Observation/${made}`, lab(made), { 'if-match': 'W/"1"' }), 200);
  });
  test('patch: before and after', async () => {
    const [seen, hidden] = [await storedLab(), await storedVital()];
    is(await as('PATCH', `/Observation/${seen}`, patch('/status', 'corrected'), asPatch), 200);
    forbidden(await as('PATCH', `/Observation/${seen}`, patch('/category/0/coding/0/code', 'vital-signs'), asPatch));
    forbidden(await as('PATCH', `/Observation/${hidden}`, patch('/category/0/coding/0/code', 'laboratory'), asPatch));
    forbidden(await as('PATCH', `/Observation/${hidden}`, patch('/status', 'amended'), asPatch));
    is(await as('PATCH', '/Observation/nowhere', patch('/status', 'amended'), asPatch), 404);
    await unchanged(hidden, 'vital-signs');
    const organization = await stored({ resourceType: 'Organization', id: fresh(), name: 'x' });
    const tag = (code) => ({ resourceType: 'Parameters', parameter: [{ name: 'meta', valueMeta: { tag: [{ code }] } }] });
    is(await as('POST', `/Organization/${organization}/$meta-add`, tag('Fine')), 200);
    forbidden(await as('POST', `/Organization/${organization}/$meta-add`, tag('Hidden')));
    is(await admin('POST', `/Organization/${organization}/$meta-add`, tag('Hidden')), 200);
    forbidden(await as('POST', `/Organization/${organization}/$meta-delete`, tag('Hidden')));
    is(await as('GET', `/Organization/${organization}/$meta`), 404);
  });
  test('delete: what is stored must match', async () => {
    const [seen, hidden] = [await storedLab(), await storedVital()];
    is(await as('DELETE', `/Observation/${seen}`), 204);
    is(await as('DELETE', `/Observation/${seen}`), 204);
    is(await as('DELETE', '/Observation/nowhere'), 204);
    forbidden(await as('DELETE', `/Observation/${hidden}`));
    await unchanged(hidden, 'vital-signs');
  });
  test('conditions find only what the token may search', async () => {
    const identifier = [{ system: 'urn:s', value: `v${fresh()}` }], criteria = `identifier=urn:s|${identifier[0].value}`;
    const hidden = await stored(vital(fresh(), { identifier }));
    is(await as('POST', '/Observation', lab(undefined, { identifier }), { 'if-none-exist': criteria }), 201);
    is(await as('POST', '/Observation', lab(undefined, { identifier }), { 'if-none-exist': criteria }), 200);
    is(await as('PUT', `/Observation?${criteria}`, lab(undefined, { identifier, status: 'corrected' })), 200);
    is(await as('PATCH', `/Observation?${criteria}`, patch('/status', 'final'), asPatch), 200);
    is(await admin('DELETE', `/Observation?${criteria}&category=vital-signs`), 204);
    await stored(vital(hidden, { identifier }));
    is(await as('DELETE', `/Observation?${criteria}`), 204);
    assert.equal(is(await admin('GET', `/Observation?${criteria}`), 200).json.total, 1);
    is(await as('PATCH', `/Observation?${criteria}`, patch('/status', 'final'), asPatch), 404);
    is(await as('PUT', `/Observation?${criteria}`, vital(undefined, { identifier })), 403);
    is(await as('PUT', `/Observation?${criteria}`, lab(hidden, { identifier })), 403); // an id that is taken out of sight
    is(await as('PUT', `/Observation?${criteria}`, lab(undefined, { identifier })), 201);
    await unchanged(hidden, 'vital-signs');
  });
  test('$validate tells what the write would find', async () => {
    const [seen, hidden] = [await storedLab(), await storedVital()];
    const errors = (r) => is(r, 200).json.issue.filter((i) => i.severity === 'error').length;
    assert.equal(errors(await as('POST', '/Observation/$validate?mode=create', lab())), 0);
    assert.equal(errors(await as('POST', '/Observation/$validate?mode=create', vital())), 1);
    assert.equal(errors(await as('POST', `/Observation/${seen}/$validate?mode=update`, vital(seen))), 1);
    forbidden(await as('POST', `/Observation/${hidden}/$validate?mode=update`, lab(hidden)));
    forbidden(await as('POST', `/Observation/${hidden}/$validate?mode=delete`));
    is(await as('POST', `/Observation/${hidden}/$validate`), 404);
    // Without the letter of the write not even what exists is told.
    const reader = await client(['system/Observation.rs?category=laboratory']);
    for (const id of [seen, hidden, 'nowhere']) for (const mode of ['update', 'delete']) forbidden(await reader('POST', `/Observation/${id}/$validate?mode=${mode}`, mode === 'update' ? lab(id) : undefined));
  });
});

describe('letters are limited one by one', () => {
  test('found by one query, changed by another', async () => {
    const as = await client(['system/Observation.rs', 'system/Observation.u?status=preliminary', 'system/Observation.d?status=entered-in-error', 'system/Observation.c?status=registered']);
    const draft = await stored(lab(fresh(), { status: 'preliminary' })), final = await storedLab();
    is(await as('GET', `/Observation/${final}`), 200);
    is(await as('PUT', `/Observation/${draft}`, lab(draft, { status: 'preliminary', note: [{ text: 'x' }] })), 200);
    forbidden(await as('PUT', `/Observation/${draft}`, lab(draft)));
    forbidden(await as('PUT', `/Observation/${final}`, lab(final, { status: 'preliminary' })));
    forbidden(await as('PUT', `/Observation?_id=${final}`, lab(final, { status: 'preliminary' })));
    forbidden(await as('PATCH', `/Observation?_id=${final}`, patch('/status', 'preliminary'), asPatch));
    is(await as('PATCH', `/Observation?_id=${draft}`, [{ op: 'add', path: '/language', value: 'en' }], asPatch), 200);
    forbidden(await as('DELETE', `/Observation/${draft}`));
    forbidden(await as('DELETE', `/Observation?_id=${draft}`));
    forbidden(await as('DELETE', `/Observation?_id=${draft},${final}`)); // several, and not all may go
    const [one, two] = [await stored(lab(fresh(), { status: 'entered-in-error' })), await stored(lab(fresh(), { status: 'entered-in-error' }))];
    forbidden(await as('DELETE', `/Observation?_id=${draft},${one},${two}`));
    is(await admin('GET', `/Observation/${one}`), 200);
    is(await as('DELETE', `/Observation?_id=${one},${two}`), 204);
    is(await admin('GET', `/Observation/${two}`), 410);
    forbidden(await as('POST', '/Observation', lab()));
    is(await as('POST', '/Observation', lab(undefined, { status: 'registered' })), 201);
  });
  test('s is needed where a condition searches', async () => {
    const as = await client(['system/Observation.cud?category=laboratory']);
    for (const r of [await as('POST', '/Observation', lab(), { 'if-none-exist': 'code=718-7' }), await as('PUT', '/Observation?_id=x', lab()), await as('DELETE', '/Observation?_id=x'), await as('PATCH', '/Observation?_id=x', patch('/status', 'final'), asPatch), await as('GET', '/Observation'), await as('GET', '/Observation/x')]) {
      is(r, 403);
      assert.match(r.headers.get('www-authenticate'), /insufficient_scope/);
    }
  });
});

describe('bundles', () => {
  const entry = (method, url, resource, more = {}) => ({ ...(resource ? { resource } : {}), request: { method, url, ...more } });
  const bundle = (type, ...list) => ({ resourceType: 'Bundle', type, entry: list });
  let as;
  before(async () => { as = await client(['system/Observation.cruds?category=laboratory', 'system/DiagnosticReport.cruds']); });

  test('SC-17: in a batch each entry is judged for itself', async () => {
    const [seen, hidden, made] = [await storedLab(), await storedVital(), fresh()];
    const r = is(await as('POST', '/', bundle('batch', entry('GET', `Observation/${seen}`), entry('GET', `Observation/${hidden}`), entry('PUT', `Observation/${made}`, lab(made)), entry('PUT', `Observation/${seen}`, vital(seen)), entry('PUT', `Observation/${hidden}`, lab(hidden)), entry('DELETE', `Observation/${hidden}`), entry('POST', 'Observation', vital()), entry('GET', 'Patient'), entry('GET', `Observation?_id=${seen},${hidden}`))), 200);
    assert.deepEqual(r.json.entry.map((e) => e.response.status.slice(0, 3)), ['200', '404', '201', '403', '403', '403', '403', '403', '200']);
    assert.equal(r.json.entry.at(-1).resource.total, 1);
    await unchanged(hidden, 'vital-signs');
    await unchanged(seen, 'laboratory');
  });
  test('SC-17: one refused entry refuses a transaction, and nothing is stored', async () => {
    const [seen, hidden] = [await storedLab(), await storedVital()];
    const binary = (list) => ({ resourceType: 'Binary', contentType: 'application/json-patch+json', data: Buffer.from(JSON.stringify(list)).toString('base64') });
    for (const bad of [entry('PUT', `Observation/${hidden}`, lab(hidden)), entry('PUT', `Observation/${seen}`, vital(seen)), entry('DELETE', `Observation/${hidden}`), entry('POST', 'Observation', vital()), entry('PATCH', `Observation/${hidden}`, binary(patch('/status', 'amended'))), entry('PATCH', `Observation/${seen}`, binary(patch('/category/0/coding/0/code', 'vital-signs'))), entry('PUT', `Observation?_id=${seen}`, vital(seen)), entry('POST', 'Patient', { resourceType: 'Patient' }), entry('GET', 'Patient')]) {
      const made = fresh();
      const r = is(await as('POST', '/', bundle('transaction', entry('PUT', `Observation/${made}`, lab(made)), bad)), 403);
      assert.match(r.headers.get('www-authenticate') ?? '', /^Bearer realm="andiron", error="insufficient_scope"/, JSON.stringify(bad));
      is(await admin('GET', `/Observation/${made}`), 404);
    }
    await unchanged(hidden, 'vital-signs');
    await unchanged(seen, 'laboratory');
  });
  test('SC-10: a refused transaction names the scope that would do, also for what its references and conditions search', async () => {
    const narrow = await client(['system/DiagnosticReport.cruds', 'system/Observation.cu']);
    const report = { resourceType: 'DiagnosticReport', status: 'final', code: concept('x'), result: [{ reference: 'Observation?identifier=urn:s|x' }] };
    for (const bad of [entry('POST', 'DiagnosticReport', report), entry('POST', 'Observation', lab(), { ifNoneExist: '_id=x' }), entry('PUT', 'Observation?_id=x', lab()), entry('GET', 'Observation')]) {
      const r = is(await narrow('POST', '/', bundle('transaction', bad)), 403);
      assert.match(r.headers.get('www-authenticate') ?? '', /^Bearer realm="andiron", error="insufficient_scope", scope="system\/Observation\.[cud]?s"$/, JSON.stringify(bad));
    }
  });
  test('conditions and references by search find only what may be searched', async () => {
    const identifier = [{ system: 'urn:s', value: `v${fresh()}` }], criteria = `identifier=urn:s|${identifier[0].value}`;
    const hidden = await stored(vital(fresh(), { identifier }));
    const report = { resourceType: 'DiagnosticReport', status: 'final', code: concept('x'), result: [{ reference: `Observation?${criteria}` }] };
    is(await as('POST', '/', bundle('transaction', entry('POST', 'DiagnosticReport', report))), 412);
    is(await as('POST', '/', bundle('transaction', entry('DELETE', `Observation?${criteria}`))), 200);
    is(await admin('GET', `/Observation/${hidden}`), 200);
    const made = is(await as('POST', '/', bundle('transaction', entry('POST', 'Observation', lab(undefined, { identifier }), { ifNoneExist: criteria }))), 200);
    assert.equal(made.json.entry[0].response.status.slice(0, 3), '201');
    is(await as('POST', '/', bundle('transaction', entry('POST', 'DiagnosticReport', report))), 200);
  });
});

describe('between the look and the write', () => {
  // Somebody takes resources out of sight and back while a narrow token writes them: no write may land on what it may not see.
  test('a write never lands on a version out of sight', async () => {
    const as = await client(['system/Observation.cruds?category=laboratory']);
    const id = await storedLab();
    const own = (n) => lab(id, { note: [{ text: `own ${n}` }] });
    const transaction = (n) => as('POST', '/', { resourceType: 'Bundle', type: 'transaction', entry: [{ resource: own(n), request: { method: 'PUT', url: `Observation/${id}` } }] });
    for (let round = 0; round < 25; round++) await Promise.all([
      admin('PUT', `/Observation/${id}`, round % 2 ? lab(id) : vital(id)), as('PUT', `/Observation/${id}`, own(round)), transaction(round), as('PATCH', `/Observation/${id}`, [{ op: 'add', path: '/note', value: [{ text: 'own patch' }] }], asPatch), admin('PUT', `/Observation/${id}`, round % 3 ? vital(id) : lab(id)), as('DELETE', `/Observation/${id}`),
    ].map(async (p) => assert.ok([200, 201, 204, 403, 404, 409, 410, 412].includes((await p).status))));
    const versions = is(await admin('GET', `/Observation/${id}/_history?_count=1000`), 200).json.entry.reverse();
    const isHidden = (e) => e.resource?.category[0].coding[0].code === 'vital-signs', isOwn = (e) => !e.resource || e.resource.note !== undefined;
    let own_writes = 0;
    for (let i = 1; i < versions.length; i++) if (isOwn(versions[i])) { own_writes++; assert.ok(!isHidden(versions[i - 1]), `version ${i + 1} was written on a hidden one`); }
    assert.ok(own_writes > 0 && versions.some(isHidden), `${own_writes} of ${versions.length}`);
  });
});
