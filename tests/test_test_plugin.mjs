// andiron test-plugin: modules that are wrong in one way each, and the sentence that says so.
import test, { before, after } from 'node:test';
import assert from 'node:assert/strict';
import { spawnSync, execFileSync } from 'node:child_process';
import fs from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { bin, modules, source } from './lib/server.mjs';

let dir;
before(() => { dir = fs.mkdtempSync(path.join(os.tmpdir(), 'andiron-test-plugin-test-')); });
after(() => fs.rmSync(dir, { recursive: true, force: true }));

const build = (text, { name = 'policy-x', flags = ['-fvisibility=hidden'] } = {}) => {
  fs.writeFileSync(path.join(dir, `${name}.c`), text);
  execFileSync(process.env.CC ?? 'cc', ['-shared', '-fPIC', ...flags, `-I${source}/include`, '-o', path.join(dir, `${name}.so`), path.join(dir, `${name}.c`)], { stdio: 'pipe' });
  return path.join(dir, `${name}.so`);
};
// An engine "x" whose policies have an element "word".
const engine = ({ compile = 'return 0;', evaluate = 'return ANDIRON_MATCH;', before = '', table = '' } = {}) => `#include <stdlib.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>
#include <andiron/policy.h>
${before}
static int compile(void *self, struct andiron_arena *arena, andiron_json policy, void **ret, struct andiron_error *err) { (void)self; (void)arena; (void)ret; (void)err;
  andiron_str word = andiron_json_str(andiron_json_get(policy, "word")); (void)word; ${compile} }
static enum andiron_verdict evaluate(void *self, const void *compiled, struct andiron_policy_call *call) { (void)self; (void)compiled; (void)call; ${evaluate} }
ANDIRON_POLICY_SERVICE(engine, "x", .compile = compile, .evaluate = evaluate);
ANDIRON_PLUGIN(.name = "policy-x", .version = "1", .summary = "x", .provides = engine, ${table});
`;
const policy = '{"engine":"x","word":"hello"}';
const run = (so, args = ['--policy', policy], before = []) => {
  const r = spawnSync(bin, [...before, 'test-plugin', so, ...args], { encoding: 'utf8', timeout: 120000, env: { ...process.env, ASAN_OPTIONS: 'detect_leaks=0' } });
  return { status: r.status, text: r.stdout, all: r.stdout + r.stderr };
};
const required = 'if (word.data == NULL) return andiron_error_set(err, ANDIRON_E_UNPROCESSABLE, "AccessPolicy.word", "is required"); return 0;';

test('nothing is found in a good engine', () => {
  const r = run(build(engine({ compile: required })));
  assert.equal(r.status, 0, r.all);
  assert.match(r.text, /ok {4}policy: match\n/);
  assert.match(r.text, /0 failed, 0 warnings\n$/);
  const json = JSON.parse(run(path.join(dir, 'policy-x.so'), ['--policy', policy, '--json']).text);
  assert.equal(json.passed, true);
  assert.ok(json.findings.length >= 8 && json.findings.every((f) => f.level === 'ok' && f.text && f.check));
});

const cases = [
  ['a leak in compile()', { compile: '*ret = malloc(100); return 0;' }, 1, /FAIL {2}leaks: .*loses about 1\d\d bytes with every policy/],
  ['a leak in evaluate()', { evaluate: 'static void *volatile kept; kept = malloc(64); return ANDIRON_MATCH;' }, 1, /FAIL {2}leaks: .* bytes with every request/],
  ['a file left open', { evaluate: 'int fd = dup(2); return fd >= 0 ? ANDIRON_MATCH : ANDIRON_FAULT;' }, 1, /FAIL {2}leaks: .*file descriptor open with every request/],
  ['a crash for an element of another type', { compile: 'return word.data[0] == 0;' }, 1, /FAIL {2}compile errors: (crash|the process ended).*while engine "x" compiles \{/],
  ['a rejection without a reason', { compile: 'return word.len > 0 ? 0 : -1;' }, 1, /FAIL {2}compile errors: compile\(\) rejects .* without a reason/],
  ['a rejection without a place', { compile: 'return word.len > 0 ? 0 : andiron_error_set(err, ANDIRON_E_VALUE, "", "no");' }, 0, /warn {2}compile errors: .* without saying where: "no"/],
  ['a policy that is not accepted', { compile: 'return andiron_error_set(err, ANDIRON_E_VALUE, "AccessPolicy.word", "is never right");' }, 1, /FAIL {2}policy: it is rejected: AccessPolicy\.word: is never right/],
  ['no reason for a no', { evaluate: 'return ANDIRON_NO_MATCH;' }, 0, /warn {2}policy: no match, without a reason/],
  ['a verdict that is none', { evaluate: 'return (enum andiron_verdict)7;' }, 1, /FAIL {2}verdicts: evaluate\(\) gives 7/],
  ['a slow answer', { evaluate: 'usleep(5000); return ANDIRON_MATCH;' }, 1, /FAIL {2}deadlines: .*takes \d{4,} us for a request, and may take 1000/],
  ['an answer that never comes', { evaluate: 'return ANDIRON_PENDING;' }, 1, /FAIL {2}deadlines: .*no verdict within 5 s/],
  ['an answer given twice', { before: 'static void two(void *c) { andiron_policy_finish(c, ANDIRON_NO_MATCH); andiron_policy_finish(c, ANDIRON_MATCH); }', evaluate: 'andiron_pool_post(two, call); return ANDIRON_PENDING;' }, 1, /FAIL {2}verdicts: .*answers a request more than once/],
  ['an answer beside a verdict', { before: 'static void one(void *c) { andiron_policy_finish(c, ANDIRON_MATCH); }', evaluate: 'andiron_pool_post(one, call); return ANDIRON_NO_MATCH;' }, 1, /FAIL {2}verdicts: .*answers a request more than once/],
  ['a crash for a request', { evaluate: 'return *(volatile int *)0 != 0 ? ANDIRON_MATCH : ANDIRON_NO_MATCH;' }, 1, /FAIL {2}policy: (crash|the process ended).*while engine "x" judges \{/],
  ['the end of the process', { evaluate: '_exit(3);' }, 1, /FAIL {2}.*ended with status 3/],
  ['a constructor', { before: '__attribute__((constructor)) static void early(void) { (void)getpid(); }' }, 0, /warn {2}file: it runs code when it is loaded/],
  ['a service without its size', { before: 'static const struct { void *a; } odd = { NULL };', table: '.provides = (const struct andiron_service[]){ { "health/1:x", &odd }, { NULL, NULL } }' }, 1, /FAIL {2}services: the table of health\/1:x does not begin with its size/],
  ['an init() that fails', { before: 'static int init(struct andiron_host *h, const void *c, void **s, struct andiron_error *e) { (void)h; (void)c; (void)s; return andiron_error_set(e, ANDIRON_E_INTERNAL, "", "no luck"); }', table: '.init = init' }, 1, /FAIL {2}init: init\(\) fails: no luck/],
];
for (const [name, parts, status, words] of cases)
  test(`finds ${name}`, () => {
    const r = run(build(engine(parts)));
    assert.match(r.text, words, r.all);
    assert.equal(r.status, status, r.all);
  });

test('finds more exports than the table, and a file of another name', () => {
  assert.match(run(build(engine({ before: 'int helper(void); int helper(void) { return 1; }' }), { flags: [] })).text, /warn {2}symbols: it exports helper beside its table/);
  assert.match(run(build(engine(), { name: 'other' })).text, /warn {2}table: the plugin is named "policy-x", so the file should be policy-x\.so, not other\.so/);
});

test('directives get their defaults or what -o says', () => {
  const before = 'struct config { int64_t most; }; static const struct andiron_directive directives[] = { { .name = "most", .type = ANDIRON_INT, .offset = 0, .help = "how many" }, { .name = NULL } };';
  const so = build(engine({ before, evaluate: 'return ((const struct config *)self)->most == 5 ? ANDIRON_MATCH : andiron_policy_no_match(call, "most is not 5");', table: '.directives = directives, .config_size = sizeof(struct config)' }));
  const without = run(so);
  assert.equal(without.status, 1, without.all);
  assert.match(without.text, /FAIL {2}directives: policy-x\.most: .*-o/, without.all);
  assert.match(without.text, /warn {2}directives: "most" has no limits/);
  assert.match(run(so, ['--policy', policy], ['-o', 'policy-x.most=5']).text, /ok {4}policy: match/);
  assert.match(run(so, ['--policy', policy], ['-o', 'policy-x.most=6']).text, /ok {4}policy: no match: most is not 5/);
  // explain-policy judges by the same module with the same configuration.
  const explain = (...before) => { const r = spawnSync(bin, [...before, 'explain-policy', '--module', so, '--policy', policy, '--request', '{}'], { encoding: 'utf8' }); return { status: r.status, text: r.stdout + r.stderr }; };
  assert.deepEqual(explain('-o', 'policy-x.most=5'), { status: 0, text: 'match\n' });
  assert.deepEqual(explain('-o', 'policy-x.most=6'), { status: 1, text: 'no match: most is not 5\n' });
  const lacking = explain();
  assert.equal(lacking.status, 78, lacking.text);
  assert.match(lacking.text, /policy-x\.most: [^]*hint: give it as -o/);
});

test('explain-policy runs the init() of a module, and says what a module cannot have there', () => {
  const before = 'static int init(struct andiron_host *h, const void *c, void **s, struct andiron_error *e) { (void)c; (void)e; *s = andiron_copy(andiron_host_arena(h), andiron_str_of("made")); return 0; }';
  const evaluate = 'return andiron_str_eq(andiron_str_of(self), ANDIRON_STR("made")) ? ANDIRON_MATCH : ANDIRON_NO_MATCH;';
  const explain = (so) => { const r = spawnSync(bin, ['explain-policy', '--module', so, '--policy', policy, '--request', '{}'], { encoding: 'utf8' }); return { status: r.status, text: r.stdout + r.stderr }; };
  assert.deepEqual(explain(build(engine({ before, evaluate, table: '.init = init' }))), { status: 0, text: 'match\n' });
  const needy = explain(build(engine({ before: `${before} static const char *const needs[] = { "store/1", NULL };`, evaluate, table: '.init = init, .needs = needs' })));
  assert.equal(needy.status, 78, needy.text);
  assert.match(needy.text, /policy-x needs other plugins to run\nhint: enable it and leave out --module/);
});

test('says of what it was given what is wrong with it', () => {
  const so = build(engine());
  assert.equal(run(path.join(dir, 'none.so')).status, 78);
  assert.equal(run(path.join(dir, 'policy-x.c')).status, 78);
  assert.equal(run(so, ['--policy', '{']).status, 65);
  assert.equal(run(so, ['--policy', path.join(dir, 'none.json')]).status, 66);
  assert.equal(run(so, ['--what']).status, 64);
  fs.writeFileSync(path.join(dir, 'policy.json'), policy);
  fs.writeFileSync(path.join(dir, 'request.json'), '{"uri":"/a"}');
  assert.match(run(so, ['--policy', `@${dir}/policy.json`, '--request', path.join(dir, 'request.json')]).text, /ok {4}policy: match/);
});

test('finds nothing in the engines of the tree', () => {
  const given = { 'policy-allow': '{"engine":"allow"}', 'policy-matcho': '{"engine":"matcho","matcho":{"uri":"#/fhir/.*","params":{"a":"present?"}}}', 'policy-json-schema': '{"engine":"json-schema","schema":{"properties":{"uri":{"type":"string","pattern":"^/fhir"}}}}' };
  for (const [name, text] of Object.entries(given)) {
    const r = run(path.join(modules, `${name}.so`), ['--policy', text]);
    assert.equal(r.status, 0, `${name}: ${r.all}`);
    assert.match(r.text, /0 failed, 0 warnings/, `${name}: ${r.all}`);
  }
});
