// Guessing at credentials: throttling by client and address (AU-9), one answer for all that is wrong, and jti used once everywhere.
import test, { before, after, describe } from 'node:test';
import assert from 'node:assert/strict';
import http from 'node:http';
import { start, configure, call, basic, sleep, freePort, storeOf } from './lib/server.mjs';
import { keyPair, assertion, tokenRequest, postToken, putClient, seedClient, allow, bearer } from './lib/smart.mjs';

const secret = 'a long enough secret!';
const clean = async (s) => { await s.stop(); assert.doesNotMatch(s.output(), /Sanitizer|runtime error/); s.remove(); };
// From another address of the loopback network.
const from = (address, url, { method = 'GET', headers = {}, body } = {}) => new Promise((ok, no) => {
  const text = body === undefined ? undefined : JSON.stringify(body);
  const req = http.request(url, { method, agent: false, localAddress: address, headers: { ...headers, ...(text ? { 'content-type': 'application/json', 'content-length': text.length } : {}) } }, (res) => {
    let got = '';
    res.on('data', (d) => { got += d; });
    res.on('end', () => ok({ status: res.statusCode, headers: new Headers(Object.entries(res.headers)), text: got, json: got && JSON.parse(got) }));
  });
  req.on('error', no);
  req.end(text);
});

describe('AU-9: failed authentications', () => {
  let server, key, other;
  before(async () => {
    server = await start({ quick: true, plugins: { auth: { 'max-failures': '3' } } });
    [key, other] = [keyPair('ES384', 'k1'), keyPair('ES384', 'k1')];
    for (const id of ['a', 'b', 'c', 'd', 'e']) {
      await putClient(server, id, { secret, grant_types: ['basic', 'client_credentials'] });
      await allow(server, id);
    }
    await putClient(server, 'signer', seedClient({ jwks: [key.jwk] }));
  });
  after(() => clean(server));
  const patients = (id, plain, address = '127.0.0.1') => from(address, `${server.fhir}/Patient`, { headers: { authorization: basic(id, plain) } });
  const token = (id, plain, address = '127.0.0.1') => from(address, `${server.base}/auth/token`, { method: 'POST', body: { grant_type: 'client_credentials', client_id: id, client_secret: plain } });
  const waits = (r, window = 60) => {
    assert.equal(r.status, 429, r.text);
    const seconds = Number(r.headers.get('retry-after'));
    assert.ok(seconds >= 1 && seconds <= window, String(seconds));
  };

  test('Basic: after as many, this client has to wait at this address, and nobody else', async () => {
    assert.equal((await patients('a', secret)).status, 200);
    for (let i = 0; i < 3; i++) assert.equal((await patients('a', `wrong ${i}`)).status, 401);
    for (const plain of ['wrong', secret]) {
      const r = await patients('a', plain);
      waits(r);
      assert.equal(r.json.resourceType, 'OperationOutcome');
      assert.equal(r.json.issue[0].code, 'throttled');
    }
    waits(await token('a', secret));
    assert.equal((await patients('a', secret, '127.0.0.2')).status, 200);
    assert.equal((await patients('b', secret)).status, 200);
    await server.logged(/auth\.throttled/);
    assert.match((await call('GET', `${server.adminBase}/metrics`)).text, /^andiron_auth_throttled_total [1-9]/m);
  });
  test('who had to wait may come again when the window is over', async (t) => {
    const brief = await start({ quick: true, plugins: { auth: { 'max-failures': '3', 'failure-window': '1s' } } });
    t.after(() => clean(brief));
    await putClient(brief, 'a', { secret, grant_types: ['basic'] });
    await allow(brief, 'a');
    const read = (plain) => from('127.0.0.1', `${brief.fhir}/Patient`, { headers: { authorization: basic('a', plain) } });
    // However slow the machine is: some three of these come within a second.
    let r;
    for (let i = 0; i < 1000 && (r = await read(`wrong ${i}`)).status === 401;);
    waits(r, 1);
    for (const end = Date.now() + 20000; Date.now() < end && (r = await read(secret)).status === 429;) await sleep(50);
    assert.equal(r.status, 200, r.text);
  });
  test('the token endpoint says slow_down, to known and unknown clients in the same words', async () => {
    const answers = [];
    for (const id of ['c', 'nobody']) {
      for (let i = 0; i < 3; i++) assert.equal((await token(id, `wrong ${i}`)).json.error, 'invalid_client');
      const r = await token(id, secret);
      waits(r);
      assert.equal(r.json.error, 'slow_down');
      assert.match(r.headers.get('cache-control'), /no-store/);
      answers.push(r.text.replace(/\d+ s/, ''));
    }
    assert.equal(answers[0], answers[1]);
    assert.equal((await token('c', secret, '127.0.0.3')).status, 200);
  });
  test('introspection and revocation count with it', async () => {
    for (const what of ['introspect', 'revoke', 'token'])
      assert.equal((await call('POST', `${server.base}/auth/${what}`, { grant_type: 'client_credentials', token: 'x', client_id: 'd', client_secret: 'wrong' })).status, 401);
    for (const what of ['introspect', 'revoke']) waits(await call('POST', `${server.base}/auth/${what}`, { token: 'x', client_id: 'd', client_secret: secret }));
  });
  test('assertions: wrong signatures count, honest mistakes behind a good one do not', async () => {
    const mistakes = [{ claims: { exp: 1 } }, { claims: { aud: 'x' } }, { claims: { jti: undefined } }, { header: { alg: 'ES512' } }, { header: { kid: undefined } }];
    for (const wrong of mistakes) assert.equal((await postToken(server, tokenRequest(assertion(server, 'signer', key, wrong)))).status, 401);
    assert.equal((await postToken(server, tokenRequest(assertion(server, 'signer', key)))).status, 200);
    for (let i = 0; i < 3; i++) assert.equal((await postToken(server, tokenRequest(assertion(server, 'signer', other)))).json.error, 'invalid_client');
    waits(await postToken(server, tokenRequest(assertion(server, 'signer', other))));
    // Nobody guesses a signature: whoever has the key need not wait for those that have not.
    assert.equal((await postToken(server, tokenRequest(assertion(server, 'signer', key)))).status, 200);
  });
  test('many guesses at once are no more than few, even if one is right', async () => {
    const guesses = Array.from({ length: 12 }, (_, i) => (i === 11 ? secret : `wrong ${i}`));
    const all = await Promise.all(guesses.map((plain) => token('e', plain)));
    assert.equal(all.filter((r) => r.status === 401).length, 3);
    const late = await token('e', secret);
    waits(late);
    assert.ok(all.filter((r) => r.status === 429 || r.status === 503).length >= 8, all.map((r) => r.status).join());
  });
  // Which of them is right must not be told by the one answer that differs: it was taken up before the others had failed.
  test('a right guess among wrong ones that are still being checked is not told', async (t) => {
    const slow = await start({ quick: true, core: { http: { 'worker-threads': '1' } }, plugins: { auth: { 'max-failures': '8', 'secret-rounds': '300000', 'max-hashing': '36' } } });
    t.after(() => clean(slow));
    const ways = {
      token: (id, plain) => from('127.0.0.1', `${slow.base}/auth/token`, { method: 'POST', body: { grant_type: 'client_credentials', client_id: id, client_secret: plain } }),
      basic: (id, plain) => from('127.0.0.1', `${slow.fhir}/Patient`, { headers: { authorization: basic(id, plain) } }),
    };
    for (const [id, guess] of Object.entries(ways)) {
      await putClient(slow, id, { secret, grant_types: ['basic', 'client_credentials'] });
      await allow(slow, id);
      // Nine are taken up, one after the other, and the rest is told to come again.
      const wrong = Array.from({ length: 12 }, (_, n) => guess(id, `wrong ${n}`));
      await Promise.any(wrong.map(async (w) => assert.equal((await w).status, 503))).catch(() => undefined);
      let right;
      for (const end = Date.now() + 30000; Date.now() < end && (right = await guess(id, secret)).status === 503;) await sleep(5);
      waits(right);
      assert.equal((await Promise.all(wrong)).filter((r) => r.status === 401).length, 8, id);
    }
  });
  test('bad Bearer tokens make nobody wait', async () => {
    for (let i = 0; i < 12; i++) assert.equal((await call('GET', `${server.fhir}/Patient`, undefined, bearer(`x${i}`))).status, 401);
    assert.equal((await patients('b', secret)).status, 200);
  });
});

describe('JA-12: a jti', () => {
  const one = async (servers, key) => {
    const text = assertion(servers[0], 'signer', key);
    const all = await Promise.all(Array.from({ length: 64 }, (_, i) => postToken(servers[i % servers.length], tokenRequest(text))));
    const good = all.filter((r) => r.status === 200);
    assert.equal(good.length, 1, all.map((r) => r.status).join());
    for (const r of all) if (r.status !== 200) assert.deepEqual([r.status, r.json.error, r.json.error_description], [401, 'invalid_client', 'assertion: jti was used before']);
    return text;
  };
  test('makes one token of 64 posts at once, on many loops and over a restart', async (t) => {
    let server = await start({ quick: true, core: { http: { 'io-threads': '4' } } });
    t.after(() => clean(server));
    const key = keyPair('ES384', 'k1');
    await putClient(server, 'signer', seedClient({ jwks: [key.jwk] }));
    const used = [];
    for (let i = 0; i < 3; i++) used.push(await one([server], key));
    await server.stop();
    server = await start({ at: server });
    for (const text of used) assert.equal((await postToken(server, tokenRequest(text))).status, 401);
  });
  test('makes one of 64 posts to two daemons over one store; tokens and their ends are known to both', async (t) => {
    const port = await freePort();
    const core = { http: { 'base-url': `http://127.0.0.1:${port}` } };
    const first = await start({ quick: true, port, core });
    const second = await start({ at: { ...await configure({ quick: true, state: `${first.dir}/state`, core, init: false, plugins: storeOf(first) }) } });
    t.after(async () => { await clean(second); await clean(first); });
    const key = keyPair('ES384', 'k1'), servers = [{ base: first.base }, { base: `http://127.0.0.1:${second.port}` }];
    await putClient(first, 'signer', seedClient({ jwks: [key.jwk] }));
    await allow(first, 'signer');
    await sleep(1200); // CL-6: what one has stored is known to the other within a second
    for (let i = 0; i < 3; i++) await one(servers, key);
    const r = await postToken(servers[0], tokenRequest(assertion(servers[0], 'signer', key)));
    const read = (s) => call('GET', `${s.base}/fhir/Patient`, undefined, bearer(r.json.access_token));
    for (const s of servers) assert.equal((await read(s)).status, 200);
    assert.equal((await call('DELETE', `${servers[1].base}/Session`, undefined, bearer(r.json.access_token))).status, 204);
    assert.equal((await read(servers[1])).status, 401);
    // RV-3: within 5 s; each loop has its own cache, so one refusal says little of the next answer.
    for (let refused = 0, left = 250; refused < 20 && left > 0; left--, await sleep(20)) refused = (await read(servers[0])).status === 401 ? refused + 1 : 0;
    assert.equal((await read(servers[0])).status, 401);
  });
});
