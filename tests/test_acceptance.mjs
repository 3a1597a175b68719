// The acceptance list of the specification (seed-semantics 12), items 1 to 7, as a client sees them: registration, tokens and
// every way to be refused one, keys.
import test, { before, after, describe } from 'node:test';
import assert from 'node:assert/strict';
import { randomUUID } from 'node:crypto';
import fs from 'node:fs';
import http from 'node:http';
import path from 'node:path';
import { call, fresh, basic, sleep, storeOf } from './lib/server.mjs';
import { allow, assertion, b64, bearer, claimsOf, getToken, headerOf, jws, jwtBearer, keyPair, now, postForm, postToken, putClient, seedClient, seedScope, signature, tokenRequest } from './lib/smart.mjs';
import { serve, start, server, keys, rsa, ec, clean, admin, ok, outcome, tokenHeaders, refused, granted, ask, fhir } from './lib/acceptance.mjs';

serve();

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
  test('TK-3: a bad Accept, or HTTP\'s own refusals, keep the headers of the endpoint', async () => {
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
    const second = await start({ state: path.join(server.dir, 'state'), init: false, core: { http: { 'base-url': server.base } }, plugins: { ...storeOf(server), jwks: { allow: keys.base }, auth: { 'max-failures': '0' } } });
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
