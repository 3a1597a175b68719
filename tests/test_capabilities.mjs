// Reads the CapabilityStatement and does everything that it lists: what does not work cannot be listed.
import test, { before, after, describe } from 'node:test';
import assert from 'node:assert/strict';
import fs from 'node:fs';
import path from 'node:path';
import { start, call, source, sleep } from './lib/server.mjs';

const examples = path.join(process.env.NPM_MODULES ?? path.join(source, 'tests/node_modules'), 'hl7.fhir.r4.examples');
const skip = fs.existsSync(examples) ? false : 'NPM_MODULES has no hl7.fhir.r4.examples';

let server, admin, rest, sample;
before(async () => {
  server = await start({ core: { log: { 'access-log': 'off' } } });
  admin = server.admin;
  const own = { resourceType: 'SearchParameter', id: 'made', url: 'http://example.org/made', name: 'made', status: 'active', description: 'x', code: 'made', base: ['Patient', 'Group'], type: 'reference', target: ['Patient'], expression: "extension('http://example.org/made').value.ofType(Reference)" };
  assert.equal((await call('PUT', `${server.fhir}/SearchParameter/made`, own, admin)).status, 201);
  let json;
  for (const end = Date.now() + 60000; ; await sleep(100)) { // listed when its index is ready
    ({ json } = await call('GET', `${server.fhir}/metadata`));
    if (json.rest[0].resource.find((r) => r.type === 'Group').searchParam.some((p) => p.name === 'made')) break;
    assert.ok(Date.now() < end, 'never ready');
  }
  assert.deepEqual([json.kind, json.fhirVersion, json.rest.length], ['instance', '4.0.1', 1]);
  [rest] = json.rest;
  assert.deepEqual(json.instantiates, ['http://hl7.org/fhir/uv/bulkdata/CapabilityStatement/bulk-data']);
  sample = new Map();
  if (!skip) for (const file of fs.readdirSync(examples)) {
    const type = /^([A-Z][A-Za-z]+)-.*\.json$/.exec(file)?.[1];
    if (type && !sample.has(type) && fs.statSync(path.join(examples, file)).size < 65536) sample.set(type, JSON.parse(fs.readFileSync(path.join(examples, file))));
  }
});
after(async () => { await server.stop(); server.remove(); });

const fhir = (method, path, body, headers = {}) => call(method, path ? `${server.fhir}/${path}` : server.fhir, body, { ...admin, ...headers });
const patch = { 'content-type': 'application/json-patch+json' };
const one = async (type) => {
  const id = `cap-${type.toLowerCase()}`.slice(0, 60);
  const resource = { ...(sample.get(type) ?? { resourceType: type }), id };
  const r = await fhir('PUT', `${type}/${id}`, resource);
  return [r, id, resource];
};
// What each interaction code stands for: true if the server does it.
const interactions = {
  read: async (t, id) => (await fhir('GET', `${t}/${id}`)).json.id === id,
  vread: async (t, id) => (await fhir('GET', `${t}/${id}/_history/1`)).json.meta.versionId === '1',
  update: async (t, id, body) => (await fhir('PUT', `${t}/${id}`, body)).status === 200,
  patch: async (t, id) => (await fhir('PATCH', `${t}/${id}`, [{ op: 'test', path: '/id', value: id }], patch)).status === 200,
  'history-instance': async (t, id) => (await fhir('GET', `${t}/${id}/_history`)).json.entry.length >= 1,
  'history-type': async (t, id) => (await fhir('GET', `${t}/_history?_count=5`)).json.entry.some((e) => e.resource?.id === id),
  create: async (t, id, body) => { const { id: _, ...rest } = body; return (await fhir('POST', t, rest)).status === 201; },
  'search-type': async (t, id) => (await fhir('GET', `${t}?_id=${id}`)).json.entry[0].resource.id === id,
  delete: async (t, id) => (await fhir('DELETE', `${t}/${id}`)).status === 204 && (await fhir('GET', `${t}/${id}`)).status === 410,
};

test('nothing is claimed that no test here tries', async () => {
  const tried = {
    resource: ['type', 'profile', 'interaction', 'versioning', 'readHistory', 'updateCreate', 'conditionalCreate', 'conditionalRead', 'conditionalUpdate', 'conditionalDelete', 'referencePolicy', 'searchInclude', 'searchRevInclude', 'searchParam', 'operation'],
    rest: ['mode', 'security', 'resource', 'interaction', 'operation'],
  };
  for (const r of rest.resource) assert.equal(r.profile, `http://hl7.org/fhir/StructureDefinition/${r.type}`); // what validation is by
  for (const r of rest.resource) assert.deepEqual(Object.keys(r).filter((k) => !tried.resource.includes(k)), [], r.type);
  assert.deepEqual(Object.keys(rest).filter((k) => !tried.rest.includes(k)), []);
});

test('references are what referencePolicy says: literal, not enforced', async () => {
  for (const { type, referencePolicy } of rest.resource) assert.deepEqual(referencePolicy, ['literal'], type);
  const r = await fhir('PUT', 'Basic/cap-r', { resourceType: 'Basic', id: 'cap-r', code: { text: 'x' }, subject: { reference: 'Patient/cap-none' } });
  assert.equal(r.status, 201, r.text);
  assert.equal((await fhir('GET', 'Basic?subject=Patient/cap-none', undefined, { prefer: 'handling=strict' })).json.total, 1);
});

test('security names the endpoints that answer', async () => {
  const { extension } = rest.security.extension.find((e) => e.url === 'http://fhir-registry.smarthealthit.org/StructureDefinition/oauth-uris');
  for (const { url, valueUri } of extension) {
    const r = await call('POST', valueUri, '', { 'content-type': 'application/x-www-form-urlencoded' });
    assert.ok([400, 401].includes(r.status) && r.json.error, `${url} ${r.status} ${r.text}`);
  }
});

test('every interaction of every type works, and every conditional one', { skip }, async () => {
  assert.equal(rest.resource.length, 146);
  const wrong = [];
  for (const { type, interaction, ...claims } of rest.resource) {

    const [made, id, body] = await one(type);
    if (made.status !== 201) wrong.push([type, 'updateCreate', made.status, made.text.slice(0, 200)]);
    const codes = interaction.map((i) => i.code);
    assert.deepEqual(codes.filter((c) => !(c in interactions)), [], type);
    for (const code of Object.keys(interactions)) {
      if (!codes.includes(code)) continue;
      const done = await interactions[code](type, id, body).catch((e) => e.message);
      if (done !== true) wrong.push([type, code, done]);
    }
    const where = `${type}?_id=${id}`;
    const again = await fhir('PUT', `${type}/${id}`, body);
    const etag = again.headers.get('etag');
    const conditional = {
      conditionalCreate: async () => (await fhir('POST', type, body, { 'if-none-exist': `_id=${id}` })).status === 200,
      conditionalUpdate: async () => (await fhir('PUT', where, body)).status === 200,
      conditionalRead: async () => (await fhir('GET', `${type}/${id}`, undefined, { 'if-none-match': (await fhir('GET', `${type}/${id}`)).headers.get('etag') })).status === 304,
      versioning: async () => claims.versioning === 'versioned' && /^W\/"\d+"$/.test(etag),
      readHistory: async () => claims.readHistory === true,
      conditionalDelete: async () => claims.conditionalDelete === 'single' && (await fhir('DELETE', where)).status === 204 && (await fhir('GET', `${type}/${id}`)).status === 410,
    };
    for (const [name, ask] of Object.entries(conditional)) if (claims[name] !== undefined && (await ask().catch((e) => e.message)) !== true) wrong.push([type, name]);
  }
  assert.deepEqual(wrong, []);
});

test('every search parameter answers under strict handling, and is refused a name near to it', async () => {
  const value = { token: 'http://s|x', string: 'x', reference: 'Patient/x', date: '2020', number: '1', quantity: '1', uri: 'http://x', special: '1|1|1|km' };
  const wrong = [];
  let count = 0, made = 0;
  const ask = async (type, query) => {
    const r = await fhir('GET', `${type}?${query}&_count=1`, undefined, { prefer: 'handling=strict' });
    count++;
    if (r.status !== 200 || r.json.type !== 'searchset') wrong.push([type, query, r.status, r.json?.issue?.[0]?.diagnostics]);
  };
  for (const { type, searchParam } of rest.resource)
    for (const p of searchParam) {
      assert.match(p.definition, p.name === 'made' ? /^http:\/\/example\.org\/made$/ : /^http:\/\/hl7\.org\/fhir\/SearchParameter\//);
      if (p.name === 'made') made++;
      if (p.type !== 'composite') await ask(type, `${p.name}=${encodeURIComponent(value[p.type])}`);
      else {
        await ask(type, `${p.name}:missing=true`);
        // What its components are is not said here: one of these combinations is of their types.
        const parts = ['x', '1', '2020', 'Patient/x', '5.4|http://s|x'], statuses = [];
        for (const value of [...parts.flatMap((a) => parts.map((b) => `${a}$${b}`)), 'x$1$1']) {
          statuses.push((await fhir('GET', `${type}?${p.name}=${encodeURIComponent(value)}&_count=1`, undefined, { prefer: 'handling=strict' })).status);
          if (statuses.at(-1) === 200) break;
        }
        if (statuses.at(-1) !== 200) wrong.push([type, p.name, statuses]);
      }
    }
  assert.deepEqual(wrong, []);
  assert.ok(count > 1500, `${count}`);
  assert.equal(made, 2);
  assert.equal((await fhir('GET', 'Patient?familly=x', undefined, { prefer: 'handling=strict' })).status, 400);
});

test('every include and reverse include works', async () => {
  const wrong = [];
  for (const { type, searchInclude, searchRevInclude } of rest.resource) {
    const ask = async (kind, list) => {
      for (let i = 0; i < list.length; i += 20) {
        const r = await fhir('GET', `${type}?_count=1&${list.slice(i, i + 20).map((x) => `${kind}=${x}`).join('&')}`, undefined, { prefer: 'handling=strict' });
        if (r.status !== 200) wrong.push([type, kind, r.status, r.json?.issue?.[0]?.diagnostics]);
      }
    };
    await ask('_include', searchInclude ?? []);
    await ask('_revinclude', searchRevInclude ?? []);
  }
  assert.deepEqual(wrong, []);
});

test('every interaction of the system works', { skip }, async () => {
  const system = {
    transaction: () => fhir('POST', '', { resourceType: 'Bundle', type: 'transaction', entry: [{ resource: { resourceType: 'Patient', id: 'cap-t' }, request: { method: 'PUT', url: 'Patient/cap-t' } }] }),
    batch: () => fhir('POST', '', { resourceType: 'Bundle', type: 'batch', entry: [{ request: { method: 'GET', url: 'Patient/cap-t' } }] }),
    'search-system': () => fhir('GET', '?_type=Patient&_id=cap-t'),
    'history-system': () => fhir('GET', '_history?_count=2'),
  };
  assert.deepEqual(rest.interaction.map((i) => i.code).filter((c) => !(c in system)), []);
  for (const { code } of rest.interaction) {
    const r = code === 'search-system' ? await call('GET', `${server.fhir}?_type=Patient&_id=cap-t`, undefined, admin) : await system[code]();
    assert.equal(r.status, 200, r.text);
    assert.ok(r.json.entry.length >= 1, code);
    assert.equal(r.json.entry[0].response?.status?.[0] ?? '2', '2', r.text);
  }
});

test('every operation answers where it is listed', { skip }, async () => {
  const meta = { resourceType: 'Parameters', parameter: [{ name: 'meta', valueMeta: { tag: [{ system: 'http://c', code: 'x' }] } }] };
  const known = {
    meta: async (t, id) => { const r = await fhir('GET', `${t}/${id}/$meta`); return r.status === 200 ? fhir('GET', `${t}/$meta`) : r; },
    'meta-add': (t, id) => fhir('POST', `${t}/${id}/$meta-add`, meta),
    'meta-delete': (t, id) => fhir('POST', `${t}/${id}/$meta-delete`, meta),
    validate: (t, id, body) => fhir('POST', `${t}/$validate`, body),
    everything: (t, id) => fhir('GET', `${t}/${id}/$everything`),
    export: (t, id) => fhir('GET', t === 'Group' ? `${t}/${id}/$export?_type=Group` : `${t}/$export?_type=Patient`, undefined, begin),
  };
  const begin = { accept: 'application/fhir+json', prefer: 'respond-async' };
  const wrong = [];
  for (const { type, operation } of rest.resource) {
    const [, id, body] = await one(type);
    for (const { name, definition } of operation) {
      assert.match(definition, name === 'export' ? /^http:\/\/hl7\.org\/fhir\/uv\/bulkdata\/OperationDefinition\/(patient|group)-export$/ : /^http:\/\/hl7\.org\/fhir\/OperationDefinition\//);
      assert.ok(known[name], `${type} lists ${name}`);
      const r = await known[name](type, id, body);
      if (r.status !== (name === 'export' ? 202 : 200)) wrong.push([type, name, r.status, r.text.slice(0, 200)]);
    }
  }
  assert.deepEqual(wrong, []);
  assert.deepEqual(rest.resource.filter((r) => r.operation.some((o) => o.name === 'export')).map((r) => r.type), ['Group', 'Patient']);
  const ofSystem = { export: 202, import: 200 };
  for (const { name } of rest.operation) {
    const r = name === 'import' ? await fhir('POST', '$import', '\n', { 'content-type': 'application/fhir+ndjson' }) : await fhir('GET', `$${name}`, undefined, begin);
    assert.equal(r.status, ofSystem[name] ?? 200, name);
  }
});

test('every format and patch format is taken', async () => {
  const { json } = await call('GET', `${server.fhir}/metadata`);
  await fhir('PUT', 'Patient/cap-f', { resourceType: 'Patient', id: 'cap-f', active: true });
  for (const format of json.format) assert.equal((await fhir('GET', `Patient/cap-f?_format=${encodeURIComponent(format)}`)).status, 200, format);
  const bodies = { 'application/json-patch+json': [], 'application/merge-patch+json': {}, 'application/fhir+json': { resourceType: 'Parameters', parameter: [{ name: 'operation', part: [{ name: 'type', valueCode: 'replace' }, { name: 'path', valueString: 'Patient.active' }, { name: 'value', valueBoolean: false }] }] } };
  for (const format of json.patchFormat) assert.equal((await fhir('PATCH', 'Patient/cap-f', bodies[format], { 'content-type': format })).status, 200, format);
});
