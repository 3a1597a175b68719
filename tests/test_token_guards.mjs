// What must not get through the token endpoint and the policies behind it.
import test, { before, after, describe } from 'node:test';
import assert from 'node:assert/strict';
import crypto from 'node:crypto';
import http from 'node:http';
import { execFileSync } from 'node:child_process';
import { start, call, basic, freePort, notOn, sleep } from './lib/server.mjs';

const secret = 'a secret of some length';
const b64 = (v) => Buffer.from(typeof v === 'string' ? v : JSON.stringify(v)).toString('base64url');
const { privateKey, publicKey } = crypto.generateKeyPairSync('rsa', { modulusLength: 2048 });
const jwk = (kid) => ({ ...publicKey.export({ format: 'jwk' }), kid, use: 'sig', alg: 'RS384' });

// Serves a key set after `delay` ms.
const keyServer = (port) => new Promise((ok) => {
  const state = { delay: 0, asked: 0 };
  state.server = http.createServer((req, res) => {
    state.asked++;
    setTimeout(() => res.writeHead(200, { 'content-type': 'application/json', 'cache-control': 'max-age=0' }).end(JSON.stringify({ keys: [jwk('k1')] })), state.delay);
  }).listen(port, '127.0.0.1', () => ok(state));
});

let server, keys, keyUrl;
const root = (method, path, body) => call(method, `${server.base}/${path}`, body, server.admin);
const fhir = (method, path, body, headers = {}) => call(method, `${server.fhir}/${path}`, body, { ...server.admin, ...headers });
const put = async (path, body) => { const r = await root('PUT', path, body); assert.ok(r.status === 200 || r.status === 201, r.text); return r; };
const assertion = (client, { header = {}, claims = {}, key = privateKey } = {}) => {
  const signed = `${b64({ alg: 'RS384', typ: 'JWT', kid: 'k1', ...header })}.${b64({ iss: client, sub: client, aud: `${server.base}/auth/token`, exp: Math.floor(Date.now() / 1000) + 200, jti: crypto.randomUUID(), ...claims })}`;
  return `${signed}.${crypto.sign('sha384', Buffer.from(signed), key).toString('base64url')}`;
};
const tokenBy = (text, extra = {}) => call('POST', `${server.base}/auth/token`, { grant_type: 'client_credentials', client_assertion_type: 'urn:ietf:params:oauth:client-assertion-type:jwt-bearer', client_assertion: text, ...extra });
const tokenOf = async (client, scope) => {
  const r = await call('POST', `${server.base}/auth/token`, { grant_type: 'client_credentials', ...(scope ? { scope } : {}) }, { authorization: basic(client, secret) });
  assert.equal(r.status, 200, r.text);
  return { authorization: `Bearer ${r.json.access_token}` };
};
const allow = (client) => put(`AccessPolicy/${client}`, { engine: 'allow', link: [{ resourceType: 'Client', id: client }] });

before(async () => {
  const port = await freePort();
  keys = await keyServer(port);
  keyUrl = `http://127.0.0.1:${port}/keys`;
  server = await start({ plugins: { jwks: { allow: `http://127.0.0.1:${port}` }, fhir: { 'authorize-includes': 'off' } } });
});
after(async () => { await server.stop(); server.remove(); keys.server.close(); });

describe('a client assertion', () => {
  test('that passes its end while keys are fetched is refused: nobody remembers its jti', async () => {
    await put('Client/slow', { grant_types: ['client_credentials'], jwks_uri: keyUrl });
    keys.delay = 2500;
    /* Taken until exp and 5 s of skew: that is about a second from now. */
    const text = assertion('slow', { claims: { exp: Math.floor(Date.now() / 1000) - 4 } });
    const answers = await Promise.all([tokenBy(text), tokenBy(text)]);
    keys.delay = 0;
    assert.deepEqual(answers.map((r) => r.status), [401, 401], answers.map((r) => r.text).join());
    assert.equal((await tokenBy(assertion('slow'))).status, 200);
  });
  test('proves nothing for a client that was ended while its keys were fetched', async () => {
    for (const end of [() => put('Client/leaving', { grant_types: ['client_credentials'], jwks_uri: keyUrl, active: false }), () => root('DELETE', 'Client/leaving')]) {
      await put('Client/leaving', { grant_types: ['client_credentials'], jwks_uri: keyUrl });
      const before = keys.asked;
      keys.delay = 1500;
      const answer = tokenBy(assertion('leaving'));
      while (keys.asked === before) await sleep(10);
      keys.delay = 0;
      assert.ok((await end()).status < 300);
      const r = await answer;
      assert.equal(r.status, 401, r.text);
      assert.deepEqual(r.json, { error: 'invalid_client', error_description: 'client or signature not accepted' });
    }
  });
  test('does not tell by its answer whether the client exists', async () => {
    await put('Client/known', { grant_types: ['client_credentials'], jwks_uri: keyUrl });
    await put('Client/inline', { grant_types: ['client_credentials'], jwks: [jwk('k1')] });
    const other = crypto.generateKeyPairSync('rsa', { modulusLength: 2048 }).privateKey;
    for (const given of [{ key: other }, { header: { kid: 'k2' } }, { header: { jku: 'https://elsewhere.example/' } }, { header: { jku: 'https://elsewhere.example/' }, key: other }]) {
      const unknown = await tokenBy(assertion('nobody', given));
      for (const client of ['known', 'inline']) {
        const r = await tokenBy(assertion(client, given));
        assert.equal(r.status, 401);
        assert.equal(r.text, unknown.text, JSON.stringify(given.header));
      }
    }
  });
});

describe('a session', () => {
  test('ends with its client, though the client is put back before anybody has ended it', async () => {
    const client = { grant_types: ['client_credentials'], secret };
    // Of the Session that began last: those that a job is ending meanwhile are changed later.
    const incarnation = async () => {
      const r = await root('GET', 'Session?client=Client/again&_count=1000');
      return r.json.entry.map((e) => e.resource).reduce((a, b) => (b.start > a.start ? b : a)).incarnation;
    };
    const ways = {
      deleted: async () => { assert.ok((await root('DELETE', 'Client/again')).status < 300); },
      deactivated: () => put('Client/again', { ...client, active: false }),
    };
    await allow('again');
    for (const [way, end] of Object.entries(ways)) for (const format of ['jwt', 'opaque']) {
      const auth = format === 'jwt' ? { auth: { client_credentials: { token_format: 'jwt' } } } : {};
      await put('Client/again', { ...client, ...auth });
      const token = await tokenOf('again');
      /* The latest are ended first: these keep whoever does it busy. */
      for (let i = 0; i < 6; i++) await Promise.all(Array.from({ length: 40 }, () => tokenOf('again')));
      const before = await incarnation();
      await put('Client/again', { ...client, ...auth, name: 'changed' });
      assert.equal((await fhir('GET', 'Patient', undefined, token)).status, 200, `${way} ${format}`);
      await end();
      await put('Client/again', { ...client, ...auth });
      assert.equal((await fhir('GET', 'Patient', undefined, token)).status, 401, `${way} ${format}`);
      const fresh = await tokenOf('again');
      assert.equal((await fhir('GET', 'Patient', undefined, fresh)).status, 200);
      assert.ok(before);
      assert.notEqual(await incarnation(), before);
      assert.equal((await root('GET', 'Client/again')).json.incarnation, undefined);
    }
  });
  // As where a Session was stored behind the end of its client, or a job that ends Sessions was cut off: nothing but this tells.
  test('of another life of its client is no more, though it is active', { skip: notOn('postgres', 'its rows are changed with sqlite3') }, async (t) => {
    let own = await start({ quick: true });
    t.after(async () => { await own.stop(); own.remove(); });
    const at = (s, method, path, body, headers = s.admin) => call(method, `${s.base}/${path}`, body, headers);
    for (const [path, body] of [['Client/twice', { grant_types: ['client_credentials'], secret }], ['AccessPolicy/twice', { engine: 'allow', link: [{ resourceType: 'Client', id: 'twice' }] }]]) assert.equal((await at(own, 'PUT', path, body)).status, 201);
    const tokens = [];
    for (const format of [undefined, 'jwt']) {
      assert.ok((await at(own, 'PUT', 'Client/twice', { grant_types: ['client_credentials'], secret, auth: { client_credentials: { token_format: format, access_token_expiration: 3600 } } })).status < 300);
      const r = await at(own, 'POST', 'auth/token', { grant_type: 'client_credentials' }, { authorization: basic('twice', secret) });
      assert.equal(r.status, 200, r.text);
      tokens.push({ authorization: `Bearer ${r.json.access_token}` });
    }
    const statuses = () => Promise.all(tokens.map(async (token) => (await at(own, 'GET', 'fhir/Patient', undefined, token)).status));
    assert.deepEqual(await statuses(), [200, 200]);
    await own.stop();
    const changed = execFileSync('python3', ['-c', `import json,sqlite3,sys
db=sqlite3.connect(sys.argv[1],timeout=30)
for rowid,body in db.execute("SELECT rowid,body FROM version").fetchall():
  text=body.decode() if isinstance(body,bytes) else body
  r=json.loads(text) if text and text.startswith("{") else {}
  if r.get("resourceType")=="Client" and r.get("id")=="twice":
    life=r["incarnation"]; other=("0" if life[0]!="0" else "1")+life[1:]
    text=text.replace(life,other)
    db.execute("UPDATE version SET enc=0,body=? WHERE rowid=?",(text.encode() if isinstance(body,bytes) else text,rowid))
    print(life)
db.commit()`, `${own.dir}/state/andiron.db`], { encoding: 'utf8' });
    assert.ok(changed.trim().length > 0);
    own = await start({ at: own });
    assert.deepEqual(await statuses(), [401, 401]);
    const fresh = await at(own, 'POST', 'auth/token', { grant_type: 'client_credentials' }, { authorization: basic('twice', secret) });
    assert.equal((await at(own, 'GET', 'fhir/Patient', undefined, { authorization: `Bearer ${fresh.json.access_token}` })).status, 200);
  });
  test('cannot be rid of its scopes by who may write it', async () => {
    await put('Client/narrow', { grant_types: ['client_credentials'], secret, scope: ['system/Patient.rs'], auth: { client_credentials: { token_format: 'jwt' } } });
    await allow('narrow');
    const token = await tokenOf('narrow', 'system/Patient.rs');
    const { jti } = JSON.parse(Buffer.from(token.authorization.split('.')[1], 'base64url'));
    const session = (await root('GET', `Session/${jti}`)).json;
    assert.equal((await call('GET', `${server.base}/Client/root`, undefined, token)).status, 403);
    const { scope, ...wide } = session;
    assert.deepEqual(scope, ['system/Patient.rs']);
    const r = await root('PUT', `Session/${jti}`, wide);
    assert.equal(r.status, 422, r.text);
    assert.equal((await call('GET', `${server.base}/Client/root`, undefined, token)).status, 403);
    assert.equal((await root('PUT', `Session/${jti}`, { ...session, active: false })).status, 200);
    assert.equal((await call('GET', `${server.fhir}/Patient`, undefined, token)).status, 401);
  });
});

describe('scopes', () => {
  test('hold for what includes bring, also where policies are not asked for it', async () => {
    await put('Client/obs', { grant_types: ['client_credentials'], secret, scope: ['system/Observation.rs'] });
    await allow('obs');
    await fhir('PUT', 'Patient/behind', { resourceType: 'Patient', id: 'behind', name: [{ family: 'Hidden' }] });
    await fhir('PUT', 'Observation/front', { resourceType: 'Observation', id: 'front', status: 'final', code: { coding: [{ code: 'front-1' }] }, subject: { reference: 'Patient/behind' } });
    const token = await tokenOf('obs', 'system/Observation.rs');
    const r = await call('GET', `${server.fhir}/Observation?code=front-1&_include=Observation:subject`, undefined, token);
    assert.equal(r.status, 200, r.text);
    assert.equal(r.json.total, 1);
    assert.ok(!r.text.includes('Hidden'), r.text);
  });
  test('hold for what the condition of a write looks into', async () => {
    await put('Client/maker', { grant_types: ['client_credentials'], secret, scope: ['system/Observation.cs'] });
    await allow('maker');
    const token = await tokenOf('maker', 'system/Observation.cs');
    const body = { resourceType: 'Observation', status: 'final', code: { coding: [{ code: 'made' }] } };
    for (const condition of ['subject:Patient.family=Hidden', 'subject:Patient.family=Nobody', 'subject.family=Hidden']) {
      const r = await call('POST', `${server.fhir}/Observation`, body, { ...token, 'if-none-exist': condition });
      assert.equal(r.status, 403, `${condition}: ${r.status} ${r.text}`);
      const bundle = { resourceType: 'Bundle', type: 'transaction', entry: [{ resource: body, request: { method: 'POST', url: 'Observation', ifNoneExist: condition } }] };
      assert.equal((await call('POST', server.fhir, bundle, token)).status, 403, condition);
    }
    const admin = await fhir('POST', 'Observation', body, { 'if-none-exist': 'subject:Patient.family=Hidden' });
    assert.equal(admin.status, 200, admin.text);
  });
});
