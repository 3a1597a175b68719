// Servers under test: their settings, the client that the benchmarks are, its tokens, and how long a start takes.
import { spawn } from 'node:child_process';
import { createSign, generateKeyPairSync, randomUUID } from 'node:crypto';
import fs from 'node:fs';
import http from 'node:http';
import path from 'node:path';
import { bin, call } from '../tests/lib/server.mjs';

export const clientId = 'bench';
const keyPair = generateKeyPairSync('ec', { namedCurve: 'P-384' });
const rsaPair = generateKeyPairSync('rsa', { modulusLength: 2048 });
const jwks = [{ ...keyPair.publicKey.export({ format: 'jwk' }), kid: 'es', alg: 'ES384', use: 'sig' }, { ...rsaPair.publicKey.export({ format: 'jwk' }), kid: 'rs', alg: 'RS384', use: 'sig' }];
const b64 = (x) => Buffer.from(JSON.stringify(x)).toString('base64url');
export const assertion = (alg, base) => {
  const input = `${b64({ alg, kid: alg === 'ES384' ? 'es' : 'rs', typ: 'JWT' })}.${b64({ iss: clientId, sub: clientId, aud: base + '/auth/token', exp: Math.floor(Date.now() / 1000) + 299, jti: randomUUID() })}`;
  const signed = createSign('sha384').update(input).sign(alg === 'ES384' ? { key: keyPair.privateKey, dsaEncoding: 'ieee-p1363' } : rsaPair.privateKey);
  return `${input}.${signed.toString('base64url')}`;
};
export const settings = { core: { log: { level: 'warn', 'access-log': 'off' } } };
export const register = async (server) => {
  const client = { type: 'bulk-api-client', auth: { client_credentials: { token_format: 'jwt', access_token_expiration: 3600 } }, scope: ['system/*.*'], jwks, grant_types: ['client_credentials'] };
  let r = await call('PUT', `${server.base}/Client/${clientId}`, client, server.admin);
  if (r.status > 201) throw new Error(r.text);
  r = await call('PUT', `${server.base}/AccessPolicy/${clientId}`, { engine: 'allow', link: [{ resourceType: 'Client', id: clientId }] }, server.admin);
  if (r.status > 201) throw new Error(r.text);
};
export const tokenOf = async (server, scope = 'system/Observation.*') => {
  const r = await call('POST', `${server.base}/auth/token`, { grant_type: 'client_credentials', client_assertion_type: 'urn:ietf:params:oauth:client-assertion-type:jwt-bearer', client_assertion: assertion('ES384', server.base), scope });
  if (r.status !== 200) throw new Error(r.text);
  return r.json.access_token;
};
// Starts it, and how long it takes until the first answer.
export const firstAnswer = async (at) => {
  const begun = process.hrtime.bigint();
  const child = spawn(bin, ['-c', at.etc], { stdio: ['ignore', 'ignore', 'inherit'] });
  for (;;) {
    const status = await new Promise((ok) => { const q = http.get(at.base + '/health/ready', { agent: false }, (s) => { s.resume(); ok(s.statusCode); }); q.on('error', () => ok(0)); });
    if (status === 200) return { ms: Number(process.hrtime.bigint() - begun) / 1e6, child };
    if (child.exitCode !== null || process.hrtime.bigint() - begun > 20000000000n) throw new Error('no answer in 20 s');
  }
};

// Ends one that firstAnswer() has started.
export const end = async (child, signal = 'SIGTERM') => { child.kill(signal); await new Promise((ok) => child.on('exit', ok)); };

// A database with its log, to another place.
export const copyStore = (from, to) => { for (const f of fs.readdirSync(path.dirname(from))) if (f.startsWith(path.basename(from))) fs.copyFileSync(path.join(path.dirname(from), f), to + f.slice(path.basename(from).length)); };
