// Policies that take long: judged beside the loop, within their limits, and granting nothing when these end them.
import { describe, test, before, after } from 'node:test';
import assert from 'node:assert/strict';
import { start, call } from './lib/server.mjs';

// None of these loops counts its steps in PCRE2, so its own limits do not end them: from every "a" to the end of all, which is quadratic.
const slow = '(?:a|b)++[0-9]';
const ask = (server, text) => call('GET', `${server.fhir}/Patient?name=${text}`);
const put = async (server, id, policy) => {
  const r = await call('PUT', `${server.base}/AccessPolicy/${id}`, policy, server.admin);
  assert.ok(r.status === 200 || r.status === 201, r.text);
};

describe('with much time', () => {
  let server;
  before(async () => {
    server = await start({ plugins: { 'policy-matcho': { 'time-limit': '1s', 'regex-steps': 10000000 }, 'policy-json-schema': { 'time-limit': '1s', 'regex-steps': 10000000 } } });
    await put(server, 'slow', { engine: 'matcho', matcho: { params: { name: `#${slow}` } } });
  });
  after(async () => { if (server) { await server.stop(); server.remove(); } });
  test('what takes long is judged all the same', async () => {
    assert.equal((await ask(server, `${'a'.repeat(1500)}!b1`)).status, 200);
    assert.equal((await ask(server, `${'a'.repeat(1500)}!b`)).status, 401);
  });
  test('inside of complex, by json-schema, and where it denies', async () => {
    await put(server, 'slow', { engine: 'complex', or: [{ engine: 'matcho', matcho: { params: { name: `#${slow}x` } } }, { engine: 'json-schema', schema: { required: ['params'], properties: { params: { required: ['name'], properties: { name: { pattern: slow } } } } } }] });
    assert.equal((await ask(server, `${'a'.repeat(1500)}!b1`)).status, 200);
    assert.equal((await ask(server, `${'a'.repeat(1500)}!b`)).status, 401);
    await put(server, 'deny', { engine: 'matcho', effect: 'deny', matcho: { params: { name: `#${slow}y` } } });
    assert.equal((await ask(server, `${'a'.repeat(1500)}!b1y`)).status, 403);
    assert.equal((await ask(server, `${'a'.repeat(1500)}!b1`)).status, 200);
  });
  test('more at a time than may wait are refused, and the rest is judged', async () => {
    await put(server, 'slow', { engine: 'matcho', matcho: { params: { name: `#${slow}` } } });
    await call('DELETE', `${server.base}/AccessPolicy/deny`, undefined, server.admin);
    const answers = await Promise.all(Array.from({ length: 100 }, () => ask(server, `${'a'.repeat(1500)}!b1`)));
    const granted = answers.filter((r) => r.status === 200).length;
    assert.ok(granted >= 64, `${granted} were granted`);
    assert.ok(answers.every((r) => r.status === 200 || r.status === 401));
  });
});

test('what is not done in time grants nothing, denies where it would deny, and is told to the log', async () => {
  const server = await start({ plugins: { 'policy-matcho': { 'time-limit': '1ms' } } });
  try {
    await put(server, 'slow', { engine: 'matcho', matcho: { params: { name: { '$one-of': [`#${slow}`, 'present?'] } } } });
    assert.equal((await ask(server, 'x')).status, 200);
    assert.equal((await ask(server, `${'a'.repeat(7000)}!b1`)).status, 401);
    await put(server, 'slow', { engine: 'matcho', effect: 'deny', matcho: { headers: { 'x-trial': 'present?' }, params: { name: `#${slow}` } } });
    await put(server, 'all', { engine: 'allow' });
    const trial = (text) => call('GET', `${server.fhir}/Patient?name=${text}`, undefined, { 'x-trial': '1' });
    assert.equal((await trial('x')).status, 200);
    assert.equal((await trial('a'.repeat(7000))).status, 403);
    await server.logged(/policy\.error.*AccessPolicy\/slow \(engine matcho\) could not tell: params\.name took too long/);
  } finally {
    await server.stop();
    server.remove();
  }
});
