// Runs suites and adds up what they report: tests/run.mjs BUILD-DIR [--only PATTERN] [--jobs N] [--store sqlite|postgres] [--again]
//
// With --store postgres the black-box suites run on a private cluster of PostgreSQL, and nothing else does.
//
// Suites are the programs that ctest knows (cmocka counts its own tests, other programs count as one) and every
// tests/test_*.mjs (node:test). Prints a line per suite, the output of those that failed, and at the end which failed and
// "N passed, N failed"; exits non-zero if anything failed or nothing ran.
//
// With --again a suite against a running daemon or database that failed runs once more when the others have ended, alone on the machine. If it passes
// then, it counts as passed and is named at the end as unsteady, with what had failed: a defect to find, in the test or in
// what it tests, but none that stops everybody else.
import { spawn, execFileSync } from 'node:child_process';
import fs from 'node:fs';
import path from 'node:path';
import { startPostgres } from './lib/postgres.mjs';
import { source } from './lib/server.mjs';

const [build, ...rest] = process.argv.slice(2);
const option = (name, fallback) => { const i = rest.indexOf(name); return i < 0 ? fallback : rest[i + 1]; };
const only = new RegExp(option('--only', '.'));
const jobs = Number(option('--jobs', '2'));
const again = rest.includes('--again');
const store = option('--store', 'sqlite');
const limitMs = 600000;
const pg = store === 'postgres' ? await startPostgres({ settings: { max_connections: 300, shared_buffers: '64MB' } }) : undefined;

const ctest = JSON.parse(execFileSync('ctest', ['--test-dir', build, '--show-only=json-v1'], { maxBuffer: 1 << 26 }));
const property = (t, name) => t.properties?.find((p) => p.name === name)?.value;
const suites = ctest.tests.filter((t) => t.command && !pg).map((t) => ({ name: t.name, command: t.command, cwd: property(t, 'WORKING_DIRECTORY') ?? build, skip: property(t, 'SKIP_RETURN_CODE') }));
for (const file of fs.readdirSync(path.join(source, 'tests')).sort())
  if (/^test_.*\.mjs$/.test(file)) suites.push({ name: `tests/${file}`, command: [process.execPath, '--test', '--test-reporter=tap', path.join(source, 'tests', file)], cwd: source });

const env = {
  ...process.env,
  ...(pg ? { ANDIRON_TEST_STORE: 'postgres', ANDIRON_TEST_POSTGRES: pg.dsn() } : {}),
  ANDIRON_BIN: path.resolve(build, 'andiron'), ANDIRON_MODULES: path.resolve(build, 'modules'), ANDIRON_BUILD: path.resolve(build),
  NPM_MODULES: process.env.NPM_MODULES ?? path.join(source, 'tests/node_modules'),
  ASAN_OPTIONS: 'detect_leaks=1:abort_on_error=1:detect_stack_use_after_return=0',
  UBSAN_OPTIONS: 'print_stacktrace=1:halt_on_error=1',
};

const sum = (text, pattern) => [...text.matchAll(pattern)].reduce((n, m) => n + Number(m[1]), 0);
const counts = (output, code, skip) => {
  if (/^\[==========\]/m.test(output)) {
    const counted = { passed: sum(output, /^\[ {2}PASSED {2}\] (\d+) test/gm), failed: sum(output, /^\[ {2}FAILED {2}\] (\d+) test/gm), skipped: sum(output, /^\[ {2}SKIPPED \] (\d+) test/gm) };
    return { ...counted, failed: counted.failed || (code === 0 ? 0 : 1) };
  }
  if (/^TAP version/m.test(output)) {
    const counted = { passed: sum(output, /^# pass (\d+)/gm), failed: sum(output, /^# (?:fail|cancelled) (\d+)/gm), skipped: sum(output, /^# (?:skipped|todo) (\d+)/gm) };
    return { ...counted, failed: counted.failed || (code === 0 ? 0 : 1) };
  }
  if (skip !== undefined && code === skip) return { passed: 0, failed: 0, skipped: 1 };
  return { passed: code === 0 ? 1 : 0, failed: code === 0 ? 0 : 1, skipped: 0 };
};

// Databases that a suite left behind.
const drop = (prefix) => {
  if (!pg) return;
  for (const name of pg.sql(`SELECT datname FROM pg_database WHERE datname LIKE '${prefix}\\_%'`)) if (name) pg.sql(`DROP DATABASE "${name}" WITH (FORCE)`);
};

let number = 0;
const run = (suite) => new Promise((ok) => {
  const prefix = `suite${++number}`;
  const child = spawn(suite.command[0], suite.command.slice(1), { cwd: suite.cwd, env: { ...env, ANDIRON_TEST_SUITE: prefix }, stdio: ['ignore', 'pipe', 'pipe'] });
  let output = '';
  const begun = Date.now();
  const timer = setTimeout(() => { output += `\nended after ${limitMs / 1000} s\n`; child.kill('SIGKILL'); }, limitMs);
  child.stdout.on('data', (d) => { output += d; });
  child.stderr.on('data', (d) => { output += d; });
  child.on('error', (e) => { output += e; });
  child.on('close', (code) => { clearTimeout(timer); drop(prefix); ok({ suite, output, code, seconds: (Date.now() - begun) / 1000, ...counts(output, code, suite.skip) }); });
});

// What failed in a suite, a line each: TAP's and cmocka's; for other programs their last line.
const failures = (r) => {
  const lines = r.output.split('\n');
  const named = lines.flatMap((line, i) => {
    if (/^\[ {2}FAILED {2}\] [^\d]/.test(line)) return [line.replace(/^\[ {2}FAILED {2}\] /, '')];
    if (!/^ *not ok \d+ - /.test(line)) return [];
    const error = lines.slice(i, i + 12).find((l) => /^ *error: /.test(l))?.trim() ?? '';
    return [`${line.trim()}  ${error}`];
  });
  return named.length ? named : [lines.filter((l) => l.trim()).at(-1) ?? `ended with ${r.code}`];
};
const show = (r) => {
  console.log(`${r.failed ? 'FAIL' : 'ok  '} ${r.suite.name}: ${r.passed} passed${r.failed ? `, ${r.failed} failed` : ''}${r.skipped ? `, ${r.skipped} skipped` : ''} (${r.seconds.toFixed(1)} s)`);
  if (r.failed) console.log(r.output.slice(-20000).replace(/^/gm, '     | '));
};

const results = [];
const queue = suites.filter((s) => only.test(s.name));
const worker = async () => {
  for (let suite = queue.shift(); suite; suite = queue.shift()) {
    const r = await run(suite);
    results.push(r);
    show(r);
  }
};
await Promise.all(Array.from({ length: jobs }, worker));

const unsteady = [];
for (const [i, first] of results.entries()) {
  if (!again || !first.failed || !/^(tests\/|store-contract-)/.test(first.suite.name)) continue;
  console.log(`once more, alone: ${first.suite.name}`);
  results[i] = await run(first.suite);
  show(results[i]);
  if (!results[i].failed) unsteady.push(first);
}
await pg?.stop();

const total = (k) => results.reduce((n, r) => n + r[k], 0);
for (const r of unsteady) for (const what of failures(r)) console.log(`unsteady ${r.suite.name}: ${what}`);
for (const r of results.filter((r) => r.failed)) for (const what of failures(r)) console.log(`failed ${r.suite.name}: ${what}`);
console.log(`${total('passed')} passed, ${total('failed')} failed${total('skipped') ? `, ${total('skipped')} skipped` : ''}`);
process.exit(total('failed') || total('passed') === 0 ? 1 : 0);
