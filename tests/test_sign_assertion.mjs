// andiron sign-assertion (seed-semantics KS-4): a Client whose key set is the server's own gets a token with it.
import test from 'node:test';
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { bin, call, start } from './lib/server.mjs';

const sign = (server, ...args) => spawnSync(bin, ['-c', server.etc, 'sign-assertion', ...args], { encoding: 'utf8', timeout: 60000 });
const client = (server) => ({ grant_types: ['client_credentials'], scope: ['system/*.read'], jwks_uri: server.base + '/.well-known/jwks.json' });
const token = (server, assertion) => call('POST', server.base + '/auth/token', {
  grant_type: 'client_credentials', scope: 'system/Patient.read', client_assertion: assertion,
  client_assertion_type: 'urn:ietf:params:oauth:client-assertion-type:jwt-bearer',
});

test('with the test key on, its assertion gets a token once', async (t) => {
  const server = await start({ core: { dev: { 'assertion-key': 'on' } } });
  t.after(async () => { await server.stop(); server.remove(); });
  assert.equal((await call('PUT', server.base + '/Client/self', client(server), server.admin)).status, 201);
  const made = sign(server, '--client', 'self', '--ttl', '60');
  assert.equal(made.status, 0, made.stderr);
  const assertion = made.stdout.trim();
  const claims = JSON.parse(Buffer.from(assertion.split('.')[1], 'base64url'));
  assert.deepEqual([claims.iss, claims.sub, claims.aud], ['self', 'self', server.base + '/auth/token']);
  assert.ok(claims.exp <= Date.now() / 1000 + 61);
  const got = await token(server, assertion);
  assert.equal(got.status, 200, got.text);
  assert.equal((await token(server, assertion)).status, 401);
  const form = JSON.parse(sign(server, '--client', 'self', '--json').stdout);
  assert.equal((await call('POST', server.base + '/auth/token', { grant_type: 'client_credentials', scope: 'system/Patient.read', ...form })).status, 200);
  assert.equal(sign(server, '--client', 'self', '--ttl', '301').status, 64);
  assert.equal(sign(server).status, 64);
});

test('with the test key off nothing is signed', async (t) => {
  const server = await start();
  t.after(async () => { await server.stop(); server.remove(); });
  const made = sign(server, '--client', 'self');
  assert.equal(made.status, 78);
  assert.equal(made.stdout, '');
  assert.match(made.stderr, /switched off\nhint: set \[dev\] assertion-key = on/);
});
