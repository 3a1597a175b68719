// How the database is named and reached: a connection string in a file, several hosts, TLS with a private authority.
import { test, describe, before, after } from 'node:test';
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import fs from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { startPostgres } from './lib/postgres.mjs';
import { bin, call, freePort, start } from './lib/server.mjs';

const openssl = (...args) => execFileSync('openssl', args, { stdio: ['ignore', 'pipe', 'pipe'] });

// An authority, and a certificate by it for the names.
const authority = (dir, name) => {
  const file = (what) => path.join(dir, `${name}.${what}`);
  openssl('req', '-x509', '-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:P-256', '-nodes', '-days', '2', '-subj', `/CN=${name}`, '-keyout', file('key'), '-out', file('crt'));
  return { crt: file('crt'), key: file('key') };
};
const certificate = (dir, ca, host) => {
  const file = (what) => path.join(dir, `server.${what}`);
  openssl('req', '-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:P-256', '-nodes', '-subj', `/CN=${host}`, '-keyout', file('key'), '-out', file('csr'));
  fs.writeFileSync(file('ext'), `subjectAltName=DNS:${host}\n`);
  openssl('x509', '-req', '-days', '2', '-in', file('csr'), '-CA', ca.crt, '-CAkey', ca.key, '-CAcreateserial', '-extfile', file('ext'), '-out', file('crt'));
  return { crt: file('crt'), key: file('key') };
};

describe('a connection string', () => {
  let pg, dir, ca, other;
  before(async () => {
    pg = await startPostgres();
    dir = fs.mkdtempSync(path.join(os.tmpdir(), 'andiron-dsn-'));
    [ca, other] = [authority(dir, 'ours'), authority(dir, 'theirs')];
    const own = certificate(dir, ca, 'db.example'), { uid, gid } = fs.statSync(pg.data);
    for (const what of ['crt', 'key']) {
      const to = path.join(pg.data, `tls.${what}`);
      fs.copyFileSync(own[what], to);
      fs.chmodSync(to, 0o600);
      fs.chownSync(to, uid, gid);
    }
    for (const [name, value] of [['ssl_cert_file', 'tls.crt'], ['ssl_key_file', 'tls.key'], ['ssl', 'on']]) pg.sql(`ALTER SYSTEM SET ${name} = '${value}'`);
    pg.sql('SELECT pg_reload_conf()');
    pg.database('named');
  });
  after(async () => {
    await pg?.stop();
    if (dir) fs.rmSync(dir, { recursive: true, force: true });
  });
  const named = (host, more) => `host=${host} hostaddr=127.0.0.1 port=${pg.port} dbname=named user=postgres ${more}`;
  const options = (dsn) => ({ quick: true, plugins: { 'store-postgres': { dsn, 'start-timeout': '500ms' } } });
  const serves = async (dsn, look = () => {}) => {
    const server = await start(options(dsn));
    try {
      const sql = { engine: 'sql', sql: { query: 'SELECT true' }, link: [{ resourceType: 'Client', id: 'root' }] };
      for (const [where, body] of [['Patient/a', { resourceType: 'Patient', id: 'a' }], ['AccessPolicy/sql', sql]]) {
        const r = await call('PUT', `${server.fhir}/${where}`, body, server.admin);
        assert.ok(r.status < 300, r.text);
      }
      assert.equal((await call('GET', `${server.fhir}/Patient/a`, undefined, server.admin)).status, 200);
      await look(server);
    } finally { await server.stop(); server.remove(); }
  };
  const refused = async (dsn, pattern) => {
    const e = await start(options(dsn)).then(async (s) => { await s.stop(); s.remove(); assert.fail('it started'); }, (error) => error);
    assert.match(e.message, pattern);
    assert.notEqual(e.exit?.code, 0);
  };

  test('TLS to a server whose certificate is by our authority and for its name', async () => {
    await serves(named('db.example', `sslmode=verify-full sslrootcert=${ca.crt}`), () => {
      const all = pg.sql("SELECT count(*), bool_and(s.ssl), min(s.version) FROM pg_stat_activity a JOIN pg_stat_ssl s USING (pid) WHERE a.datname = 'named' AND a.application_name LIKE 'andiron%'");
      const [count, encrypted, version] = all[0].split('|');
      assert.ok(Number(count) >= 5, 'those that read, write, listen');
      assert.equal(encrypted, 't');
      assert.match(version, /^TLSv1\.[23]$/);
    });
  });
  test('another name, another authority, or no TLS at all: the start fails, and says why', async () => {
    await refused(named('other.example', `sslmode=verify-full sslrootcert=${ca.crt}`), /database: .*certificate for "db\.example" does not match host name "other\.example"/);
    await refused(named('db.example', `sslmode=verify-full sslrootcert=${other.crt}`), /database: .*certificate verify failed/);
    await refused(named('db.example', `sslmode=verify-full sslrootcert=${dir}/none.crt`), /database: .*none\.crt/);
    pg.sql("ALTER SYSTEM SET ssl = 'off'");
    pg.sql('SELECT pg_reload_conf()');
    try { await refused(named('db.example', `sslmode=verify-full sslrootcert=${ca.crt}`), /database: .*does not support SSL/); } finally {
      pg.sql("ALTER SYSTEM SET ssl = 'on'");
      pg.sql('SELECT pg_reload_conf()');
    }
  });
  test('from a file that only its reader may read; it is shown nowhere', async () => {
    const file = path.join(dir, 'dsn'), secret = 'a-password-that-nobody-is-to-see';
    fs.writeFileSync(file, `${pg.dsn('named')} password=${secret}\n`, { mode: 0o600 });
    await serves(`@${file}`, (server) => {
      const shown = execFileSync(bin, ['-c', server.etc, 'print-config'], { encoding: 'utf8' });
      assert.match(shown, /store-postgres/);
      assert.ok(!shown.includes(secret) && !server.log().includes(secret) && !server.output().includes(secret));
    });
    fs.rmSync(file);
    await refused(`@${file}`, new RegExp(`${file}.*No such file`));
  });
  test('of several hosts: the first that answers and may be written to', async () => {
    const dead = await freePort();
    await serves(`host=127.0.0.1,127.0.0.1 port=${dead},${pg.port} dbname=named user=postgres target_session_attrs=read-write`);
    await serves(`host=wrong.example,db.example hostaddr=127.0.0.1,127.0.0.1 port=${pg.port} dbname=named user=postgres sslmode=verify-full sslrootcert=${ca.crt}`);
    await refused(`host=127.0.0.1,127.0.0.1 port=${dead},${dead} dbname=named user=postgres`, /database: .*refused/);
    pg.sql("ALTER DATABASE named SET default_transaction_read_only = 'on'");
    try { await refused(named('db.example', ''), /database: .*(read-only|read-write)/); } finally { pg.sql("ALTER DATABASE named SET default_transaction_read_only = 'off'", 'postgres'); }
  });
});
