// Private PostgreSQL clusters for tests: each in a temporary folder of its own, on a free port of 127.0.0.1 and a socket
// in that folder, run as the user `postgres` where tests run as root. The cluster is stopped and its folder removed at the
// end, also when the test dies: a keeper process waits for that.
//
//   const pg = await startPostgres();                 a cluster
//   const dsn = await pg.database();                  a new, empty database in it
//   await pg.stop();
//
//   node tests/lib/postgres.mjs run COMMAND...         runs a program with ANDIRON_TEST_POSTGRES = a connection string
import { execFileSync, spawn, spawnSync } from 'node:child_process';
import fs from 'node:fs';
import net from 'node:net';
import os from 'node:os';
import path from 'node:path';
import { fileURLToPath } from 'node:url';

const self = fileURLToPath(import.meta.url);
const sleep = (ms) => new Promise((ok) => setTimeout(ok, ms));

// Folder of the server's programs: the newest release that is there.
const programs = () => {
  const found = fs.existsSync('/usr/lib/postgresql') ? fs.readdirSync('/usr/lib/postgresql').map(Number).filter(Boolean).sort((a, b) => b - a) : [];
  for (const release of found) if (fs.existsSync(`/usr/lib/postgresql/${release}/bin/postgres`)) return `/usr/lib/postgresql/${release}/bin`;
  throw new Error('no PostgreSQL server is installed (tools/packages names it)');
};

// It refuses to run as root.
const user = () => {
  if (process.getuid() !== 0) return {};
  const id = (flag) => Number(execFileSync('id', [flag, 'postgres'], { encoding: 'utf8' }));
  return { uid: id('-u'), gid: id('-g') };
};

const freePort = async () => {
  for (;;) {
    const port = 10000 + Math.floor(Math.random() * 22000), probe = net.createServer();
    const free = await new Promise((ok) => { probe.on('error', () => ok(false)); probe.listen(port, '127.0.0.1', () => probe.close(() => ok(true))); });
    if (free) return port;
  }
};

// Runs a program of the server to its end.
const run = (name, args, options = {}) => {
  const r = spawnSync(path.join(programs(), name), args, { ...user(), encoding: 'utf8', cwd: '/', env: { ...process.env, LC_ALL: 'C.UTF-8' }, ...options });
  if (r.status !== 0) throw new Error(`${name} ${args.join(' ')} failed: ${r.error ?? ''} ${r.stdout}${r.stderr}`);
  return r.stdout;
};

// Settings for tests: small, and by default without waiting for a disk.
const settings = (port, dir, options) => ({
  port, listen_addresses: '127.0.0.1', unix_socket_directories: dir, max_connections: 60, shared_buffers: '32MB', fsync: options.fsync ? 'on' : 'off',
  synchronous_commit: options.fsync ? 'on' : 'off', full_page_writes: options.fsync ? 'on' : 'off', autovacuum_naptime: '20s', log_min_messages: 'warning',
  wal_level: 'replica', max_wal_senders: 4, wal_keep_size: '64MB', max_wal_size: '256MB', min_wal_size: '32MB', ...options.settings,
});

const alive = (pid) => { try { process.kill(pid, 0); return true; } catch { return false; } };

// The postmaster's pid, as the server wrote it into its folder; undefined if it does not run.
const postmaster = (data) => {
  try {
    const pid = Number(fs.readFileSync(path.join(data, 'postmaster.pid'), 'utf8').split('\n')[0]);
    return pid > 1 && alive(pid) ? pid : undefined;
  } catch { return undefined; }
};

// The processes of a cluster: the postmaster and its children.
const processes = (data) => {
  const first = postmaster(data);
  if (!first) return [];
  // The parent is the second field behind the name, which may hold anything.
  const parent = (pid) => { try { return Number(fs.readFileSync(`/proc/${pid}/stat`, 'utf8').replace(/^.*\) /s, '').split(' ')[1]); } catch { return 0; } };
  return [first, ...fs.readdirSync('/proc').map(Number).filter((pid) => pid && parent(pid) === first)];
};

const signal = (pids, name) => { for (const pid of pids) try { process.kill(pid, name); } catch { /* gone */ } };

const halt = async (data, name) => {
  const pid = postmaster(data);
  if (!pid) return;
  signal(processes(data), 'SIGCONT');
  signal([pid], name);
  for (const end = Date.now() + 10000; alive(pid) && Date.now() < end;) await sleep(20);
  if (alive(pid)) signal(processes(data), 'SIGKILL');
};

// A cluster. options:
//   fsync      true: durable, and slower
//   settings   { name: value } beside ours
//   dir        an existing folder to be the cluster's parent (a tmpfs); it is emptied, not removed
//   standbyOf  another cluster: this one is its streaming standby
export const startPostgres = async (options = {}) => {
  const dir = options.dir ?? fs.mkdtempSync(path.join(os.tmpdir(), 'andiron-pg-'));
  const as = user(), data = path.join(dir, 'data'), port = await freePort();
  if (as.uid !== undefined) fs.chownSync(dir, as.uid, as.gid);
  fs.chmodSync(dir, 0o755);
  const keeper = spawn(process.execPath, [self, 'keep', dir, options.dir ? 'leave' : 'remove'], { stdio: ['pipe', 'ignore', 'inherit'], detached: true });
  keeper.unref();
  keeper.stdin.on('error', () => {});
  const values = settings(port, dir, options);
  const write = (more) => fs.writeFileSync(path.join(data, 'postgresql.auto.conf'), Object.entries({ ...values, ...more }).map(([k, v]) => `${k} = '${v}'\n`).join(''));
  if (options.standbyOf) {
    run('pg_basebackup', ['-D', data, '-h', options.standbyOf.dir, '-p', String(options.standbyOf.port), '-U', 'postgres', '-c', 'fast', '-X', 'stream', '--no-sync']);
    fs.writeFileSync(path.join(data, 'standby.signal'), '');
    write({ primary_conninfo: `host=127.0.0.1 port=${options.standbyOf.port} user=postgres application_name=standby` });
  } else {
    run('initdb', ['-D', data, '-U', 'postgres', '-A', 'trust', '-E', 'UTF8', '--locale=C', '--no-sync']);
    write({});
  }
  const log = path.join(dir, 'log');
  let number = 0;
  const pg = {
    dir, data, port,
    log: () => (fs.existsSync(log) ? fs.readFileSync(log, 'utf8') : ''),
    dsn: (database = 'postgres', host = '127.0.0.1') => `host=${host} port=${port} dbname=${database} user=postgres`,
    pid: () => postmaster(data),
    pids: () => processes(data),
    // Rows of a query, as text.
    sql: (text, database = 'postgres') => run('psql', ['-X', '-q', '-A', '-t', '-v', 'ON_ERROR_STOP=1', '-h', dir, '-p', String(port), '-U', 'postgres', '-d', database, '-c', text]).trimEnd().split('\n'),
    // A new database; its connection string.
    database: (name = `test_${process.pid}_${++number}`) => { pg.sql(`CREATE DATABASE ${name}`); return pg.dsn(name); },
    // Starts it again after end().
    begin: async () => {
      const out = fs.openSync(log, 'a');
      const child = spawn(path.join(programs(), 'postgres'), ['-D', data], { ...as, cwd: '/', detached: true, stdio: ['ignore', out, out] });
      fs.closeSync(out);
      child.unref();
      let code;
      child.on('exit', (c) => { code = c ?? 'signal'; });
      for (const end = Date.now() + 30000; Date.now() < end; await sleep(20)) {
        if (code !== undefined) break;
        if (spawnSync(path.join(programs(), 'pg_isready'), ['-q', '-h', dir, '-p', String(port), '-U', 'postgres']).status === 0) return;
      }
      throw new Error(`PostgreSQL did not start (${code}):\n${pg.log().slice(-4000)}`);
    },
    // Ends it: fast (clients are disconnected), immediate (as a crash), or killed.
    end: async (how = 'fast') => {
      if (how === 'kill') {
        const pids = processes(data);
        signal(pids, 'SIGKILL');
        for (const end = Date.now() + 10000; pids.some(alive) && Date.now() < end;) await sleep(10);
        return;
      }
      await halt(data, how === 'fast' ? 'SIGINT' : 'SIGQUIT');
    },
    freeze: () => { const pids = processes(data); signal(pids, 'SIGSTOP'); return pids; },
    thaw: (pids) => signal(pids ?? processes(data), 'SIGCONT'),
    promote: () => run('pg_ctl', ['promote', '-w', '-D', data]),
    stop: async () => {
      await halt(data, 'SIGQUIT');
      if (keeper.exitCode !== null) return;
      keeper.ref();
      const gone = new Promise((ok) => { keeper.on('exit', ok); });
      keeper.stdin.end();
      await gone;
    },
  };
  try {
    await pg.begin();
  } catch (e) {
    await pg.stop();
    throw e;
  }
  return pg;
};

// ---- as a program --------------------------------------------------------------------------

// Waits until whoever started us is gone, then cleans up.
const keep = (dir, what) => {
  const clean = async () => {
    await halt(path.join(dir, 'data'), 'SIGQUIT');
    if (what === 'remove') fs.rmSync(dir, { recursive: true, force: true });
    else for (const name of fs.readdirSync(dir)) fs.rmSync(path.join(dir, name), { recursive: true, force: true });
    process.exit(0);
  };
  process.on('SIGINT', () => {});
  process.on('SIGTERM', () => {});
  process.stdin.resume();
  process.stdin.on('end', clean);
  process.stdin.on('error', clean);
};

const runWith = async (command) => {
  const pg = await startPostgres(), dsn = pg.database();
  const child = spawn(command[0], command.slice(1), { stdio: 'inherit', env: { ...process.env, ANDIRON_TEST_POSTGRES: dsn, ANDIRON_TEST_POSTGRES_DIR: pg.dir } });
  const code = await new Promise((ok) => { child.on('exit', (c, s) => ok(c ?? (s ? 128 : 1))); child.on('error', () => ok(127)); });
  await pg.stop();
  process.exit(code);
};

if (process.argv[1] === self) {
  const [what, ...rest] = process.argv.slice(2);
  if (what === 'keep') keep(...rest);
  else if (what === 'run') await runWith(rest);
  else { console.error('usage: postgres.mjs run COMMAND...'); process.exit(64); }
}
