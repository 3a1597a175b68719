// Which policies count for a request, and what becomes of engines that are wrong: nothing is granted that no policy grants.
import { test, before, after } from 'node:test';
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import fs from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { basic, call, configure, modules, source, start } from './lib/server.mjs';

// What an engine can do wrong, by AccessPolicy.do.
const engine = `#include <andiron/policy.h>
static int compile(void *self, struct andiron_arena *arena, andiron_json policy, void **ret, struct andiron_error *err)
{
    (void)self;
    char *what = andiron_copy(arena, andiron_json_str(andiron_json_get(policy, "do")));
    *ret = what;
    return what[0] != 0 ? 0 : andiron_error_set(err, ANDIRON_E_REQUIRED, "AccessPolicy.do", "is required");
}
static void match(void *call) { andiron_policy_finish(call, ANDIRON_MATCH); }
static void no_match(void *call) { andiron_policy_finish(call, ANDIRON_NO_MATCH); }
static void fault(void *call) { andiron_policy_finish(call, ANDIRON_FAULT); }
static void nonsense(void *call) { andiron_policy_finish(call, (enum andiron_verdict)77); }
static void pending(void *call) { andiron_policy_finish(call, ANDIRON_PENDING); }
static void twice(void *call) { no_match(call); match(call); }
static enum andiron_verdict evaluate(void *self, const void *compiled, struct andiron_policy_call *call)
{
    static const struct { const char *what; void (*later)(void *call); int now; } all[] = {
        { "match", NULL, ANDIRON_MATCH }, { "no-match", NULL, ANDIRON_NO_MATCH }, { "fault", NULL, ANDIRON_FAULT },
        { "nonsense", NULL, 7 }, { "negative", NULL, -1 }, { "never", NULL, ANDIRON_PENDING },
        { "later-match", match, ANDIRON_PENDING }, { "later-no-match", no_match, ANDIRON_PENDING }, { "later-fault", fault, ANDIRON_PENDING },
        { "later-nonsense", nonsense, ANDIRON_PENDING }, { "later-pending", pending, ANDIRON_PENDING }, { "twice", twice, ANDIRON_PENDING },
    };
    (void)self;
    for (size_t i = 0; i < sizeof(all) / sizeof(all[0]); i++) {
        if (!andiron_str_eq(andiron_str_of(compiled), andiron_str_of(all[i].what)))
            continue;
        if (all[i].later != NULL)
            andiron_pool_post(all[i].later, call);
        return (enum andiron_verdict)all[i].now;
    }
    return ANDIRON_FAULT;
}
ANDIRON_POLICY_SERVICE(engine, "odd", .compile = compile, .evaluate = evaluate);
ANDIRON_PLUGIN(.name = "policy-odd", .version = "1", .summary = "does what no engine may do", .provides = engine);
`;

let dir, server;
const begin = async (http = {}) => {
  const at = await configure({ core: { core: { 'module-path': `${dir} ${modules}` }, http } });
  fs.writeFileSync(path.join(at.etc, 'plugins.d/50-policy-odd.conf'), '[plugin policy-odd]\nmodule = policy-odd.so\n');
  const begun = await start({ at });
  await put('Client/reader', { resourceType: 'Client', grant_types: ['basic'], secret: 'the secret of reader' }, begun);
  return begun;
};
before(async () => {
  dir = fs.mkdtempSync(path.join(os.tmpdir(), 'andiron-policy-rules-'));
  fs.writeFileSync(path.join(dir, 'odd.c'), engine);
  execFileSync(process.env.CC ?? 'cc', ['-shared', '-fPIC', '-fvisibility=hidden', `-I${source}/include`, '-o', path.join(dir, 'policy-odd.so'), path.join(dir, 'odd.c')], { stdio: 'pipe' });
  server = await begin();
});
after(async () => { if (server) { await server.stop(); server.remove(); } fs.rmSync(dir, { recursive: true, force: true }); });

const put = async (where, body, on = server) => { const r = await call('PUT', `${on.base}/${where}`, body, on.admin); assert.ok(r.status === 200 || r.status === 201, r.text); };
const remove = async (...ids) => { for (const id of ids) assert.ok((await call('DELETE', `${server.base}/AccessPolicy/${id}`, undefined, server.admin)).status < 300); };
const read = async (on = server) => (await call('GET', `${on.fhir}/Patient`, undefined, { authorization: basic('reader', 'the secret of reader') })).status;
const link = [{ resourceType: 'Client', id: 'reader' }];

test('what an engine answers that is no verdict, or answers once more, never grants', async () => {
  const cases = { match: [200, 403], 'no-match': [403, 200], fault: [403, 403], nonsense: [403, 403], negative: [403, 403], 'later-match': [200, 403], 'later-no-match': [403, 200], 'later-fault': [403, 403], 'later-nonsense': [403, 403], 'later-pending': [403, 403], twice: [403, 200] };
  for (const [what, [alone, denying]] of Object.entries(cases)) {
    await put('AccessPolicy/odd', { engine: 'odd', do: what, link });
    for (let i = 0; i < 3; i += 1) assert.equal(await read(), alone, what);
    await put('AccessPolicy/odd', { engine: 'odd', do: what, link, effect: 'deny' });
    await put('AccessPolicy/all', { engine: 'allow', link });
    for (let i = 0; i < 3; i += 1) assert.equal(await read(), denying, `${what}, effect deny`);
    await remove('all');
  }
  await server.logged(/policy\.error.*AccessPolicy\/odd \(engine odd\) could not tell/);
  await remove('odd');
});

test('an engine that never answers ends with the request, and grants nothing', async () => {
  const own = await begin({ 'request-timeout': '3s' }); // others may take longer on a busy machine
  try {
    await put('AccessPolicy/odd', { engine: 'odd', do: 'never', link }, own);
    assert.equal(await read(own), 504);
  } finally {
    await own.stop();
    own.remove();
  }
});

test('a link names a type and an id: that of a User opens nothing for the Client of that id', async () => {
  for (const resourceType of ['User', 'Operation']) {
    await put('AccessPolicy/linked', { engine: 'allow', link: [{ resourceType, id: 'reader' }] });
    assert.equal(await read(), 403, resourceType);
  }
  await put('AccessPolicy/linked', { engine: 'allow', link });
  assert.equal(await read(), 200);
  await remove('linked');
});

test('a policy of another type, or that is not active, does not count', async () => {
  for (const odd of [{ type: 'rpc' }, { type: 'scope' }, { active: false }, { roleName: 'nurse' }]) {
    await put('AccessPolicy/other', { engine: 'allow', ...odd });
    assert.equal(await read(), 403, JSON.stringify(odd));
  }
  await put('AccessPolicy/other', { engine: 'allow', type: 'rest', active: true });
  assert.equal(await read(), 200);
  await remove('other');
});

test('what would have to change is said as exactly as it is known', async () => {
  const change = async (policies) => {
    for (const [id, policy] of Object.entries(policies)) await put(`AccessPolicy/${id}`, policy);
    const r = await call('POST', `${server.base}/auth/test-policy`, { request: { uri: '/fhir/Patient', 'client-id': 'reader' } }, server.admin);
    await remove(...Object.keys(policies));
    return r.json.change;
  };
  const pattern = { engine: 'matcho', matcho: { client: { details: { ward: 'present?' } } } };
  assert.equal(await change({ one: pattern }), 'AccessPolicy/one, the only policy that applies: client.details must be an object that matches {"ward":"present?"}, but is missing');
  assert.equal(await change({ one: { engine: 'json-schema', schema: { required: ['client', 'user'] } } }), 'AccessPolicy/one, the only policy that applies: the request lacks "user", which is "required"');
  assert.equal(await change({ one: { engine: 'matcho', matcho: { client: { id: { $not: 'reader' } } } } }), 'AccessPolicy/one, the only policy that applies: client.id must not be "reader"');
  assert.equal(await change({ one: pattern, two: pattern }), "one of the policies that apply: each one's reason says what it asks for");
  assert.equal(await change({ a: { engine: 'allow', link: [{ resourceType: 'Client', id: 'other' }] } }), 'no policy applies; AccessPolicy/a would let this through, but it is for Client/other');
  assert.equal(await change({ a: { engine: 'allow', active: false } }), 'no policy applies; AccessPolicy/a would let this through, but it is not active, or not of type rest');
  assert.equal(await change({ a: { engine: 'allow', roleName: 'nurse' } }), 'no policy applies; AccessPolicy/a would let this through, but it is for Users with the role nurse');
});
