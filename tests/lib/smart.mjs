// A SMART backend client for the black-box tests: keys, assertions signed with node:crypto, right or wrong in any one
// place, the token request, and a server for key sets. Knows nothing of Andiron's code.
import http from 'node:http';
import { constants, createHmac, generateKeyPairSync, randomUUID, sign as signBytes } from 'node:crypto';
import { basic, call, plant } from './server.mjs';

export const jwtBearer = 'urn:ietf:params:oauth:client-assertion-type:jwt-bearer';
export const seedTypes = 'AllergyIntolerance CarePlan CareTeam Condition Device DiagnosticReport DocumentReference Encounter Goal Group Immunization Location MedicationRequest Observation Organization Patient Practitioner Procedure Provenance'.split(' ');
export const scopeOf = (types, perm = 'read') => types.map((t) => `system/${t}.${perm}`).join(' ');
export const seedScope = scopeOf(seedTypes);
export const now = () => Math.floor(Date.now() / 1000);
export const b64 = (x) => Buffer.from(typeof x === 'string' || x instanceof Uint8Array ? x : JSON.stringify(x)).toString('base64url');

// A key pair: alg RS*, PS* or ES*; jwk is the public part as a client would publish it.
export const keyPair = (alg, kid = randomUUID(), { bits = 2048, curve } = {}) => {
  const { privateKey, publicKey } = alg.startsWith('ES')
    ? generateKeyPairSync('ec', { namedCurve: curve ?? { ES256: 'P-256', ES384: 'P-384', ES512: 'P-521' }[alg] })
    : generateKeyPairSync('rsa', { modulusLength: bits });
  plant(privateKey.export({ format: 'jwk' }).d);
  return { alg, kid, privateKey, publicKey, jwk: { ...publicKey.export({ format: 'jwk' }), kid, alg, use: 'sig' } };
};

// JWS over "header.payload", by what alg says: also none and HMAC, for whom wants to try.
export const signature = (input, alg, key, { der = false } = {}) => {
  const hash = `sha${alg.slice(2)}`;
  if (alg === 'none') return '';
  if (alg.startsWith('HS')) return createHmac(hash, key).update(input).digest('base64url');
  const padding = alg.startsWith('PS') ? { padding: constants.RSA_PKCS1_PSS_PADDING, saltLength: constants.RSA_PSS_SALTLEN_DIGEST } : {};
  return signBytes(hash, Buffer.from(input), { key, dsaEncoding: der ? 'der' : 'ieee-p1363', ...padding }).toString('base64url');
};

// Compact JWS of any header and claims (objects, or ready JSON text).
export const jws = (header, claims, key, options = {}) => {
  const input = `${b64(header)}.${b64(claims)}`;
  return `${input}.${signature(input, options.alg ?? header.alg, key, options)}`;
};

// A client assertion for `server` (whose base-url is server.aud, if that is not where it listens), right unless `claims` or `header` say otherwise (undefined leaves a member out).
export const assertion = (server, id, key, { claims = {}, header = {}, ...options } = {}) => jws(
  { alg: key.alg, kid: key.kid, typ: 'JWT', ...header },
  { iss: id, sub: id, aud: `${server.aud ?? server.base}/auth/token`, exp: now() + 300, jti: randomUUID(), ...claims }, key.privateKey, { alg: key.alg, ...options });

export const tokenRequest = (client_assertion, more = {}) => ({ grant_type: 'client_credentials', client_assertion_type: jwtBearer, client_assertion, scope: 'system/*.read', ...more });
export const postToken = (server, params, headers = {}) => call('POST', `${server.base}/auth/token`, params, headers);
export const postForm = (server, params, headers = {}) => call('POST', `${server.base}/auth/token`, new URLSearchParams(params).toString(), { 'content-type': 'application/x-www-form-urlencoded', ...headers });

// The Client of the seed's page; more replaces members.
export const seedClient = (more = {}) => ({
  type: 'bulk-api-client', active: true,
  auth: { client_credentials: { client_assertion_types: [jwtBearer], access_token_expiration: 300, token_format: 'jwt' } },
  scope: ['system/*.read'], grant_types: ['client_credentials'], ...more,
});
export const putClient = async (server, id, body) => {
  plant(body.secret);
  const r = await call('PUT', `${server.base}/Client/${id}`, body, server.admin);
  if (r.status !== 200 && r.status !== 201) throw new Error(`PUT Client/${id}: ${r.status} ${r.text}`);
  return r;
};
export const allow = async (server, id) => {
  const r = await call('PUT', `${server.base}/AccessPolicy/${id}`, { engine: 'allow', link: [{ resourceType: 'Client', id }] }, server.admin);
  if (r.status !== 200 && r.status !== 201) throw new Error(`PUT AccessPolicy/${id}: ${r.status} ${r.text}`);
  return r;
};
// The access token itself; throws with the answer if there is none.
export const getToken = async (server, id, key, scope = 'system/*.read') => {
  const r = await postToken(server, tokenRequest(assertion(server, id, key), { scope }));
  if (r.status !== 200) throw new Error(`token for ${id}: ${r.status} ${r.text}`);
  return r.json.access_token;
};
// A token, by secret, of Client `id`, which gets these scopes and a policy that allows it everything.
export const scopedToken = async (server, id, scope, asked = scope.join(' ')) => {
  const secret = 'a secret of some length';
  await putClient(server, id, { grant_types: ['client_credentials'], secret, scope, auth: { client_credentials: { token_format: 'jwt' } } });
  await allow(server, id);
  const r = await postForm(server, { grant_type: 'client_credentials', scope: asked }, { authorization: basic(id, secret) });
  if (r.status !== 200) throw new Error(`token for ${id}: ${r.status} ${r.text}`);
  return { headers: bearer(r.json.access_token), scope: r.json.scope };
};
export const bearer = (token) => ({ authorization: `Bearer ${token}` });
export const claimsOf = (token) => JSON.parse(Buffer.from(token.split('.')[1], 'base64url'));
export const headerOf = (token) => JSON.parse(Buffer.from(token.split('.')[0], 'base64url'));

// Serves key sets: set(path, respond) with respond(req, res) or an array of JWKs; hits(path) counts.
export const keyServer = async () => {
  const answers = new Map(), counts = new Map();
  const server = http.createServer((req, res) => {
    counts.set(req.url, (counts.get(req.url) ?? 0) + 1);
    const answer = answers.get(req.url);
    if (typeof answer === 'function') return answer(req, res);
    res.writeHead(answer ? 200 : 404, { 'content-type': 'application/json' });
    res.end(JSON.stringify({ keys: answer ?? [] }));
  });
  await new Promise((ok) => server.listen(0, '127.0.0.1', ok));
  const base = `http://127.0.0.1:${server.address().port}`;
  return { base, set: (path, answer) => { answers.set(path, answer); return base + path; }, hits: (path) => counts.get(path) ?? 0, close: () => { server.closeAllConnections(); server.close(); } };
};
