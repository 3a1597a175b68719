// Operations of a plugin that is not of this tree: examples/operation, built as its README says.
import test, { before, after } from 'node:test';
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import fs from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { basic, call, configure, modules, source, start } from './lib/server.mjs';

let server, admin;
before(async () => {
  const folder = path.join(source, 'examples/operation'), at = await configure();
  const own = fs.mkdtempSync(path.join(os.tmpdir(), 'andiron-modules-'));
  execFileSync(process.env.CC ?? 'cc', ['-shared', '-fPIC', '-fvisibility=hidden', '-Wall', '-Wextra', '-Werror', `-I${source}/include`, '-o', path.join(own, 'operation-size.so'), path.join(folder, 'operation_size.c')]);
  fs.copyFileSync(path.join(folder, '60-operation-size.conf'), path.join(at.etc, 'plugins.d/60-operation-size.conf'));
  const conf = path.join(at.etc, 'andiron.conf');
  fs.writeFileSync(conf, fs.readFileSync(conf, 'utf8').replace(`module-path = ${modules}`, `module-path = ${modules} ${own}`));
  server = await start({ at });
  server.own = own;
  admin = server.admin;
});
after(async () => { await server.stop(); server.remove(); fs.rmSync(server.own, { recursive: true }); });

const fhir = (method, path, body, headers = admin) => call(method, `${server.fhir}/${path}`, body, headers);
const size = (r) => { assert.equal(r.status, 200, r.text); return r.json.parameter[0].valueInteger; };

test('answers at system, type and instance level', async () => {
  for (const id of ['a', 'b', 'c']) await fhir('PUT', `Patient/${id}`, { resourceType: 'Patient', id });
  await fhir('PUT', 'Observation/o', { resourceType: 'Observation', id: 'o', status: 'final', code: { text: 'x' } });
  assert.equal(size(await fhir('GET', '$size')), 4);
  assert.equal(size(await fhir('GET', 'Patient/$size')), 3);
  assert.equal(size(await fhir('GET', 'Patient/a/$size')), (await fhir('GET', 'Patient/a')).text.length);
  assert.equal((await fhir('GET', 'Patient/none/$size')).status, 404);
  assert.equal((await fhir('POST', 'Patient/$size', {})).status, 405);
  assert.equal((await fhir('GET', 'Patient/size')).status, 404);
});
test('in batches too', async () => {
  const r = await call('POST', server.fhir, { resourceType: 'Bundle', type: 'batch', entry: [{ request: { method: 'GET', url: 'Patient/$size' } }, { request: { method: 'GET', url: 'Patient/a/$size' } }] }, admin);
  assert.deepEqual(r.json.entry.map((e) => e.response.status), ['200', '200']);
  assert.equal(r.json.entry[0].resource.parameter[0].valueInteger, 3);
});
test('stands in the CapabilityStatement and among the operations', async () => {
  const { json: { rest: [rest] } } = await fhir('GET', 'metadata');
  const definition = 'http://example.org/OperationDefinition/size';
  assert.ok(rest.operation.some((o) => o.name === 'size' && o.definition === definition));
  for (const { type, operation } of rest.resource) assert.equal(operation.filter((o) => o.name === 'size' && o.definition === definition).length, 1, type);
  assert.equal((await call('GET', `${server.base}/Operation/Size`, undefined, admin)).json.module, 'operation-size');
});
test('is open to whom a policy lets in', async () => {
  const secret = 'a secret of some length', who = { authorization: basic('counter', secret) };
  await fhir('PUT', 'Client/counter', { resourceType: 'Client', id: 'counter', grant_types: ['basic'], secret });
  assert.equal((await fhir('GET', '$size', undefined, who)).status, 403);
  await fhir('PUT', 'AccessPolicy/counter', { resourceType: 'AccessPolicy', id: 'counter', engine: 'allow', link: [{ reference: 'Operation/Size' }] });
  assert.equal(size(await fhir('GET', '$size', undefined, who)), 4);
  assert.equal((await fhir('GET', 'Patient/a', undefined, who)).status, 403);
  await fhir('DELETE', 'AccessPolicy/counter');
  assert.equal((await fhir('GET', '$size', undefined, {})).status, 401);
});
