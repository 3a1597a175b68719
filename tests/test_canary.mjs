// Canaries: secrets planted over a whole flow, right and wrong, at the most talkative log level, are in no line of the log and in no
// answer. tests/lib/server.mjs watches the same in all suites, at their own log levels.
import test, { before, after } from 'node:test';
import assert from 'node:assert/strict';
import fs from 'node:fs';
import path from 'node:path';
import { start, call, raw, basic, plant, noSecretsIn, sleep } from './lib/server.mjs';
import { keyPair, assertion, tokenRequest, postToken, postForm, seedClient, putClient, allow, bearer, jwtBearer } from './lib/smart.mjs';

let server, key, other;
const secret = plant('canary-client-secret-0123456789'), changed = plant('canary-other-secret-9876543210'), guess = plant('canary-wrong-guess-5555555555');
const answers = [];
const seen = async (promise) => { const r = await promise; answers.push(typeof r === 'string' ? r : r.text + JSON.stringify([...r.headers])); return r; };
const url = (p) => `${server.base}/${p}`;

before(async () => {
  server = await start({ quick: true, core: { log: { level: 'debug' } }, plugins: { auth: { 'max-failures': '4' } } });
  [key, other] = [keyPair('RS384', 'k1'), keyPair('RS384', 'k1')];
});
after(async () => { await server.kill(); server.remove(); });

test('clients are registered, changed, searched and read', async () => {
  await seen(putClient(server, 'canary', { secret, grant_types: ['basic', 'client_credentials'] }));
  await seen(putClient(server, 'canary', { secret: changed, grant_types: ['basic', 'client_credentials'] }));
  await seen(putClient(server, 'canary', { secret, grant_types: ['basic', 'client_credentials'], name: 'x' }));
  await seen(putClient(server, 'signer', seedClient({ jwks: [key.jwk] })));
  await allow(server, 'canary');
  await allow(server, 'signer');
  for (const p of ['Client/canary', 'fhir/Client/canary', 'Client', 'Client/canary/_history', 'Client/canary/_history/1']) await seen(call('GET', url(p), undefined, server.admin));
  await seen(call('PATCH', url('Client/canary'), [{ op: 'test', path: '/secret', value: secret }], { ...server.admin, 'content-type': 'application/json-patch+json' }));
  const { d } = key.privateKey.export({ format: 'jwk' });
  for (const body of [{ secret, foo: secret }, { secret: [secret] }, { secret, grant_types: [secret] }, `{"secret":"${secret}"`, `{"secret":"${secret}","secret":"${changed}"}`, { grant_types: ['client_credentials'], jwks: [{ ...key.jwk, d }] }]) {
    const r = await call('PUT', url('Client/broken'), body, server.admin).catch((e) => e);
    // A value that is wrong may be quoted, so that its writer finds it: only what stands where secrets belong may not.
    if (!(r instanceof Error)) answers.push(r.text);
    else assert.match(String(r), /grant_types|the answer/, String(r));
  }
});

test('tokens are asked for, rightly and wrongly', async () => {
  const grant = { grant_type: 'client_credentials' };
  await seen(postForm(server, grant, { authorization: basic('canary', secret) }));
  await seen(postToken(server, { ...grant, client_id: 'canary', client_secret: secret }));
  for (const id of ['canary', 'nobody']) {
    await seen(postToken(server, { ...grant, client_id: id, client_secret: guess }));
    await seen(postForm(server, grant, { authorization: basic(id, guess) }));
  }
  await seen(postToken(server, { ...grant, client_id: 'canary', client_secret: secret, scope: 'system/*.read' }));
  await seen(postToken(server, { ...grant, client_id: 'canary', client_secret: secret, audience: guess }));
  await seen(postToken(server, { grant_type: guess, client_id: 'canary', client_secret: secret }));
  await seen(postToken(server, `{"grant_type":"client_credentials","client_secret":"${secret}`));
  await seen(postForm(server, `client_secret=${secret}&client_secret=${secret}`));
  await seen(call('POST', url(`auth/token?client_secret=${'x'}`), { ...grant, client_id: 'canary', client_secret: secret }));
  const good = assertion(server, 'signer', key);
  for (const text of [good, good, assertion(server, 'signer', other), assertion(server, 'signer', key, { claims: { exp: 1 } }), assertion(server, 'signer', key, { claims: { aud: 'x' } }), assertion(server, 'nobody', key), assertion(server, 'signer', key, { header: { alg: 'HS256' } })]) {
    await seen(postToken(server, tokenRequest(text)));
    await seen(call('POST', url('auth/introspect'), { token: text, client_assertion_type: jwtBearer, client_assertion: text }));
  }
  for (let i = 0; i < 6; i++) await seen(call('GET', url('fhir/Patient'), undefined, { authorization: basic('canary', guess) }));
});

test('tokens are used, shown, ended, and misused', async () => {
  const jwt = (await postToken(server, tokenRequest(assertion(server, 'signer', key)))).json.access_token;
  await putClient(server, 'second', { secret: changed, grant_types: ['client_credentials'] });
  const opaque = (await postToken(server, { grant_type: 'client_credentials', client_id: 'second', client_secret: changed })).json.access_token;
  assert.ok(jwt && opaque);
  plant(jwt.slice(-40));
  plant(opaque);
  for (const token of [jwt, opaque, jwt + 'x', opaque + 'x', jwt.slice(0, -3)]) {
    for (const [method, p] of [['GET', 'fhir/Patient'], ['GET', 'fhir/Coverage'], ['PUT', 'fhir/Patient/x'], ['GET', 'Client/root'], ['GET', 'nothing/here/at/all'], ['DELETE', 'fhir/Patient']]) await seen(call(method, url(p), method === 'PUT' ? { resourceType: 'Patient', id: 'x' } : undefined, bearer(token)));
    await seen(call('POST', url('auth/introspect'), { token, client_id: 'second', client_secret: changed }));
    await seen(call('POST', url('fhir'), { resourceType: 'Bundle', type: 'batch', entry: [{ request: { method: 'GET', url: 'Patient' } }] }, bearer(token)));
  }
  await seen(call('GET', url('Session?client=Client/second'), undefined, server.admin));
  // Broken requests, which are logged for that.
  for (const head of [`GET /fhir/Patient HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer ${jwt}\r\nAuthorization: Bearer ${opaque}\r\n\r\n`, `GET /fhir/Patient HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer ${jwt}\r\nBad Header: ${secret}\r\n\r\n`, `GET /fhir/Patient HTTP/1.1\r\nAuthorization: ${basic('canary', secret)}\r\n\r\n`, `POST /auth/token HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: 70000\r\n\r\n{"client_secret":"${secret}"`])
    await seen(raw(server.port, head, { ms: 500 }));
  await seen(call('POST', url('auth/revoke'), { token: opaque, client_id: 'second', client_secret: changed }));
  await seen(call('DELETE', url('Session'), undefined, bearer(jwt)));
  await seen(call('GET', url('fhir/Patient'), undefined, bearer(jwt)));
  await seen(call('DELETE', url('Client/canary'), undefined, server.admin));
});

test('none of it was said to anybody', async () => {
  await sleep(300);
  await server.stop(); // looks through the log
  const log = server.log() + server.output();
  assert.match(log, /auth\.token\.refused/);
  assert.match(log, /"debug"/, 'the log was not as talkative as it can be');
  assert.doesNotMatch(log, /pbkdf2-sha256|BEGIN (EC |RSA )?PRIVATE KEY|Authorization: |client_assertion=|Bearer ey/);
  for (const text of answers) noSecretsIn(text, 'an answer', ['secrets']);
  for (const file of fs.readdirSync(path.join(server.dir, 'state'), { recursive: true })) {
    const full = path.join(server.dir, 'state', file);
    if (fs.statSync(full).isFile()) for (const plain of [secret, changed, guess]) assert.ok(!fs.readFileSync(full).includes(plain), `${file} holds a secret in the clear`);
  }
});
