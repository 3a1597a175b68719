// Exports over HTTP, from kick-off to the last byte: what is in them, and how the answers look.
import test, { before, after, describe } from 'node:test';
import assert from 'node:assert/strict';
import zlib from 'node:zlib';
import { call, start, sleep } from './lib/server.mjs';
import { asynchronous, begin, bytes, download, finished, kickoff, lines, load, manifest, observation, patient, stored } from './lib/bulk.mjs';

const patients = 12, observations = 600;
let server, admin;
before(async () => {
  server = await start({ quick: true, plugins: { bulk: { 'file-size': '64k', 'slice-rows': 97, 'slice-bytes': '20k', checkpoint: '50ms' } } });
  admin = server.admin;
  await load(server, patients, patient);
  await load(server, observations, (i) => observation(i, patients));
});
after(async () => { await server.stop(); server.remove(); });

const fhir = (method, path, body, headers = {}) => call(method, `${server.fhir}/${path}`, body, { ...admin, ...headers });
const refused = (r, status, words) => { assert.equal(r.status, status, r.text); assert.equal(r.json?.resourceType, 'OperationOutcome'); if (words) assert.match(r.json.issue[0].diagnostics, words); };
const ids = (all, of) => all.filter(([type]) => type === of).map(([, line]) => JSON.parse(line).id).sort();
const expected = (count, prefix, keep = () => true) => Array.from({ length: count }, (_, i) => i).filter(keep).map((i) => `${prefix}${i}`).sort();

describe('kick-off', () => {
  test('needs Prefer: respond-async, an Accept that allows JSON, and credentials', async () => {
    refused(await fhir('GET', '$export', undefined, { accept: 'application/fhir+json' }), 400, /respond-async/);
    refused(await fhir('GET', '$export', undefined, { prefer: 'respond-async', accept: 'text/html' }), 406);
    assert.equal((await call('GET', `${server.fhir}/$export`, undefined, asynchronous)).status, 401);
    assert.equal((await fhir('DELETE', '$export', undefined, asynchronous)).status, 405);
  });
  test('names what is wrong with a parameter', async () => {
    for (const [query, words] of [['_outputFormat=application/xml', /ndjson/], ['_since=yesterday', /_since must be an instant/], ['_until=2020-13-01', /_until/], ['_since=2020-01-01&_until=2019-01-01', /later than/],
      ['_type=Patient,Pateint', /Pateint/], ['_typeFilter=Observation', /_typeFilter/], ['_typeFilter=Nothing%3Fa%3D1', /_typeFilter/], ['_typeFilter=Observation%3Fnothing%3D1', /nothing/], ['_type=Patient&_typeFilter=Observation%3Fstatus%3Dfinal', /_type does not name/],
      ['_typeFilter=Observation%3Fsubject:Patient.name%3Dx', /chained/], ['_typeFilter=Observation%3F_include%3DObservation:subject', /_include/], ['_elements=a/b', /_elements/], ['patient=Patient/p1', /patient belongs/],
      ['color=red', /color: is not a parameter.*lenient/], ['includeAssociatedData=LatestProvenanceResources', /RelevantProvenanceResources/]])
      refused(await kickoff(server, `$export?${query}`), 400, words);
    refused(await kickoff(server, 'Patient/$export?patient=Patient/p1'), 400, /by POST alone/);
    refused(await kickoff(server, 'Patient/$export?_type=CodeSystem'), 400, /belongs to no patient/);
    refused(await kickoff(server, 'Patient/$export', { parameter: [{ name: 'patient', valueReference: { reference: 'Group/x' } }] }), 400, /Patient\/123/);
    refused(await fhir('POST', '$export', { resourceType: 'Patient' }, asynchronous), 400, /Parameters/);
    refused(await kickoff(server, '$export', { parameter: [{ valueString: 'x' }] }), 400, /name/);
    refused(await kickoff(server, 'Group/nobody/$export'), 404, /Group\/nobody/);
  });
  test('passes over what it does not know under lenient handling, and says so in the manifest', async () => {
    const m = await manifest(server, '$export?_type=Patient,Thing&color=red', { headers: { prefer: 'respond-async, handling=lenient' } });
    assert.equal(m.output.length, 1);
    const said = (await download(server, m, { list: 'error' })).map(([type, line]) => [type, JSON.parse(line).issue[0].diagnostics]);
    assert.deepEqual(said, [['OperationOutcome', 'Thing was passed over'], ['OperationOutcome', 'color was passed over']]);
  });
  test('takes every spelling of the format', async () => {
    for (const format of ['application/fhir%2Bndjson', 'application/fhir+ndjson', 'application/ndjson', 'ndjson']) assert.equal((await manifest(server, `$export?_type=Patient&_outputFormat=${format}`)).output.length, 1, format);
  });
});

describe('status', () => {
  test('tells of progress until there is a manifest that expires', async () => {
    const url = await begin(server, '$export'), r = await call('GET', url, undefined, admin);
    if (r.status === 202) { assert.match(r.headers.get('x-progress'), /^\d+%/); assert.match(r.headers.get('retry-after'), /^\d+$/); }
    const done = await finished(server, url);
    assert.equal(done.status, 200);
    assert.equal(done.headers.get('content-type'), 'application/json');
    assert.ok(Date.parse(done.headers.get('expires')) > Date.now() + 3600e3);
    const { transactionTime, request, requiresAccessToken, output, deleted, error } = done.json;
    assert.ok(Math.abs(Date.parse(transactionTime) - Date.now()) < 120e3);
    assert.deepEqual([request, requiresAccessToken, deleted, error], [`${server.fhir}/$export`, true, [], []]);
    assert.ok(output.length > 4, 'files are no larger than file-size');
    for (const { url: file } of output) assert.ok((await bytes('GET', file, admin)).body.length < 70000);
  });
  test('is 404 for what there is not, and after DELETE', async () => {
    refused(await fhir('GET', '$export-status/' + '0'.repeat(32)), 404);
    refused(await fhir('GET', '$export-status/x'), 404);
    for (const wait of [false, true]) {
      const url = await begin(server, '$export?_type=Patient');
      const m = wait ? (await finished(server, url)).json : undefined;
      assert.equal((await call('DELETE', url, undefined, admin)).status, 202);
      refused(await call('GET', url, undefined, admin), 404);
      refused(await call('DELETE', url, undefined, admin), 404);
      if (m) refused(await call('GET', m.output[0].url, undefined, admin), 404);
    }
  });
});

describe('files', () => {
  let m, all;
  before(async () => { m = await manifest(server, '$export'); all = await download(server, m); });
  test('hold every resource once, byte by byte as it is stored', async () => {
    assert.deepEqual(ids(all, 'Patient'), expected(patients, 'p'));
    assert.deepEqual(ids(all, 'Observation'), expected(observations, 'o'));
    assert.equal(all.length, patients + observations);
    for (const [type, line] of all.filter((_, i) => i % 7 === 0)) assert.equal(line, await stored(server, `${type}/${JSON.parse(line).id}`));
    for (const [type, line] of all) assert.equal(JSON.parse(line).resourceType, type);
  });
  test('come in parts, and again only if they have changed', async () => {
    const [{ url }] = m.output, whole = (await bytes('GET', url, admin));
    const etag = whole.headers.etag, size = whole.body.length;
    assert.equal(whole.headers['accept-ranges'], 'bytes');
    for (const [range, from, to] of [['bytes=0-9', 0, 10], [`bytes=100-`, 100, size], ['bytes=-7', size - 7, size], [`bytes=5-${size + 10}`, 5, size]]) {
      const r = await bytes('GET', url, { ...admin, range });
      assert.deepEqual([r.status, r.headers['content-range']], [206, `bytes ${from}-${to - 1}/${size}`]);
      assert.ok(r.body.equals(whole.body.subarray(from, to)), range);
    }
    const past = await bytes('GET', url, { ...admin, range: `bytes=${size}-` });
    assert.deepEqual([past.status, past.headers['content-range']], [416, `bytes */${size}`]);
    assert.equal((await bytes('GET', url, { ...admin, 'if-none-match': etag })).status, 304);
    assert.equal((await bytes('GET', url, { ...admin, 'if-none-match': '"other"' })).status, 200);
    assert.equal((await bytes('GET', url, { ...admin, range: 'bytes=0-9', 'if-range': etag })).status, 206);
    assert.equal((await bytes('GET', url, { ...admin, range: 'bytes=0-9', 'if-range': '"other"' })).status, 200);
    const head = await bytes('HEAD', url, admin);
    assert.deepEqual([head.status, head.headers['content-length'], head.body.length], [200, String(size), 0]);
  });
  test('come as gzip to those who take it', async () => {
    for (const { url } of m.output.slice(0, 3)) {
      const plain = await bytes('GET', url, admin), r = await bytes('GET', url, { ...admin, 'accept-encoding': 'gzip' });
      assert.deepEqual([r.status, r.headers['content-encoding'], r.headers.vary], [200, 'gzip', 'Accept-Encoding']);
      assert.notEqual(r.headers.etag, plain.headers.etag);
      assert.ok(r.body.length < plain.body.length / 2);
      assert.ok(zlib.gunzipSync(r.body).equals(plain.body));
      assert.equal((await bytes('GET', url, { ...admin, 'accept-encoding': 'gzip;q=0' })).headers['content-encoding'], undefined);
    }
  });
  test('take resources that are larger than what is gathered for a write', async () => {
    const sizes = { small: 10, large: 900000, medium: 400000 };
    for (const [id, size] of Object.entries(sizes)) assert.equal((await fhir('PUT', `Basic/${id}`, { resourceType: 'Basic', id, code: { coding: [{ display: 'y'.repeat(size) }], text: 'x'.repeat(size) } })).status, 201);
    const found = await download(server, await manifest(server, '$export?_type=Basic'));
    assert.deepEqual(found.map(([, line]) => JSON.parse(line).id), Object.keys(sizes));
    for (const [, line] of found) assert.equal(line, await stored(server, `Basic/${JSON.parse(line).id}`));
    for (const id of Object.keys(sizes)) await fhir('DELETE', `Basic/${id}`);
  });
  test('have no other names than those of the manifest', async () => {
    const folder = m.output[0].url.replace(/[^/]*$/, '');
    for (const name of ['token', 'Patient.ndjson', '%2e%2e', '..', 'x'.repeat(300)]) assert.ok([400, 404].includes((await bytes('GET', folder + name, admin)).status), name);
  });
});

describe('what is exported', () => {
  test('_type, several and repeated', async () => {
    const all = await download(server, await manifest(server, '$export?_type=Patient,Device&_type=Encounter'));
    assert.deepEqual([all.length, ids(all, 'Patient')], [patients, expected(patients, 'p')]);
  });
  test('_typeFilter: searches of one type are alternatives, other types are whole', async () => {
    const filter = (q) => `_typeFilter=${encodeURIComponent(q)}`;
    let all = await download(server, await manifest(server, `$export?_type=Patient,Observation&${filter('Observation?status=amended&category=laboratory')}`));
    assert.deepEqual(ids(all, 'Observation'), expected(observations, 'o', (i) => i % 3 === 0 && i % 2 === 1));
    assert.equal(ids(all, 'Patient').length, patients);
    all = await download(server, await manifest(server, `$export?${filter('Observation?code=c1,c2,Observation?code=c3&status=final,Patient?gender=male')}&_type=Observation,Patient`));
    assert.deepEqual(ids(all, 'Observation'), expected(observations, 'o', (i) => [1, 2].includes(i % 5) || (i % 5 === 3 && i % 3)));
    assert.deepEqual(ids(all, 'Patient'), expected(patients, 'p', (i) => i % 2));
    all = await download(server, await manifest(server, '$export', { parameter: [{ name: '_type', valueString: 'Observation' }, { name: '_typeFilter', valueString: 'Observation?value-quantity=gt590' }, { name: '_typeFilter', valueString: 'Observation?_id=o1' }] }));
    assert.deepEqual(ids(all, 'Observation'), expected(observations, 'o', (i) => i > 590 || i === 1));
  });
  test('_elements keeps what is mandatory, and says that it is a part', async () => {
    const all = await download(server, await manifest(server, '$export?_type=Patient,Observation&_elements=Observation.subject,name'));
    for (const [type, line] of all) {
      const r = JSON.parse(line);
      assert.deepEqual(Object.keys(r).sort(), type === 'Patient' ? ['id', 'meta', 'name', 'resourceType'] : ['code', 'id', 'meta', 'resourceType', 'status', 'subject']);
      assert.equal(r.meta.tag.at(-1).code, 'SUBSETTED');
    }
    assert.equal(all.length, patients + observations);
  });
  test('Patient level: compartments, of some patients if they are named; no other types', async () => {
    await fhir('PUT', 'Observation/nobody', { resourceType: 'Observation', id: 'nobody', status: 'final', code: { text: 'x' }, device: { reference: 'Device/d' } });
    await fhir('PUT', 'Device/d', { resourceType: 'Device', id: 'd' });
    await fhir('PUT', 'Practitioner/dr', { resourceType: 'Practitioner', id: 'dr' });
    let all = await download(server, await manifest(server, 'Patient/$export'));
    assert.deepEqual(ids(all, 'Observation'), expected(observations, 'o'));
    assert.equal(all.length, patients + observations);
    all = await download(server, await manifest(server, 'Patient/$export', { parameter: [{ name: 'patient', valueReference: { reference: 'Patient/p3' } }, { name: 'patient', valueReference: { reference: `${server.fhir}/Patient/p5` } }] }));
    assert.deepEqual(ids(all, 'Patient'), ['p3', 'p5']);
    assert.deepEqual(ids(all, 'Observation'), expected(observations, 'o', (i) => [3, 5].includes(i % patients)));
    all = await download(server, await manifest(server, 'Patient/$export?_type=Patient,Practitioner'));
    assert.deepEqual(ids(all, 'Practitioner'), ['dr'], 'nobody\'s own, where it is named');
  });
  test('patients are found however a reference to them is written', async () => {
    const put = (id, subject) => fhir('PUT', `Encounter/${id}`, JSON.stringify({ resourceType: 'Encounter', id, status: 'finished', class: { code: 'AMB' }, subject: { reference: 'SUBJECT' }, serviceProvider: { display: 'Patient/p2' } }).replace('SUBJECT', subject));
    for (const [id, subject] of [['plain', 'Patient/p2'], ['absolute', `${server.fhir}/Patient/p2`], ['version', 'Patient/p2/_history/1'], ['slash', 'Patient\\/p2'], ['unicode', '\\u0050atient/p2'], ['other', 'Patient/p22'], ['foreign', 'http://elsewhere/fhir/Patient/p2']]) assert.equal((await put(id, subject)).status, 201, id);
    const all = await download(server, await manifest(server, 'Patient/$export', { parameter: [{ name: 'patient', valueReference: { reference: 'Patient/p2' } }, { name: '_type', valueString: 'Encounter' }] }));
    assert.deepEqual(ids(all, 'Encounter'), ['absolute', 'plain', 'slash', 'unicode', 'version']);
    for (const id of ['plain', 'absolute', 'version', 'slash', 'unicode', 'other', 'foreign']) await fhir('DELETE', `Encounter/${id}`);
  });
  test('Group level: of its members, without those that left', async () => {
    const member = (id, more = {}) => ({ entity: { reference: `Patient/${id}` }, ...more });
    await fhir('PUT', 'Group/g', { resourceType: 'Group', id: 'g', type: 'person', actual: true, member: [member('p1'), member('p2', { inactive: true }), member('p4', { period: { end: '2020-01-01' } }), member('p6', { period: { end: '2999-01-01' } }), { entity: { reference: 'Device/d' } }] });
    let all = await download(server, await manifest(server, 'Group/g/$export'));
    assert.deepEqual(ids(all, 'Patient'), ['p1', 'p6']);
    assert.deepEqual(ids(all, 'Observation'), expected(observations, 'o', (i) => [1, 6].includes(i % patients)));
    assert.deepEqual(ids(all, 'Group'), ['g']);
    all = await download(server, await manifest(server, 'Group/g/$export', { parameter: [{ name: 'patient', valueReference: { reference: 'Patient/p6' } }, { name: 'patient', valueReference: { reference: 'Patient/p7' } }, { name: '_type', valueString: 'Patient' }] }));
    assert.deepEqual(ids(all, 'Patient'), ['p6']);
    await fhir('PUT', 'Group/empty', { resourceType: 'Group', id: 'empty', type: 'person', actual: true });
    assert.deepEqual((await manifest(server, 'Group/empty/$export')).output, []);
  });
  test('includeAssociatedData brings the Provenance of what is exported', async () => {
    const provenance = (id, target) => fhir('PUT', `Provenance/${id}`, { resourceType: 'Provenance', id, target: [{ reference: target }], recorded: '2024-01-01T00:00:00Z', agent: [{ who: { display: 'x' } }] });
    await provenance('of-patient', 'Patient/p1');
    await provenance('of-device', 'Device/d');
    const all = await download(server, await manifest(server, '$export?_type=Patient&includeAssociatedData=RelevantProvenanceResources'));
    assert.deepEqual(ids(all, 'Provenance'), ['of-patient']);
    assert.equal(all.length, patients + 1);
  });
  test('_since: what has changed and what was deleted; _until: what had not', async () => {
    await fhir('PUT', 'Patient/gone', patient(1000) && { ...patient(1000), id: 'gone' });
    await sleep(20);
    const first = await manifest(server, '$export?_type=Patient');
    await sleep(20);
    await fhir('PUT', 'Patient/p1', { ...patient(1), active: true });
    await fhir('PUT', 'Patient/new', { ...patient(3), id: 'new' });
    await fhir('PUT', 'Patient/brief', { ...patient(3), id: 'brief' });
    for (const id of ['gone', 'brief']) await fhir('DELETE', `Patient/${id}`);
    const since = encodeURIComponent(first.transactionTime.replace(/(\d+)Z$/, (_, f) => `${String(Number(f) + 1).padStart(6, '0')}Z`));
    let m = await manifest(server, `$export?_type=Patient&_since=${since}`);
    assert.deepEqual(ids(await download(server, m), 'Patient'), ['new', 'p1']);
    const deletions = async () => (await download(server, m, { list: 'deleted' })).map(([type, line]) => [type, JSON.parse(line)]).map(([type, b]) => `${type} ${b.type} ${b.entry[0].request.method} ${b.entry[0].request.url}`).sort();
    assert.deepEqual(await deletions(), ['Bundle transaction DELETE Patient/brief', 'Bundle transaction DELETE Patient/gone']);
    m = await manifest(server, `$export?_type=Patient&_since=${since}&_typeFilter=${encodeURIComponent('Patient?gender=female')}`);
    assert.deepEqual(await deletions(), ['Bundle transaction DELETE Patient/gone'], 'judged by the version before');
    assert.deepEqual(m.output, []);
    m = await manifest(server, `$export?_type=Patient&_until=${since}`);
    const before = expected(patients, 'p', (i) => i !== 1);
    assert.deepEqual(ids(await download(server, m), 'Patient'), before);
    assert.deepEqual((await manifest(server, '$export?_type=Patient')).deleted, []);
  });
});

describe('$export-stream', () => {
  const stream = (query, headers = {}) => bytes('GET', `${server.fhir}/${query}`, { ...admin, ...headers });
  test('is all of a type, as it is stored', async () => {
    const r = await stream('Observation/$export-stream');
    assert.deepEqual([r.status, r.headers['content-type']], [200, 'application/fhir+ndjson']);
    assert.ok(Date.parse(r.headers['x-transaction-time']) > 0);
    const found = lines(r.body).map((line) => ['Observation', line]);
    assert.deepEqual(ids(found, 'Observation'), [...expected(observations, 'o'), 'nobody'].sort());
    assert.equal(found[5][1], await stored(server, `Observation/${JSON.parse(found[5][1]).id}`));
    const coded = await stream('Observation/$export-stream', { 'accept-encoding': 'gzip' });
    assert.equal(coded.headers['content-encoding'], 'gzip');
    assert.ok(zlib.gunzipSync(coded.body).equals(r.body));
    assert.equal((await stream('Basic/$export-stream')).body.length, 0);
    assert.deepEqual(zlib.gunzipSync((await stream('Basic/$export-stream', { 'accept-encoding': 'gzip' })).body).length, 0);
  });
  test('takes the parameters that choose', async () => {
    const r = await stream(`Observation/$export-stream?_typeFilter=${encodeURIComponent('Observation?status=amended')}&_elements=status`);
    const found = lines(r.body).map((line) => ['Observation', line]);
    assert.deepEqual(ids(found, 'Observation'), expected(observations, 'o', (i) => i % 3 === 0));
    assert.equal(JSON.parse(found[0][1]).subject, undefined);
    assert.equal((await stream('Observation/$export-stream?_typeFilter=Patient%3Fgender%3Dmale')).status, 400);
    assert.equal((await stream('Nothing/$export-stream')).status, 404);
    assert.equal((await stream('Observation/$export-stream', { authorization: 'x' })).status, 401);
  });
});
