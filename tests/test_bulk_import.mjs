// $import over HTTP: an NDJSON body becomes resources, line by line; what is refused, and what is left of an upload that breaks off.
import test, { after, before, describe } from 'node:test';
import assert from 'node:assert/strict';
import http from 'node:http';
import zlib from 'node:zlib';
import { call, sleep, start } from './lib/server.mjs';
import { client, lines, manifest, download, observation, patient, stored } from './lib/bulk.mjs';

let server, admin;
before(async () => { server = await start({ quick: true, plugins: { bulk: { 'import-rows': 50, 'import-line': '20k', 'import-errors': 20 }, audit: {} } }); admin = server.admin; });
after(async () => { await server.stop(); server.remove(); });

const ndjson = (list) => list.map((r) => (typeof r === 'string' ? r : JSON.stringify(r)) + '\n').join('');
const upload = (body, { query = '', headers = {}, who = admin } = {}) =>
  call('POST', `${server.fhir}/$import${query}`, body, { 'content-type': 'application/fhir+ndjson', ...who, ...headers });
const exists = async (path) => (await call('GET', `${server.fhir}/${path}`, undefined, admin)).status === 200;
const many = (prefix, count) => Array.from({ length: count }, (_, i) => ({ ...patient(i), id: `${prefix}${i}` }));

// A request that is written by hand; resolves with the answer, or 'lost'.
const byHand = (write, headers = {}) => new Promise((ok) => {
  const req = http.request(`${server.fhir}/$import`, { method: 'POST', agent: false, headers: { 'content-type': 'application/fhir+ndjson', ...admin, ...headers } }, (res) => {
    const parts = [];
    res.on('data', (d) => parts.push(d));
    res.on('error', () => ok('lost'));
    res.on('end', () => ok({ status: res.statusCode, headers: res.headers, json: JSON.parse(Buffer.concat(parts)) }));
  });
  req.on('error', () => ok('lost'));
  write(req);
});

describe('an upload', () => {
  test('is stored line by line, over many batches, and counted by type', async () => {
    const list = [...many('a', 120), ...Array.from({ length: 80 }, (_, i) => ({ ...observation(i), subject: { reference: `Patient/a${i}` } }))];
    const r = await upload(ndjson(list));
    assert.equal(r.status, 200, r.text);
    assert.equal(r.headers.get('content-type'), 'application/json');
    assert.deepEqual(r.json, { complete: true, lines: 200, stored: 200, refused: 0, output: [{ type: 'Observation', created: 80, updated: 0, refused: 0 }, { type: 'Patient', created: 120, updated: 0, refused: 0 }], errorsOmitted: 0, error: [] });
    assert.equal(r.headers.get('x-import-committed'), 'lines=200, stored=200, refused=0');
    for (const of of [list[0], list[119], list[199]]) {
      const { meta, ...rest } = JSON.parse(await stored(server, `${of.resourceType}/${of.id}`));
      assert.equal(meta.versionId, '1');
      assert.deepEqual(rest, of);
    }
    const again = await upload(ndjson(list));
    assert.deepEqual([again.json.stored, again.json.output.map((o) => [o.created, o.updated])], [200, [[0, 80], [0, 120]]]);
  });
  test('comes gzipped, chunked, without a last line end and with blank lines', async () => {
    const body = zlib.gzipSync('\n' + ndjson(many('b', 70)) + '\r\n' + JSON.stringify({ ...patient(0), id: 'blast' }));
    const r = await byHand(async (req) => { for (let i = 0; i < body.length; i += 100) { req.write(body.subarray(i, i + 100)); await sleep(0); } req.end(); }, { 'content-encoding': 'gzip' });
    assert.deepEqual([r.status, r.json.stored, r.json.refused], [200, 71, 0]);
    assert.ok(await exists('Patient/blast'));
  });
  test('names each refused line, with its outcome, and stores the others', async () => {
    const list = many('c', 60);
    list[1] = '{"resourceType":"Patient","id":"cx"},{"request":{}}';
    list[7] = { resourceType: 'Patient', id: 'bad', gender: 'purple', nothing: 1 };
    list[20] = { resourceType: 'Patient', id: 'long', name: [{ text: 'x'.repeat(30000) }] };
    list[30] = { resourceType: 'Client', id: 'root', secret: 'another secret of the root' };
    list[40] = { resourceType: 'Patient' };
    list[55] = { resourceType: 'Patient', id: 'a b' };
    list[59] = { ...patient(1), id: 'c3' };
    const r = await upload(ndjson(list));
    assert.equal(r.status, 200, r.text);
    assert.deepEqual([r.json.lines, r.json.stored, r.json.refused], [60, 54, 6]);
    assert.deepEqual(r.json.error.map((e) => [e.line, e.resource, e.status]), [[2, undefined, 400], [8, 'Patient/bad', 422], [21, undefined, 413], [31, undefined, 400], [41, 'Patient', 400], [56, 'Patient', 422]].sort((a, b) => a[0] - b[0]));
    for (const e of r.json.error) { assert.equal(e.outcome.resourceType, 'OperationOutcome'); assert.equal(e.outcome.id, `line-${e.line}`); assert.ok(e.outcome.issue[0].diagnostics); }
    assert.deepEqual(r.json.error[1].outcome.issue.map((i) => i.expression[0]).sort(), ['Patient.gender', 'Patient.nothing']);
    assert.equal(JSON.parse(await stored(server, 'Patient/c3')).meta.versionId, '2', 'the later line counts');
    assert.equal((await call('GET', `${server.fhir}/Patient`, undefined, admin)).status, 200, 'the administrator is still who it was');
    assert.ok(!(await exists('Patient/bad')) && await exists('Patient/c58'));
  });
  test('has a report of bounded length, also as NDJSON of outcomes', async () => {
    const r = await upload(ndjson(Array(100).fill('{}')), { query: '?_outputFormat=application/fhir%2Bndjson' });
    assert.equal(r.headers.get('content-type'), 'application/fhir+ndjson');
    const all = r.text.trim().split('\n').map((l) => JSON.parse(l));
    assert.equal(all.length, 21);
    assert.ok(all.every((o) => o.resourceType === 'OperationOutcome'));
    assert.match(all[0].issue[0].diagnostics, /100 lines: 0 resources stored, 100 refused, of which 20 are told/);
    assert.deepEqual(all.slice(1).map((o) => o.id), Array.from({ length: 20 }, (_, i) => `line-${i + 1}`));
    const json = await upload(ndjson(Array(100).fill('{}')));
    assert.deepEqual([json.json.error.length, json.json.errorsOmitted], [20, 80]);
  });
  test('may leave ids to the server', async () => {
    const r = await upload(ndjson([{ resourceType: 'Basic', code: { text: 'made' } }, { resourceType: 'Basic', code: { text: 'made' } }]), { query: '?_create=true' });
    assert.deepEqual([r.status, r.json.stored], [200, 2]);
    assert.equal((await call('GET', `${server.fhir}/Basic?code:text=made&_summary=count`, undefined, admin)).json.total, 2);
  });
  test('of nothing is nothing', async () => {
    for (const body of ['\n', '\n\n \n']) { const r = await upload(body); assert.deepEqual([r.status, r.json.stored, r.json.refused], [200, 0, 0], r.text); }
  });
});

describe('is refused', () => {
  const refused = (r, status, words) => { assert.equal(r.status, status, r.text); assert.equal(r.json.resourceType, 'OperationOutcome'); assert.match(r.json.issue[0].diagnostics, words); };
  test('with another media type, an unknown parameter, a wrong value, no credentials', async () => {
    refused(await upload('{}\n', { headers: { 'content-type': 'application/json' } }), 415, /application\/fhir\+ndjson/);
    refused(await upload('{}\n', { query: '?color=red' }), 400, /color: is not a parameter/);
    refused(await upload('{}\n', { query: '?_create=yes' }), 400, /_create must be true or false/);
    refused(await upload('{}\n', { query: '?_outputFormat=xml' }), 400, /_outputFormat/);
    refused(await upload('{}\n', { headers: { accept: 'text/html' } }), 406, /Accept/);
    assert.equal((await call('POST', `${server.fhir}/$import`, '{}\n', { 'content-type': 'application/ndjson' })).status, 401);
    assert.equal((await call('GET', `${server.fhir}/$import`, undefined, admin)).status, 405);
  });
  test('where no policy allows it, and each line where none allows that', async () => {
    const list = ndjson([{ ...patient(0), id: 'd0' }, { ...observation(0), id: 'd1' }]);
    const who = await client(server, 'importer', ['FhirRead']); // such links are for all clients: each adds to the others
    refused(await upload(list, { who }), 403, /Forbidden/);
    await client(server, 'second', ['FhirImport']);
    refused(await upload(list, { who }), 403, /Forbidden/);
    await client(server, 'third', ['FhirTransaction']);
    const r = await upload(list, { who });
    assert.deepEqual([r.status, r.json.stored, r.json.error.map((e) => e.status)], [200, 0, [403, 403]]);
    await client(server, 'fourth', ['FhirUpdate']);
    assert.equal((await upload(list, { who })).json.stored, 2);
  });
});

describe('what is left of an upload that breaks off', () => {
  const whole = async (prefix, count) => { let n = 0; for (let i = 0; i < count; i++) if (await exists(`Patient/${prefix}${i}`)) n++; else break; return n; };
  test('by damage in the middle: all lines up to the one that the answer names', async () => {
    const text = ndjson(many('e', 400)), packed = zlib.gzipSync(text, { level: 0 });
    const middle = packed.length >> 1;
    const r = await byHand((req) => { req.write(Buffer.concat([packed.subarray(0, middle), Buffer.alloc(4000, 255)])); req.end(); }, { 'content-encoding': 'gzip' });
    assert.equal(r.status, 400);
    const [, n, stored_] = /^lines=(\d+), stored=(\d+), refused=0$/.exec(r.headers['x-import-committed']);
    assert.equal(n, stored_);
    assert.ok(Number(n) % 50 === 0 && Number(n) < 400, n); // what is at work behind it is done, too, but not told
    assert.ok(await whole('e', 400) >= Number(n));
    const again = await upload(text);
    assert.equal(again.json.stored, 400);
    assert.ok(again.json.output[0].created <= 400 - Number(n));
  });
  test('by its size: the same', async () => {
    const small = await start({ quick: true, plugins: { bulk: { 'import-size': '20k', 'import-rows': 10 } } });
    try {
      const r = await call('POST', `${small.fhir}/$import`, ndjson(many('f', 400)), { 'content-type': 'application/fhir+ndjson', ...small.admin });
      assert.equal(r.status, 413, r.text);
      assert.match(r.json.issue[0].diagnostics, /import-size; up to line \d+ all is done/);
      const [, n, count] = /^lines=(\d+), stored=(\d+), refused=0$/.exec(r.headers.get('x-import-committed'));
      assert.ok(n === count && Number(n) < 400, r.headers.get('x-import-committed'));
      assert.equal((await call('GET', `${small.fhir}/Patient?_summary=count`, undefined, small.admin)).json.total, Number(n), 'all that was begun is waited for');
    } finally { await small.stop(); small.remove(); }
  });
  test('by a client that leaves: whole batches, and the log says how many', async () => {
    const text = ndjson(many('g', 300));
    const r = await byHand(async (req) => {
      req.write(text.slice(0, text.length - 100));
      for (let i = 0; i < 200 && !(await exists('Patient/g249')); i++) await sleep(50);
      req.destroy();
    });
    assert.equal(r, 'lost');
    await server.logged(/"bulk.import-broken".*up to line \d+ all is done/);
    const n = await whole('g', 300);
    assert.equal(n % 50, 0);
    assert.ok(n >= 250 && n < 300);
    assert.equal((await upload(text)).json.stored, 300, 'another try is welcome');
  });
});

test('lines may refer to those before them, and of one name the last counts, however many batches are at work', async () => {
  const strict = await start({ quick: true, plugins: { fhir: { 'referential-integrity': 'on' }, bulk: { 'import-rows': 7, 'import-parallel': 8 } } });
  try {
    const list = Array.from({ length: 40 }, (_, i) => [{ ...patient(i), id: `i${i}` }, { ...observation(i), subject: { reference: `Patient/i${i}` } }, { resourceType: 'Patient', id: 'last', language: `x-${i}` }]).flat();
    const r = await call('POST', `${strict.fhir}/$import`, ndjson([...list, { ...observation(99), subject: { reference: 'Patient/none' } }]), { 'content-type': 'application/fhir+ndjson', ...strict.admin });
    assert.deepEqual([r.status, r.json.lines, r.json.stored, r.json.error.map((e) => e.resource)], [200, 121, 120, ['Observation/o99']], r.text);
    const last = (await call('GET', `${strict.fhir}/Patient/last`, undefined, strict.admin)).json;
    assert.deepEqual([last.language, last.meta.versionId], ['x-39', '40']);
  } finally { await strict.stop(); strict.remove(); }
});

test('what was refused only beside an earlier batch is not told as done where the import breaks off before it was tried again', async () => {
  // The first takes its time; the second names it and is there before.
  const of = (round) => ndjson([{ ...patient(0), id: `q${round}`, name: Array.from({ length: 5000 }, (_, i) => ({ family: `Name ${i}`, given: ['A', 'B'] })) },
    { ...observation(0), id: `q${round}`, subject: { reference: `Patient/q${round}` } }]);
  const strict = await start({ quick: true, plugins: { fhir: { 'referential-integrity': 'on' }, bulk: { 'import-rows': 1, 'import-size': `${Buffer.byteLength(of(0)) + 65_536}` } } });
  try {
    for (let round = 0; round < 4; round++) {
      const r = await new Promise((ok, fail) => {
        const req = http.request(`${strict.fhir}/$import`, { method: 'POST', agent: false, headers: { 'content-type': 'application/fhir+ndjson', ...strict.admin } }, (res) => { res.resume(); ok(res); req.destroy(); });
        req.on('error', fail);
        req.write(of(round) + ' '.repeat(100_000));
      });
      assert.equal(r.statusCode, 413);
      assert.match(r.headers['x-import-committed'], /^lines=\d+, stored=\d+, refused=0$/, 'each of them finds its patient, once that is stored');
    }
  } finally { await strict.stop(); strict.remove(); }
});

test('one that nobody feeds takes no place for ever, and more than allowed are 429', async () => {
  const one = await start({ quick: true, core: { http: { 'body-timeout': '1s' } }, plugins: { bulk: { 'max-imports': 1 } } });
  try {
    const send = () => call('POST', `${one.fhir}/$import`, ndjson(many('h', 1)), { 'content-type': 'application/fhir+ndjson', ...one.admin });
    // Whoever comes second is refused, be it this one.
    let held, r;
    const hold = () => {
      held = http.request(`${one.fhir}/$import`, { method: 'POST', agent: false, headers: { 'content-type': 'application/fhir+ndjson', ...one.admin } });
      held.on('error', () => {});
      held.on('response', (res) => { res.resume(); if (res.statusCode === 429) hold(); });
      held.write(ndjson(many('h', 1)));
    };
    hold();
    for (let i = 0; i < 100 && (r = await send()).status !== 429; i++) await sleep(50);
    assert.equal(r.status, 429, r.text);
    assert.ok(r.headers.get('retry-after'));
    for (let i = 0; i < 100 && (r = await send()).status === 429; i++) await sleep(100);
    assert.equal(r.status, 200, r.text);
    held.destroy();
  } finally { await one.stop(); one.remove(); }
});

test('what was imported is what an export shows', async () => {
  const list = Array.from({ length: 150 }, (_, i) => ({ ...observation(i), id: `z${i}`, valueQuantity: { value: `@${i}.50@` } }));
  const text = ndjson(list).replace(/"@|@"/g, '');
  const r = await upload(text);
  assert.equal(r.json.stored, 150, r.text);
  const all = (await download(server, await manifest(server, '$export?_type=Observation'))).map(([, l]) => l).filter((l) => /"id":"z\d/.test(l));
  assert.equal(all.length, 150);
  const kept = new Map(lines(Buffer.from(text)).map((l) => [JSON.parse(l).id, l]));
  for (const l of all) assert.equal(l.replace(/"meta":\{[^}]*\},?/, ''), kept.get(JSON.parse(l).id).replace(/"meta":\{[^}]*\},?/, ''));
});

test('it stands in the CapabilityStatement, among the operations, and in the audit trail', async () => {
  const statement = (await call('GET', `${server.fhir}/metadata`, undefined, admin)).json;
  assert.ok(statement.rest[0].operation.some((o) => o.name === 'import'));
  assert.equal((await call('GET', `${server.base}/Operation/FhirImport`, undefined, admin)).json.id, 'FhirImport');
  const r = await upload(ndjson(many('k', 2))), id = r.headers.get('x-request-id');
  let found;
  for (let i = 0; i < 100 && !found?.entry?.length; i++) { found = (await call('GET', `${server.fhir}/AuditEvent?entity:identifier=urn:andiron:request-id%7C${id}`, undefined, admin)).json; await sleep(50); }
  assert.deepEqual(found.entry.map((e) => [e.resource.type.code, e.resource.subtype.map((s) => s.code), e.resource.outcome]), [['110107', ['import', 'FhirImport'], '0']]);
});
