// Nobody learns by the time of a refusal which clients exist: known and unknown ones cost the server the same CPU time,
// whatever is wrong. CPU time, not the clock, so that a busy machine says nothing; kinds take turns, medians are compared.
import test, { before, after, describe } from 'node:test';
import assert from 'node:assert/strict';
import fs from 'node:fs';
import { start, call, basic } from './lib/server.mjs';
import { assertion, keyPair, postToken, putClient, seedClient, tokenRequest } from './lib/smart.mjs';

const [rounds, most] = [7, 1.5];
let server, worker, key, other;

// Nanoseconds that the worker's threads have run.
const cpu = () => fs.readdirSync(`/proc/${worker}/task`).reduce((sum, id) => { try { return sum + Number(fs.readFileSync(`/proc/${worker}/task/${id}/schedstat`, 'utf8').split(' ')[0]); } catch { return sum; } }, 0);
const median = (list) => [...list].sort((a, b) => a - b)[list.length >> 1];

// kinds: { name: request(i) }, each of which is refused; `times` requests of a kind in a row are one sample.
const sameEffort = async (kinds, times, status) => {
  const samples = Object.fromEntries(Object.keys(kinds).map((k) => [k, []])), texts = new Set();
  for (let round = 0; round <= rounds; round++)
    for (const [name, ask] of Object.entries(kinds)) {
      const asks = await Promise.all(Array.from({ length: times }, (_, i) => ask.prepare?.(i))), from = cpu();
      for (let i = 0; i < times; i++) {
        const r = await ask.send(asks[i]);
        assert.equal(r.status, status, `${name}: ${r.text}`);
        texts.add(r.text);
      }
      if (round) samples[name].push((cpu() - from) / times); // the first warms the caches up
    }
  const costs = Object.entries(samples).map(([name, list]) => [name, Math.round(median(list) / 1000)]), us = costs.map(([, c]) => c);
  assert.equal(texts.size, 1, 'the same words');
  assert.ok(Math.max(...us) < most * Math.min(...us), `CPU time differs: ${costs.map(([n, c]) => `${n} ${c} us`).join(', ')}`);
};

before(async () => {
  server = await start({ quick: true, core: { http: { 'io-threads': 1 } }, plugins: { auth: { 'max-failures': '0', 'secret-cache': '0s' } } });
  worker = Number(fs.readFileSync(`/proc/${server.child.pid}/task/${server.child.pid}/children`, 'utf8').trim().split(' ')[0]);
  key = keyPair('ES384', 'k1');
  other = keyPair('ES384', 'k1');
  await putClient(server, 'keys', seedClient({ jwks: [key.jwk] }));
  await putClient(server, 'asleep', seedClient({ jwks: [key.jwk], active: false }));
  await putClient(server, 'secret', { secret: 'a long enough secret', grant_types: ['basic', 'client_credentials'] });
  await putClient(server, 'inactive', { secret: 'a long enough secret', grant_types: ['basic', 'client_credentials'], active: false });
});
after(async () => { await server.stop(); assert.doesNotMatch(server.output(), /Sanitizer|runtime error/); server.remove(); });

describe('the same effort for every refusal', () => {
  test('of an assertion: another\'s key, unknown, inactive and keyless clients, an unknown kid (JA-6 to JA-8)', async () => {
    const by = (id, options) => ({ prepare: () => tokenRequest(assertion(server, id, other, options)), send: (params) => postToken(server, params) });
    await sameEffort({ 'wrong key': by('keys'), unknown: by('nobody'), inactive: by('asleep'), 'no keys': by('secret'), 'unknown kid': by('keys', { header: { kid: 'k2' } }) }, 20, 401);
  });
  test('of a secret at the token endpoint: wrong, unknown client, client without one, inactive', async () => {
    const by = (client_id) => ({ send: () => postToken(server, { grant_type: 'client_credentials', client_id, client_secret: 'a wrong secret' }) });
    await sameEffort({ wrong: by('secret'), unknown: by('nobody'), 'no secret': by('keys'), inactive: by('inactive'), 'no id': by('a/b') }, 2, 401);
  });
  test('of Basic (AU-3): wrong, unknown client, client without a secret, inactive', async () => {
    const by = (id) => ({ send: () => call('GET', `${server.fhir}/Patient`, undefined, { authorization: basic(id, 'a wrong secret') }) });
    await sameEffort({ wrong: by('secret'), unknown: by('nobody'), 'no secret': by('keys'), inactive: by('inactive') }, 2, 401);
  });
});
