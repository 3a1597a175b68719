// Validation over HTTP: what writes refuse in each mode, and $validate.
import { describe, test, before, after } from 'node:test';
import assert from 'node:assert/strict';
import { start, call } from './lib/server.mjs';

let strict, lenient, off;
before(async () => {
  [strict, lenient, off] = await Promise.all([start(), start({ plugins: { fhir: { validation: 'lenient' } } }), start({ plugins: { fhir: { validation: 'off' } } })]);
});
after(async () => { for (const s of [strict, lenient, off]) if (s) { await s.stop(); s.remove(); } });

const fhir = (server, method, path, body, headers = {}) => call(method, `${server.fhir}/${path}`, body, { ...server.admin, ...headers });
const places = (r) => r.json.issue.map((i) => `${i.code} ${i.expression?.[0] ?? ''}`);
const observation = (more = {}) => ({ resourceType: 'Observation', status: 'final', code: { text: 'x' }, ...more });

const unknownElement = { resourceType: 'Patient', nickname: 'Al', name: [{ givn: ['Al'] }] };
const unknownCode = { resourceType: 'Patient', gender: 'm' };
const badDate = { resourceType: 'Patient', birthDate: '1970-02-30' };
const missing = { resourceType: 'Observation', status: 'final' };

describe('writes', () => {
  test('strict: all issues at once, each with its place and what would be right', async () => {
    const r = await fhir(strict, 'POST', 'Patient', { resourceType: 'Patient', gendr: 'male', gender: 'mael', birthDate: '1970-13-01', active: 'true', name: { family: 'A' }, maritalStatus: [{ text: 'x' }], contact: [{ name: { given: ['A', ''] } }], deceasedBoolean: true, deceasedDateTime: '2020' });
    assert.equal(r.status, 400, r.text); // the empty string breaks a rule of JSON itself
    assert.deepEqual(places(r).sort(), ['code-invalid Patient.gender', 'structure Patient.contact[0].name.given[1]', 'structure Patient.deceased', 'structure Patient.gendr', 'structure Patient.maritalStatus', 'structure Patient.name', 'value Patient.active', 'value Patient.birthDate']);
    const of = (place) => r.json.issue.find((i) => i.expression[0] === place).diagnostics;
    assert.match(of('Patient.gendr'), /did you mean 'gender'/);
    assert.match(of('Patient.gender'), /'female', 'male', 'other', 'unknown'/);
    assert.ok(!r.text.includes('1970-13-01') && !r.text.includes('mael'), 'content is not repeated');
  });
  test('strict refuses, lenient accepts more than R4 has, off accepts any FHIR JSON', async () => {
    const cases = [[unknownElement, 422, 201, 201], [unknownCode, 422, 201, 201], [badDate, 422, 422, 201], [missing, 422, 422, 201], [{ resourceType: 'Patient', name: [{}] }, 400, 400, 400]];
    for (const [body, ...statuses] of cases)
      for (const [i, server] of [strict, lenient, off].entries()) {
        const r = await fhir(server, 'POST', body.resourceType, body);
        assert.equal(r.status, statuses[i], `${JSON.stringify(body)} ${r.text}`);
      }
  });
  test('lenient still keeps to the rules of JSON in what it does not know', async () => {
    const r = await fhir(lenient, 'POST', 'Patient', { resourceType: 'Patient', nickname: '', x: { y: [{}] } });
    assert.equal(r.status, 400, r.text);
    assert.deepEqual(places(r), ['structure Patient.nickname', 'structure Patient.x.y[0]']);
  });
  test('resources inside of others count', async () => {
    const bundle = { resourceType: 'Bundle', id: 'b', type: 'collection', entry: [{ resource: observation() }, { resource: observation({ subject: { refrence: 'Patient/1' } }) }, { resource: { active: true } }] };
    const r = await fhir(strict, 'PUT', 'Bundle/b', bundle);
    assert.equal(r.status, 422, r.text);
    assert.deepEqual(places(r), ['structure Bundle.entry[1].resource.subject.refrence', 'required Bundle.entry[2].resource.resourceType']);
    const contained = await fhir(strict, 'POST', 'Observation', observation({ contained: [{ resourceType: 'Patient', id: 'p', contained: [{ resourceType: 'Patient', id: 'q' }] }] }));
    assert.deepEqual(places(contained), ['structure Observation.contained[0].contained']);
  });
  test('entries of a transaction are checked, with the place in the Bundle', async () => {
    const r = await fhir(strict, 'POST', '', { resourceType: 'Bundle', type: 'transaction', entry: [{ resource: observation(), request: { method: 'POST', url: 'Observation' } }, { resource: missing, request: { method: 'POST', url: 'Observation' } }] });
    assert.equal(r.status, 422, r.text);
    assert.deepEqual(places(r), ['required Bundle.entry[1].resource.code']);
  });
  test('large resources are checked on the pool, with the same result', async () => {
    const component = Array.from({ length: 3000 }, () => ({ code: { text: 'a component with some text' }, valueString: 'x' }));
    assert.equal((await fhir(strict, 'POST', 'Observation', observation({ component }))).status, 201);
    delete component[2500].code;
    const r = await fhir(strict, 'POST', 'Observation', observation({ component }));
    assert.equal(r.status, 422, r.text);
    assert.deepEqual(places(r), ['required Observation.component[2500].code']);
  });
  test('each fault is told once', async () => {
    for (const [body, expected] of [[{ resourceType: 'Patient', meta: [] }, 'structure Patient.meta'], [{ resourceType: 'Patient', meta: { tag: [{ code: 'SUBSETTED' }] } }, 'business-rule Patient.meta.tag[0]']])
      assert.deepEqual(places(await fhir(strict, 'POST', 'Patient', body)), [expected]);
  });
  test('issues are limited', async () => {
    const r = await fhir(strict, 'POST', 'Observation', observation({ component: Array.from({ length: 1000 }, () => ({ valueString: 'x' })) }));
    assert.equal(r.status, 422);
    assert.equal(r.json.issue.length, 50);
  });
});

describe('$validate', () => {
  const validate = (path, body, server = strict) => fhir(server, 'POST', path, body);
  test('a valid resource has no errors, and nothing is written', async () => {
    const r = await validate('Patient/$validate', { resourceType: 'Patient', id: 'not-stored', active: true });
    assert.equal(r.status, 200, r.text);
    assert.deepEqual(r.json.issue.map((i) => i.severity), ['information']);
    assert.equal((await fhir(strict, 'GET', 'Patient/not-stored')).status, 404);
  });
  test('errors are those of a write, strictly, also where writes are not strict', async () => {
    for (const server of [strict, lenient, off]) {
      const r = await validate('Patient/$validate', unknownElement, server);
      assert.equal(r.status, 200, r.text);
      assert.deepEqual(places(r), ['structure Patient.nickname', 'structure Patient.name[0].givn']);
      assert.ok(r.json.issue.every((i) => i.severity === 'error'));
    }
    assert.deepEqual(places(await validate('Patient/$validate', observation())), ['invalid Patient.resourceType']);
  });
  test('Parameters hold the resource, the mode and the profile', async () => {
    const parameters = (...parameter) => ({ resourceType: 'Parameters', parameter });
    const r = await validate('Patient/$validate', parameters({ name: 'resource', resource: badDate }, { name: 'mode', valueCode: 'create' }));
    assert.deepEqual(places(r), ['value Patient.birthDate']);
    const profile = await validate('Patient/$validate', parameters({ name: 'resource', resource: { resourceType: 'Patient', active: true } }, { name: 'profile', valueUri: 'http://example.org/p' }));
    assert.deepEqual(profile.json.issue.map((i) => [i.severity, i.code]), [['information', 'informational'], ['warning', 'not-supported']]);
    assert.equal((await validate('Patient/$validate', parameters({ name: 'mode', valueCode: 'create' }))).status, 400);
    assert.equal((await validate('Patient/$validate?mode=destroy', { resourceType: 'Patient' })).status, 400);
    const own = await validate('Parameters/$validate', parameters({ name: 'x', valueBoolean: 1 }));
    assert.deepEqual(places(own), ['value Parameters.parameter[0].value']);
  });
  test('mode=update compares ids, mode=delete asks for what is stored', async () => {
    await fhir(strict, 'PUT', 'Patient/v1', { resourceType: 'Patient', id: 'v1' });
    assert.deepEqual(places(await validate('Patient/v1/$validate?mode=update', { resourceType: 'Patient', id: 'v2' })), ['invalid Patient.id']);
    assert.deepEqual(places(await validate('Patient/v1/$validate?mode=update', { resourceType: 'Patient', id: 'v1' })), ['informational ']);
    assert.deepEqual(places(await validate('Patient/v1/$validate?mode=delete')), ['informational ']);
    assert.deepEqual(places(await validate('Patient/v0/$validate?mode=delete')), ['not-found Patient']);
    assert.equal((await validate('Patient/$validate?mode=delete')).status, 400);
    assert.deepEqual(places(await validate('Patient/$validate?mode=update', { resourceType: 'Patient', id: 'v3' })), ['informational ']);
    const unnamed = await validate('Patient/$validate?mode=update', { resourceType: 'Patient' });
    assert.deepEqual(places(unnamed), ['invalid Patient.id']);
    assert.match(unnamed.json.issue[0].diagnostics, /needs the id/);
    assert.equal((await fhir(strict, 'GET', 'Patient/v1')).status, 200);
  });
  test('without a body, what is stored is validated', async () => {
    await fhir(off, 'PUT', 'Patient/old', { ...unknownCode, id: 'old' });
    assert.deepEqual(places(await validate('Patient/old/$validate', undefined, off)), ['code-invalid Patient.gender']);
    assert.equal((await validate('Patient/none/$validate', undefined, off)).status, 404);
    assert.equal((await validate('Patient/$validate', undefined, off)).status, 400);
  });
  test('large resources and bad requests', async () => {
    const component = Array.from({ length: 3000 }, () => ({ code: { text: 'a component with some text' }, valueString: 'x' }));
    delete component[2999].code;
    assert.deepEqual(places(await validate('Observation/$validate', observation({ component }))), ['required Observation.component[2999].code']);
    assert.equal((await validate('Patient/$validate', '{')).status, 400);
    assert.equal((await validate('Nothing/$validate', {})).status, 404);
    assert.equal((await validate('Client/$validate', { resourceType: 'Client' })).status, 405);
    assert.equal((await call('POST', `${strict.fhir}/Patient/$validate`, { resourceType: 'Patient' })).status, 401);
  });
  test('metadata lists it for each type', async () => {
    const { json } = await fhir(strict, 'GET', 'metadata');
    assert.ok(json.rest[0].resource.every((r) => r.operation.filter((o) => o.name === 'validate').length === 1));
    assert.deepEqual(places(await validate('CapabilityStatement/$validate', json)), ['informational ']);
  });
});
