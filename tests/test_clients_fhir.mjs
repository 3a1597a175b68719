// FHIR clients of others, unmodified: each obtains its access by the real flow (a signed assertion for a Bearer token) and
// does CRUD, searches with pages, batches and transactions.
import test, { before, after, describe } from 'node:test';
import assert from 'node:assert/strict';
import { createRequire } from 'node:module';
import fs from 'node:fs';
import path from 'node:path';
import { pathToFileURL } from 'node:url';
import { start, source } from './lib/server.mjs';
import { allow, getToken, keyPair, putClient, seedClient } from './lib/smart.mjs';

const folder = process.env.NPM_MODULES ?? path.join(source, 'tests/node_modules');
const borrow = createRequire(path.join(folder, 'x.js'));
const skip = (name) => (fs.existsSync(path.join(folder, name)) ? false : `NPM_MODULES has no ${name}`);
const load = (file) => import(pathToFileURL(path.join(folder, file)).href);

let server, token;
before(async () => {
  server = await start({ plugins: { smart: { wildcard: 'keep' } } });
  const key = keyPair('ES384');
  await putClient(server, 'borrowed', seedClient({ scope: ['system/*.*'], jwks: [key.jwk] }));
  await allow(server, 'borrowed');
  token = await getToken(server, 'borrowed', key, 'system/*.*');
});
after(async () => { await server.stop(); server.remove(); });

const patient = (family, extra = {}) => ({ resourceType: 'Patient', name: [{ family }], ...extra });
const creates = (type, family, count = 2) => ({ resourceType: 'Bundle', type, entry: Array.from({ length: count }, (_, i) => ({ fullUrl: `urn:uuid:00000000-0000-4000-8000-00000000000${i}`, resource: patient(family, i ? { link: [{ other: { reference: 'urn:uuid:00000000-0000-4000-8000-000000000000' }, type: 'seealso' }] } : {}), request: { method: 'POST', url: 'Patient' } })) });
const statuses = (bundle) => bundle.entry.map((e) => e.response.status.slice(0, 3));
const linked = (bundles) => bundles.flatMap((b) => b.entry ?? []).map((e) => e.resource.link?.[0].other.reference).filter(Boolean);

describe('fhir-kit-client', { skip: skip('fhir-kit-client') }, () => {
  let client;
  before(async () => {
    const { Client } = await load('fhir-kit-client/dist/index.js');
    client = new Client({ baseUrl: server.fhir });
    client.bearerToken = token;
  });
  test('finds the token endpoint and the capabilities', async () => {
    assert.equal((await client.smartAuthMetadata()).tokenUrl.href, `${server.base}/auth/token`);
    assert.equal((await client.capabilityStatement()).fhirVersion, '4.0.1');
  });
  test('creates, reads, updates, patches, deletes', async () => {
    const made = await client.create({ resourceType: 'Patient', body: patient('kit') });
    assert.equal(made.meta.versionId, '1');
    assert.deepEqual(await client.read({ resourceType: 'Patient', id: made.id }), made);
    const updated = await client.update({ resourceType: 'Patient', id: made.id, body: { ...made, active: true } });
    assert.equal(updated.meta.versionId, '2');
    assert.deepEqual(await client.vread({ resourceType: 'Patient', id: made.id, version: '1' }), made);
    const patched = await client.patch({ resourceType: 'Patient', id: made.id, jsonPatch: [{ op: 'replace', path: '/active', value: false }] });
    assert.equal(patched.active, false);
    const named = await client.update({ resourceType: 'Patient', searchParams: { identifier: 'http://kit|1' }, body: patient('kit', { identifier: [{ system: 'http://kit', value: '1' }] }) });
    assert.equal(named.meta.versionId, '1');
    assert.equal((await client.history({ resourceType: 'Patient', id: made.id })).entry.length, 3);
    await client.delete({ resourceType: 'Patient', id: made.id });
    await assert.rejects(client.read({ resourceType: 'Patient', id: made.id }), (e) => e.response.status === 410 && e.response.data.issue[0].code === 'deleted');
  });
  test('batches and transactions', async () => {
    const transaction = await client.transaction({ body: creates('transaction', 'kit-bundle', 3) });
    assert.deepEqual(statuses(transaction), ['201', '201', '201']);
    const batch = await client.batch({ body: { resourceType: 'Bundle', type: 'batch', entry: [{ request: { method: 'GET', url: 'Patient?family=kit-bundle&_count=1' } }, { request: { method: 'GET', url: 'Patient/none' } }] } });
    assert.deepEqual(statuses(batch), ['200', '404']);
    assert.equal(batch.entry[0].resource.total, 3);
  });
  test('searches by GET and POST, in all contexts, from page to page', async () => {
    let page = await client.search({ resourceType: 'Patient', searchParams: { family: 'kit-bundle', _count: 2 } });
    assert.deepEqual([page.total, page.entry.length], [3, 2]);
    const ids = page.entry.map((e) => e.resource.id);
    page = await client.nextPage({ bundle: page });
    ids.push(...page.entry.map((e) => e.resource.id));
    assert.equal(new Set(ids).size, 3);
    assert.equal((await client.search({ resourceType: 'Patient', searchParams: { family: 'kit-bundle' }, options: { postSearch: true } })).total, 3);
    assert.equal((await client.systemSearch({ searchParams: { _type: 'Patient', _id: ids.join(',') } })).total, 3);
    assert.ok((await client.compartmentSearch({ resourceType: 'Observation', compartment: { resourceType: 'Patient', id: ids[0] } })).link);
    assert.equal((await client.resolve({ reference: `Patient/${ids[0]}` })).id, ids[0]);
  });
  test('operations, by POST and by GET', async () => {
    const { id } = await client.create({ resourceType: 'Patient', body: patient('kit-operation') });
    for (const method of ['GET', 'POST']) assert.equal((await client.operation({ name: 'everything', resourceType: 'Patient', id, method })).entry[0].resource.id, id);
    assert.equal((await client.operation({ name: 'validate', resourceType: 'Patient', input: patient('x') })).issue[0].severity, 'information');
    await assert.rejects(client.create({ resourceType: 'Patient', body: { resourceType: 'Patient', birthDate: 'x' } }), (e) => e.response.data.issue[0].expression[0] === 'Patient.birthDate');
  });
});

describe('fhirclient', { skip: skip('fhirclient') }, () => {
  let client;
  before(() => {
    // As a server that has a token uses it: no browser, no session, the token as the endpoint answers it.
    client = borrow('fhirclient')({ headers: {}, url: '/' }, {}).client({ serverUrl: server.fhir, tokenResponse: { access_token: token, token_type: 'Bearer' } });
  });
  test('creates, reads, updates, patches, deletes', async () => {
    const made = await client.create(patient('js'));
    assert.equal(made.meta.versionId, '1');
    assert.deepEqual(await client.request(`Patient/${made.id}`), made);
    assert.equal((await client.update({ ...made, active: true })).meta.versionId, '2');
    assert.equal((await client.patch(`Patient/${made.id}`, [{ op: 'replace', path: '/active', value: false }])).active, false);
    await client.delete(`Patient/${made.id}`);
    await assert.rejects(client.request(`Patient/${made.id}`), (e) => e.statusCode === 410 && /was deleted/.test(e.message));
  });
  test('transactions and batches, and what a server is', async () => {
    const post = (body) => client.request({ url: '', method: 'POST', headers: { 'content-type': 'application/fhir+json' }, body: JSON.stringify(body) });
    assert.deepEqual(statuses(await post(creates('transaction', 'js-bundle', 3))), ['201', '201', '201']);
    assert.deepEqual(statuses(await post({ resourceType: 'Bundle', type: 'batch', entry: [{ request: { method: 'GET', url: 'Patient?family=js-bundle' } }, { request: { method: 'DELETE', url: 'Patient/none' } }] })), ['200', '204']);
    assert.equal(await client.getFhirVersion(), '4.0.1');
    assert.equal(await client.getFhirRelease(), 4);
  });
  test('searches with pages and resolved references', async () => {
    const pages = await client.request('Patient?family=js-bundle&_count=2', { pageLimit: 0 });
    assert.deepEqual(pages.map((b) => b.entry.length), [2, 1]);
    let count = 0;
    for await (const page of client.pages(pages[0])) count += page.entry.length;
    assert.equal(count, 3);
    assert.equal((await client.request('Patient?family=js-bundle&_count=1', { pageLimit: 0, flat: true })).length, 3);
    const [holder] = linked(pages);
    const found = await client.request(`Patient?link=${holder}`, { resolveReferences: 'link.0.other', flat: true });
    assert.equal(found.length, 2);
    assert.equal(`Patient/${found[0].link[0].other.id}`, holder);
  });
});

describe('@medplum/core', { skip: skip('@medplum/core') }, () => {
  let client;
  before(async () => {
    globalThis.WebSocket ??= class extends EventTarget {}; // it names the class when it is loaded; Node 20 has none
    const { MedplumClient } = await load('@medplum/core/dist/esm/index.mjs');
    client = new MedplumClient({ baseUrl: server.base, fhirUrlPath: 'fhir', fetch, cacheTime: 0, autoBatchTime: 0 });
    client.setAccessToken(token);
  });
  test('creates, reads, updates, patches, deletes', async () => {
    const made = await client.createResource(patient('plum'));
    assert.equal(made.meta.versionId, '1');
    assert.deepEqual(await client.readResource('Patient', made.id), made);
    const updated = await client.updateResource({ ...made, active: true });
    assert.equal(updated.meta.versionId, '2');
    assert.deepEqual(await client.readVersion('Patient', made.id, '1'), made);
    assert.equal((await client.patchResource('Patient', made.id, [{ op: 'test', path: '/active', value: true }, { op: 'replace', path: '/active', value: false }])).active, false);
    assert.equal((await client.readHistory('Patient', made.id)).entry.length, 3);
    await client.deleteResource('Patient', made.id);
    await assert.rejects(client.readResource('Patient', made.id), (e) => e.outcome.issue[0].code === 'deleted');
  });
  test('conditional creates and updates', async () => {
    const identifier = [{ system: 'http://plum', value: '1' }], query = 'identifier=http://plum|1';
    const first = await client.createResourceIfNoneExist(patient('plum', { identifier }), query);
    assert.equal((await client.createResourceIfNoneExist(patient('plum', { identifier }), query)).id, first.id);
    const upserted = await client.upsertResource(patient('plum', { identifier, active: true }), query);
    assert.deepEqual([upserted.id, upserted.active, upserted.meta.versionId], [first.id, true, '2']);
  });
  test('batches and transactions', async () => {
    assert.deepEqual(statuses(await client.executeBatch(creates('transaction', 'plum-bundle', 3))), ['201', '201', '201']);
    assert.deepEqual(statuses(await client.executeBatch({ resourceType: 'Bundle', type: 'batch', entry: [{ request: { method: 'GET', url: 'Patient?family=plum-bundle' } }, { request: { method: 'GET', url: 'Patient/none' } }] })), ['200', '404']);
  });
  test('searches with pages', async () => {
    const bundle = await client.search('Patient', { family: 'plum-bundle', _count: 2 });
    assert.deepEqual([bundle.total, bundle.entry.length], [3, 2]);
    assert.equal((await client.searchResources('Patient', 'family=plum-bundle')).length, 3);
    const pages = [];
    for await (const page of client.searchResourcePages('Patient', 'family=plum-bundle&_count=2')) pages.push(page.length);
    assert.deepEqual(pages, [2, 1]);
    assert.equal((await client.searchOne('Patient', 'family=plum-bundle&_count=1')).resourceType, 'Patient');
  });
  test('operations and binaries', async () => {
    const { id } = await client.createResource(patient('plum-operation'));
    assert.equal((await client.readPatientEverything(id)).entry[0].resource.id, id);
    assert.equal((await client.validateResource(patient('x'))).issue[0].severity, 'information');
    const binary = await client.createBinary({ data: 'plain text', contentType: 'text/plain' });
    assert.equal(binary.contentType, 'text/plain');
    assert.equal(await (await client.download(`${server.fhir}/Binary/${binary.id}`, { headers: { accept: 'text/plain' } })).text(), 'plain text');
  });
});
