// What the acceptance tests share: their server with its Client, and what answers must look like.
import { before, after } from 'node:test';
import assert from 'node:assert/strict';
import { start as startDaemon, configure as configureDaemon, call } from './server.mjs';
import { allow, assertion, bearer, keyPair, keyServer, postToken, putClient, seedClient, tokenRequest } from './smart.mjs';

export const start = (options) => startDaemon({ quick: true, ...options }), configure = (options) => configureDaemon({ quick: true, ...options });
export let server, keys;
export const rsa = keyPair('RS384', 'rsa-1'), ec = keyPair('ES384', 'ec-1');
export const clean = async (s) => { assert.deepEqual(await s.stop(), { code: 0, signal: null }, s.output()); assert.doesNotMatch(s.output(), /Sanitizer|runtime error/); s.remove(); };
export const admin = (method, target, body, headers = {}) => call(method, `${server.base}/${target}`, body, { ...server.admin, ...headers });
export const ok = (r) => { assert.ok(r.status === 200 || r.status === 201, `${r.status} ${r.text}`); return r; };
export const outcome = (r, status, code) => {
  assert.equal(r.status, status, r.text);
  assert.equal(r.json?.resourceType, 'OperationOutcome', r.text);
  if (code) assert.equal(r.json.issue[0].code, code, r.text);
  return r;
};
// Headers of every answer of the token endpoint (TK-3).
export const tokenHeaders = (r) => {
  assert.match(r.headers.get('content-type') ?? '', /^application\/json(;|$)/, `${r.status} ${r.text}`);
  assert.equal(r.headers.get('cache-control'), 'no-store', `${r.status} ${r.text}`);
  assert.equal(r.headers.get('pragma'), 'no-cache', `${r.status} ${r.text}`);
};
export const refused = (r, status, error, description) => {
  assert.equal(r.status, status, r.text);
  assert.equal(r.json?.error, error, r.text);
  assert.equal(typeof r.json.error_description, 'string', r.text);
  assert.ok(Object.keys(r.json).every((k) => ['error', 'error_description', 'error_uri'].includes(k)), r.text);
  if (description) assert.match(r.json.error_description, description);
  tokenHeaders(r);
};
export const granted = (r) => { assert.equal(r.status, 200, r.text); tokenHeaders(r); return r.json; };
export const ask = (s, id, key, more, options) => postToken(s, tokenRequest(assertion(s, id, key, options), more));
export const fhir = (s, token, method, target, body, headers = {}) => call(method, `${s.fhir}${target}`, body, { ...bearer(token), ...headers });

// One server for all tests of a file, with the seed's Client "bulk" and both kinds of key.
export function serve() {
  before(async () => {
    keys = await keyServer();
    server = await start({ plugins: { jwks: { allow: keys.base }, auth: { 'max-failures': '0' } } });
    await putClient(server, 'bulk', seedClient({ jwks: [rsa.jwk, ec.jwk] }));
    await allow(server, 'bulk');
  });
  after(async () => { keys.close(); await clean(server); });
}
