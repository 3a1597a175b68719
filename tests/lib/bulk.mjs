// The client side of Bulk Data: kick-off, polling, downloads; and what the exports are compared with.
import assert from 'node:assert/strict';
import http from 'node:http';
import { basic, call, sleep } from './server.mjs';

// A request whose body is kept as bytes, without anything that a client does by itself (fetch asks for gzip).
export const bytes = (method, url, headers = {}, body) => new Promise((ok, no) => {
  const req = http.request(url, { method, agent: false, headers }, (res) => {
    const parts = [];
    res.on('data', (d) => parts.push(d));
    res.on('error', no);
    res.on('end', () => ok({ status: res.statusCode, headers: res.headers, body: Buffer.concat(parts) }));
  });
  req.on('error', no);
  req.end(body);
});

export const asynchronous = { accept: 'application/fhir+json', prefer: 'respond-async' };

// Kick-off; path such as "$export?_type=Patient". With parameters (an array of Parameters.parameter) by POST.
export const kickoff = (server, path, { parameter, headers = {}, who = server.admin } = {}) =>
  call(parameter ? 'POST' : 'GET', `${server.fhir}/${path}`, parameter ? { resourceType: 'Parameters', parameter } : undefined, { ...asynchronous, ...who, ...headers });

export const begin = async (server, path, options = {}) => {
  const r = await kickoff(server, path, options);
  assert.equal(r.status, 202, r.text);
  assert.match(r.headers.get('content-location'), /\/fhir\/\$export-status\/[0-9a-f]{32}$/);
  return r.headers.get('content-location');
};

// Polls until the export has ended; resolves with the last answer.
export const finished = async (server, url, { who = server.admin, ms = 60000, every = 150 } = {}) => {
  for (const until = Date.now() + ms; ;) {
    const r = await call('GET', url, undefined, who);
    if (r.status !== 202 && r.status !== 429) return r;
    assert.ok(Number(r.headers.get('retry-after')) >= 1, 'Retry-After');
    if (Date.now() > until) throw new Error(`the export does not end: ${r.headers.get('x-progress')}`);
    await sleep(every);
  }
};

export const manifest = async (server, path, options = {}) => {
  const url = await begin(server, path, options), r = await finished(server, url, options);
  assert.equal(r.status, 200, r.text);
  return { url, ...r.json, headers: r.headers };
};

export const lines = (body) => (body.length === 0 ? [] : body.toString('utf8').replace(/\n$/, '').split('\n'));

// All lines of the output (or of another list) with the file's type: [[type, line], ...]. Counts and framing are checked.
export const download = async (server, m, { list = 'output', who = server.admin } = {}) => {
  const all = [];
  for (const { type, url, count } of m[list]) {
    const r = await bytes('GET', url, who);
    assert.equal(r.status, 200, r.body.toString());
    assert.equal(r.headers['content-type'], 'application/fhir+ndjson');
    assert.equal(r.body.at(-1), 10, 'the last line ends');
    const found = lines(r.body);
    assert.equal(found.length, count);
    for (const line of found) all.push([type, line]);
  }
  return all;
};

// A resource as the store has it, byte by byte.
export const stored = async (server, path) => {
  const r = await bytes('GET', `${server.fhir}/${path}`, server.admin);
  assert.equal(r.status, 200, r.body.toString());
  return r.body.toString('utf8');
};

// Many resources by transactions; make(i) is the i-th.
export const load = async (server, count, make, { size = 500, from = 0 } = {}) => {
  for (let i = from; i < from + count; i += size) {
    const entry = [];
    for (let j = i; j < Math.min(i + size, from + count); j++) {
      const resource = make(j);
      entry.push({ resource, request: { method: 'PUT', url: `${resource.resourceType}/${resource.id}` } });
    }
    const r = await call('POST', server.fhir, { resourceType: 'Bundle', type: 'transaction', entry }, server.admin);
    assert.equal(r.status, 200, r.text.slice(0, 500));
  }
};

// A Client with Basic and a policy that allows the operations of the list (all without one).
export const client = async (server, id, operations) => {
  const secret = `the secret of ${id}, which is long`;
  const put = async (path, body) => { const r = await call('PUT', `${server.base}/${path}`, body, server.admin); assert.ok(r.status < 300, r.text); };
  await put(`Client/${id}`, { resourceType: 'Client', id, secret, grant_types: ['basic'] });
  const link = operations ? operations.map((o) => ({ reference: `Operation/${o}` })) : [{ reference: `Client/${id}` }];
  await put(`AccessPolicy/${id}`, { resourceType: 'AccessPolicy', id, engine: 'allow', link });
  return { authorization: basic(id, secret) };
};

export const patient = (i) => ({ resourceType: 'Patient', id: `p${i}`, gender: i % 2 ? 'male' : 'female', name: [{ family: `Family${i}`, given: ['Ä', `G${i}`] }] });
export const observation = (i, patients = 10) => ({ resourceType: 'Observation', id: `o${i}`, status: i % 3 ? 'final' : 'amended', category: [{ coding: [{ system: 'http://terminology.hl7.org/CodeSystem/observation-category', code: i % 2 ? 'laboratory' : 'vital-signs' }] }], code: { coding: [{ system: 'http://loinc.org', code: `c${i % 5}` }] }, subject: { reference: `Patient/p${i % patients}` }, valueQuantity: { value: i, unit: 'mg' }, note: [{ text: `Überprüft "${i}" \\ ok` }] });
