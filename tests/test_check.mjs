// andiron check: every index term recomputed and compared, while the server serves; what differs is named, and put right on demand.
import test from 'node:test';
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { bin, configure, start, call } from './lib/server.mjs';

const check = (server, ...words) => {
  const run = spawnSync(bin, ['-c', server.etc, 'check', '--json', ...words], { encoding: 'utf8' });
  return { status: run.status, stderr: run.stderr, ...(run.stdout ? JSON.parse(run.stdout) : {}) };
};

test('what was written, changed and deleted has exactly its terms; every type of resource counts', async (t) => {
  const server = await start({ quick: true });
  t.after(async () => { await server.stop(); server.remove(); });
  const put = async (type, id, body) => { const a = await call('PUT', `${server.fhir}/${type}/${id}`, { resourceType: type, id, ...body }, server.admin); assert.ok(a.status < 300, a.text); };
  await put('Patient', 'a', { name: [{ family: 'Müller', given: ['Ann', 'Bo'] }], managingOrganization: { reference: 'Organization/not-there' } });
  await put('Patient', 'a', { name: [{ family: 'Meier' }] });
  await put('Patient', 'b', {});
  await call('DELETE', `${server.fhir}/Patient/b`, undefined, server.admin);
  await put('Observation', 'o', { status: 'final', code: { text: 'x', coding: [{ system: 's', code: 'c', display: 'd' }] }, subject: { reference: 'Patient/a' }, valueQuantity: { value: 1.5, unit: 'mg' }, effectiveDateTime: '2024' });
  const done = check(server);
  assert.deepEqual([done.status, done.differing, done.differences], [0, 0, []], JSON.stringify(done));
  assert.ok(done.checked >= 4, 'the Client and the policy as well');
});

test('terms of another configuration are found, named and repaired', async (t) => {
  let server = await start({ quick: true, plugins: { search: { 'token-text': 'off' } } });
  t.after(async () => { await server.stop(); server.remove(); });
  const code = { coding: [{ system: 's', code: 'c', display: 'Heart rate' }] };
  for (let i = 0; i < 450; i++) {
    const a = await call('PUT', `${server.fhir}/Observation/o${i}`, { resourceType: 'Observation', id: `o${i}`, status: 'final', ...(i % 2 ? { code } : { code: { coding: [{ code: 'x' }] } }) }, server.admin);
    assert.equal(a.status, 201, a.text);
  }
  assert.equal(check(server).status, 0);
  await server.stop();
  await configure({ dir: server.dir, port: server.port, adminPort: server.adminPort, init: false, quick: true });
  server = await start({ at: server });
  const found = async () => (await call('GET', `${server.fhir}/Observation?code:text=heart&_total=accurate&_count=0`, undefined, server.admin)).json.total;
  assert.equal(await found(), 0);
  const wrong = check(server);
  assert.equal(wrong.status, 1, wrong.stderr);
  assert.equal(wrong.differing, 225);
  assert.equal(wrong.differences.length, 225);
  const { type, id, version, parameter } = wrong.differences.find((d) => d.id === 'o7');
  assert.deepEqual({ type, id, version }, { type: 'Observation', id: 'o7', version: 1 });
  assert.match(parameter, /code/);
  const text = spawnSync(bin, ['-c', server.etc, 'check'], { encoding: 'utf8' });
  assert.equal(text.status, 1);
  assert.match(text.stdout, /^Observation\/o7  \S*code\S*$/m);
  assert.match(text.stdout, /225 differ, 0 repaired/);
  const repaired = check(server, '--repair');
  assert.deepEqual([repaired.status, repaired.differing, repaired.repaired], [0, 225, 225]);
  assert.equal(check(server).status, 0);
  assert.equal(await found(), 225);
});

test('without a server it says so', () => {
  const run = spawnSync(bin, ['-c', '/nonexistent', 'check'], { encoding: 'utf8' });
  assert.notEqual(run.status, 0);
  assert.match(run.stderr, /^andiron: /);
});
