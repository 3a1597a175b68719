// docs/policy-cookbook.md: every policy in it can be stored, matches the requests it says, and no others.
import { test, before, after } from 'node:test';
import assert from 'node:assert/strict';
import { execFileSync, spawnSync } from 'node:child_process';
import fs from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { start, call, source, bin, sanitized } from './lib/server.mjs';

const recipes = fs.readFileSync(path.join(source, 'docs/policy-cookbook.md'), 'utf8').split(/^## /m).slice(1).map((text) => {
  const block = (kind) => { const m = new RegExp('```json ' + kind + '\\n([\\s\\S]*?)```').exec(text); return m ? JSON.parse(m[1]) : undefined; };
  return { title: text.slice(0, text.indexOf('\n')), policy: block('policy'), requests: block('requests') };
});
// Judged alone, where a policy is linked is not asked: links are tested by storing it.
const isLinked = (p) => p.link !== undefined;

let server;
before(async () => { server = await start(); });
after(async () => { if (server) { await server.stop(); server.remove(); } });

const trial = async (body) => {
  const r = await call('POST', `${server.base}/auth/test-policy`, body, server.admin);
  assert.equal(r.status, 200, `${JSON.stringify(body)}: ${r.text}`);
  return r.json;
};

test('there are at least fifteen', () => assert.ok(recipes.length >= 15 && recipes.every((r) => r.policy)));

for (const { title, policy, requests } of recipes.filter((r) => r.policy.engine !== 'business-hours')) test(title, async () => {
  const url = `${server.base}/AccessPolicy/recipe`;
  assert.ok(requests.allowed.length > 0 && requests.refused.length > 0);
  const put = await call('PUT', url, policy, server.admin);
  assert.ok([200, 201].includes(put.status), put.text);
  const denies = policy.effect === 'deny';
  for (const [kind, wanted] of [['allowed', true], ['refused', false]]) for (const request of requests[kind]) {
    if (!isLinked(policy)) {
      const alone = await trial({ request, policy: { ...policy, roleName: undefined } });
      assert.equal(alone.result['eval-result'], wanted, `${JSON.stringify(request)}: ${JSON.stringify(alone.result)}`);
    }
    // Among the policies in force: it decides, or is passed by.
    const { decision, change, policies } = await trial({ request });
    if (denies) assert.equal(decision.reason === 'denied by policy', wanted, JSON.stringify(decision));
    else if (!wanted) assert.ok(change.length > 0 && policies.every((p) => p.reason?.length > 0), JSON.stringify({ request, change, policies }));
    if (!denies) assert.equal(decision.status === 200 && decision.policy === 'AccessPolicy/recipe', wanted, `${JSON.stringify(request)}: ${JSON.stringify(decision)}`);
  }
  assert.ok((await call('DELETE', url, undefined, server.admin)).status < 300);
});

test('business hours: the example engine judges the policy by the clock', { skip: sanitized && 'the module would need the sanitizer first' }, () => {
  const { policy } = recipes.find((r) => r.policy.engine === 'business-hours'), dir = fs.mkdtempSync(path.join(os.tmpdir(), 'andiron-cookbook-'));
  const folder = path.join(source, 'examples/policy-engine'), module = path.join(dir, 'policy-business-hours.so');
  try {
    const code = fs.readdirSync(folder).filter((f) => f.endsWith('.c') && !f.startsWith('test')).map((f) => path.join(folder, f));
    execFileSync('cc', ['-shared', '-fPIC', '-fvisibility=hidden', '-I', path.join(source, 'include'), '-o', module, ...code]);
    const judged = (hours) => spawnSync(bin, ['explain-policy', '--module', module, '--policy', JSON.stringify({ ...policy, hours }), '--request', '{}'], { encoding: 'utf8' });
    assert.ok([0, 1].includes(judged(policy.hours).status));
    const now = new Date(), time = (minutes) => new Date(now.getTime() + minutes * 60000).toISOString().slice(11, 16);
    const next = judged({ from: time(60), to: time(120) });
    if (time(60) < time(120)) assert.equal(next.status, 1, next.stdout + next.stderr);
  } finally { fs.rmSync(dir, { recursive: true, force: true }); }
});
