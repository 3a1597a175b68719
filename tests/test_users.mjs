// User and Role: what may be stored, how they are found, and that no password comes out again.
import { test, before, after } from 'node:test';
import assert from 'node:assert/strict';
import { start, call } from './lib/server.mjs';

let server;
before(async () => { server = await start(); });
after(async () => { if (server) { await server.stop(); server.remove(); } });

const admin = (method, path, body, at = server.base) => call(method, `${at}/${path}`, body, server.admin);
const refused = async (path, body, element) => {
  const r = await admin('PUT', path, body);
  assert.equal(r.status, 422, `${JSON.stringify(body)}: ${r.text}`);
  assert.equal(r.json.issue[0].expression[0], element, r.text);
};

test('a User is kept without showing its password; left out it stays, null removes it', async () => {
  const user = { userName: 'nurse', email: 'n@example.org', name: { givenName: 'N', familyName: 'F' }, data: { ward: 'w1' }, fhirUser: { reference: 'Practitioner/p1' } };
  const made = await admin('PUT', 'User/u1', { ...user, password: 'correct horse' });
  assert.equal(made.status, 201, made.text);
  for (const r of [made, await admin('GET', 'User/u1'), await admin('GET', 'User/u1', undefined, server.fhir), await admin('GET', 'User/u1/_history'), await admin('GET', 'User?userName=nurse')]) {
    assert.ok(r.status < 300, r.text);
    assert.doesNotMatch(r.text, /password|pbkdf2|correct horse/);
  }
  assert.deepEqual((await admin('GET', 'User/u1')).json.fhirUser, { resourceType: 'Practitioner', id: 'p1' });
  assert.deepEqual((await admin('GET', 'User/u1', undefined, server.fhir)).json.fhirUser, { reference: 'Practitioner/p1' });
  // The same password, or none, changes nothing; another one, or null, does.
  const version = async (body) => (await admin('PUT', 'User/u1', body)).json.meta.versionId;
  const first = made.json.meta.versionId;
  assert.equal(await version({ ...user, password: 'correct horse' }), first);
  assert.equal(await version(user), first);
  const second = await version({ ...user, password: 'another horse' });
  assert.notEqual(second, first);
  assert.notEqual(await version({ ...user, password: null }), second);
  assert.doesNotMatch(server.log(), /correct horse|another horse/);
});

test('a Role names a User, and is found by it', async () => {
  const r = await admin('PUT', 'Role/r1', { name: 'nurse', user: { reference: 'User/u1' }, links: { practitioner: { reference: 'Practitioner/p1' } }, context: { any: 'thing' } });
  assert.equal(r.status, 201, r.text);
  await admin('PUT', 'Role/r2', { name: 'clerk', user: { resourceType: 'User', id: 'u2' } });
  assert.deepEqual((await admin('GET', 'Role?user=User/u1')).json.entry.map((e) => e.resource.id), ['r1']);
  assert.deepEqual((await admin('GET', 'Role?name=clerk')).json.entry.map((e) => e.resource.id), ['r2']);
  const t = await admin('POST', 'auth/test-policy', { request: { uri: '/fhir/Patient', 'user-id': 'u1' } });
  assert.equal(t.status, 200, t.text);
  assert.equal(t.json.principal, 'User/u1');
  assert.deepEqual(t.json.request.role.map((x) => x.name), ['nurse']);
  assert.equal(t.json.request.user.password, undefined);
});

test('writes say which element is wrong', async () => {
  await refused('User/x', { password: 'short' }, 'User.password');
  await refused('User/x', { password: 7 }, 'User.password');
  await refused('User/x', { active: 'yes' }, 'User.active');
  await refused('User/x', { nickname: 'x' }, 'User.nickname');
  await refused('Role/x', { user: { reference: 'User/u1' } }, 'Role.name');
  await refused('Role/x', { name: 'nurse' }, 'Role.user');
  await refused('Role/x', { name: 'nurse', user: { reference: 'Client/u1' } }, 'Role.user');
  await refused('Role/x', { name: 'nurse', user: { reference: 'User/u1' }, links: { patient: { reference: 'Group/p' } } }, 'Role.links.patient');
  await refused('Role/x', { name: 'nurse', user: { reference: 'User/u1' }, links: { device: { reference: 'Device/p' } } }, 'Role.links.device');
});
