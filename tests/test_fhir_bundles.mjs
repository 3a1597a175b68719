// Batches and transactions: order, references between entries, all or nothing, one refusal each.
import test, { before, after, describe } from 'node:test';
import assert from 'node:assert/strict';
import { start, call, basic } from './lib/server.mjs';

let server, admin;
before(async () => { server = await start({ plugins: { fhir: { 'max-bundle-entries': '600' } } }); admin = server.admin; });
after(async () => { await server.stop(); server.remove(); });

const fhir = (method, path, body, headers = {}) => call(method, path ? `${server.fhir}/${path}` : server.fhir, body, { ...admin, ...headers });
const bundle = (type, entry) => ({ resourceType: 'Bundle', type, entry });
const run = (type, entry, headers) => fhir('POST', '', bundle(type, entry), headers);
const transaction = (entry, headers) => run('transaction', entry, headers);
const outcome = (r, status) => {
  assert.equal(r.status, status, r.text);
  assert.equal(r.json?.resourceType, 'OperationOutcome', r.text);
};
const idOf = (e) => e.response.location.match(/\/fhir\/([A-Za-z]+\/[^/]+)\/_history\/\d+$/)[1];
const uuid = (n) => `urn:uuid:00000000-0000-4000-8000-${String(n).padStart(12, '0')}`;

describe('a transaction', () => {
  test('rewrites references forward and backward, wherever they stand', async () => {
    const r = await transaction([
      { fullUrl: uuid(1), resource: { resourceType: 'Observation', status: 'final', code: { text: 'x' }, subject: { reference: uuid(2) }, extension: [{ url: 'http://e', valueReference: { reference: uuid(2) } }, { url: 'http://u', valueUri: uuid(2) }], contained: [{ resourceType: 'Condition', id: 'c', subject: { reference: uuid(2) } }], text: { status: 'generated', div: `<div xmlns="http://www.w3.org/1999/xhtml"><a href="${uuid(2)}">x</a> ${uuid(2)}</div>` } }, request: { method: 'POST', url: 'Observation' } },
      { fullUrl: uuid(2), resource: { resourceType: 'Patient', identifier: [{ system: 'urn:ietf:rfc:3986', value: uuid(2) }], link: [{ other: { reference: uuid(1) }, type: 'seealso' }] }, request: { method: 'POST', url: 'Patient' } },
    ]);
    assert.equal(r.status, 200, r.text);
    assert.equal(r.json.type, 'transaction-response');
    const [o, p] = r.json.entry.map(idOf);
    for (const e of r.json.entry) {
      assert.equal(e.response.status, '201');
      assert.equal(e.response.etag, 'W/"1"');
      assert.ok(Date.parse(e.response.lastModified));
      assert.equal(e.resource, undefined);
    }
    const observation = (await fhir('GET', o)).json;
    assert.equal(observation.subject.reference, p);
    assert.equal(observation.extension[0].valueReference.reference, p);
    assert.equal(observation.extension[1].valueUri, p);
    assert.equal(observation.contained[0].subject.reference, p);
    assert.equal(observation.text.div, `<div xmlns="http://www.w3.org/1999/xhtml"><a href="${p}">x</a> ${uuid(2)}</div>`);
    const patient = (await fhir('GET', p)).json;
    assert.equal(patient.identifier[0].value, uuid(2));
    assert.equal(patient.link[0].other.reference, o);
    const found = await fhir('GET', `Observation?subject=${p}`);
    assert.equal(found.json.entry.length, 1);
  });
  test('resolves relative and absolute references by the base of the fullUrls', async () => {
    const r = await transaction([
      { fullUrl: 'http://other.example/fhir/Patient/77', resource: { resourceType: 'Patient', id: '77' }, request: { method: 'POST', url: 'Patient' } },
      { fullUrl: 'http://other.example/fhir/Observation/5', resource: { resourceType: 'Observation', status: 'final', code: { text: 'x' }, subject: { reference: 'Patient/77' }, focus: [{ reference: 'http://other.example/fhir/Patient/77' }, { reference: 'Patient/78' }] }, request: { method: 'POST', url: 'Observation' } },
    ]);
    const [p, o] = r.json.entry.map(idOf);
    const observation = (await fhir('GET', o)).json;
    assert.equal(observation.subject.reference, p);
    assert.deepEqual(observation.focus, [{ reference: p }, { reference: 'Patient/78' }]);
  });
  test('deletes first, then creates and updates; GET sees the result; answers keep the order', async () => {
    await fhir('PUT', 'Patient/order-1', { resourceType: 'Patient', id: 'order-1' });
    const r = await transaction([
      { request: { method: 'GET', url: 'Patient/order-2' } },
      { resource: { resourceType: 'Patient', id: 'order-2', active: true }, request: { method: 'PUT', url: 'Patient/order-2' } },
      { request: { method: 'GET', url: 'Patient?_id=order-1' } },
      { request: { method: 'DELETE', url: 'Patient/order-1' } },
      { request: { method: 'GET', url: 'Patient/order-1' } },
    ]);
    assert.equal(r.status, 200, r.text);
    assert.deepEqual(r.json.entry.map((e) => e.response.status), ['200', '201', '200', '204', '410']);
    assert.equal(r.json.entry[0].resource.active, true);
    assert.equal(r.json.entry[2].resource.total, 0);
    assert.equal(r.json.entry[4].response.outcome.resourceType, 'OperationOutcome');
    assert.equal((await fhir('GET', 'Patient/order-1')).status, 410);
  });
  test('gives resources back when they are asked for', async () => {
    const r = await transaction([{ resource: { resourceType: 'Patient', id: 'rep' }, request: { method: 'PUT', url: 'Patient/rep' } }], { prefer: 'return=representation' });
    assert.equal(r.json.entry[0].resource.meta.versionId, '1');
  });
  test('is all or nothing', async () => {
    await fhir('PUT', 'Patient/atom-old', { resourceType: 'Patient', id: 'atom-old' });
    const bad = [
      [{ resource: { resourceType: 'Patient', id: 'atom-old' }, request: { method: 'PUT', url: 'Patient/atom-old', ifMatch: 'W/"9"' } }, 412],
      [{ resource: { resourceType: 'Patient', id: 'atom-old' }, request: { method: 'PUT', url: 'Patient/atom-old', ifNoneMatch: '*' } }, 412],
      [{ resource: { resourceType: 'Patient', name: [] }, request: { method: 'POST', url: 'Patient' } }, 400],
      [{ resource: { resourceType: 'Observation' }, request: { method: 'POST', url: 'Patient' } }, 400],
      [{ resource: { resourceType: 'Patient' }, request: { method: 'PUT', url: 'Patient/atom-x' } }, 400],
      [{ resource: { resourceType: 'AccessPolicy', engine: 'no-such-engine' }, request: { method: 'PUT', url: 'AccessPolicy/atom' } }, 422],
    ];
    for (const [entry, status] of bad) {
      const r = await transaction([{ resource: { resourceType: 'Patient', id: 'atom-new' }, request: { method: 'PUT', url: 'Patient/atom-new' } }, entry]);
      outcome(r, status);
      assert.match(r.json.issue[0].expression?.[0] ?? '', /^Bundle\.entry\[1\]/, r.text);
      outcome(await fhir('GET', 'Patient/atom-new'), 404);
      outcome(await fhir('GET', 'Patient/atom-new/_history'), 404);
    }
  });
  test('with the same identity or fullUrl twice is refused', async () => {
    const put = (id) => ({ resource: { resourceType: 'Patient', id }, request: { method: 'PUT', url: `Patient/${id}` } });
    outcome(await transaction([put('dup'), put('dup')]), 400);
    outcome(await transaction([put('dup'), { request: { method: 'DELETE', url: 'Patient/dup' } }]), 400);
    outcome(await transaction([{ fullUrl: uuid(1), ...put('dup1') }, { fullUrl: uuid(1), ...put('dup2') }]), 400);
    outcome(await fhir('GET', 'Patient/dup'), 404);
  });
  test('reports what is wrong with all entries at once', async () => {
    const r = await transaction([{ request: { method: 'JUMP', url: 'Patient' } }, { resource: { resourceType: 'Patient' }, request: { method: 'POST' } }, { request: { method: 'POST', url: 'Patient' } }]);
    outcome(r, 400);
    assert.deepEqual(r.json.issue.map((i) => i.expression[0]), ['Bundle.entry[0].request.method', 'Bundle.entry[1].request.url', 'Bundle.entry[2].resource']);
    outcome(await transaction([{ resource: { resourceType: 'Nothing' }, request: { method: 'POST', url: 'Nothing' } }]), 404);
  });
  test('may be empty', async () => {
    for (const body of [{ resourceType: 'Bundle', type: 'transaction' }, bundle('transaction', []), bundle('batch', [])]) assert.equal((await fhir('POST', '', body)).status, 200);
  });
  test('takes only batch and transaction, and not too many entries', async () => {
    outcome(await run('collection', []), 400);
    outcome(await fhir('POST', '', { resourceType: 'Patient' }), 400);
    outcome(await fhir('POST', '', '{'), 400);
    outcome(await transaction(Array.from({ length: 601 }, (_, i) => ({ request: { method: 'GET', url: `Patient/${i}` } }))), 413);
  });
  test('a create whose condition matches points to what exists', async () => {
    const existing = await fhir('PUT', 'Organization/known', { resourceType: 'Organization', id: 'known', identifier: [{ system: 'http://o', value: 'known' }] });
    assert.ok(existing.status < 300);
    const entries = () => [
      { fullUrl: uuid(3), resource: { resourceType: 'Patient', managingOrganization: { reference: uuid(4) }, generalPractitioner: [{ reference: uuid(5) }] }, request: { method: 'POST', url: 'Patient' } },
      { fullUrl: uuid(4), resource: { resourceType: 'Organization', identifier: [{ system: 'http://o', value: 'known' }] }, request: { method: 'POST', url: 'Organization', ifNoneExist: 'identifier=http://o|known' } },
      { fullUrl: uuid(5), resource: { resourceType: 'Practitioner', identifier: [{ system: 'http://o', value: 'new' }] }, request: { method: 'POST', url: 'Practitioner', ifNoneExist: 'identifier=http://o|new' } },
    ];
    const r = await transaction(entries());
    assert.deepEqual(r.json.entry.map((e) => e.response.status), ['201', '200', '201'], r.text);
    const [p, o, d] = r.json.entry.map(idOf);
    assert.equal(o, 'Organization/known');
    const patient = (await fhir('GET', p)).json;
    assert.equal(patient.managingOrganization.reference, 'Organization/known');
    assert.equal(patient.generalPractitioner[0].reference, d);
    assert.equal((await fhir('GET', 'Patient?organization=Organization/known')).json.entry.length, 1);
    const again = await transaction(entries());
    assert.deepEqual(again.json.entry.map((e) => e.response.status), ['201', '200', '200'], again.text);
    assert.equal(idOf(again.json.entry[2]), d);
  });
  test('conditional references must match exactly one', async () => {
    const entry = (reference) => [{ resource: { resourceType: 'Patient', managingOrganization: { reference } }, request: { method: 'POST', url: 'Patient' } }];
    const r = await transaction(entry('Organization?identifier=http://o|known'));
    assert.equal(r.status, 200, r.text);
    assert.equal((await fhir('GET', idOf(r.json.entry[0]))).json.managingOrganization.reference, 'Organization/known');
    outcome(await transaction(entry('Organization?identifier=http://o|none')), 412);
    for (let i = 0; i < 2; i++) await fhir('POST', 'Organization', { resourceType: 'Organization', identifier: [{ system: 'http://o', value: 'twice' }] });
    outcome(await transaction(entry('Organization?identifier=http://o|twice')), 412);
    outcome(await transaction(entry('Organization?nonsense=1')), 400);
  });
  test('may hold platform types', async () => {
    const r = await transaction([
      { resource: { resourceType: 'Client', id: 'in-bundle', secret: 'a secret of some length', grant_types: ['basic'] }, request: { method: 'PUT', url: 'Client/in-bundle' } },
      { resource: { engine: 'allow', link: [{ reference: 'Client/in-bundle' }] }, request: { method: 'PUT', url: '/AccessPolicy/in-bundle' } },
    ]);
    assert.equal(r.status, 200, r.text);
    const client = { authorization: basic('in-bundle', 'a secret of some length') };
    assert.equal((await call('GET', `${server.fhir}/Patient?_count=1`, undefined, client)).status, 200);
    const again = await transaction([{ resource: { engine: 'allow', link: [{ reference: 'Client/in-bundle' }] }, request: { method: 'PUT', url: 'AccessPolicy/in-bundle' } }]);
    assert.equal(again.json.entry[0].response.status, '200');
    assert.equal(again.json.entry[0].response.etag, 'W/"1"');
  });
});

describe('a batch', () => {
  test('each entry stands for itself', async () => {
    await fhir('PUT', 'Patient/b-old', { resourceType: 'Patient', id: 'b-old' });
    const r = await run('batch', [
      { resource: { resourceType: 'Patient', id: 'b1' }, request: { method: 'PUT', url: 'Patient/b1' } },
      { resource: { resourceType: 'Patient', id: 'wrong' }, request: { method: 'PUT', url: 'Patient/b2' } },
      { resource: { resourceType: 'Patient', name: [] }, request: { method: 'POST', url: 'Patient' } },
      { request: { method: 'GET', url: 'Patient/none' } },
      { request: { method: 'GET', url: 'Patient/b-old' } },
      { resource: { resourceType: 'Patient', id: 'b-old' }, request: { method: 'PUT', url: 'Patient/b-old', ifMatch: 'W/"7"' } },
      { request: { method: 'JUMP', url: 'Patient' } },
      { request: { method: 'GET', url: 'Nothing/1' } },
      { request: { method: 'DELETE', url: 'Patient/b-gone' } },
      { resource: { resourceType: 'Patient', id: 'b3' }, request: { method: 'PUT', url: 'Patient/b3' } },
    ]);
    assert.equal(r.status, 200, r.text);
    assert.equal(r.json.type, 'batch-response');
    assert.deepEqual(r.json.entry.map((e) => e.response.status), ['201', '400', '400', '404', '200', '412', '400', '404', '204', '201']);
    for (const e of r.json.entry) assert.equal(!!e.response.outcome, e.response.status >= '400', JSON.stringify(e));
    assert.equal(r.json.entry[4].resource.id, 'b-old');
    assert.equal((await fhir('GET', 'Patient/b3')).status, 200);
  });
  test('a second write to a resource comes after the first', async () => {
    const put = (active) => ({ resource: { resourceType: 'Patient', id: 'b-twice', active }, request: { method: 'PUT', url: 'Patient/b-twice' } });
    const r = await run('batch', [put(false), put(true)]);
    assert.deepEqual(r.json.entry.map((e) => [e.response.status, e.response.etag]), [['201', 'W/"1"'], ['200', 'W/"2"']]);
    assert.equal((await fhir('GET', 'Patient/b-twice')).json.active, true);
  });
  test('answers a refused entry with 403, the others go on; a transaction fails as a whole', async () => {
    await fhir('PUT', 'Client/half', { grant_types: ['basic'], secret: 'a secret of some length' });
    for (const id of ['FhirTransaction', 'FhirRead', 'FhirSearch']) {
      const r = await fhir('PUT', `AccessPolicy/half-${id.toLowerCase()}`, { engine: 'allow', link: [{ reference: `Operation/${id}` }] });
      assert.ok(r.status < 300, r.text);
    }
    const half = { authorization: basic('half', 'a secret of some length') };
    const entries = [{ request: { method: 'GET', url: 'Patient/b1' } }, { resource: { resourceType: 'Patient', id: 'b9' }, request: { method: 'PUT', url: 'Patient/b9' } }];
    const batch = await call('POST', server.fhir, bundle('batch', entries), half);
    assert.equal(batch.status, 200, batch.text);
    assert.deepEqual(batch.json.entry.map((e) => e.response.status), ['200', '403']);
    outcome(await call('POST', server.fhir, bundle('transaction', entries), half), 403);
    outcome(await fhir('GET', 'Patient/b9'), 404);
  });
});

for (const type of ['transaction', 'batch']) describe(`an entry of a ${type}`, () => {
  const get = (url, more = {}) => ({ request: { method: 'GET', url, ...more } });
  const tag = type[0];
  test('gets a Binary as a resource, whatever it contains', async () => {
    const binary = { resourceType: 'Binary', id: `e-${tag}`, contentType: 'text/plain', data: 'aGVsbG8=' };
    const r = await run(type, [{ resource: binary, request: { method: 'PUT', url: `Binary/e-${tag}` } }, get(`Binary/e-${tag}`), get(`Binary/e-${tag}/_history/1`)]);
    assert.deepEqual(r.json?.entry.map((e) => [e.response.status, e.resource?.data]), [['201', undefined], ['200', binary.data], ['200', binary.data]], r.text);
  });
  test('asks by HEAD without being sent a resource, and by an instant whether there is something new', async () => {
    const { json } = await fhir('PUT', `Patient/e-${tag}`, { resourceType: 'Patient', id: `e-${tag}` });
    const at = json.meta.lastUpdated, before = at.replace(/^2\d\d\d/, (year) => year - 1), url = `Patient/e-${tag}`;
    const r = await run(type, [{ request: { method: 'HEAD', url } }, get(url, { ifModifiedSince: at }), get(url, { ifModifiedSince: before }), get(url, { ifNoneMatch: 'W/"1"' }), get(url, { ifModifiedSince: '2999-01-01T00:00:00+01:00' })]);
    assert.deepEqual(r.json.entry.map((e) => [e.response.status, e.resource?.id, e.response.etag]), [['200', undefined, 'W/"1"'], ['304', undefined, 'W/"1"'], ['200', `e-${tag}`, 'W/"1"'], ['304', undefined, 'W/"1"'], ['304', undefined, 'W/"1"']], r.text);
  });
  test('creates on a condition what another one does: one is made', async () => {
    const entry = (n) => ({ fullUrl: uuid(n), resource: { resourceType: 'Patient', identifier: [{ system: 'http://twin', value: tag }] }, request: { method: 'POST', url: 'Patient', ifNoneExist: `${n % 2 ? '' : 'Patient?'}identifier=http://twin|${tag}` } });
    const refers = { resource: { resourceType: 'Observation', status: 'final', code: { text: 'x' }, subject: { reference: uuid(2) }, focus: [{ reference: uuid(1) }] }, request: { method: 'POST', url: 'Observation' } };
    const first = await run(type, [entry(1), refers, entry(2), entry(3)]);
    assert.deepEqual(first.json.entry.map((e) => e.response.status), ['201', '201', '200', '200'], first.text);
    const ids = [0, 2, 3].map((i) => idOf(first.json.entry[i]));
    assert.equal(new Set(ids).size, 1);
    assert.equal((await fhir('GET', `Patient?identifier=http://twin|${tag}`)).json.total, 1);
    if (type === 'transaction') {
      const { json } = await fhir('GET', idOf(first.json.entry[1]));
      assert.deepEqual([json.subject.reference, json.focus[0].reference], [ids[0], ids[0]]);
    }
    const again = await run(type, [entry(1), entry(2)]);
    assert.deepEqual(again.json.entry.map((e) => [e.response.status, idOf(e)]), [['200', ids[0]], ['200', ids[0]]]);
  });
  test('tells what became of it if an OperationOutcome is preferred', async () => {
    const r = await run(type, [{ resource: { resourceType: 'Patient', id: `o-${tag}` }, request: { method: 'PUT', url: `Patient/o-${tag}` } }, { resource: { resourceType: 'Patient', identifier: [{ system: 'http://oo', value: tag }] }, request: { method: 'PUT', url: `Patient?identifier=http://oo|${tag}` } }, { request: { method: 'DELETE', url: 'Patient/none' } }, get(`Patient/o-${tag}`)], { prefer: 'return=OperationOutcome' });
    assert.deepEqual(r.json.entry.map((e) => [e.response.status, e.resource?.resourceType, e.response.outcome?.issue[0].severity, e.response.outcome?.resourceType]), [['201', undefined, 'information', 'OperationOutcome'], ['201', undefined, 'information', 'OperationOutcome'], ['204', undefined, undefined, undefined], ['200', 'Patient', undefined, undefined]], r.text);
    assert.match(r.json.entry[0].response.outcome.issue[0].diagnostics, new RegExp(`Patient/o-${tag} was created as version 1`));
  });
});

test('an operation posted to by an entry of a batch answers there', async () => {
  await fhir('PUT', 'Patient/b-operation', { resourceType: 'Patient', id: 'b-operation' });
  const meta = { resourceType: 'Parameters', parameter: [{ name: 'meta', valueMeta: { tag: [{ code: 'x' }] } }] };
  const r = await run('batch', [{ resource: { resourceType: 'Patient', birthDate: 'x' }, request: { method: 'POST', url: 'Patient/$validate' } }, { resource: meta, request: { method: 'POST', url: 'Patient/b-operation/$meta-add' } }, { request: { method: 'GET', url: 'Patient/$export-stream' } }]);
  assert.deepEqual(r.json.entry.map((e) => [e.response.status, e.resource?.resourceType]), [['200', 'OperationOutcome'], ['200', 'Parameters'], ['501', undefined]], r.text);
  assert.equal(r.json.entry[0].resource.issue[0].expression[0], 'Patient.birthDate');
});

test('entries of a large transaction are found by what they refer to, twice over', async () => {
  const text = { status: 'generated', div: `<div xmlns="http://www.w3.org/1999/xhtml">${'x'.repeat(800)}</div>` };
  for (const round of [1, 2]) { // names of parameters are new to the store in the first
    const r = await transaction([
      ...Array.from({ length: 150 }, (_, i) => ({ fullUrl: uuid(1000 + i), resource: { resourceType: 'Appointment', status: 'booked', text, identifier: [{ system: 'http://big', value: `${round}-${i}` }], participant: [{ status: 'accepted', actor: { reference: uuid(2000 + i % 50) } }] }, request: { method: 'POST', url: 'Appointment' } })),
      ...Array.from({ length: 50 }, (_, i) => ({ fullUrl: uuid(2000 + i), resource: { resourceType: 'Practitioner', text, name: [{ family: `Big${round}-${i}` }] }, request: { method: 'POST', url: 'Practitioner' } })),
    ], { prefer: round === 1 ? 'return=minimal' : 'return=representation' });
    assert.equal(r.status, 200, r.text.slice(0, 500));
    const ids = r.json.entry.map(idOf);
    for (const i of [0, 7, 49]) {
      const found = await fhir('GET', `Appointment?actor=${ids[150 + i]}`);
      assert.deepEqual(found.json.entry.map((e) => `Appointment/${e.resource.id}`).sort(), [0, 50, 100].map((n) => ids[n + i]).sort());
      assert.equal(found.json.entry[0].resource.participant[0].actor.reference, ids[150 + i]);
    }
    assert.equal((await fhir('GET', `Appointment?identifier=http://big|${round}-149`)).json.total, 1);
  }
});

test('entries that have nothing to write keep their answers, in either length of answer', async () => {
  for (const prefer of ['return=minimal', 'return=representation']) {
    const tag = prefer.slice(7, 10);
    assert.equal((await fhir('PUT', `Patient/gone-${tag}`, { resourceType: 'Patient', id: `gone-${tag}` })).status, 201);
    assert.equal((await fhir('DELETE', `Patient/gone-${tag}`)).status, 204);
    assert.equal((await fhir('PUT', `Patient/there-${tag}`, { resourceType: 'Patient', id: `there-${tag}`, identifier: [{ system: 'http://skip', value: tag }] })).status, 201);
    const deletions = [{ request: { method: 'DELETE', url: `Patient/gone-${tag}` } }, { request: { method: 'DELETE', url: `Patient/never-${tag}` } }];
    const made = { resource: { resourceType: 'Patient', id: `made-${tag}` }, request: { method: 'PUT', url: `Patient/made-${tag}` } };
    let r = await transaction([...deletions, made], { prefer });
    assert.equal(r.status, 200, r.text);
    assert.deepEqual(r.json.entry.map((e) => [e.response.status, e.response.etag, e.response.location === undefined]), [['204', 'W/"2"', true], ['204', undefined, true], ['201', 'W/"1"', false]]);
    r = await transaction([{ resource: { resourceType: 'Patient' }, request: { method: 'POST', url: 'Patient', ifNoneExist: `identifier=http://skip|${tag}` } }, { ...made, request: { method: 'PUT', url: `Patient/made-${tag}` } }], { prefer });
    assert.equal(r.status, 200, r.text);
    assert.deepEqual(r.json.entry.map((e) => [e.response.status, e.response.etag, idOf(e)]), [['200', 'W/"1"', `Patient/there-${tag}`], ['200', 'W/"2"', `Patient/made-${tag}`]]);
  }
});

test('500 creates take one bundle of either kind well below a second', async () => {
  for (const type of ['transaction', 'batch']) {
    const entries = Array.from({ length: 500 }, (_, i) => ({ fullUrl: uuid(1000 + i), resource: { resourceType: 'Observation', status: 'final', code: { coding: [{ system: 'http://loinc.org', code: `many-${type}` }] }, subject: { reference: i ? uuid(1000) : 'Patient/x' }, valueQuantity: { value: i } }, request: { method: 'POST', url: 'Observation' } }));
    const began = performance.now();
    const r = await run(type, entries);
    const ms = performance.now() - began;
    assert.equal(r.status, 200, r.text.slice(0, 300));
    assert.ok(r.json.entry.every((e) => e.response.status === '201'));
    assert.equal((await fhir('GET', `Observation?code=many-${type}&_summary=count`)).json.total, 500);
    console.log(`# ${type}: 500 entries in ${ms.toFixed(0)} ms`);
    assert.ok(ms < 5000, `${ms} ms`);
  }
});

test('the init bundle makes no new versions when it is applied again', async (t) => {
  const init = { resourceType: 'Bundle', type: 'transaction', entry: [
    { resource: { resourceType: 'Client', id: 'root', secret: 'secret', grant_types: ['basic'] }, request: { method: 'PUT', url: 'Client/root' } },
    { resource: { resourceType: 'AccessPolicy', id: 'root', engine: 'allow', link: [{ resourceType: 'Client', id: 'root' }] }, request: { method: 'PUT', url: 'AccessPolicy/root' } },
    { resource: { resourceType: 'Patient', id: 'init', active: true }, request: { method: 'PUT', url: 'Patient/init' } },
  ] };
  const first = await start({ init });
  t.after(() => first.remove());
  await first.stop();
  const second = await start({ at: first });
  t.after(() => second.stop());
  for (const path of ['fhir/Client/root', 'fhir/AccessPolicy/root', 'fhir/Patient/init']) {
    const r = await call('GET', `${second.base}/${path}`, undefined, second.admin);
    assert.equal(r.json?.meta?.versionId, '1', r.text);
  }
});
