// The acceptance list of the specification (seed-semantics 12), items 8 to 14, as a client sees them: scopes, what a token may
// do, the init bundle, discovery.
import test, { before, describe } from 'node:test';
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { randomUUID } from 'node:crypto';
import fs from 'node:fs';
import http from 'node:http';
import net from 'node:net';
import path from 'node:path';
import { bin, call, fresh, raw, basic, sleep, rootBundle, source } from './lib/server.mjs';
import { allow, assertion, b64, bearer, claimsOf, getToken, headerOf, keyPair, putClient, scopeOf, seedClient, seedScope, seedTypes, signature, tokenRequest } from './lib/smart.mjs';
import { serve, start, configure, server, keys, rsa, ec, clean, admin, ok, outcome, refused, granted, ask, fhir } from './lib/acceptance.mjs';

serve();

describe('8: scopes', () => {
  const grants = [
    // registered, requested, granted (undefined: invalid_scope)
    [['system/*.read'], 'system/*.read', seedScope],
    [['system/*.read'], 'system/Patient.read', 'system/Patient.read'],
    [['system/*.read'], 'system/Patient.read system/Patient.write', 'system/Patient.read'],
    [['system/*.read'], 'system/Patient.*', 'system/Patient.read'],
    [['system/*.read'], 'system/Patient.cruds', 'system/Patient.rs'],
    [['system/*.read'], 'system/Patient.rs', 'system/Patient.rs'],
    [['system/*.read'], 'system/Patient.r system/Patient.s', 'system/Patient.r system/Patient.s'],
    [['system/*.read'], 'system/Patient.u', undefined],
    [['system/*.rs'], 'system/Patient.read', 'system/Patient.read'],
    [['system/*.r'], 'system/Patient.read', 'system/Patient.r'],
    [['system/*.read'], 'system/Coverage.read', 'system/Coverage.read'],
    [['system/*.read'], 'system/Coverage.read system/*.read', `system/Coverage.read ${seedScope}`],
    [['system/*.read'], 'system/Patient.read system/*.read', `system/Patient.read ${scopeOf(seedTypes.filter((t) => t !== 'Patient'))}`],
    [['system/*.read'], 'system/Patient.read system/Patient.read', 'system/Patient.read'],
    [['system/Patient.read', 'system/Observation.rs'], 'system/*.read', 'system/Patient.read system/Observation.read'],
    [['system/Patient.*'], 'system/Patient.write', 'system/Patient.write'],
    [['system/Patient.cruds'], 'system/Patient.*', 'system/Patient.*'],
    [['system/*.cruds'], 'system/Patient.sr system/Patient.read', 'system/Patient.read'],
    [['system/*.cruds'], 'system/Patient.sr', undefined], [['system/*.cruds'], 'system/Patient.rr', undefined], [['system/*.cruds'], 'system/Patient.Read', undefined], [['system/*.cruds'], 'system/patient.read', undefined],
    [['system/*.cruds'], 'system/NoSuchType.read', undefined], [['system/*.cruds'], 'system/Client.read', undefined], [['system/*.cruds'], 'SYSTEM/Patient.read', undefined], [['system/*.cruds'], 'system/Patient.', undefined],
    [['system/*.cruds'], 'nonsense', undefined], [['system/*.cruds'], '', undefined], [['system/*.cruds'], undefined, undefined], [['system/*.cruds'], '   ', undefined],
    [['system/*.cruds'], 'nonsense system/Patient.read', 'system/Patient.read'],
    ...['patient/Patient.read', 'patient/*.rs', 'user/*.read', 'launch', 'launch/patient', 'openid', 'fhirUser', 'offline_access', 'online_access'].flatMap((s) => [[['system/*.cruds'], s, undefined], [['system/*.cruds'], `system/Patient.read ${s}`, undefined]]),
    [['patient/*.read', 'system/Patient.read'], 'patient/Patient.read', undefined],
  ];
  test('granted is what is both asked for and registered, in the syntax asked in', async () => {
    for (const [i, scope] of [...new Set(grants.map((g) => g[0].join(' ')))].entries()) {
      await putClient(server, `scoped-${i}`, seedClient({ jwks: [ec.jwk], scope: scope.split(' ') }));
      for (const [, asked, expected] of grants.filter((g) => g[0].join(' ') === scope)) {
        const r = await ask(server, `scoped-${i}`, ec, { scope: asked });
        const what = `${scope} / ${asked}: ${r.text}`;
        if (expected === undefined) { assert.equal(r.json.error, 'invalid_scope', what); refused(r, 400, 'invalid_scope'); } else {
          assert.equal(r.json.scope, expected, what);
          assert.equal(claimsOf(r.json.access_token).scope, expected, what);
        }
      }
    }
  });
  test('without registered scopes none may be asked for, and none are granted', async () => {
    await putClient(server, 'unscoped', seedClient({ jwks: [ec.jwk], scope: undefined }));
    refused(await ask(server, 'unscoped', ec, { scope: 'system/*.read' }), 400, 'invalid_scope');
    const body = granted(await ask(server, 'unscoped', ec, { scope: undefined }));
    assert.ok(!('scope' in body) && !('scope' in claimsOf(body.access_token)));
    await allow(server, 'unscoped');
    assert.equal((await fhir(server, body.access_token, 'GET', '/Coverage')).status, 200);
    assert.equal((await call('GET', `${server.base}/Client/bulk`, undefined, bearer(body.access_token))).status, 200, 'limited by policies alone');
  });
  test('items that are no scopes are refused at registration', async () => {
    for (const item of ['system/Patient.sr', 'system/Patient.read system/Observation.read', 'system/Nothing.read', 'patient/Patient', 'user/*.', 'system/*.rx', 'system/Patient.read ', '']) {
      const r = outcome(await admin('PUT', 'Client/bad-scope', seedClient({ jwks: [ec.jwk], scope: [item] })), 422, item ? 'value' : 'structure');
      assert.match(r.json.issue[0].expression[0], /^Client\.scope/);
    }
    ok(await admin('PUT', 'Client/bad-scope', seedClient({ jwks: [ec.jwk], scope: ['system/*.cruds', 'custom', 'launch/patient'] })));
  });
  test('SC-6, SC-8: the wildcard kept, or for all types, whose claim stays small', async (t) => {
    const s = await start({ plugins: { smart: { 'wildcard-types': 'all' } } });
    t.after(() => clean(s));
    await putClient(s, 'bulk', seedClient({ jwks: [ec.jwk] }));
    await allow(s, 'bulk');
    const body = granted(await ask(s, 'bulk', ec));
    const scopes = body.scope.split(' ');
    assert.ok(scopes.length > 140 && scopes.includes('system/Coverage.read'), `${scopes.length}`);
    assert.deepEqual(scopes, [...scopes].sort(), 'ascending');
    assert.equal(claimsOf(body.access_token).scope, 'system/*.read');
    assert.equal((await fhir(s, body.access_token, 'GET', '/Coverage')).status, 200);
    outcome(await call('GET', `${s.base}/Client`, undefined, bearer(body.access_token)), 403);
    const mixed = granted(await ask(s, 'bulk', ec, { scope: 'system/Patient.rs system/*.read' }));
    assert.ok(mixed.scope.startsWith('system/Patient.rs system/Account.read '));
    fs.appendFileSync(path.join(s.etc, 'plugins.d/30-smart.conf'), 'wildcard = keep\n');
    assert.equal(spawnSync(bin, ['-c', s.etc, 'reload'], { timeout: 60000 }).status, 0);
    const kept = granted(await fresh('POST', `${s.base}/auth/token`, tokenRequest(assertion(s, 'bulk', ec))));
    assert.equal(kept.scope, 'system/*.read');
    assert.equal((await fresh('GET', `${s.fhir}/Coverage`, undefined, bearer(kept.access_token))).status, 200);
  });
});

describe('9: what a token may do', () => {
  const patient = { resourceType: 'Patient', id: 'p1', name: [{ family: 'Chalmers' }] };
  const needs = (r, scope) => {
    outcome(r, 403, 'forbidden');
    const challenge = r.headers.get('www-authenticate') ?? '';
    assert.match(challenge, /^Bearer realm="andiron", error="insufficient_scope"/);
    assert.ok(challenge.includes(`scope="${scope}"`), `${challenge} should ask for ${scope}`);
  };
  let token;
  before(async () => {
    ok(await admin('PUT', 'fhir/Patient/p1', patient));
    ok(await admin('PUT', 'fhir/Observation/o1', { resourceType: 'Observation', id: 'o1', status: 'final', code: { text: 'x' }, subject: { reference: 'Patient/p1' } }));
    ok(await admin('PUT', 'fhir/Coverage/c1', { resourceType: 'Coverage', id: 'c1', status: 'active', beneficiary: { reference: 'Patient/p1' }, payor: [{ reference: 'Patient/p1' }] }));
    await putClient(server, 'all', seedClient({ jwks: [ec.jwk], scope: ['system/*.cruds'] }));
    await allow(server, 'all');
    token = await getToken(server, 'bulk', ec);
  });
  test('types it covers, and no other', async () => {
    for (const target of ['/Patient', '/Patient/p1', '/Patient/p1/_history', '/Patient/p1/_history/1', '/Observation?subject=Patient/p1']) assert.equal((await fhir(server, token, 'GET', target)).status, 200, target);
    for (const target of ['/Coverage/c1', '/Coverage/none', '/Coverage/c1/_history']) needs(await fhir(server, token, 'GET', target), 'system/Coverage.r');
    needs(await fhir(server, token, 'GET', '/Coverage'), 'system/Coverage.s');
    assert.equal((await fhir(server, token, 'GET', '/Patient/none')).status, 404);
  });
  test('P-1: refusals do not tell what exists', async () => {
    const [a, b] = [await fhir(server, token, 'GET', '/Coverage/c1'), await fhir(server, token, 'GET', '/Coverage/none')];
    assert.equal(a.text, b.text);
    for (const h of ['etag', 'last-modified']) assert.equal(a.headers.get(h), null);
    const head = await fhir(server, token, 'HEAD', '/Coverage/c1');
    assert.equal(head.status, 403);
    const [c, d] = [await call('GET', `${server.fhir}/Patient/p1`), await call('GET', `${server.fhir}/Patient/none`)];
    outcome(c, 401, 'login');
    assert.equal(c.text, d.text);
    const challenges = c.headers.get('www-authenticate');
    assert.match(challenges, /Bearer realm="andiron"/);
    assert.match(challenges, /Basic realm="andiron"/);
    assert.doesNotMatch(challenges, /error=/);
  });
  test('writes need their letters', async () => {
    needs(await fhir(server, token, 'PUT', '/Patient/p1', patient), 'system/Patient.u');
    needs(await fhir(server, token, 'POST', '/Patient', { resourceType: 'Patient' }), 'system/Patient.c');
    needs(await fhir(server, token, 'DELETE', '/Patient/p1'), 'system/Patient.d');
    assert.equal((await admin('GET', 'fhir/Patient/p1')).status, 200);
    // letter → [method, target, body, further letters]
    const rows = [['r', 'GET', '/Patient/p1'], ['s', 'GET', '/Patient'], ['c', 'POST', '/Patient', { resourceType: 'Patient' }], ['u', 'PUT', '/Patient/p1', patient], ['u', 'PUT', `/Patient/${randomUUID()}`, { resourceType: 'Patient' }], ['d', 'DELETE', '/Patient/gone']];
    for (const letter of 'cruds') {
      const one = await getToken(server, 'all', ec, `system/Patient.${letter}`);
      for (const [need, method, target, body] of rows) {
        const sent = body && target !== '/Patient' ? { ...body, id: target.split('/')[2] } : body;
        const r = await fhir(server, one, method, target, sent);
        if (need === letter) assert.ok(r.status < 300, `${letter} ${method} ${target}: ${r.status} ${r.text}`);
        else needs(r, `system/Patient.${need}`);
      }
      const s = await call('POST', `${server.fhir}/Patient/_search`, '_id=p1', { ...bearer(one), 'content-type': 'application/x-www-form-urlencoded' });
      if (letter === 's') assert.equal(s.status, 200, s.text); else needs(s, 'system/Patient.s');
      const conditional = await fhir(server, one, 'POST', '/Patient', { resourceType: 'Patient' }, { 'if-none-exist': '_id=none' });
      outcome(conditional, 403);
    }
    const both = await getToken(server, 'all', ec, 'system/Patient.cs');
    assert.equal((await fhir(server, both, 'POST', '/Patient', { resourceType: 'Patient' }, { 'if-none-exist': '_id=none' })).status, 201);
  });
  test('SC-12: platform types are out of reach of any scope, at either base', async () => {
    const all = await getToken(server, 'all', ec, 'system/*.cruds');
    for (const target of ['Client', 'Client/root', 'AccessPolicy', 'AccessPolicy/root', 'Session', 'Operation', 'Operation/FhirRead', 'fhir/Client', 'fhir/Client/root', 'fhir/AccessPolicy/root', 'fhir/Session'])
      outcome(await call('GET', `${server.base}/${target}`, undefined, bearer(all)), 403, 'forbidden');
    for (const at of ['', 'fhir/']) {
      outcome(await call('PUT', `${server.base}/${at}AccessPolicy/mine`, { engine: 'allow' }, bearer(all)), 403);
      outcome(await call('DELETE', `${server.base}/${at}Client/root`, undefined, bearer(all)), 403);
    }
    for (const type of ['batch', 'transaction']) {
      const r = await fhir(server, all, 'POST', '', { resourceType: 'Bundle', type, entry: [{ request: { method: 'PUT', url: 'AccessPolicy/mine' }, resource: { resourceType: 'AccessPolicy', id: 'mine', engine: 'allow' } }] });
      if (type === 'batch') assert.equal(r.json.entry[0].response.status.slice(0, 3), '403', r.text); else outcome(r, 403);
    }
    assert.equal((await admin('GET', 'AccessPolicy/mine')).status, 404);
  });
  test('SC-11: scopes alone open nothing', async () => {
    await putClient(server, 'lonely', seedClient({ jwks: [ec.jwk] }));
    const lonely = await getToken(server, 'lonely', ec);
    const r = outcome(await fhir(server, lonely, 'GET', '/Patient'), 403, 'forbidden');
    assert.doesNotMatch(r.headers.get('www-authenticate') ?? '', /insufficient_scope/);
    assert.equal(r.json.id, 'forbidden');
  });
  test('SC-13: public pages need no scope, and look at no credentials', async () => {
    const one = await getToken(server, 'all', ec, 'system/Patient.d');
    for (const target of ['/fhir/metadata', '/.well-known/smart-configuration', '/fhir/.well-known/smart-configuration', '/.well-known/jwks.json', '/health'])
      for (const headers of [bearer(one), bearer('x'), { authorization: 'Basic !' }, {}]) assert.equal((await call('GET', server.base + target, undefined, { accept: '*/*', ...headers })).status, 200, target);
  });
  test('CL-6: a policy is in force from the next request on, and no longer than it is there', async () => {
    await putClient(server, 'brief', seedClient({ jwks: [ec.jwk] }));
    const brief = await getToken(server, 'brief', ec);
    const status = async () => (await fhir(server, brief, 'GET', '/Patient')).status;
    const link = [{ resourceType: 'Client', id: 'brief' }];
    assert.equal(await status(), 403);
    for (let round = 0; round < 5; round++) {
      await allow(server, 'brief');
      assert.equal(await status(), 200);
      ok(await admin('PUT', 'AccessPolicy/brief', { engine: 'allow', link, active: false }));
      assert.equal(await status(), 403);
      ok(await admin('PUT', 'AccessPolicy/brief', { engine: 'allow', link: [{ resourceType: 'Operation', id: 'FhirSearch' }] }));
      assert.equal(await status(), 200, 'linked to the operation');
      assert.equal((await fhir(server, brief, 'GET', '/Patient/p1')).status, 403, 'and to that alone');
      assert.equal((await admin('DELETE', 'AccessPolicy/brief')).status, 204);
      assert.equal(await status(), 403);
    }
    ok(await admin('PUT', 'AccessPolicy/everybody', { engine: 'allow', link: [{ resourceType: 'Operation', id: 'FhirRead' }] }));
    assert.equal((await call('GET', `${server.fhir}/Patient/p1`)).status, 200, 'an operation\'s policy holds for anonymous callers');
    assert.equal((await call('GET', `${server.fhir}/Patient`)).status, 401);
    assert.equal((await admin('DELETE', 'AccessPolicy/everybody')).status, 204);
    assert.equal((await call('GET', `${server.fhir}/Patient/p1`)).status, 401);
  });
  test('CL-6: the same over many connections at once, on all loops', async () => {
    const agents = Array.from({ length: 12 }, () => new http.Agent({ keepAlive: true, maxSockets: 1 }));
    const get = (agent, token) => new Promise((done, no) => http.get(`${server.fhir}/Patient/p1`, { agent, headers: bearer(token) }, (res) => { res.resume(); res.on('end', () => done(res.statusCode)); }).on('error', no));
    await allow(server, 'brief');
    const brief = await getToken(server, 'brief', ec);
    for (let round = 0; round < 4; round++) {
      assert.deepEqual(new Set(await Promise.all(agents.map((a) => get(a, brief)))), new Set([200]));
      assert.equal((await admin('DELETE', 'AccessPolicy/brief')).status, 204);
      assert.deepEqual(new Set(await Promise.all(agents.map((a) => get(a, brief)))), new Set([403]));
      await allow(server, 'brief');
    }
    assert.equal((await admin('DELETE', 'Client/brief')).status, 204);
    assert.deepEqual(new Set(await Promise.all(agents.map((a) => get(a, brief)))), new Set([401]));
    for (const a of agents) a.destroy();
  });
  test('CL-7: a client that is put to sleep, changed or deleted takes its tokens along', async () => {
    const body = seedClient({ jwks: [ec.jwk] });
    await putClient(server, 'mortal', body);
    await allow(server, 'mortal');
    const status = async (token) => (await fhir(server, token, 'GET', '/Patient')).status;
    const first = await getToken(server, 'mortal', ec);
    assert.equal(await status(first), 200);
    await putClient(server, 'mortal', { ...body, name: 'renamed' });
    assert.equal(await status(first), 200, 'a change of something else does no harm');
    await putClient(server, 'mortal', { ...body, active: false });
    const r = outcome(await fhir(server, first, 'GET', '/Patient'), 401, 'security');
    assert.match(r.headers.get('www-authenticate'), /^Bearer realm="andiron", error="invalid_token"/);
    await putClient(server, 'mortal', body);
    assert.equal(await status(first), 401, 'ended is ended');
    const second = await getToken(server, 'mortal', ec);
    assert.equal(await status(second), 200);
    assert.equal((await admin('DELETE', 'Client/mortal')).status, 204);
    assert.equal(await status(second), 401);
    refused(await ask(server, 'mortal', ec), 401, 'invalid_client');
    assert.equal((await admin('GET', 'Client/mortal')).status, 410);
    await putClient(server, 'mortal', body);
    assert.equal(await status(second), 401, 'a new one of that name is another');
    // A client whose keys change keeps its tokens, but signs with the old ones no more.
    const third = await getToken(server, 'mortal', ec);
    await putClient(server, 'mortal', { ...body, jwks: [rsa.jwk] });
    refused(await ask(server, 'mortal', ec), 401, 'invalid_client');
    granted(await ask(server, 'mortal', rsa));
    assert.equal(await status(third), 200);
  });
  test('AU-1 to AU-8: credentials', async () => {
    const get = (headers, target = '/Patient') => call('GET', server.fhir + target, undefined, headers);
    const [h, p, s] = token.split('.');
    const other = await start({});
    await putClient(other, 'bulk', seedClient({ jwks: [ec.jwk] }));
    const foreign = await getToken(other, 'bulk', ec);
    await clean(other);
    const bad = { 'nothing': '', 'two parts': `${h}.${p}`, 'no signature': `${h}.${p}.`, 'cut short': token.slice(0, -1), 'longer': `${token}A`, 'other claims': `${h}.${b64({ ...claimsOf(token), scope: 'system/*.cruds' })}.${s}`,
      'alg none': `${b64({ ...headerOf(token), alg: 'none' })}.${p}.`, 'another server\'s': foreign, 'an assertion': assertion(server, 'bulk', rsa), 'a session id': claimsOf(token).jti, 'opaque': 'A'.repeat(43), 'long': 'a.b.' + 'x'.repeat(9000) };
    for (const [name, value] of Object.entries(bad)) {
      const r = await get(bearer(value));
      assert.equal(r.status, 401, name);
      outcome(r, 401, 'security');
      assert.match(r.headers.get('www-authenticate'), /^Bearer realm="andiron", error="invalid_token"/, name);
    }
    outcome(await get({}, `/Patient?access_token=${token}`), 401, 'login');
    outcome(await get({ authorization: `Digest ${token}` }), 401);
    assert.match(await raw(server.port, `GET /fhir/Patient HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer ${token}\r\nAuthorization: Bearer ${token}\r\nConnection: close\r\n\r\n`), /^HTTP\/1\.1 400 /);
    for (const authorization of [`bearer ${token}`, `"Bearer ${token}"`]) assert.equal((await get({ authorization })).status, 200);
    for (const [id, secret] of [['root', 'wrong'], ['nobody', 'secret'], ['bulk', ''], ['', '']]) {
      const r = outcome(await get({ authorization: basic(id, secret) }), 401, 'security');
      assert.match(r.headers.get('www-authenticate'), /^Basic realm="andiron"/);
    }
    assert.equal((await get({ authorization: basic('root', 'secret').replace('Basic', 'bAsIc') })).status, 200);
  });
});

test('AU-3: a hundred connections at once with one secret that was not seen yet are all let in', async (t) => {
  const s = await start({ plugins: { auth: { 'max-hashing': '2', 'secret-cache': '1s', 'max-failures': '0' } } });
  t.after(() => clean(s));
  await putClient(s, 'sure', { secret: 'the secret of sure', grant_types: ['client_credentials'] });
  const agent = new http.Agent({ keepAlive: true, maxSockets: 100 });
  const statuses = async (make) => {
    const all = await Promise.all(Array.from({ length: 100 }, (_, i) => new Promise((done, no) => {
      const { target = '/fhir/Patient', headers, body } = make(i);
      const req = http.request(s.base + target, { agent, method: body ? 'POST' : 'GET', headers: { ...headers, ...(body ? { 'content-type': 'application/json' } : {}) } }, (res) => { res.resume(); res.on('end', () => done(res.statusCode)); });
      req.on('error', no);
      req.end(body);
    })));
    return [...new Set(all)].sort();
  };
  for (let round = 0; round < 2; round++) {
    assert.deepEqual(await statuses(() => ({ headers: s.admin })), [200]);
    assert.deepEqual(await statuses((i) => ({ headers: { authorization: basic(i % 2 ? 'root' : 'nobody', 'wrong') } })), [401]);
    assert.deepEqual(await statuses(() => ({ target: '/auth/token', headers: {}, body: JSON.stringify({ grant_type: 'client_credentials', client_id: 'sure', client_secret: 'the secret of sure' }) })), [200]);
    await sleep(1100);
  }
  // Different guesses are bounded all the same.
  assert.ok((await statuses((i) => ({ headers: { authorization: basic('root', `guess ${i}`) } }))).includes(503));
  agent.destroy();
});

test('10: a refused entry fails alone in a batch, and takes a transaction along', async () => {
  await putClient(server, 'writer', seedClient({ jwks: [ec.jwk], scope: ['system/Patient.cruds'] }));
  await allow(server, 'writer');
  const token = await getToken(server, 'writer', ec, 'system/Patient.cruds');
  const entry = (type, id) => ({ resource: { resourceType: type, id, ...(type === 'Observation' ? { status: 'final', code: { text: 'x' } } : {}) }, request: { method: 'PUT', url: `${type}/${id}` } });
  const batch = await fhir(server, token, 'POST', '', { resourceType: 'Bundle', type: 'batch', entry: [entry('Patient', 'b1'), entry('Observation', 'b2'), entry('Patient', 'b3')] });
  assert.equal(batch.status, 200, batch.text);
  assert.deepEqual(batch.json.entry.map((e) => e.response.status.slice(0, 3)), ['201', '403', '201']);
  assert.equal(batch.json.entry[1].response.outcome.resourceType, 'OperationOutcome');
  outcome(await fhir(server, token, 'POST', '', { resourceType: 'Bundle', type: 'transaction', entry: [entry('Patient', 't1'), entry('Observation', 't2'), entry('Patient', 't3')] }), 403);
  for (const [target, status] of [['Patient/b1', 200], ['Patient/b3', 200], ['Observation/b2', 404], ['Patient/t1', 404], ['Patient/t3', 404], ['Observation/t2', 404]]) assert.equal((await admin('GET', `fhir/${target}`)).status, status, target);
});

describe('13: the init bundle', () => {
  const env = (name) => '${' + name + '}';
  const withEntry = (entry, type = 'transaction') => ({ ...rootBundle(), type, entry: [...rootBundle().entry, ...[entry].flat()] });
  const put = (resource) => ({ resource, request: { method: 'PUT', url: `${resource.resourceType}/${resource.id}` } });
  const patient = { resourceType: 'Patient', id: 'init', name: [{ family: 'x' }] };
  // Starts it to fail: exit status, what was said, and whether anything ever listened.
  const fails = async (options, change = () => {}) => {
    const at = await configure(options);
    change(at);
    const run = spawnSync(bin, ['-c', at.etc], { encoding: 'utf8', timeout: 30000, env: { ...process.env, ...options.env } });
    const listens = await new Promise((done) => { const s = net.connect(at.port, '127.0.0.1', () => { s.destroy(); done(true); }); s.on('error', () => done(false)); });
    fs.rmSync(at.dir, { recursive: true });
    assert.equal(run.status, 78, run.stderr);
    assert.equal(listens, false);
    assert.ok(run.stderr.trim(), 'a message on stderr');
    return run.stderr;
  };
  test('IB-1: only files are read', async () => {
    assert.match(await fails({ core: { init: { bundle: 'https://x.example/y' } } }), /init\.bundle/);
  });
  test('IB-3: a transaction that fails stops the start with 78 and stores nothing', async (t) => {
    assert.match(await fails({ init: withEntry([put(patient), put({ resourceType: 'Client', id: 'broken', grant_types: ['nonsense'] })]) }), /grant_types/);
    assert.match(await fails({ init: withEntry({ resource: patient, request: { method: 'PUT', url: 'Nothing/x' } }) }), /entry\[2\]\.request\.url/);
    const at = await configure({ init: withEntry([put(patient), put({ resourceType: 'AccessPolicy', id: 'x', engine: 'clj' })]) });
    assert.equal(spawnSync(bin, ['-c', at.etc], { timeout: 30000 }).status, 78);
    fs.writeFileSync(path.join(at.etc, 'init.json'), JSON.stringify(rootBundle()));
    const s = await start({ at });
    t.after(() => clean(s));
    assert.equal((await call('GET', `${s.fhir}/Patient/init`, undefined, s.admin)).status, 404);
  });
  test('IB-3: a batch warns of each entry that failed, and starts', async (t) => {
    const s = await start({ init: withEntry([put(patient), put({ resourceType: 'AccessPolicy', id: 'bad-1', engine: 'clj' }), put({ resourceType: 'Client', id: 'bad-2', grant_types: ['nonsense'] })], 'batch') });
    t.after(() => clean(s));
    assert.equal((await call('GET', `${s.fhir}/Patient/init`, undefined, s.admin)).status, 200);
    assert.equal((await call('GET', `${s.base}/AccessPolicy/bad-1`, undefined, s.admin)).status, 404);
    const warnings = () => (s.log() + s.output()).split('\n').filter((l) => /"warn"/.test(l) && /bad-|engine|grant_types/.test(l)).length;
    for (let i = 0; i < 100 && warnings() < 2; i++) await sleep(20); // lines are written in batches
    assert.equal(warnings(), 2, s.log());
  });
  test('IB-2: is in force with the first connection', async (t) => {
    const at = await configure({ init: withEntry(Array.from({ length: 300 }, (_, i) => put({ ...patient, id: `init-${i}` }))) });
    const begun = start({ at });
    let first;
    for (const end = Date.now() + 20000; first === undefined && Date.now() < end;) {
      try { first = (await fetch(`${at.fhir}/Patient/init-299`, { headers: { authorization: basic('root', 'secret') } })).status; } catch { await sleep(1); }
    }
    const s = await begun;
    t.after(() => clean(s));
    assert.equal(first, 200);
  });
  test('IB-1: by file:// URL, by the environment, as platform or FHIR type, at either base', async (t) => {
    const at = await configure({ init: false });
    const file = path.join(at.dir, 'elsewhere.json');
    fs.writeFileSync(file, JSON.stringify(withEntry(put(patient))));
    const s = await start({ at, env: { ANDIRON_INIT_BUNDLE: file } });
    assert.equal((await call('GET', `${s.fhir}/Patient/init`, undefined, s.admin)).status, 200);
    await s.stop();
    fs.writeFileSync(file, JSON.stringify(withEntry(put({ ...patient, id: 'second' }))));
    fs.appendFileSync(path.join(at.etc, 'andiron.conf'), `[init]\nbundle = file://${file}\n`);
    const again = await start({ at });
    t.after(() => clean(again));
    assert.equal((await call('GET', `${again.fhir}/Patient/second`, undefined, again.admin)).status, 200);
  });
  test('IB-4: applied at each start, and by several servers at once, it changes nothing that is equal', async (t) => {
    const options = { init: withEntry([put(patient), put({ resourceType: 'Client', id: 'other', secret: 'some other secret', grant_types: ['basic'] })]) };
    let s = await start(options);
    const versions = async (x) => Promise.all(['Client/root', 'AccessPolicy/root', 'Client/other'].map(async (r) => (await call('GET', `${x.base}/${r}`, undefined, x.admin)).json.meta));
    const before = await versions(s), patientBefore = (await call('GET', `${s.fhir}/Patient/init`, undefined, s.admin)).json.meta;
    await s.stop();
    const nodes = await Promise.all([start({ at: s }), ...Array.from({ length: 2 }, async () => start({ ...options, state: path.join(s.dir, 'state'), core: { http: { 'base-url': s.base } } }))]);
    t.after(async () => { for (const n of nodes.reverse()) await clean(n); });
    for (const n of nodes) {
      assert.deepEqual(await versions({ ...n, base: `http://127.0.0.1:${n.port}` }), before);
      assert.deepEqual((await call('GET', `http://127.0.0.1:${n.port}/fhir/Patient/init`, undefined, n.admin)).json.meta, patientBefore);
    }
  });
  test('IB-5: ${env:} and ${file:} are replaced in strings, whatever they hold; unset stops the start', async (t) => {
    const secret = 'a "quoted\\ one\tü{}$';
    const at = await configure({ init: withEntry(put({ ...patient, name: [{ family: `<${env('env:INIT_FAMILY')}>`, given: [env('file:/etc/andiron-no-such')].slice(1) }].map(({ family }) => ({ family })) })) });
    const file = path.join(at.dir, 'secret');
    fs.writeFileSync(file, secret + '\n', { mode: 0o600 });
    const bundle = JSON.parse(fs.readFileSync(path.join(at.etc, 'init.json')));
    bundle.entry[0].resource.secret = env(`file:${file}`);
    fs.writeFileSync(path.join(at.etc, 'init.json'), JSON.stringify(bundle));
    const s = await start({ at, env: { INIT_FAMILY: 'O"Brien\\\n' } });
    t.after(() => clean(s));
    const read = await call('GET', `${s.fhir}/Patient/init`, undefined, { authorization: basic('root', secret) });
    assert.equal(read.status, 200, read.text);
    assert.equal(read.json.name[0].family, '<O"Brien\\\n>');
    assert.doesNotMatch(s.log() + s.output(), /quoted/);
    assert.match(await fails({ init: withEntry(put({ ...patient, name: [{ family: env('env:ANDIRON_SURELY_NOT_SET') }] })) }), /ANDIRON_SURELY_NOT_SET/);
    assert.match(await fails({ init: withEntry(put({ ...patient, name: [{ family: env('file:/no/such/file') }] })) }), /\/no\/such\/file/);
  });
  test('IB-6: nothing that is installed has a usable secret', () => {
    for (const dir of ['etc', ...fs.readdirSync(path.join(source, 'plugins')).map((p) => `plugins/${p}`)]) {
      if (!fs.statSync(path.join(source, dir)).isDirectory()) continue;
      for (const file of fs.readdirSync(path.join(source, dir)).filter((f) => /\.(conf|json|in)$/.test(f))) assert.doesNotMatch(fs.readFileSync(path.join(source, dir, file), 'utf8'), /^\s*[^#\n]*"?(secret|password)"?\s*[:=]\s*"?[^"$\s]/m, file);
    }
  });
});

describe('14: discovery', () => {
  test('smart-configuration has what SMART requires, absolute, as JSON whatever is accepted', async () => {
    const texts = [];
    for (const base of [server.base, server.fhir]) for (const accept of ['application/json', 'text/html', 'application/fhir+xml', 'image/png;q=0']) {
      const r = await call('GET', `${base}/.well-known/smart-configuration`, undefined, { accept, origin: 'https://app.example' });
      assert.equal(r.status, 200, accept);
      assert.match(r.headers.get('content-type'), /^application\/json(;|$)/);
      assert.equal(r.headers.get('access-control-allow-origin'), '*');
      texts.push(r.text);
    }
    assert.equal(new Set(texts).size, 1);
    const doc = JSON.parse(texts[0]);
    assert.equal(doc.issuer, server.base);
    assert.equal(doc.jwks_uri, `${server.base}/.well-known/jwks.json`);
    assert.equal(doc.token_endpoint, `${server.base}/auth/token`);
    assert.deepEqual([...doc.token_endpoint_auth_methods_supported].sort(), ['client_secret_basic', 'client_secret_post', 'private_key_jwt']);
    assert.deepEqual(doc.token_endpoint_auth_signing_alg_values_supported, ['RS384', 'ES384']);
    assert.deepEqual(doc.grant_types_supported, ['client_credentials']);
    assert.deepEqual(doc.code_challenge_methods_supported, ['S256']);
    assert.ok(doc.scopes_supported.includes('system/*.read') && doc.scopes_supported.includes('system/*.cruds'));
    for (const c of ['client-confidential-asymmetric', 'client-confidential-symmetric', 'permission-v1', 'permission-v2']) assert.ok(doc.capabilities.includes(c), c);
    for (const c of doc.capabilities) assert.doesNotMatch(c, /launch|context|sso|permission-(patient|user|offline)|client-public|authorize-post/, 'nothing that is not there');
    assert.ok(!('authorization_endpoint' in doc) && !('response_types_supported' in doc));
    for (const [name, value] of Object.entries(doc).filter(([, v]) => typeof v === 'string')) assert.ok(value.startsWith('http://127.0.0.1'), name);
    for (const endpoint of ['introspection_endpoint', 'revocation_endpoint']) if (endpoint in doc) assert.notEqual((await call('POST', doc[endpoint], {})).status, 404, 'listed, so it is there');
    for (const url of [doc.jwks_uri]) assert.equal((await call('GET', url)).status, 200);
  });
  test('jwks.json and metadata', async () => {
    const r = await call('GET', `${server.base}/.well-known/jwks.json`, undefined, { accept: 'text/html' });
    assert.match(r.headers.get('content-type'), /^application\/json/);
    assert.equal(r.headers.get('access-control-allow-origin'), '*');
    assert.match(r.headers.get('cache-control'), /^public, max-age=\d+$/);
    assert.ok(r.headers.get('etag'));
    for (const k of r.json.keys) assert.deepEqual([...Object.keys(k)].sort(), k.kty === 'RSA' ? ['alg', 'e', 'kid', 'kty', 'n', 'use'] : ['alg', 'crv', 'kid', 'kty', 'use', 'x', 'y']);
    const { rest: [{ security }] } = (await call('GET', `${server.fhir}/metadata`)).json;
    assert.equal(security.cors, true);
    assert.deepEqual(security.service[0].coding[0], { ...security.service[0].coding[0], system: 'http://terminology.hl7.org/CodeSystem/restful-security-service', code: 'SMART-on-FHIR' });
    const uris = security.extension.find((e) => e.url === 'http://fhir-registry.smarthealthit.org/StructureDefinition/oauth-uris').extension;
    assert.deepEqual(uris.filter((e) => e.url === 'token'), [{ url: 'token', valueUri: `${server.base}/auth/token` }]);
  });
  test('no URL comes from the Host header', async () => {
    for (const target of ['/.well-known/smart-configuration', '/fhir/metadata']) {
      const answer = await raw(server.port, `GET ${target} HTTP/1.1\r\nHost: evil.example\r\nX-Forwarded-Host: evil.example\r\nForwarded: host=evil.example\r\nConnection: close\r\n\r\n`);
      assert.match(answer, /^HTTP\/1\.1 200 /);
      assert.doesNotMatch(answer, /evil/);
    }
  });
  test('what plugins do not offer is not listed', async (t) => {
    const s = await start({ plugins: { auth: { 'assertion-algs': 'ES384 RS256' } } });
    t.after(() => clean(s));
    assert.deepEqual((await call('GET', `${s.base}/.well-known/smart-configuration`)).json.token_endpoint_auth_signing_alg_values_supported, ['ES384', 'RS256']);
    const rs256 = keyPair('RS256');
    await putClient(s, 'bulk', seedClient({ jwks: [rs256.jwk, rsa.jwk] }));
    granted(await ask(s, 'bulk', rs256));
    refused(await ask(s, 'bulk', rsa), 401, 'invalid_client', /alg/);
  });
});
