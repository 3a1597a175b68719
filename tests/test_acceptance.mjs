// The acceptance list of the specification (seed-semantics 12), each item as a client sees it: registration, tokens and every
// way to be refused one, keys, scopes, what a token may do, the init bundle, discovery.
import test, { before, after, describe } from 'node:test';
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { randomUUID } from 'node:crypto';
import fs from 'node:fs';
import http from 'node:http';
import net from 'node:net';
import path from 'node:path';
import { bin, start as startDaemon, configure as configureDaemon, call, fresh, raw, basic, sleep, rootBundle, source } from './lib/server.mjs';
import { allow, assertion, b64, bearer, claimsOf, getToken, headerOf, jws, jwtBearer, keyPair, keyServer, now, postForm, postToken, putClient, scopeOf, seedClient, seedScope, seedTypes, signature, tokenRequest } from './lib/smart.mjs';

const start = (options) => startDaemon({ quick: true, ...options }), configure = (options) => configureDaemon({ quick: true, ...options });
let server, keys;
const rsa = keyPair('RS384', 'rsa-1'), ec = keyPair('ES384', 'ec-1');
const clean = async (s) => { assert.deepEqual(await s.stop(), { code: 0, signal: null }, s.output()); assert.doesNotMatch(s.output(), /Sanitizer|runtime error/); s.remove(); };
const admin = (method, target, body, headers = {}) => call(method, `${server.base}/${target}`, body, { ...server.admin, ...headers });
const ok = (r) => { assert.ok(r.status === 200 || r.status === 201, `${r.status} ${r.text}`); return r; };
const outcome = (r, status, code) => {
  assert.equal(r.status, status, r.text);
  assert.equal(r.json?.resourceType, 'OperationOutcome', r.text);
  if (code) assert.equal(r.json.issue[0].code, code, r.text);
  return r;
};
// Headers of every answer of the token endpoint (TK-3).
const tokenHeaders = (r) => {
  assert.match(r.headers.get('content-type') ?? '', /^application\/json(;|$)/, `${r.status} ${r.text}`);
  assert.equal(r.headers.get('cache-control'), 'no-store', `${r.status} ${r.text}`);
  assert.equal(r.headers.get('pragma'), 'no-cache', `${r.status} ${r.text}`);
};
const refused = (r, status, error, description) => {
  assert.equal(r.status, status, r.text);
  assert.equal(r.json?.error, error, r.text);
  assert.equal(typeof r.json.error_description, 'string', r.text);
  assert.ok(Object.keys(r.json).every((k) => ['error', 'error_description', 'error_uri'].includes(k)), r.text);
  if (description) assert.match(r.json.error_description, description);
  tokenHeaders(r);
};
const granted = (r) => { assert.equal(r.status, 200, r.text); tokenHeaders(r); return r.json; };
const ask = (s, id, key, more, options) => postToken(s, tokenRequest(assertion(s, id, key, options), more));
const fhir = (s, token, method, target, body, headers = {}) => call(method, `${s.fhir}${target}`, body, { ...bearer(token), ...headers });

before(async () => {
  keys = await keyServer();
  server = await start({ plugins: { jwks: { allow: keys.base } } });
  await putClient(server, 'bulk', seedClient({ jwks: [rsa.jwk, ec.jwk] }));
  await allow(server, 'bulk');
});
after(async () => { keys.close(); await clean(server); });

describe('1, 2: registration', () => {
  const policy = { engine: 'allow', link: [{ id: 'seed', resourceType: 'Client' }] };
  test('the seed\'s Client comes back as sent, with id, resourceType and meta; the same again is no new version', async () => {
    const body = seedClient({ jwks_uri: `${server.base}/.well-known/jwks.json` });
    const r = await admin('PUT', 'Client/seed', body);
    assert.equal(r.status, 201, r.text);
    const { meta, ...rest } = r.json;
    assert.deepEqual(rest, { ...body, resourceType: 'Client', id: 'seed' });
    for (const time of [meta.lastUpdated, meta.createdAt]) assert.match(time, /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3,6}Z$/);
    assert.equal(r.headers.get('etag'), `W/"${meta.versionId}"`);
    assert.ok(r.headers.get('last-modified'));
    assert.ok(r.headers.get('location').startsWith(`${server.base}/Client/seed`));
    const again = await admin('PUT', 'Client/seed', body);
    assert.equal(again.status, 200);
    assert.deepEqual(again.json, r.json);
    const changed = await admin('PUT', 'Client/seed', { ...body, name: 'x' });
    assert.equal(changed.status, 200);
    assert.notEqual(changed.json.meta.versionId, meta.versionId);
    assert.equal(changed.json.meta.createdAt, meta.createdAt);
  });
  test('a body that names another id or type is 400', async () => {
    outcome(await admin('PUT', 'Client/seed', { ...seedClient(), id: 'other' }), 400);
    outcome(await admin('PUT', 'Client/seed', { ...seedClient(), resourceType: 'AccessPolicy' }), 400);
    assert.equal(ok(await admin('PUT', 'Client/seed', { ...seedClient({ jwks: [rsa.jwk] }), id: 'seed', resourceType: 'Client' })).json.id, 'seed');
  });
  test('POST honours the id of the body once, else makes a UUID', async () => {
    const r = await admin('POST', 'Client', seedClient({ id: 'posted', jwks: [rsa.jwk] }));
    assert.equal(r.status, 201, r.text);
    assert.equal(r.json.id, 'posted');
    outcome(await admin('POST', 'Client', seedClient({ id: 'posted', jwks: [rsa.jwk] })), 409);
    const made = await admin('POST', 'Client', seedClient({ jwks: [rsa.jwk] }));
    assert.match(made.json.id, /^[0-9a-f]{8}-[0-9a-f]{4}-[147][0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/);
    outcome(await admin('POST', 'Client', seedClient({ id: 'not_an_id', jwks: [rsa.jwk] })), 400);
  });
  test('a policy\'s links are {id,resourceType} at BASE and {reference} at FHIR, however they were sent', async () => {
    const flat = [{ resourceType: 'Client', id: 'seed' }], reference = [{ reference: 'Client/seed' }];
    const same = (got, expected) => assert.deepEqual(got, expected);
    let n = 0;
    for (const sent of [flat, reference]) for (const at of ['', 'fhir/']) {
      const id = `links-${++n}`, form = at ? reference : flat;
      const r = await admin('PUT', `${at}AccessPolicy/${id}`, { engine: 'allow', link: sent });
      assert.equal(r.status, 201, r.text);
      same(r.json.link, form);
      assert.equal(r.json.id, id);
      assert.equal(r.json.engine, 'allow');
      same((await admin('GET', `AccessPolicy/${id}`)).json.link, flat);
      same((await admin('GET', `fhir/AccessPolicy/${id}`)).json.link, reference);
      // The two spellings are the same content: no new version.
      for (const [where, link] of [['', flat], ['', reference], ['fhir/', flat], ['fhir/', reference]])
        assert.equal(ok(await admin('PUT', `${where}AccessPolicy/${id}`, { engine: 'allow', link })).json.meta.versionId, r.json.meta.versionId);
      same((await admin('GET', `AccessPolicy?_id=${id}`)).json.entry[0].resource.link, flat);
      same((await admin('GET', `fhir/AccessPolicy?_id=${id}`)).json.entry[0].resource.link, reference);
      same((await admin('GET', `AccessPolicy/${id}/_history`)).json.entry[0].resource.link, flat);
      same((await admin('GET', `fhir/AccessPolicy/${id}/_history`)).json.entry[0].resource.link, reference);
      assert.equal((await admin('DELETE', `${at}AccessPolicy/${id}`)).status, 204);
    }
    const r = await admin('PUT', 'AccessPolicy/seed', policy);
    same(r.json.link, policy.link);
    assert.ok('createdAt' in r.json.meta);
    assert.ok(!('createdAt' in (await admin('GET', 'fhir/AccessPolicy/seed')).json.meta));
  });
  test('CL-20 to CL-27: a Client that cannot work is 422 at its element', async () => {
    const grant = (more) => ({ auth: { client_credentials: more } });
    const rows = [
      [{ nonsense: 1 }, 'Client.nonsense', 'structure'], [{ active: 'yes' }, 'Client.active', 'structure'], [{ name: 7 }, 'Client.name', 'structure'], [{ details: 'x' }, 'Client.details', 'structure'], [{ grant_types: 'basic' }, 'Client.grant_types', 'structure'], [{ scope: 'system/*.read' }, 'Client.scope', 'structure'], [{ secret: 7 }, 'Client.secret', 'structure'], [{ auth: [] }, 'Client.auth', 'structure'],
      [{ grant_types: ['nonsense'] }, 'Client.grant_types', 'value'], [grant({ client_assertion_types: ['urn:ietf:params:oauth:client-assertion-type:saml2-bearer'] }), 'client_assertion_types', 'value'], [grant({ token_format: 'xml' }), 'token_format', 'value'], ...[0, 86401, -1, 1.5].map((n) => [grant({ access_token_expiration: n }), 'access_token_expiration', 'value']),
      [{ grant_types: ['client_credentials'] }, 'Client', 'business-rule'], [{ grant_types: ['basic'] }, 'Client.secret', 'business-rule'], [{ grant_types: ['basic'], jwks: [rsa.jwk] }, 'Client.secret', 'business-rule'],
      [{ jwks: [rsa.jwk], jwks_uri: 'https://keys.example/jwks' }, 'Client.jwks', 'business-rule'],
      ...['http://keys.example/jwks', 'https://user@keys.example/', 'https://keys.example/#a', 'ftp://keys.example/', '/jwks', 'https://127.0.0.1/', 'https://[::1]/', 'https://10.1.2.3/', 'https://169.254.169.254/', 'https://localhost/'].map((u) => [{ jwks_uri: u }, 'Client.jwks_uri', 'value']),
      [{ jwks: 'x' }, 'Client.jwks', 'structure'], [{ jwks: [7] }, 'Client.jwks', undefined],
      [{ grant_types: ['authorization_code'], secret: 'a long enough secret' }, 'redirect_uri', 'business-rule'], [{ grant_types: ['authorization_code'], secret: 'a long enough secret', auth: { authorization_code: { redirect_uri: 'http://app.example/cb' } } }, 'redirect_uri', 'value'], [{ grant_types: ['authorization_code'], secret: 'a long enough secret', auth: { authorization_code: { redirect_uri: 'https://app.example/cb#x' } } }, 'redirect_uri', 'value'],
    ];
    for (const [body, where, code] of rows) {
      const r = await admin('PUT', 'Client/wrong', body);
      const what = `${JSON.stringify(body)} gave ${r.status} ${r.text}`;
      assert.equal(r.status, 422, what);
      assert.ok(r.json.issue[0].expression?.[0]?.includes(where), `${what}; expected ${where}`);
      if (code) assert.equal(r.json.issue[0].code, code, what);
    }
    assert.equal((await admin('GET', 'Client/wrong')).status, 404);
    for (const id of ['a_b', 'a b'.replace(' ', '%20'), 'x'.repeat(65)]) assert.ok([400, 404, 422].includes((await admin('PUT', `Client/${id}`, { grant_types: [] })).status), id);
    ok(await admin('PUT', `Client/${'x'.repeat(64)}`, { grant_types: [], details: { any: ['thing'] }, description: 'd', allowed_origins: ['https://app.example'] }));
  });
  test('CL-3: Clients are read, searched, guarded by versions, deleted', async () => {
    for (const [id, more] of [['find-1', { type: 'bulk-api-client', name: 'one' }], ['find-2', { type: 'smart-app', name: 'two', active: false }], ['find-3', { name: 'three' }]]) ok(await admin('PUT', `Client/${id}`, { secret: 'a long enough secret', grant_types: ['client_credentials'], ...more }));
    const found = async (query) => { const r = await admin('GET', `Client?${query}&_id=find-1,find-2,find-3`); assert.equal(r.status, 200, r.text); return (r.json.entry ?? []).map((e) => e.resource.id).sort().join(); };
    assert.equal(await found('type=smart-app'), 'find-2');
    assert.equal(await found('active=false'), 'find-2');
    assert.equal(await found('name=three'), 'find-3');
    assert.equal(await found('grant_types=client_credentials'), 'find-1,find-2,find-3');
    assert.equal(await found('grant_types=basic'), '');
    const sorted = (await admin('GET', 'Client?_id=find-1,find-2,find-3&_sort=-_lastUpdated&_count=2')).json;
    assert.deepEqual([sorted.type, sorted.entry.map((e) => e.resource.id)], ['searchset', ['find-3', 'find-2']]);
    for (const { resource } of sorted.entry) assert.ok(!('secret' in resource));
    const { meta } = (await admin('GET', 'Client/find-1')).json, body = { secret: 'a long enough secret', grant_types: ['client_credentials'], name: 'new' };
    outcome(await admin('PUT', 'Client/find-1', body, { 'if-match': 'W/"0"' }), 412);
    ok(await admin('PUT', 'Client/find-1', body, { 'if-match': `W/"${meta.versionId}"` }));
    outcome(await admin('PUT', 'Client/find-1', body, { 'if-none-match': '*' }), 412);
    assert.equal((await admin('DELETE', 'Client/find-1')).status, 204);
    assert.equal((await admin('GET', 'Client/find-1')).status, 410);
    assert.equal((await admin('GET', 'Client/never')).status, 404);
    assert.equal(await found('_count=9'), 'find-2,find-3');
  });
  test('a policy that cannot work is 422 when it is written', async () => {
    for (const [body, where] of [
      [{ engine: 'clj', link: [] }, /engine/], [{}, /engine/], [{ engine: 7 }, /engine/], [{ engine: 'allow', link: [{ id: 'x' }] }, /link/], [{ engine: 'allow', link: [{ resourceType: 'Patient', id: 'x' }] }, /link/],
      [{ engine: 'allow', link: {} }, /link/], [{ engine: 'allow', matcho: {} }, /matcho/], [{ engine: 'allow', effect: 'maybe' }, /effect/], [{ engine: 'allow', type: 'soap' }, /type/], [{ engine: 'allow', active: 'yes' }, /active/], [{ engine: 'allow', unknown: 1 }, /unknown/],
    ]) {
      const r = outcome(await admin('PUT', 'AccessPolicy/broken', body), 422);
      assert.match(r.json.issue[0].expression?.[0] ?? '', where, `${JSON.stringify(body)} gives ${r.text}`);
    }
    assert.equal((await admin('GET', 'AccessPolicy/broken')).status, 404);
  });
  test('platform types are at both bases, FHIR types below FHIR alone', async () => {
    assert.equal((await admin('GET', 'fhir/Client/seed')).status, 200);
    outcome(await admin('GET', 'Patient'), 404);
    outcome(await admin('PUT', 'Patient/x', { resourceType: 'Patient' }), 404);
  });
  test('an unauthenticated or unknown caller registers nobody', async () => {
    outcome(await call('PUT', `${server.base}/Client/intruder`, seedClient()), 401, 'login');
    outcome(await call('PUT', `${server.base}/Client/intruder`, seedClient(), { authorization: basic('root', 'guess') }), 401, 'security');
    assert.equal((await admin('GET', 'Client/intruder')).status, 404);
  });
});

describe('3: a token', () => {
  for (const [name, key] of [['RS384', rsa], ['ES384', ec]]) for (const [kind, post] of [['JSON', postToken], ['form', postForm]])
    test(`comes for a right ${name} assertion sent as ${kind}`, async () => {
      const r = await post(server, tokenRequest(assertion(server, 'bulk', key)));
      const body = granted(r);
      assert.deepEqual(Object.keys(body).sort(), ['access_token', 'expires_in', 'need_patient_banner', 'refresh_token', 'scope', 'token_type']);
      assert.deepEqual([body.token_type, body.expires_in, body.refresh_token, body.need_patient_banner, body.scope], ['Bearer', 300, null, true, seedScope]);
      const claims = claimsOf(body.access_token), header = headerOf(body.access_token);
      assert.deepEqual([header.alg, header.typ, typeof header.kid], ['RS256', 'JWT', 'string']);
      assert.deepEqual([claims.iss, claims.sub, claims.aud, claims.client_id, claims.scope, claims.exp - claims.iat], [server.base, 'bulk', server.fhir, 'bulk', seedScope, 300]);
      assert.ok(Math.abs(claims.iat - now()) <= 2);
      assert.equal(fhirStatus(await fhir(server, body.access_token, 'GET', '/Patient')), 200);
    });
  const fhirStatus = (r) => r.status;
  test('typ, aud and times may be as clients send them', async () => {
    for (const header of [{ typ: undefined }, { typ: 'jwt' }, { typ: 'client-authentication+jwt' }, { typ: 'Client-Authentication+JWT' }]) granted(await ask(server, 'bulk', rsa, {}, { header }));
    for (const claims of [{ exp: now() + 300 }, { aud: [`${server.base}/auth/token`] }, { iat: now(), nbf: now() }, { iat: now() - 3000 }, { exp: now() + 100.5 }, { jti: 'j'.repeat(256) }, { jti: 'ü\u{1f600}' + randomUUID() }, { extra: { a: [1] } }])
      granted(await ask(server, 'bulk', rsa, {}, { claims }));
  });
  test('the banner depends on the type of client, the lifetime on its registration', async () => {
    await putClient(server, 'plain', { jwks: [rsa.jwk], grant_types: ['client_credentials'], scope: ['system/Patient.read'], auth: { client_credentials: { access_token_expiration: 7200 } } });
    const body = granted(await ask(server, 'plain', rsa, { scope: 'system/Patient.read' }));
    assert.ok(!('need_patient_banner' in body));
    assert.equal(body.expires_in, 3600, 'capped');
    assert.match(body.access_token, /^[A-Za-z0-9_-]{43}$/, 'opaque');
    await putClient(server, 'app', seedClient({ type: 'smart-app', jwks: [rsa.jwk], auth: { client_credentials: { access_token_expiration: 30 } } }));
    const app = granted(await ask(server, 'app', rsa));
    assert.deepEqual([app.need_patient_banner, app.expires_in], [true, 30]);
  });
  test('a bad Accept, or HTTP\'s own refusals, keep the headers of the endpoint', async () => {
    for (const r of [
      await postToken(server, tokenRequest(assertion(server, 'bulk', rsa)), { accept: '*/*' }),
      await call('POST', `${server.base}/auth/token`, '{', {}), await call('POST', `${server.base}/auth/token`, 'x', { 'content-type': 'text/plain' }), await call('GET', `${server.base}/auth/token`),
      await call('DELETE', `${server.base}/auth/token`), await call('POST', `${server.base}/auth/token`, JSON.stringify({ grant_type: 'x', pad: 'x'.repeat(70000) })),
    ]) tokenHeaders(r);
  });
});

// A change of one thing, all else right. Texts name the rule where that tells nothing about clients (JA-6 to JA-8 share one).
describe('4, 5: refused', () => {
  const secretive = /^client or signature not accepted$/;
  const right = () => ({ iss: 'bulk', sub: 'bulk', aud: `${server.base}/auth/token`, exp: now() + 300, jti: randomUUID() });
  const head = (more = {}) => ({ alg: 'RS384', kid: rsa.kid, typ: 'JWT', ...more });
  const text = (header, claims) => { const input = `${b64(header)}.${b64(claims)}`; return `${input}.${signature(input, 'RS384', rsa.privateKey)}`; };
  const claims = (more) => () => assertion(server, 'bulk', rsa, { claims: more });
  const header = (more) => () => assertion(server, 'bulk', rsa, { header: more });
  const parts = (change) => () => change(...assertion(server, 'bulk', rsa).split('.')).join('.');
  const rows = [
    ['JA-1', 'one part', parts((h) => [h])],
    ['JA-1', 'two parts', parts((h, p) => [h, p])],
    ['JA-1', 'four parts', parts((h, p, s) => [h, p, s, s])],
    ['JA-1', 'an empty header', parts((h, p, s) => ['', p, s])],
    ['JA-1', 'an empty payload', parts((h, p, s) => [h, '', s])],
    ['JA-1', 'an empty signature', parts((h, p) => [h, p, ''])],
    ['JA-1', 'padding', () => { const p = b64(JSON.stringify(right()) + ' '); const h = b64(head()); const input = `${h}.${p}${'='.repeat((4 - p.length % 4) % 4 || 4)}`; return `${input}.${signature(input, 'RS384', rsa.privateKey)}`; }],
    ['JA-1', 'the other alphabet', () => { for (;;) { const a = assertion(server, 'bulk', rsa), s = a.split('.')[2]; if (/[-_]/.test(s)) return a.slice(0, -s.length) + s.replaceAll('-', '+').replaceAll('_', '/'); } }],
    ['JA-1', 'bits behind the last byte', () => {
      // 4n+3 characters hold two unused bits: setting one gives the same bytes in another spelling.
      const h = b64(JSON.stringify(head()).replace('}', ' '.repeat((3 - (JSON.stringify(head()).length % 3) + 2) % 3) + '}'));
      const alphabet = 'ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_', changed = h.slice(0, -1) + alphabet[alphabet.indexOf(h.at(-1)) + 1];
      assert.equal(Buffer.from(changed, 'base64url').toString(), Buffer.from(h, 'base64url').toString());
      const input = `${changed}.${b64(right())}`;
      return `${input}.${signature(input, 'RS384', rsa.privateKey)}`;
    }],
    ['JA-1', 'blanks in it', parts((h, p, s) => [h, ` ${p}`, s])],
    ['JA-1', 'a header that is no object', () => text('[]', right())],
    ['JA-1', 'claims that are no JSON', () => text(head(), '{"iss":')],
    ['JA-1', 'claims that are an array', () => text(head(), JSON.stringify([right()]))],
    ['JA-1', 'a duplicate name in the header', () => text(`{"alg":"RS384","alg":"RS384","kid":"${rsa.kid}"}`, right())],
    ['JA-1', 'a duplicate name in the claims', () => text(head(), JSON.stringify(right()).replace('{', '{"sub":"bulk",'))],
    ['JA-1', 'invalid UTF-8 in the claims', () => text(head(), Buffer.concat([Buffer.from(JSON.stringify(right()).slice(0, -1) + ',"x":"'), Buffer.from([0xff]), Buffer.from('"}')]))],
    ['JA-1', 'more than 16 KiB', claims({ pad: 'x'.repeat(13000) })],
    ['JA-2', 'alg none', () => jws({ alg: 'none', kid: rsa.kid }, right(), null) + 'AA'],
    ['JA-2', 'alg none in capitals', () => text(head({ alg: 'NONE' }), right())],
    ['JA-2', 'alg HS256 over the public key', () => jws(head({ alg: 'HS256' }), right(), rsa.publicKey.export({ type: 'spki', format: 'pem' }))],
    ['JA-2', 'alg HS384 over the modulus', () => jws(head({ alg: 'HS384' }), right(), Buffer.from(rsa.jwk.n, 'base64url'))],
    ['JA-2', 'alg RS256, which is off by default', () => jws(head({ alg: 'RS256' }), right(), rsa.privateKey)],
    ['JA-2', 'alg PS384, which is off by default', () => jws(head({ alg: 'PS384' }), right(), rsa.privateKey)],
    ['JA-2', 'alg in small letters', header({ alg: 'rs384' })],
    ['JA-2', 'no alg', header({ alg: undefined })],
    ['JA-2', 'alg that is a number', header({ alg: 384 })],
    ['JA-3', 'typ of an access token', header({ typ: 'at+jwt' })],
    ['JA-3', 'typ that is a number', header({ typ: 1 })],
    ['JA-4', 'no kid', header({ kid: undefined })],
    ['JA-4', 'kid that is a number', header({ kid: 1 })],
    ['JA-4', 'crit', header({ crit: ['exp'] })],
    ['JA-4', 'crit that is empty', header({ crit: [] })],
    ['JA-4', 'b64', header({ b64: false, crit: ['b64'] })],
    ['JA-4', 'b64 alone', header({ b64: false })],
    ['JA-4', 'zip', header({ zip: 'DEF' })],
    ['JA-5', 'jku of a client with keys inline', header({ jku: 'https://keys.example/jwks' })],
    ['JA-6', 'an unknown client', claims({ iss: 'nobody', sub: 'nobody' }), secretive],
    ['JA-6', 'iss of another', claims({ iss: 'seed' }), secretive],
    ['JA-6', 'sub of another', claims({ sub: 'seed' }), secretive],
    ['JA-6', 'no iss', claims({ iss: undefined }), secretive],
    ['JA-6', 'no sub', claims({ sub: undefined }), secretive],
    ['JA-6', 'sub that is a number', claims({ iss: 7, sub: 7 }), secretive],
    ['JA-6', 'a client without keys', claims({ iss: 'root', sub: 'root' }), secretive],
    ['JA-6', 'an id with a slash', claims({ iss: '../Client/bulk', sub: '../Client/bulk' }), secretive],
    ['JA-7', 'an unknown kid', header({ kid: 'rsa-2' }), secretive],
    ['JA-7', 'kid in capitals', header({ kid: 'RSA-1' }), secretive],
    ['JA-7', 'kid of a key of another type', () => jws({ alg: 'RS384', kid: ec.kid, typ: 'JWT' }, right(), rsa.privateKey), secretive],
    ['JA-8', 'another key', () => assertion(server, 'bulk', { ...keyPair('RS384'), kid: rsa.kid }), secretive],
    ['JA-8', 'changed claims', parts((h, p, s) => [h, b64({ ...right(), exp: now() + 299 }), s]), secretive],
    ['JA-8', 'a changed signature', parts((h, p, s) => [h, p, (s[0] === 'A' ? 'B' : 'A') + s.slice(1)]), secretive],
    ['JA-8', 'a signature cut short', parts((h, p, s) => [h, p, b64(Buffer.from(s, 'base64url').subarray(0, 255))]), secretive],
    ['JA-8', 'a signature with a leading zero byte', parts((h, p, s) => [h, p, b64(Buffer.concat([Buffer.of(0), Buffer.from(s, 'base64url')]))]), secretive],
    ['JA-8', 'a DER-encoded ES384 signature', () => assertion(server, 'bulk', ec, { der: true }), secretive],
    ['JA-8', 'r and s of zero', () => { const a = assertion(server, 'bulk', ec).split('.'); return `${a[0]}.${a[1]}.${b64(Buffer.alloc(96))}`; }, secretive],
    ['JA-9', 'no aud', claims({ aud: undefined })],
    ['JA-9', 'aud of the issuer', () => assertion(server, 'bulk', rsa, { claims: { aud: server.base } })],
    ['JA-9', 'aud with a slash at its end', () => assertion(server, 'bulk', rsa, { claims: { aud: `${server.base}/auth/token/` } })],
    ['JA-9', 'aud by another name', () => assertion(server, 'bulk', rsa, { claims: { aud: `${server.base}/auth/token`.replace('127.0.0.1', 'localhost') } })],
    ['JA-9', 'aud of two', () => assertion(server, 'bulk', rsa, { claims: { aud: [`${server.base}/auth/token`, `${server.base}/auth/token`] } })],
    ['JA-9', 'aud of none', claims({ aud: [] })],
    ['JA-9', 'aud in two arrays', () => assertion(server, 'bulk', rsa, { claims: { aud: [[`${server.base}/auth/token`]] } })],
    ['JA-10', 'no exp', claims({ exp: undefined })],
    ['JA-10', 'exp 400 s ahead', () => assertion(server, 'bulk', rsa, { claims: { exp: now() + 400 } }), /300 s/],
    ['JA-10', 'exp passed', () => assertion(server, 'bulk', rsa, { claims: { exp: now() - 10 } })],
    ['JA-10', 'exp in milliseconds', () => assertion(server, 'bulk', rsa, { claims: { exp: Date.now() + 300000 } })],
    ['JA-10', 'exp as text', () => assertion(server, 'bulk', rsa, { claims: { exp: String(now() + 100) } })],
    ['JA-10', 'exp beyond all numbers', () => text(head(), JSON.stringify(right()).replace(/"exp":\d+/, '"exp":1e999'))],
    ['JA-10', 'exp below zero', claims({ exp: -1 })],
    ['JA-10', 'exp null', claims({ exp: null })],
    ['JA-11', 'nbf ahead', () => assertion(server, 'bulk', rsa, { claims: { nbf: now() + 60 } })],
    ['JA-11', 'nbf as text', () => assertion(server, 'bulk', rsa, { claims: { nbf: String(now()) } })],
    ['JA-11', 'iat ahead', () => assertion(server, 'bulk', rsa, { claims: { iat: now() + 60 } })],
    ['JA-11', 'iat over an hour old', () => assertion(server, 'bulk', rsa, { claims: { iat: now() - 3700 } })],
    ['JA-11', 'iat null', claims({ iat: null })],
    ['JA-12', 'no jti', claims({ jti: undefined })],
    ['JA-12', 'an empty jti', claims({ jti: '' })],
    ['JA-12', 'a jti of 257 bytes', claims({ jti: 'j'.repeat(257) })],
    ['JA-12', 'a jti of 200 characters in 400 bytes', claims({ jti: 'ü'.repeat(200) })],
    ['JA-12', 'jti that is a number', claims({ jti: 1 })],
  ];
  for (const [rule, name, make, description = /^assertion: /] of rows)
    test(`${rule}: ${name}`, async () => refused(await postToken(server, tokenRequest(make())), 401, 'invalid_client', description));

  test('JA-1 to JA-12: none of these burns the jti of the right one', async () => {
    const jti = randomUUID();
    for (const options of [{ header: { kid: 'x' } }, { claims: { aud: 'x' } }, { claims: { exp: now() + 400 } }, { claims: { iss: 'x' } }]) refused(await ask(server, 'bulk', rsa, {}, { ...options, claims: { jti, ...options.claims } }), 401, 'invalid_client');
    granted(await ask(server, 'bulk', rsa, {}, { claims: { jti } }));
    refused(await ask(server, 'bulk', rsa, {}, { claims: { jti } }), 401, 'invalid_client', /jti/);
  });
  test('JA-5: jku must be the registered URL byte for byte, and is never fetched', async () => {
    const url = keys.set('/jku', [rsa.jwk]);
    keys.set('/evil', [rsa.jwk]);
    await putClient(server, 'jku', seedClient({ jwks_uri: url }));
    granted(await ask(server, 'jku', rsa, {}, { header: { jku: url } }));
    for (const jku of [`${keys.base}/evil`, `${url}?`, url.toUpperCase(), `${url}#`, url.replace('127.0.0.1', '127.0.0.01'), 7]) refused(await ask(server, 'jku', rsa, {}, { header: { jku } }), 401, 'invalid_client', /^assertion: /);
    assert.equal(keys.hits('/evil'), 0);
  });
  test('JA-4: jwk, x5c and x5u in the header lend no key', async () => {
    const other = keyPair('RS384');
    keys.set('/x5u', [other.jwk]);
    for (const more of [{ jwk: other.jwk }, { x5u: `${keys.base}/x5u` }, { x5c: ['MIIB'] }]) {
      refused(await ask(server, 'bulk', other, {}, { header: more }), 401, 'invalid_client', secretive);
      refused(await ask(server, 'bulk', other, {}, { header: { ...more, kid: rsa.kid } }), 401, 'invalid_client', secretive);
    }
    assert.equal(keys.hits('/x5u'), 0);
  });
  test('JA-6: an inactive client, as an unknown one', async () => {
    await putClient(server, 'asleep', seedClient({ jwks: [rsa.jwk], active: false }));
    const [a, b] = [await ask(server, 'asleep', rsa), await ask(server, 'nobody', rsa)];
    for (const r of [a, b]) refused(r, 401, 'invalid_client', secretive);
    assert.equal(a.text, b.text);
  });
  test('JA-7: keys that are for something else, or of another size or curve', async () => {
    const p256 = keyPair('ES256', 'p'), small = keyPair('RS384', 'p', { bits: 1024 }), key = keyPair('RS384', 'p');
    // Registered inline these are refused at once, so they come by URL. (alg left out: the curve alone must not fit)
    const sets = {
      'use enc': [[{ ...key.jwk, use: 'enc' }], key], 'key_ops without verify': [[{ ...key.jwk, key_ops: ['encrypt'] }], key], 'another alg': [[{ ...key.jwk, alg: 'RS256' }], key],
      'two of one kid': [[key.jwk, { ...keyPair('RS384', 'p').jwk }], key], 'RSA of 1024 bits': [[small.jwk], small], 'P-256 for ES384': [[{ ...p256.jwk, alg: undefined }], { ...p256, alg: 'ES384' }],
    };
    let n = 0;
    for (const [name, [set, signer]] of Object.entries(sets)) {
      const id = `set-${++n}`;
      await putClient(server, id, seedClient({ jwks_uri: keys.set(`/${id}`, set) }));
      const r = await ask(server, id, signer);
      assert.equal(r.status, 401, name);
      refused(r, 401, 'invalid_client', secretive);
    }
    await putClient(server, 'set-ok', seedClient({ jwks_uri: keys.set('/set-ok', [{ ...key.jwk, use: undefined, alg: undefined, key_ops: ['verify'] }, { ...ec.jwk, kid: 'p' }]) }));
    granted(await ask(server, 'set-ok', key));
  });
  test('JA-7, CL-25: at registration, keys that are weak, private, symmetric, or off the curve', async () => {
    const weak = keyPair('RS384', 'w', { bits: 1024 }), secret = { ...rsa.privateKey.export({ format: 'jwk' }), kid: 'x' };
    const off = { ...ec.jwk, y: b64(Buffer.from(ec.jwk.y, 'base64url').map((b, i) => (i === 47 ? b ^ 1 : b))) };
    for (const jwk of [weak.jwk, secret, { kty: 'oct', k: 'AAAA', kid: 'x' }, off, { ...ec.jwk, crv: 'P-256' }, { ...rsa.jwk, kid: undefined }, { ...rsa.jwk, kty: undefined }, { ...rsa.jwk, n: undefined }, { ...rsa.jwk, e: 'AA' }, { ...rsa.jwk, n: rsa.jwk.n + '=' }])
      outcome(await admin('PUT', 'Client/keys', seedClient({ jwks: [jwk] })), 422);
    outcome(await admin('PUT', 'Client/keys', seedClient({ jwks: [rsa.jwk, { ...keyPair('RS384').jwk, kid: rsa.kid }] })), 422);
    ok(await admin('PUT', 'Client/keys', seedClient({ jwks: { keys: [rsa.jwk] } })));
    assert.deepEqual((await admin('GET', 'Client/keys')).json.jwks, [rsa.jwk], 'a set becomes its array');
  });

  test('JA-12: eight at once in two servers over one store give one token', async (t) => {
    const second = await start({ state: path.join(server.dir, 'state'), init: false, core: { http: { 'base-url': server.base } }, plugins: { jwks: { allow: keys.base } } });
    t.after(() => clean(second));
    const there = `http://127.0.0.1:${second.port}`;
    const at = (base, params) => call('POST', `${base}/auth/token`, params);
    for (let round = 0; round < 3; round++) {
      const params = tokenRequest(assertion(server, 'bulk', rsa));
      const answers = await Promise.all(Array.from({ length: 8 }, (_, i) => at(i % 2 ? there : server.base, params)));
      assert.equal(answers.filter((r) => r.status === 200).length, 1, answers.map((r) => r.text).join('\n'));
      for (const r of answers.filter((a) => a.status !== 200)) refused(r, 401, 'invalid_client', /jti/);
    }
    // One node's token is good at the other; what ends there ends here within a second (CL-6).
    await putClient(server, 'roaming', seedClient({ jwks: [rsa.jwk] }));
    await allow(server, 'roaming');
    await sleep(1000);
    const token = (await at(there, tokenRequest(assertion(server, 'roaming', rsa)))).json.access_token;
    const read = (base) => call('GET', `${base}/fhir/Patient`, undefined, bearer(token));
    assert.equal((await read(there)).status, 200);
    assert.equal((await read(server.base)).status, 200);
    assert.equal((await call('DELETE', `${there}/AccessPolicy/roaming`, undefined, server.admin)).status, 204);
    assert.equal((await read(there)).status, 403);
    await sleep(1000);
    assert.equal((await read(server.base)).status, 403);
    assert.equal((await call('DELETE', `${server.base}/Client/roaming`, undefined, server.admin)).status, 204);
    assert.equal((await read(server.base)).status, 401);
    await sleep(1000);
    assert.equal((await read(there)).status, 401);
  });

  test('TK-1, TK-2: the form of the request', async () => {
    const params = () => tokenRequest(assertion(server, 'bulk', rsa));
    const text = (body, type) => call('POST', `${server.base}/auth/token`, body, { 'content-type': type });
    const form = 'application/x-www-form-urlencoded';
    const rows = {
      'no body': () => text('', 'application/json'), 'no object': () => text('"x"', 'application/json'), 'cut short': () => text(JSON.stringify(params()).slice(0, -1), 'application/json'),
      'a BOM': () => text('\ufeff' + JSON.stringify(params()), 'application/json'), 'a name twice': () => text(JSON.stringify(params()).replace('{', '{"scope":"system/*.read",'), 'application/json'),
      'text/plain': () => text(JSON.stringify(params()), 'text/plain'), 'multipart': () => text('--x\r\n', 'multipart/form-data; boundary=x'), 'a charset': () => text(JSON.stringify(params()), 'application/fhir+xml'),
      'a form parameter twice': () => text(new URLSearchParams(params()) + '&scope=system%2F*.read', form), 'a bad escape': () => text(new URLSearchParams(params()) + '&x=%4', form), 'a NUL': () => text(new URLSearchParams(params()) + '&client_id=%00', form),
      'invalid UTF-8': () => text(new URLSearchParams(params()) + '&client_id=%ff', form),
      'a number': () => postToken(server, { ...params(), scope: 7 }), 'null': () => postToken(server, { ...params(), scope: null }), 'an array': () => postToken(server, { ...params(), client_assertion: [assertion(server, 'bulk', rsa)] }),
      'an empty grant_type': () => postToken(server, { ...params(), grant_type: '' }), 'no grant_type': () => postToken(server, { ...params(), grant_type: undefined }), 'an empty assertion': () => postToken(server, { ...params(), client_assertion: '' }),
      'no assertion type': () => postToken(server, { ...params(), client_assertion_type: undefined }), 'no assertion': () => postToken(server, { ...params(), client_assertion: undefined }),
      'another assertion type': () => postToken(server, { ...params(), client_assertion_type: 'urn:ietf:params:oauth:client-assertion-type:saml2-bearer' }),
      'the assertion type in capitals': () => postToken(server, { ...params(), client_assertion_type: jwtBearer.toUpperCase() }),
      'a secret too': () => postToken(server, { ...params(), client_secret: 'x' }), 'Basic too': () => postToken(server, params(), { authorization: basic('bulk', 'x') }),
      'Basic and a secret': () => postToken(server, { grant_type: 'client_credentials', client_id: 'root', client_secret: 'secret' }, { authorization: basic('root', 'secret') }),
    };
    for (const [name, make] of Object.entries(rows)) {
      const r = await make();
      assert.equal(r.json?.error, 'invalid_request', `${name}: ${r.status} ${r.text}`);
      refused(r, 400, 'invalid_request');
    }
    // Of the query nothing counts; unknown parameters do not matter, whatever they are.
    granted(await call('POST', `${server.base}/auth/token?grant_type=password&scope=x`, tokenRequest(assertion(server, 'bulk', rsa), { foo: 1, bar: { a: [] }, baz: null })));
  });
  test('TK-4: an unknown grant comes before anybody is looked at', async () => {
    for (const grant_type of ['password', 'CLIENT_CREDENTIALS', 'client_credentials ', 'implicit', 'urn:ietf:params:oauth:grant-type:jwt-bearer'])
      for (const more of [{}, { client_assertion: 'x' }, { client_assertion: assertion(server, 'bulk', rsa), scope: '' }]) refused(await postToken(server, { grant_type, client_assertion_type: jwtBearer, client_assertion: 'x.y.z', ...more }), 400, 'unsupported_grant_type');
  });
  test('TK-5 to TK-8: client authentication', async () => {
    const grant_type = 'client_credentials', secret = 'p%ss+w:rd &=ü ' + randomUUID();
    await putClient(server, 'secretive', { secret, grant_types: ['client_credentials'] });
    granted(await postToken(server, { grant_type, client_id: 'secretive', client_secret: secret }));
    granted(await postForm(server, { grant_type, client_id: 'secretive', client_secret: secret }));
    granted(await postForm(server, { grant_type }, { authorization: basic('secretive', secret) }));
    granted(await postForm(server, { grant_type }, { authorization: basic('secretive', encodeURIComponent(secret)) }));
    granted(await postForm(server, { grant_type }, { authorization: basic('secretive', new URLSearchParams({ a: secret }).toString().slice(2)) }));
    const wrong = await postForm(server, { grant_type }, { authorization: basic('secretive', secret + 'x') });
    refused(wrong, 401, 'invalid_client');
    assert.match(wrong.headers.get('www-authenticate'), /^Basic realm="andiron"/);
    refused(await postToken(server, { grant_type, client_id: 'secretive', client_secret: secret.toLowerCase() + 'x' }), 401, 'invalid_client');
    refused(await postToken(server, { grant_type }), 401, 'invalid_client');
    refused(await postToken(server, { grant_type, client_id: 'secretive' }), 401, 'invalid_client');
    // No way down from an assertion to a secret; no client but the one that signed.
    await putClient(server, 'proud', seedClient({ secret, jwks: [rsa.jwk] }));
    refused(await postToken(server, { grant_type, scope: 'system/*.read', client_id: 'proud', client_secret: secret }), 401, 'invalid_client');
    refused(await postForm(server, { grant_type, scope: 'system/*.read' }, { authorization: basic('proud', secret) }), 401, 'invalid_client');
    granted(await ask(server, 'proud', rsa, { client_id: 'proud' }));
    refused(await ask(server, 'proud', rsa, { client_id: 'bulk' }), 401, 'invalid_client');
  });
  test('TK-20, TK-24: a grant that is not registered, an audience that is not', async () => {
    await putClient(server, 'basic-only', { secret: 'a long enough secret', jwks: [rsa.jwk], grant_types: ['basic'], scope: ['system/*.read'] });
    refused(await ask(server, 'basic-only', rsa), 400, 'unauthorized_client');
    refused(await postToken(server, { grant_type: 'client_credentials', client_id: 'basic-only', client_secret: 'a long enough secret' }), 400, 'unauthorized_client');
    granted(await ask(server, 'bulk', rsa, { audience: server.fhir }));
    refused(await ask(server, 'bulk', rsa, { audience: `${server.base}/other` }), 400, 'invalid_target');
  });
});

describe('6: keys at the client', () => {
  test('a new kid works in the same request, a removed key not beyond its time', async () => {
    const [one, two] = [keyPair('ES384', 'one'), keyPair('ES384', 'two')];
    let list = [one.jwk];
    await putClient(server, 'rotating', seedClient({ jwks_uri: keys.set('/rotating', (q, s) => { s.setHeader('cache-control', 'public, max-age=1'); s.end(JSON.stringify({ keys: list })); }) }));
    granted(await ask(server, 'rotating', one));
    list = [two.jwk];
    granted(await ask(server, 'rotating', two));
    await sleep(1300);
    refused(await ask(server, 'rotating', one), 401, 'invalid_client');
    granted(await ask(server, 'rotating', two));
  });
  test('max-age=0 is asked for each time', async () => {
    const key = keyPair('ES384');
    await putClient(server, 'fresh', seedClient({ jwks_uri: keys.set('/fresh', (q, s) => { s.setHeader('cache-control', 'max-age=0'); s.end(JSON.stringify({ keys: [key.jwk] })); }) }));
    assert.equal(keys.hits('/fresh'), 0, 'not on write');
    for (let i = 1; i <= 3; i++) { granted(await ask(server, 'fresh', key)); assert.equal(keys.hits('/fresh'), i); }
    keys.set('/fresh', []);
    refused(await ask(server, 'fresh', key), 401, 'invalid_client');
  });
  test('a slow key server delays its own client only', async () => {
    const key = keyPair('ES384');
    await putClient(server, 'slow', seedClient({ jwks_uri: keys.set('/slow', (q, s) => setTimeout(() => s.end(JSON.stringify({ keys: [key.jwk] })), 4000)) }));
    const token = await getToken(server, 'bulk', rsa);
    const begun = Date.now(), slow = Promise.all(Array.from({ length: 4 }, () => ask(server, 'slow', key)));
    await sleep(100);
    const times = [];
    while (Date.now() - begun < 2000) {
      const at = Date.now();
      granted(await ask(server, 'bulk', ec));
      assert.equal((await fhir(server, token, 'GET', '/Patient?_count=1')).status, 200);
      times.push(Date.now() - at);
    }
    assert.ok(Math.max(...times) < 1000 && times.length > 5, `${times}`);
    for (const r of await slow) refused(r, 401, 'invalid_client', /^client key set unavailable$/);
    assert.ok(Date.now() - begun < 3900, `given up after ${Date.now() - begun} ms`);
    assert.equal(keys.hits('/slow'), 1);
  });
});

test('7: a server that is its own key server needs no connection to itself', async (t) => {
  const self = await start({ core: { http: { 'io-threads': 1, 'worker-threads': 1, 'max-connections': 64 }, dev: { 'assertion-key': 'on' } } });
  t.after(() => clean(self));
  const jwks = (await call('GET', `${self.base}/.well-known/jwks.json`)).json.keys;
  const pem = fs.readdirSync(path.join(self.dir, 'state/keys')).find((f) => f.startsWith('assertion-'));
  const key = { alg: 'RS384', kid: jwks.find((k) => k.alg === 'RS384').kid, privateKey: fs.readFileSync(path.join(self.dir, 'state/keys', pem)) };
  await putClient(self, 'inferno-my-clinic-bulk-client', seedClient({ jwks_uri: `${self.base}/.well-known/jwks.json` }));
  await allow(self, 'inferno-my-clinic-bulk-client');
  const answers = await Promise.all(Array.from({ length: 12 }, () => ask(self, 'inferno-my-clinic-bulk-client', key)));
  for (const r of answers) assert.equal(granted(r).scope, seedScope);
  assert.equal((await fhir(self, answers[0].json.access_token, 'GET', '/Patient')).status, 200);
  refused(await ask(self, 'inferno-my-clinic-bulk-client', { ...key, privateKey: rsa.privateKey }), 401, 'invalid_client');
});

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
  const s = await start({ plugins: { auth: { 'max-hashing': '2', 'secret-cache': '1s' } } });
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
