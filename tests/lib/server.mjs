// Starts real andiron daemons for the black-box tests: each in a folder of its own, on free ports of 127.0.0.1.
//
// ANDIRON_BIN and ANDIRON_MODULES name the program and the folder of modules under test; the plugins' configuration
// is taken from the source tree (plugins/*/NN-name.conf), as it is installed. ANDIRON_TEST_STORE=postgres gives each daemon
// a database of its own in the cluster of ANDIRON_TEST_POSTGRES (tests/run.mjs --store postgres starts one).
import { execFileSync, spawn } from 'node:child_process';
import fs from 'node:fs';
import http from 'node:http';
import net from 'node:net';
import os from 'node:os';
import path from 'node:path';

export const source = path.resolve(import.meta.dirname ?? path.dirname(new URL(import.meta.url).pathname), '../..');
export const bin = process.env.ANDIRON_BIN ?? path.join(source, 'build/andiron');
export const modules = process.env.ANDIRON_MODULES ?? path.join(path.dirname(bin), 'modules');
// Whether it was built with AddressSanitizer: then times and memory are not to be compared. (`andiron test-plugin` names
// __asan_init itself.)
export const sanitized = fs.existsSync(bin) && fs.readFileSync(bin).includes('__asan_report_load');

// The store under test: "sqlite" or "postgres".
export const store = process.env.ANDIRON_TEST_STORE ?? 'sqlite';
// For test(name, { skip: notOn('postgres', why) }, ..): a reason, or false.
export const notOn = (other, why) => (store === other ? `not on ${other}: ${why}` : false);

const sleep = (ms) => new Promise((ok) => setTimeout(ok, ms));

// A port that was free a moment ago, of those that the system never picks by itself for other sockets.
export const freePort = async () => {
  for (;;) {
    const port = 10000 + Math.floor(Math.random() * 22000), probe = net.createServer();
    const free = await new Promise((ok) => { probe.on('error', () => ok(false)); probe.listen(port, '127.0.0.1', () => probe.close(() => ok(true))); });
    if (free) return port;
  }
};

// Client root with secret "secret" and a policy that lets it do everything.
export const rootBundle = () => ({
  resourceType: 'Bundle', type: 'transaction', entry: [
    { resource: { resourceType: 'Client', id: 'root', secret: 'secret', grant_types: ['basic'] }, request: { method: 'PUT', url: 'Client/root' } },
    { resource: { resourceType: 'AccessPolicy', id: 'root', engine: 'allow', link: [{ resourceType: 'Client', id: 'root' }] }, request: { method: 'PUT', url: 'AccessPolicy/root' } },
  ],
});

// Secrets that tests have used: no log may show them, and no answer those that are not tokens. Words that are too short
// to be found by no accident are left out.
const planted = { secrets: new Set(), tokens: new Set() };
export const plant = (text, kind = 'secrets') => { if (typeof text === 'string' && text.length >= 16) planted[kind].add(text); return text; };
const shownIn = (text, kinds) => {
  for (const kind of kinds) for (const secret of planted[kind]) if (text.includes(secret)) return `${kind}: ${secret.slice(0, 8)}...`;
  return undefined;
};
export const noSecretsIn = (text, where, kinds = ['secrets', 'tokens']) => {
  const shown = shownIn(text, kinds);
  if (shown) throw new Error(`${where} shows one of the ${shown}`);
};

export const basic = (id, secret) => {
  const text = Buffer.from(`${id}:${plant(secret)}`).toString('base64');
  return 'Basic ' + plant(text);
};

// Packaged configuration of every plugin in the tree (but store-postgres and audit, unless they are asked for): { 'auth': ['20-auth.conf', text], ... }
const packagedPlugins = (chosen) => {
  const found = {};
  for (const folder of fs.readdirSync(path.join(source, 'plugins'))) {
    const dir = path.join(source, 'plugins', folder);
    if (folder === 'common' || (['store-postgres', 'audit'].includes(folder) && !chosen[folder]) || !fs.statSync(dir).isDirectory()) continue;
    for (const file of fs.readdirSync(dir)) if (/^\d\d-.*\.conf$/.test(file)) found[folder] = [file, fs.readFileSync(path.join(dir, file), 'utf8')];
  }
  return found;
};

const section = (name, values) => `[${name}]\n` + Object.entries(values).map(([k, v]) => `${k} = ${v}\n`).join('');

// The words of a connection string of libpq: { host, port, dbname, user }.
const words = (dsn) => Object.fromEntries(dsn.split(' ').map((w) => w.split('=')));
const postgres = (program, ...args) => {
  const { host, port, user } = words(process.env.ANDIRON_TEST_POSTGRES);
  return execFileSync(program, ['-h', host, '-p', port, '-U', user, ...args], { encoding: 'utf8', stdio: ['ignore', 'pipe', 'pipe'] });
};

// The database of the daemon in that folder, made when it is first asked for. Names begin with that of the suite, so that
// tests/run.mjs can drop them.
const databaseOf = (dir) => {
  const file = path.join(dir, 'database');
  if (!fs.existsSync(file)) {
    const name = `${process.env.ANDIRON_TEST_SUITE ?? 't'}_${process.pid}_${Date.now().toString(36)}_${Math.floor(Math.random() * 1e6)}`;
    postgres('createdb', name);
    fs.writeFileSync(file, name);
  }
  const { host, port, user } = words(process.env.ANDIRON_TEST_POSTGRES);
  return `host=${host} port=${port} dbname=${fs.readFileSync(file, 'utf8')} user=${user}`;
};

// First columns of the first rows of queries on the tables of a daemon's store; both stores have the same ones.
const sqlite = "import json,sqlite3,sys\ndb=sqlite3.connect(sys.argv[1],timeout=30)\nprint(json.dumps([(db.execute(q).fetchone() or [None])[0] for q in sys.argv[2:]]))\ndb.commit()";
export const stored = (server, ...sql) => {
  if (store !== 'postgres') return JSON.parse(execFileSync('python3', ['-c', sqlite, path.join(server.dir, 'state/andiron.db'), ...sql], { encoding: 'utf8' }));
  const database = ['-d', words(databaseOf(server.dir)).dbname, '-X', '-q', '-A', '-t', '-v', 'ON_ERROR_STOP=1', '-c', 'SET search_path=andiron'];
  return sql.map((q) => postgres('psql', ...database, '-c', q).split('\n')[0]).map((v) => (/^-?\d+$/.test(v) ? Number(v) : v));
};

// Directives that mean the same in both stores.
const common = ['scan-budget', 'scan-time', 'short-list', 'max-includes', 'group-commit-max', 'queue-max', 'poll-interval', 'slow'];

// Not every build of it has SQL for policies.
const withoutSql = () => (fs.readFileSync(path.join(modules, 'store-postgres.so')).includes('sql/1') ? {} : { 'policy-sql': false });

// The plugins of a configuration with the store under test in place of store-sqlite.
const withStore = (chosen, dir) => {
  if (store !== 'postgres' || chosen['store-sqlite'] === false) return chosen;
  const { 'store-sqlite': values = {}, ...others } = chosen;
  return { 'store-postgres': { dsn: databaseOf(dir), 'connect-wait': '20s', ...Object.fromEntries(Object.entries(values).filter(([k]) => common.includes(k))) }, ...others };
};

// Plugins for a second daemon on the store of another.
export const storeOf = (one) => (store === 'postgres' ? { ...withoutSql(), 'store-postgres': { dsn: databaseOf(one.dir) } } : { 'store-sqlite': { path: path.join(one.dir, 'state/andiron.db') } });

// Writes a configuration folder. options:
//   dir       where (default: a new temporary folder)
//   core      { section: { name: value } } added to andiron.conf
//   plugins   { name: { directive: value } } added to that plugin's section; false leaves the plugin out; default: all of the tree;
//             "store-postgres" with its dsn takes the place of store-sqlite; "audit" is on only if it stands here
//   init      the init bundle as an object; false: none
//   quick     ends without waiting for idle connections (drain-grace)
export const configure = async (options = {}) => {
  const dir = options.dir ?? fs.mkdtempSync(path.join(os.tmpdir(), 'andiron-'));
  const [port, adminPort] = [options.port ?? await freePort(), options.adminPort ?? await freePort()];
  const base = `http://127.0.0.1:${port}`;
  const etc = path.join(dir, 'etc');
  fs.mkdirSync(path.join(etc, 'plugins.d'), { recursive: true });
  const core = {
    core: { 'state-dir': options.state ?? path.join(dir, 'state'), 'cache-dir': path.join(dir, 'cache'), 'module-path': modules },
    http: { listen: `127.0.0.1:${port}`, 'base-url': base },
    admin: { listen: `127.0.0.1:${adminPort}`, 'control-socket': path.join(dir, 'control.sock') },
    log: { target: `file:${path.join(dir, 'andiron.log')}`, format: 'json' },
  };
  if (options.init !== false) {
    fs.writeFileSync(path.join(etc, 'init.json'), JSON.stringify(options.init ?? rootBundle()));
    core.init = { bundle: path.join(etc, 'init.json') };
  }
  if (options.quick) core.http['drain-grace'] = '10ms';
  for (const [name, values] of Object.entries(options.core ?? {})) core[name] = { ...core[name], ...values };
  fs.writeFileSync(path.join(etc, 'andiron.conf'), Object.entries(core).map(([n, v]) => section(n, v)).join(''));
  // Who shares another's state shares its store.
  const chosen = withStore(options.plugins ?? {}, options.state ? path.dirname(options.state) : dir);
  for (const [name, [file, text]] of Object.entries(packagedPlugins(chosen))) {
    const values = chosen[name] ?? {};
    if (values === false || (name === 'store-sqlite' && chosen['store-postgres'])) continue;
    fs.writeFileSync(path.join(etc, 'plugins.d', file), text + Object.entries(values).map(([k, v]) => `${k} = ${v}\n`).join(''));
  }
  return { dir, etc, port, adminPort, base, fhir: base + '/fhir', adminBase: `http://127.0.0.1:${adminPort}`, control: path.join(dir, 'control.sock') };
};

// A request by any method; json is the parsed body or undefined. headers override the defaults.
export const call = async (method, url, body, headers = {}) => {
  const response = await fetch(url, {
    method, redirect: 'manual',
    headers: { accept: 'application/json', ...(body !== undefined ? { 'content-type': 'application/json' } : {}), ...headers },
    body: body === undefined ? undefined : typeof body === 'string' || body instanceof Uint8Array ? body : JSON.stringify(body),
  });
  const text = await response.text();
  let json;
  try { json = JSON.parse(text); } catch { /* not JSON */ }
  plant(json?.access_token?.slice?.(-40), 'tokens'); // the signature, or all of an opaque one
  noSecretsIn(text, `${method} ${url}: the answer`, ['secrets']);
  return { status: response.status, headers: response.headers, text, json };
};

// The same over a connection of its own: kept-alive ones belong to the worker that accepted them, which may be draining.
export const fresh = (method, url, body, headers = {}) => new Promise((ok, no) => {
  const text = body === undefined || typeof body === 'string' ? body : JSON.stringify(body);
  const req = http.request(url, { method, agent: false, headers: { accept: 'application/json', ...(text !== undefined ? { 'content-type': 'application/json', 'content-length': Buffer.byteLength(text) } : {}), ...headers } }, (res) => {
    let got = '';
    res.on('data', (d) => { got += d; });
    res.on('end', () => {
      let json;
      try { json = JSON.parse(got); } catch { /* not JSON */ }
      ok({ status: res.statusCode, headers: new Headers(Object.entries(res.headers).map(([k, v]) => [k, String(v)])), text: got, json });
    });
  });
  req.on('error', no);
  req.end(text);
});

// Bytes straight to a socket, all bytes that come back until the peer closes or `ms` pass without any.
export const raw = (port, bytes, { ms = 1500, half = false } = {}) => new Promise((ok) => {
  let got = Buffer.alloc(0);
  const socket = net.connect(port, '127.0.0.1', () => { socket.write(bytes); if (half) socket.end(); });
  socket.setTimeout(ms, () => socket.destroy());
  socket.on('data', (d) => { got = Buffer.concat([got, d]); });
  socket.on('error', () => {});
  socket.on('close', () => ok(got.toString('latin1')));
});

// A request over the control socket.
export const control = (server, method, target) => new Promise((ok, no) => {
  const req = http.request({ socketPath: server.control, method, path: target }, (res) => {
    let text = '';
    res.on('data', (d) => { text += d; });
    res.on('end', () => ok({ status: res.statusCode, text }));
  });
  req.on('error', no);
  req.end();
});

// Every index term stored is what the resources say (andiron check).
export const indexAgrees = async (server) => {
  const answer = await control(server, 'POST', '/control/check'), found = JSON.parse(answer.text);
  if (answer.status !== 200 || found.differing !== 0) throw new Error(`the index differs: ${answer.status} ${answer.text.slice(0, 2000)}`);
  return found.checked;
};

// Starts a daemon with configure()'s options, or over a folder that configure() made (options.at).
// Resolves when it answers; rejects with its output if it ends first.
export const start = async (options = {}) => {
  const at = options.at ?? await configure(options);
  const child = spawn(options.bin ?? bin, ['-c', at.etc, ...(options.args ?? [])], { stdio: ['ignore', 'pipe', 'pipe'], env: { ...process.env, ...options.env } });
  let output = '', ended;
  child.stdout.on('data', (d) => { output += d; });
  child.stderr.on('data', (d) => { output += d; });
  const exit = new Promise((ok) => child.on('exit', (code, signal) => { ended = { code, signal }; ok(ended); }));
  const server = {
    ...at, child, exit,
    output: () => output,
    log: () => (fs.existsSync(path.join(at.dir, 'andiron.log')) ? fs.readFileSync(path.join(at.dir, 'andiron.log'), 'utf8') : ''),
    // Lines are written in batches, after the answers: waits until the log matches, and returns the match.
    logged: async (pattern) => {
      for (const end = Date.now() + 10000; ; await sleep(10)) {
        const found = server.log().match(pattern);
        if (found) return found;
        if (ended || Date.now() > end) throw new Error(`the log has no ${pattern}:\n${server.log()}`);
      }
    },
    admin: { authorization: basic('root', 'secret') },
    // Ends it as an operator would; resolves with its exit status.
    stop: async () => {
      if (!ended) child.kill('SIGTERM');
      const timer = setTimeout(() => child.kill('SIGKILL'), 20000), e = await exit;
      clearTimeout(timer);
      noSecretsIn(output + server.log(), 'the log');
      return e;
    },
    kill: async () => { if (!ended) child.kill('SIGKILL'); return exit; },
    remove: () => fs.rmSync(at.dir, { recursive: true, force: true }),
  };
  const deadline = Date.now() + (options.wait ?? 30000);
  while (!ended && Date.now() < deadline) {
    try { if ((await fresh('GET', at.base + '/health/live')).status === 200) return server; } catch { /* not yet */ }
    await sleep(10);
  }
  if (!ended) await server.kill();
  const error = new Error(`andiron did not start: ${JSON.stringify(await exit)}\n${output}\n${server.log()}`);
  error.exit = await exit;
  error.output = output;
  throw error;
};

export { sleep };
