// A module author's first hour, with nothing but an installed andiron: a project of their own, its test, a server that asks it.
import test, { before, after } from 'node:test';
import assert from 'node:assert/strict';
import fs from 'node:fs';
import path from 'node:path';
import { basic, call, fresh, source } from './lib/server.mjs';
import { install, serve, sh } from './lib/prefix.mjs';

let home, server;
before(async () => {
  home = install();
  server = await serve(home);
  const clerk = { resourceType: 'Client', id: 'clerk', grant_types: ['basic'], secret: 'the clerk of the day' };
  assert.equal((await call('PUT', `${server.base}/Client/clerk`, clerk, server.admin)).status, 201);
});
after(async () => { await server.stop(); server.remove(); home.remove(); });
const run = (command, cwd = home.work, env = {}) => sh(command, { cwd, env: { ...home.env, ...env } });
const clerk = () => ({ authorization: basic('clerk', 'the clerk of the day') });

test('from a new project to an engine that decides in five commands', async () => {
  const put = `curl -sf -u root:secret -X PUT -H content-type:application/json ${server.base}/AccessPolicy/lunch -d '{"resourceType":"AccessPolicy","engine":"lunch-break","hours":{"from":"00:00","to":"24:00"},"link":[{"reference":"Client/clerk"}]}'`;
  const commands = [
    'andiron new policy-engine lunch-break',
    'make -C policy-lunch-break install',
    'andiron reload',
    put,
    `curl -sf -u 'clerk:the clerk of the day' '${server.fhir}/Patient?_count=1'`,
  ];
  assert.ok(commands.length <= 5);
  assert.equal((await fresh('GET', `${server.fhir}/Patient`, undefined, clerk())).status, 403);
  for (const command of commands) {
    const r = run(command);
    assert.equal(r.status, 0, `${command}\n${r.text}`);
  }
  const never = run(put.replace('24:00', '00:00'));
  assert.equal(never.status, 0, never.text);
  assert.equal((await fresh('GET', `${server.fhir}/Patient`, undefined, clerk())).status, 403);
});

test('the sample has at most sixty lines and its project no name but the new one', () => {
  const lines = fs.readFileSync(path.join(home.templatedir, 'policy-engine/business_hours.c'), 'utf8').split('\n').length - 1;
  assert.ok(lines <= 60, `${lines} lines`);
  const folder = path.join(home.work, 'fresh');
  assert.equal(run(`andiron new policy-engine ward-hours ${folder}`).status, 0);
  assert.deepEqual(fs.readdirSync(folder).sort(), ['50-policy-ward-hours.conf', 'CMakeLists.txt', 'Makefile', 'README.md', 'test.sh', 'test_ward_hours.c', 'ward_hours.c']);
  for (const file of fs.readdirSync(folder)) assert.doesNotMatch(fs.readFileSync(path.join(folder, file), 'utf8'), /business.hours/, file);
});

test('a project is written only where nothing is lost', () => {
  const bad = (args, status, words) => { const r = run(`andiron new ${args}`); assert.equal(r.status, status, r.text); assert.match(r.text, words); };
  bad('policy-engine Ward', 64, /lower-case words/);
  bad('policy-engine "../up"', 64, /lower-case words/);
  bad(`policy-engine ${'a'.repeat(60)}`, 64, /at most 48/);
  bad('policy-engine', 64, /andiron new policy-engine NAME/);
  bad('filter x', 64, /policy-engine/);
  bad('policy-engine x /nowhere/at/all', 73, /cannot make the folder/);
  fs.mkdirSync(path.join(home.work, 'taken'));
  fs.writeFileSync(path.join(home.work, 'taken/Makefile'), 'mine');
  bad('policy-engine x taken', 73, /cannot write taken\/Makefile/);
  assert.equal(fs.readFileSync(path.join(home.work, 'taken/Makefile'), 'utf8'), 'mine');
  assert.deepEqual(JSON.parse(run('andiron new policy-engine policy-y --json').stdout), { engine: 'y', plugin: 'policy-y', folder: 'policy-y' });
});

test('the test kit finds what a server would stumble over', () => {
  const engine = (compile, evaluate) => `#include <stdlib.h>
#include <andiron/policy.h>
static int compile(void *self, struct andiron_arena *arena, andiron_json policy, void **ret, struct andiron_error *err) { (void)self; (void)arena; (void)policy; (void)ret; (void)err; ${compile} return 0; }
static void late(void *arg) { andiron_policy_finish(arg, ANDIRON_MATCH); }
static enum andiron_verdict evaluate(void *self, const void *compiled, struct andiron_policy_call *call) { (void)self; (void)compiled; (void)call; (void)late; ${evaluate} }
ANDIRON_POLICY_SERVICE(engine, "x", .compile = compile, .evaluate = evaluate);
ANDIRON_PLUGIN(.name = "policy-x", .version = "1", .summary = "x", .provides = engine);
`;
  const program = `#undef NDEBUG
#include <assert.h>
#include <andiron-plugin-test.h>
int main(void) {
    struct andiron_test *t = andiron_test_open(&andiron_plugin_v1, NULL);
    assert(andiron_test_policy(t, "{\\"engine\\":\\"y\\"}") != 0);
    assert(andiron_test_policy(t, "{\\"engine\\":\\"x\\"}") == 0);
    assert(andiron_test_ask(t, "{\\"uri\\":\\"/a\\"}") == ANDIRON_MATCH);
    andiron_test_close(t);
    return 0;
}
`;
  const result = (name, compile, evaluate) => {
    const dir = path.join(home.work, name);
    fs.mkdirSync(dir);
    fs.writeFileSync(path.join(dir, 'engine.c'), engine(compile, evaluate));
    fs.writeFileSync(path.join(dir, 'test.c'), program);
    return run('cc -g -Wall -Wextra -fsanitize=address,undefined $(pkg-config --cflags andiron-test) -o t test.c engine.c $(pkg-config --libs andiron-test) && ./t', dir);
  };
  const good = result('good', '', 'return andiron_str_eq(andiron_json_str(andiron_policy_input(call, "uri")), ANDIRON_STR("/a")) ? ANDIRON_MATCH : ANDIRON_NO_MATCH;');
  assert.equal(good.status, 0, good.text);
  const pending = result('pending', '', 'andiron_pool_post(late, call); return ANDIRON_PENDING;');
  assert.equal(pending.status, 0, pending.text);
  assert.match(result('leak', '*ret = malloc(10);', 'return ANDIRON_MATCH;').text, /LeakSanitizer/);
  assert.match(result('overrun', 'char *p = andiron_alloc(arena, 4); volatile int n = 4; p[n] = 1;', 'return ANDIRON_MATCH;').text, /heap-buffer-overflow/);
  assert.match(result('wrong', '', 'return ANDIRON_NO_MATCH;').text, /Assertion/);
});

test('docs/write-a-policy-engine.md does what it says, block by block', () => {
  const text = fs.readFileSync(path.join(source, 'docs/write-a-policy-engine.md'), 'utf8');
  const blocks = [...text.matchAll(/^```sh\n(.*?)^```$/gms)].map((m) => m[1]);
  assert.ok(blocks.length >= 6);
  const cwd = path.join(home.work, 'tutorial');
  fs.mkdirSync(cwd);
  // One shell for all of them, as a reader has; each block is announced, so that a failure names its own.
  const script = blocks.map((block, i) => `echo '== block ${i + 1}'\n${block}`).join('\n');
  const r = run(script, cwd, { BASE: server.base });
  assert.equal(r.status, 0, r.text.slice(-4000));
  assert.match(r.text, /ok {4}policy: match\n[^]*0 failed, 0 warnings/);
  assert.match(r.stdout, /"type":"searchset"[^]*$/);
});

test('the plugin of docs/plugin-guide.md builds as it says there, and answers', async () => {
  const text = fs.readFileSync(path.join(source, 'docs/plugin-guide.md'), 'utf8');
  const cwd = path.join(home.work, 'guide');
  fs.mkdirSync(cwd);
  fs.writeFileSync(path.join(cwd, 'mine.c'), text.match(/^```c\n(.*?)^```$/ms)[1]);
  const build = text.match(/`(cc -shared [^`]*)`/)[1];
  const r = run(`${build.replace('cc ', 'cc -std=c11 -Wall -Wextra -Werror ')} && andiron -o mine.greeting=hi test-plugin ./mine.so && cp mine.so ${home.moduledir}`, cwd);
  assert.equal(r.status, 0, r.text);
  assert.match(r.stdout, /0 failed, 0 warnings/);
  fs.writeFileSync(path.join(home.confdir, 'plugins.d/50-mine.conf'), '[plugin mine]\nmodule = mine.so\n');
  assert.equal(run('andiron check-config && andiron reload').status, 0);
  const greeting = await fresh('GET', `${server.base}/greeting`, undefined, server.admin);
  assert.equal(greeting.text, 'hello');
});

test('the reference manual has every public function with its words', () => {
  const folder = path.join(process.env.ANDIRON_BUILD, 'reference');
  const index = fs.readFileSync(path.join(folder, 'index.md'), 'utf8');
  const functions = run(`${source}/tests/abi/interface ${source} functions`).stdout.trim().split('\n');
  assert.ok(functions.length > 100);
  for (const name of functions) assert.ok(index.includes(`\`${name}()\``), name);
  const policy = fs.readFileSync(path.join(folder, 'policy.md'), 'utf8');
  assert.match(policy, /## struct andiron_policy_engine\n[^]*Cheaper engines are asked first/);
  assert.match(policy, /A value of the request object by dotted path[^]*```c\nANDIRON_API andiron_json andiron_policy_input/);
});
