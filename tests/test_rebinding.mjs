// Names that are public when they are looked at and inner a moment later: of key sets and introspection endpoints a name
// is resolved once for each exchange, and the connection goes to the address that was checked. The resolver that lies is
// tests/dns/hostile_dns.c.
import test, { before, after, describe } from 'node:test';
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import fs from 'node:fs';
import https from 'node:https';
import os from 'node:os';
import path from 'node:path';
import { start, call, sanitized } from './lib/server.mjs';
import { assertion, bearer, keyPair, postToken, putClient, seedClient, tokenRequest } from './lib/smart.mjs';

const library = path.join(process.env.ANDIRON_BUILD ?? 'build', 'unit/hostile-dns.so'), open = '93.184.216.34 443';
let dir, notes, trap, trapped = 0, server, key;
const since = (from) => { const all = fs.existsSync(notes) ? fs.readFileSync(notes, 'utf8').trim().split('\n').filter(Boolean) : []; return from === undefined ? all.length : all.slice(from); };

before(async () => {
  dir = fs.mkdtempSync(path.join(os.tmpdir(), 'andiron-dns-'));
  notes = path.join(dir, 'notes');
  const [cert, pem] = ['cert.pem', 'key.pem'].map((f) => path.join(dir, f));
  execFileSync('openssl', ['req', '-x509', '-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:P-256', '-nodes', '-keyout', pem, '-out', cert, '-days', '2', '-subj', '/CN=rebind.example', '-addext', 'subjectAltName=DNS:*.rebind.example'], { stdio: 'ignore' });
  key = keyPair('ES384', 'k1');
  trap = https.createServer({ cert: fs.readFileSync(cert), key: fs.readFileSync(pem) }, (req, res) => {
    trapped++;
    res.setHeader('cache-control', 'no-store'); // asked for again each time
    res.end(JSON.stringify(req.method === 'POST' ? { active: true, scope: 'openid' } : { keys: [key.jwk] }));
  });
  await new Promise((ok) => trap.listen(0, '127.0.0.1', ok));
  const env = { LD_PRELOAD: library, HOSTILE_DNS_LOG: notes, HOSTILE_DNS_PORT: String(trap.address().port) };
  if (sanitized) env.ASAN_OPTIONS = `${process.env.ASAN_OPTIONS ?? ''}:verify_asan_link_order=0`;
  server = await start({ quick: true, env, core: { http: { 'io-threads': 1 } }, plugins: { jwks: { 'ca-file': cert }, auth: { 'refused-tokens': '0s' } } });
  await call('PUT', `${server.base}/AccessPolicy/foreign`, { engine: 'matcho', matcho: { jwt: { active: true } } }, server.admin);
});
after(async () => { await server.stop(); assert.doesNotMatch(server.output(), /Sanitizer|runtime error/); server.remove(); trap.closeAllConnections(); trap.close(); fs.rmSync(dir, { recursive: true }); });

describe('a key set', () => {
  const ask = (id) => postToken(server, tokenRequest(assertion(server, id, key)));
  for (const inner of ['loop', 'meta', 'six', 'mapped', 'late'])
    test(`JK-4: whose name is public once and then ${inner} is fetched once, by one look-up each, and never from inside`, async () => {
      const name = `pub-${inner}.rebind.example`;
      await putClient(server, inner, seedClient({ jwks_uri: `https://${name}/jwks` }));
      const from = since();
      assert.equal((await ask(inner)).status, 200);
      assert.deepEqual(since(from), [`lookup ${name}`, `connect ${open}`]);
      const then = since(), seen = trapped;
      const r = await ask(inner);
      assert.deepEqual([r.status, r.json.error, r.json.error_description], [401, 'invalid_client', 'client key set unavailable'], r.text);
      assert.deepEqual([since(then), trapped], [[`lookup ${name}`], seen]);
    });
  test('JK-4: whose name has a public and an inner address at once is not fetched', async () => {
    await putClient(server, 'both', seedClient({ jwks_uri: 'https://both.rebind.example/jwks' }));
    const from = since();
    assert.equal((await ask('both')).status, 401);
    assert.deepEqual(since(from), ['lookup both.rebind.example']);
  });
});

test('US-3: an introspection endpoint whose name turns inner is not asked any more', async () => {
  const name = 'pub-meta-loop.rebind.example', read = () => call('GET', `${server.fhir}/Patient`, undefined, bearer(randomBytes(24).toString('base64url')));
  const r = await call('PUT', `${server.base}/TokenIntrospector/one`, { type: 'opaque', introspection_endpoint: { url: `https://${name}/introspect` } }, server.admin);
  assert.equal(r.status, 201, r.text);
  const from = since(), seen = trapped;
  assert.equal((await read()).status, 200);
  for (let i = 0; i < 2; i++) assert.equal((await read()).status, 401);
  assert.deepEqual(since(from), [`lookup ${name}`, `connect ${open}`, `lookup ${name}`, `lookup ${name}`]);
  assert.equal(trapped, seen + 1);
});
