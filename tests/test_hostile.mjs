// Hostile input over the wire (security-requirements 1 to 3): each piece gets its precise refusal, the connection is what it
// should be afterwards, other clients notice nothing, the worker lives on, and no log or answer holds what is secret.
import test, { before, after, describe } from 'node:test';
import assert from 'node:assert/strict';
import { randomBytes, randomUUID } from 'node:crypto';
import fs from 'node:fs';
import http from 'node:http';
import net from 'node:net';
import zlib from 'node:zlib';
import { start, call, basic, sanitized, sleep } from './lib/server.mjs';
import { allow, assertion, b64, bearer, getToken, jws, keyPair, now, putClient, seedClient, tokenRequest } from './lib/smart.mjs';

// What must never be in a log line; and of these, what must not be in an error either.
const secrets = { secret: 'canarySecret4711', wrong: 'canaryWrong4712', token: 'canaryToken4713', cookie: 'canaryCookie4714', assertion: 'canaryAssertion4715' };
const private_ = { family: 'Canaryfamily4716', query: 'canaryquery4717', id: 'canary-id-4718', agent: 'canaryAgent4719' };
let server, worker, token, healthy, answers = [];
const key = keyPair('ES384', 'k');
const workers = () => fs.readFileSync(`/proc/${server.child.pid}/task/${server.child.pid}/children`, 'utf8').trim().split(' ').filter(Boolean).map(Number);
const rss = (pid) => Number(fs.readFileSync(`/proc/${pid}/status`, 'utf8').match(/^VmRSS:\s+(\d+)/m)[1]) / 1024;

// ---- a client that does no wrong, all the while -------------------------------------------
// Where this process itself was kept waiting, the server's timeouts have every right to end its connections: such an
// answer says nothing, and the request is made again. So is one on a connection that was closed while it lay idle.
const wellBehaved = () => {
  const agent = new http.Agent({ keepAlive: true, maxSockets: 1 }), failures = [];
  let running = true, done = 0, slowest = 0, ticked = Date.now(), lag = 0;
  const tick = () => { const now = Date.now(); lag = Math.max(lag, now - ticked); ticked = now; };
  const ticker = setInterval(tick, 10);
  const once = () => new Promise((ok) => {
    const req = http.get(`${server.fhir}/Patient/healthy`, { agent, headers: server.admin }, (res) => {
      let text = '';
      res.on('data', (d) => { text += d; });
      res.on('end', () => ok(res.statusCode === 200 && text.includes('"family":"Wohlauf"') ? undefined : `${res.statusCode} ${text}`));
      res.on('error', (e) => ok(String(e)));
    });
    req.on('error', (e) => ok(req.reusedSocket ? '' : String(e)));
  });
  const loop = (async () => {
    while (running) {
      const begun = Date.now();
      lag = 0;
      const failure = await once();
      tick();
      if (failure === undefined) done++; else if (failure !== '' && lag < 300) failures.push(failure);
      slowest = Math.max(slowest, Date.now() - begun - lag);
      await sleep(5);
    }
    clearInterval(ticker);
    agent.destroy();
  })();
  return { stop: async () => { running = false; await loop; return { failures, done, slowest }; } };
};

// ---- bytes on a socket ----------------------------------------------------------------------
// The responses in what a connection said; `rest` is what is no response.
const responsesIn = (text, isHead = false) => {
  const found = [];
  for (let at = 0; at < text.length;) {
    const end = text.indexOf('\r\n\r\n', at);
    const line = /^HTTP\/1\.[01] (\d{3}) /.exec(text.slice(at, at + 20));
    if (end < 0 || !line) return { found, rest: text.slice(at) };
    const head = text.slice(at, end).toLowerCase(), status = Number(line[1]), length = /\r\ncontent-length: (\d+)/.exec(head);
    at = end + 4;
    let body = '';
    if (/\r\ntransfer-encoding: chunked/.test(head)) {
      for (;;) {
        const eol = text.indexOf('\r\n', at), size = parseInt(text.slice(at, eol), 16);
        body += text.slice(eol + 2, eol + 2 + size);
        at = eol + 4 + size;
        if (!(size > 0)) break;
      }
    } else if (length && !isHead && status !== 304) { body = text.slice(at, at + Number(length[1])); at += Number(length[1]); }
    if (status >= 200) found.push({ status, head, body }); else found.push({ status, head, body: '' });
  }
  return { found, rest: '' };
};
// Sends pieces (bytes, or a number: a pause in ms), collects until the peer closes or `ms` pass in silence.
const talk = (pieces, { ms = 5000, isHead = false } = {}) => new Promise((done) => {
  let text = '', closed = true;
  const socket = net.connect(server.port, '127.0.0.1', async () => {
    for (const piece of [pieces].flat()) if (socket.destroyed) return; else if (typeof piece === 'number') await sleep(piece); else socket.write(piece, 'latin1');
  });
  const begun = Date.now();
  socket.setTimeout(ms, () => { closed = false; socket.destroy(); });
  socket.on('data', (d) => { text += d.toString('latin1'); });
  socket.on('error', () => {});
  socket.on('close', () => { const r = { text, closed, took: Date.now() - begun, ended: Date.now(), ...responsesIn(text, isHead) }; answers.push(text); done(r); });
});
const request = (line, headers = {}, body = '') => `${line} HTTP/1.1\r\nHost: a\r\n${Object.entries(headers).map(([k, v]) => [v].flat().map((x) => `${k}: ${x}\r\n`).join('')).join('')}\r\n${body}`;
const withBody = (line, headers, body) => request(line, { 'Content-Length': Buffer.byteLength(body, 'latin1'), ...headers }, body);
const good = request('GET /health/live'), last = request('GET /health/live', { Connection: 'close' });
const admin = () => ({ Authorization: basic('root', 'secret') });
const show = (bytes) => JSON.stringify([bytes].flat().join('…').slice(0, 160));
const isOutcome = (r, what) => { assert.match(r.head, /content-type: application\/(fhir\+)?json/, what); assert.equal(JSON.parse(r.body).resourceType, 'OperationOutcome', what); };

// The framing is wrong: refused with one of `statuses`, closed, and what is behind is no request.
const cutOff = async (bytes, ...statuses) => {
  const r = await talk([bytes, good, good].flat());
  const what = `${show(bytes)} gave ${JSON.stringify(r.text.slice(0, 300))}`;
  assert.deepEqual(r.found.map((f) => f.status).slice(1), [], what);
  assert.equal(r.rest, '', what);
  assert.ok(statuses.includes(r.found[0]?.status), `${what}; expected ${statuses}`);
  assert.match(r.found[0].head, /\r\nconnection: close/, what);
  assert.ok(r.closed, `${what}: not closed`);
};
// The content is wrong: refused, and the connection serves the next request.
const goesOn = async (bytes, check) => {
  const r = await talk([bytes, last], { ms: 4000 });
  const what = `${show(bytes)} gave ${JSON.stringify(r.text.slice(0, 300))}`;
  assert.equal(r.found.length, 2, what);
  assert.deepEqual([r.found[1].status, r.found[1].body], [200, '{"status":"pass"}'], what);
  check(r.found[0], what);
  return r.found[0];
};
const refused = (...statuses) => (r, what) => { assert.ok(statuses.includes(r.status), `${what}; expected ${statuses}`); isOutcome(r, what); };

before(async () => {
  server = await start({ quick: true, core: { http: { 'header-timeout': '700ms', 'body-timeout': '700ms', 'request-timeout': '5s', 'idle-timeout': '3s', 'write-timeout': '1s', 'max-body': '1m', 'io-threads': 2 } } });
  await putClient(server, 'c', seedClient({ jwks: [key.jwk] }));
  await allow(server, 'c');
  await putClient(server, 'secretive', { secret: secrets.secret, grant_types: ['basic', 'client_credentials'] });
  await allow(server, 'secretive');
  for (const [id, family] of [['healthy', 'Wohlauf'], [private_.id, private_.family]]) assert.equal((await call('PUT', `${server.fhir}/Patient/${id}`, { resourceType: 'Patient', id, name: [{ family }] }, server.admin)).status, 201);
  token = await getToken(server, 'c', key);
  [worker] = workers();
  healthy = wellBehaved();
});
after(async () => {
  const end = await server.stop();
  assert.deepEqual(end, { code: 0, signal: null });
  assert.doesNotMatch(server.output(), /Sanitizer|runtime error/);
  server.remove();
});

describe('HTTP', () => {
  test('syntax that is no HTTP is 400 and the end of the connection', async () => {
    const get = (headers) => `GET /health/live HTTP/1.1\r\n${headers}\r\n`;
    const rows = [
      get(''), get('Host: a\r\nHost: a\r\n'), get('Host: a\r\nHost: b\r\n'), get('Host: a b\r\n'), get('Host: a/b\r\n'), get('Host: a@b\r\n'),
      get('Host: a\r\nX : y\r\n'), get('Host: a\r\nX\t: y\r\n'), get('Host: a\r\nX\r\n'), get('Host: a\r\n: y\r\n'), get('Host: a\r\nX(y): z\r\n'), get(' Host: a\r\n'),
      get('Host: a\r\nX: y\r\n z\r\n'), get('Host: a\r\nX: y\r\n\tz\r\n'), get('Host: a\r\nX: \0\r\n'), get('Host: a\r\nX\0: y\r\n'), get('Host: a\r\nX: y\rz\r\n'), get('Host: a\r\nX: y\x01\r\n'), get('Host: a\r\nX: y\x7f\r\n'),
      'GET /health/live HTTP/1.1\nHost: a\n\n', 'GET /health/live HTTP/1.1\r\nHost: a\n\r\n', 'GET /health/live HTTP/1.1\rHost: a\r\r',
      'GET  /health/live HTTP/1.1\r\nHost: a\r\n\r\n', 'GET /health/live  HTTP/1.1\r\nHost: a\r\n\r\n', 'GET /health/live HTTP/1.1 \r\nHost: a\r\n\r\n', 'GET /health/live\r\nHost: a\r\n\r\n', 'GET\r\n\r\n', ' GET /health/live HTTP/1.1\r\nHost: a\r\n\r\n',
      'GET\t/health/live\tHTTP/1.1\r\nHost: a\r\n\r\n', 'G(T /health/live HTTP/1.1\r\nHost: a\r\n\r\n', 'GET health HTTP/1.1\r\nHost: a\r\n\r\n', 'GET /health/live http/1.1\r\nHost: a\r\n\r\n', 'GET /health/live HTTP/1.10\r\nHost: a\r\n\r\n', 'GET /health/live HTTP/11\r\nHost: a\r\n\r\n',
      'GET /a\0b HTTP/1.1\r\nHost: a\r\n\r\n', 'GET /a\rb HTTP/1.1\r\nHost: a\r\n\r\n', 'SSH-2.0-OpenSSH_9.0\r\n', '\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03' + 'x'.repeat(300) + '\r\n\r\n', '{"a":1}\r\n\r\n', '\xff\xfe\r\n\r\n',
    ];
    for (const row of rows) await cutOff(row, 400);
    for (const row of ['GET /health/live HTTP/2.0\r\nHost: a\r\n\r\n', 'GET /health/live HTTP/1.2\r\nHost: a\r\n\r\n', 'GET /health/live HTTP/0.9\r\nHost: a\r\n\r\n', 'GET /health/live HTTP/3.1\r\nHost: a\r\n\r\n', 'PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n']) await cutOff(row, 400, 505);
  });
  test('ambiguous lengths never hide a second request', async () => {
    const post = (headers, body = '') => `POST /fhir/Patient HTTP/1.1\r\nHost: a\r\nAuthorization: ${basic('root', 'secret')}\r\nContent-Type: application/json\r\n${headers}\r\n${body}`;
    for (const value of ['+5', '-1', '5,5', '5, 5', '5 5', '0x5', '', 'abc', '5.0', '1e1', '99999999999999999999', '9223372036854775808', '18446744073709551617', '\x0b5', '٥']) await cutOff(post(`Content-Length: ${value}\r\n`, 'abcde'), 400, 413);
    await cutOff(post('Content-Length: 5\r\nContent-Length: 5\r\n', 'abcde'), 400);
    await cutOff(post('Content-Length: 5\r\nContent-Length: 6\r\n', 'abcde'), 400);
    await cutOff(post('Content-Length: 5\r\nTransfer-Encoding: chunked\r\n', '0\r\n\r\n'), 400);
    await cutOff(post('Transfer-Encoding: chunked\r\nContent-Length: 5\r\n', '0\r\n\r\n'), 400);
    for (const value of ['xchunked', 'chunked, chunked', 'chunked, gzip', 'gzip, chunked', 'identity', 'gzip', 'chunked;q=1', '"chunked"', 'chunked\x0b', ', chunked', 'chunked,', '']) await cutOff(post(`Transfer-Encoding: ${value}\r\n`, '0\r\n\r\n'), 400, 501);
    await cutOff(post('Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n', '0\r\n\r\n'), 400, 501);
    await cutOff(`POST /fhir/Patient HTTP/1.0\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n`, 400, 501);
    for (const chunk of ['g\r\n', '-1\r\n', '+1\r\na\r\n', '0x1\r\na\r\n', ' 1\r\na\r\n', '1 \r\na\r\n', '1\na\r\n', '1\r\nab\r\n', '1\r\na\n', '1\r\na', '\r\n', '1;a\rb\r\n', '1;a=\0\r\n', 'fffffffffffffffff\r\n', '7fffffffffffffff\r\n', 'ffffffffffffffff\r\n', '0\r\nX : y\r\n\r\n', '0\r\n X: y\r\n\r\n', '0\r\n\r\r\n'])
      await cutOff(post('Transfer-Encoding: chunked\r\n', chunk.length > 2 && !/^[01f7]/.test(chunk) ? chunk : chunk), 400, 413);
  });
  test('what is too long is refused before the rest of it is read', async () => {
    await cutOff(`GET /${'a'.repeat(9000)} HTTP/1.1\r\nHost: a\r\n\r\n`, 414);
    await cutOff(`GET /${'a'.repeat(300000)}`, 414);
    await cutOff(`${'A'.repeat(300000)}`, 400, 414);
    await cutOff(request('GET /health/live', { X: 'a'.repeat(17000) }), 431);
    await cutOff(`GET /health/live HTTP/1.1\r\nHost: a\r\nX: ${'a'.repeat(300000)}`, 431);
    await cutOff(request('GET /health/live', { X: Array.from({ length: 101 }, () => 'a') }), 431);
    await cutOff(`GET /health/live HTTP/1.1\r\nHost: a\r\n${'X: y\r\n'.repeat(100000)}`, 431);
    for (const [headers, length] of [[{}, 65537], [admin(), 1048577], [admin(), 2 ** 53]]) {
      const r = await talk([request('POST /fhir/Patient', { ...headers, 'Content-Type': 'application/json', 'Content-Length': length }), '{', good]);
      assert.equal(r.found.length, 1, r.text);
      assert.ok(r.closed);
      if (r.found[0].status === 413) isOutcome(r.found[0], r.text); else assert.equal(r.found[0].status, 401, r.text);
    }
    const chunked = ['POST /fhir/Patient HTTP/1.1\r\nHost: a\r\n', `Authorization: ${basic('root', 'secret')}\r\nTransfer-Encoding: chunked\r\n\r\n`, ...Array.from({ length: 20 }, () => `10000\r\n${'x'.repeat(65536)}\r\n`)];
    const r = await talk(chunked, { ms: 1500 });
    assert.deepEqual(r.found.map((f) => f.status), [413], r.text);
  });
  test('a client that is too slow is sent away in time, byte by byte or not', async () => {
    // The drips go on for longer than anybody has patience for.
    const drip = (text, pause) => [...text].flatMap((c) => [c, pause]);
    const rows = [
      ['nothing at all', []], ['half a line', ['GET /heal']], ['a head without its end', [request('GET /health/live').slice(0, -2)]],
      ['a byte now and then', drip(`GET /health/live HTTP/1.1\r\nHost: a\r\nX: ${'a'.repeat(600)}`, 60)], ['a line now and then', ['GET /health/live HTTP/1.1\r\n', ...Array.from({ length: 90 }, () => ['X: y\r\n', 300]).flat()]],
      ['half a body', [request('POST /fhir/Patient', { ...admin(), 'Content-Type': 'application/json', 'Content-Length': 100 }, '{"resourceType"')]],
      ['half a chunk', [request('POST /fhir/Patient', { ...admin(), 'Transfer-Encoding': 'chunked' }, 'ff\r\nabc')]],
      ['half a second head', [good, request('GET /health/live').slice(0, -2)]],
    ];
    const slow = rows.map(async ([name, pieces]) => [name, await talk(pieces, { ms: 20000 })]);
    // One that has been served may be idle for longer: it begins last, and outlives them all.
    const idle = await talk([good], { ms: 20000 });
    assert.ok(idle.closed && idle.took > 2500, `an idle connection closed after ${idle.took} ms`);
    assert.equal(idle.found.length, 1, 'without a word');
    for (const [name, r] of await Promise.all(slow)) {
      assert.ok(r.closed, `${name}: still open after ${r.took} ms`);
      assert.ok(r.took >= 600 && r.ended <= idle.ended, `${name}: closed after ${r.took} ms`);
      const last = r.found.at(-1);
      if (last && last.status !== 200) assert.equal(last.status, 408, `${name}: ${r.text}`);
    }
  });
  test('garbage behind good requests changes nothing about their answers', async () => {
    const r = await talk([good + request('GET /fhir/metadata') + good + '\0\0garbage\r\n\r\n' + good]);
    assert.deepEqual(r.found.map((f) => f.status), [200, 200, 200, 400], r.text.slice(-500));
    assert.ok(r.closed);
    const many = await talk([Array.from({ length: 200 }, (_, i) => request(`GET /fhir/Patient/${i % 2 ? 'healthy' : 'nobody'}`, { ...admin(), 'X-Request-Id': `n${i}` })).join('')], { ms: 2000 });
    assert.deepEqual(many.found.map((f) => [/x-request-id: (\S+)/.exec(f.head)[1], f.status]), Array.from({ length: 200 }, (_, i) => [`n${i}`, i % 2 ? 200 : 404]));
  });
  test('methods and tricks of other servers are not known here', async () => {
    for (const method of ['TRACE', 'CONNECT', 'PROPFIND', 'get', 'GETT', 'A'.repeat(200)]) {
      const r = await talk([`${method} /fhir/Patient/healthy HTTP/1.1\r\nHost: a\r\nConnection: close\r\nAuthorization: ${basic('root', 'secret')}\r\n\r\n`]);
      assert.ok([400, 405, 501].includes(r.found[0]?.status), `${method}: ${r.text}`);
      assert.doesNotMatch(r.text, /Authorization: Basic|Wohlauf/);
    }
    for (const name of ['X-HTTP-Method-Override', 'X-HTTP-Method', 'X-Method-Override', '_method']) {
      const r = await goesOn(request(`POST /fhir/Patient/healthy?_method=DELETE`, { ...admin(), [name]: 'DELETE' }), (x, what) => assert.equal(x.status, 405, what));
      assert.match(r.head, /\r\nallow: /);
    }
    for (const name of ['X-Original-URL', 'X-Rewrite-URL', 'X-Forwarded-Prefix']) await goesOn(request('GET /health/live', { [name]: '/fhir/Patient/healthy' }), (x, what) => assert.equal(x.body, '{"status":"pass"}', what));
    const absolute = await talk([`GET http://evil.example/fhir/metadata HTTP/1.1\r\nHost: a\r\n\r\n`]);
    assert.ok(absolute.found[0].status < 500);
    assert.doesNotMatch(absolute.text, /evil/);
    for (const expect of ['200-ok', '100-continue, x']) {
      const r = await talk([request('POST /fhir/Patient', { ...admin(), Expect: expect, 'Content-Length': 2 }, '{}')]);
      assert.ok(r.found[0].status >= 400 && r.found[0].status < 500, r.text);
    }
    const late = await talk([request('POST /fhir/Patient', { Expect: '100-continue', 'Content-Length': 99999, 'Content-Type': 'application/json' })]);
    assert.deepEqual(late.found.map((f) => f.status).filter((s) => s === 100), [], 'nobody is asked for a body that will be refused');
  });
  test('X-Request-Id is echoed only if it is one', async () => {
    for (const id of ['a'.repeat(65), 'a b', '<script>', 'a"b', "a'b", '', 'ü']) {
      const r = await goesOn(request('GET /health', { 'X-Request-Id': id }), (x) => assert.equal(x.status, 200));
      assert.match(r.head, /\r\nx-request-id: [a-z0-9._-]{1,64}(\r\n|$)/);
      if (id) assert.ok(!r.head.includes(`x-request-id: ${id.toLowerCase()}\r\n`), id);
    }
    assert.match((await goesOn(request('GET /health', { 'X-Request-Id': 'A.b_c-1' }), () => {})).head, /\r\nx-request-id: a\.b_c-1/);
  });
  test('connections that are cut anywhere leave no trace', async () => {
    const bytes = withBody('PUT /fhir/Patient/healthy', { ...admin(), 'Content-Type': 'application/json' }, '{"resourceType":"Patient","id":"healthy","name":[{"family":"Cut"}]}');
    await Promise.all(Array.from({ length: 60 }, (_, i) => new Promise((done) => {
      const s = net.connect(server.port, '127.0.0.1', () => { s.write(bytes.slice(0, Math.floor((bytes.length - 1) * i / 60)), () => (i % 2 ? s.resetAndDestroy() : s.destroy())); });
      s.on('error', () => {});
      s.on('close', done);
    })));
    await sleep(50);
    assert.match((await call('GET', `${server.fhir}/Patient/healthy`, undefined, server.admin)).text, /Wohlauf/);
  });
  test('clients that do not read, and crowds that do nothing, cost little', { skip: sanitized && 'memory is not comparable' }, async () => {
    await call('PUT', `${server.fhir}/Binary/big`, { resourceType: 'Binary', id: 'big', contentType: 'text/plain', data: 'A'.repeat(900000) }, server.admin);
    const before = rss(worker);
    const sockets = [...Array.from({ length: 60 }, () => ['big']), ...Array.from({ length: 300 }, () => [])].map(([what]) => {
      const s = net.connect(server.port, '127.0.0.1', () => { if (what) s.write(request('GET /fhir/Binary/big', admin()).repeat(30)); });
      s.pause();
      s.on('error', () => {});
      return s;
    });
    await sleep(600);
    const grown = rss(worker) - before;
    for (const s of sockets) s.destroy();
    assert.ok(grown < 150, `${grown} MB for 60 stalled readers of 30 answers of 900 kB each, and 300 silent connections`);
  });
});

describe('paths', () => {
  test('have one spelling; the others are 400 and match nothing', async () => {
    for (const target of ['//fhir/Patient/healthy', '/fhir//Patient/healthy', '/fhir/Patient//healthy', '/./fhir/Patient/healthy', '/fhir/./Patient', '/x/../fhir/Patient/healthy', '/fhir/Patient/../Patient/healthy', '/fhir/Patient/healthy/.', '/fhir/Patient/healthy/..', '/..', '/../etc/passwd',
      '/%2e/fhir', '/fhir/%2e%2e/Client/root', '/fhir/%2E%2E/Client', '/fhir%2fPatient', '/fhir/Patient%2Fhealthy', '/fhir/Patient/healthy%5c', '/fhir\\Patient', '/fhir/Patient/healthy%00', '/fhir/Patient/%00', '/fhir/%50atient/healthy', '/%66hir/Patient/healthy', '/fhir/Patient/health%79',
      '/fhir/Patient/healthy;x=y', '/fhir;/Patient', '/fhir/Patient/%ff', '/fhir/Patient/%c0%af', '/fhir/Patient/%c3', '/fhir/Patient/%', '/fhir/Patient/%4', '/fhir/Patient/%zz', '/fhir/Patient/a|b', '/fhir/Patient/a^b', '/fhir/Patient/a"b', '/fhir/Patient/<x>', '/fhir/Patient/{x}', '/fhir/Patient/a`b',
      '/fhir/Patient/%20healthy', '/fhir/Patient/healthy%20', '/fhir/patient/healthy', '/FHIR/Patient/healthy', '/fhir/Patient /healthy'.replace(' ', '%20')]) {
      await goesOn(request(`GET ${target}`, admin()), (r, what) => { assert.ok(r.status === 400 || r.status === 404, what); isOutcome(r, what); assert.doesNotMatch(r.body, /Wohlauf/, what); });
    }
    for (const target of ['/fhir/Patient/h\xe9althy', '/fhir/Patient/h\xc3\xa4lthy', '/fhir/Patient/\x80', '/health/live#x']) await cutOff(request(`GET ${target}`, admin()), 400);
    for (const [target, status] of [['/fhir/Patient/' + 'a'.repeat(64), 404], ['/fhir/Patient/' + 'a'.repeat(65), 404], ['/fhir/Patient/a_b', 404], ['/fhir/Patient/healthy/', 400], ['/fhir/Patient/healthy/x', 404], ['/fhir/Patient/healthy/_history/0', 404], ['/fhir/Patient/healthy/_history/99999999999999999999', 404], ['/fhir/Patient/healthy/_history/-1', 404], ['/fhir/Patient/healthy/_history/1x', 404], ['/fhir/Patient/$nothing', 404]])
      await goesOn(request(`GET ${target}`, admin()), (r, what) => { assert.ok(r.status === status || r.status === 400, `${what}; expected ${status}`); isOutcome(r, what); });
  });
  test('anonymous callers get 401 for all that is protected, never 404', async () => {
    for (const target of ['/fhir/Patient/healthy', '/fhir/Patient/nobody', '/fhir/Patient', '/fhir/Patient/healthy/_history', '/Client/root', '/Client/nobody', '/fhir', '/Session', '/metrics']) await goesOn(request(`GET ${target}`), (r, what) => { assert.ok(r.status === 401 || (r.status === 405 && target === '/fhir'), what); isOutcome(r, what); });
  });
});

// JSON texts that are none, or not one.
const badJson = {
  'nothing': '', 'blanks': '  ', 'open': '{', 'open string': '{"a":"', 'trailing comma': '{"a":1,}', 'two values': '{}{}', 'trailing word': '{"a":1} x', 'single quotes': "{'a':1}", 'no quotes': '{a:1}', 'comment': '{"a":1/*x*/}', 'NaN': '{"a":NaN}', 'Infinity': '{"a":-Infinity}', 'leading zero': '{"a":01}', 'plus': '{"a":+1}', 'dot': '{"a":.5}', 'dot at the end': '{"a":5.}', 'hex': '{"a":0x1}', 'exponent alone': '{"a":1e}', 'capital True': '{"a":True}',
  'duplicate member': '{"a":1,"a":1}', 'duplicate by escape': '{"a":1,"\\u0061":1}', 'duplicate deep inside': '{"x":[{"b":1,"b":2}]}', 'BOM': '\xef\xbb\xbf{"a":1}', 'invalid UTF-8': '{"a":"\xff"}', 'overlong UTF-8': '{"a":"\xc0\xaf"}', 'surrogate in UTF-8': '{"a":"\xed\xa0\x80"}', 'cut UTF-8': '{"a":"\xc3"}', 'lone surrogate': '{"a":"\\ud800"}', 'low surrogate first': '{"a":"\\udc00\\ud800"}',
  'NUL': '{"a":"\\u0000"}', 'NUL in a name': '{"a\\u0000":1}', 'raw NUL': '{"a":"\0"}', 'NUL behind': '{"a":1}\0', 'raw newline': '{"a":"\n"}', 'raw tab': '{"a":"\t"}', 'bad escape': '{"a":"\\x"}', 'short escape': '{"a":"\\u12"}', 'deep': '{"a":' + '['.repeat(65) + ']'.repeat(65) + '}', 'very deep': '['.repeat(60000), 'deep objects': '{"a":'.repeat(10000) + '1' + '}'.repeat(10000), 'UTF-16': Buffer.from('{"a":1}', 'utf16le').toString('latin1'), 'long digits cut': '{"a":-}',
};
describe('JSON', () => {
  for (const [line, headers] of [['POST /fhir/Patient', () => ({ ...admin(), 'Content-Type': 'application/fhir+json' })], ['POST /fhir', () => ({ ...admin(), 'Content-Type': 'application/json' })], ['PUT /Client/x', () => ({ ...admin(), 'Content-Type': 'application/json' })]])
    test(`that is none is 400 with an OperationOutcome: ${line}`, async () => {
      for (const [name, text] of Object.entries(badJson)) await goesOn(withBody(line, headers(), text), (r, what) => { refused(400, 422)(r, `${name}: ${what}`); if (!/NUL/.test(name)) assert.equal(r.status, 400, name); });
    });
  test('that is none is invalid_request at the token endpoint', async () => {
    for (const [name, text] of Object.entries(badJson)) await goesOn(withBody('POST /auth/token', { 'Content-Type': 'application/json' }, text), (r, what) => { assert.equal(r.status, 400, `${name}: ${what}`); assert.equal(JSON.parse(r.body).error, 'invalid_request', name); assert.match(r.head, /cache-control: no-store/); });
  });
  test('of odd shapes is refused, or comes back as it was', async () => {
    const put = (text) => withBody('PUT /fhir/Observation/odd', { ...admin(), 'Content-Type': 'application/json' }, text);
    const observation = (more) => `{"resourceType":"Observation","id":"odd","status":"final","code":{"text":"x"}${more}}`;
    for (const number of ['1e99999', '-1e99999', '1e-99999', '0.' + '0'.repeat(500) + '1', '9'.repeat(400), '-0', '-0.0', '1E+2', '123456789012345678901234567890.123456789012345678901234567890']) {
      const r = await goesOn(put(observation(`,"valueQuantity":{"value":${number}}`)), (x, what) => assert.ok([200, 201, 400, 422].includes(x.status), what));
      if (r.status < 300) assert.match((await call('GET', `${server.fhir}/Observation/odd`, undefined, server.admin)).text, new RegExp(`"value":${number.replace(/[+.]/g, '\\$&')}[},]`));
      assert.equal((await call('GET', `${server.fhir}/Observation?value-quantity=gt1&_count=1`, undefined, server.admin)).status, 200);
    }
    for (const text of ['[]', '1', 'null', '"x"', '{}', '{"resourceType":7}', '{"resourceType":"Nothing"}', '{"resourceType":["Observation"]}', observation('').replace('"odd"', '7'), observation('').replace('"odd"', '"other"'), observation(',"meta":7'), observation(',"meta":[]'), observation(',"subject":"x","contained":7'), observation(',"contained":[7]'), observation(',"extension":{}'), observation(',"valueQuantity":null')])
      await goesOn(put(text), (r, what) => assert.ok(r.status < 500 && (r.status >= 400 || /subject|extension|contained|meta/.test(text)), what));
    const deep = (n) => '{"url":"x","extension":['.repeat(n) + '{"url":"y","valueCode":"z"}' + ']}'.repeat(n);
    await goesOn(put(observation(`,"extension":[${deep(25)}]`)), (r, what) => assert.ok([200, 201].includes(r.status), what));
    await goesOn(put(observation(`,"extension":[${deep(40)}]`)), refused(400));
    await goesOn(put(observation(`,"note":[${Array.from({ length: 20000 }, () => '{"text":"a"}').join()}]`)), (r, what) => assert.ok(r.status < 500, what));
    await goesOn(put(observation(Array.from({ length: 20000 }, (_, i) => `,"m${i}":1`).join(''))), (r, what) => assert.ok(r.status < 500, what));
    await goesOn(put(observation(`,"note":[{"text":"<script>alert(1)</script> ' OR 1=1; -- \\u202e \\ud83d\\ude00"}]`)), (r, what) => assert.equal(r.status < 300, true, what));
    assert.match((await call('GET', `${server.fhir}/Observation/odd`, undefined, server.admin)).text, /' OR 1=1; --/);
  });
});

describe('bodies', () => {
  const line = 'POST /fhir/Patient', patient = '{"resourceType":"Patient","name":[{"family":"Z"}]}';
  const post = (headers, body) => withBody(line, { ...admin(), ...headers }, body);
  test('of another media type are 415, of another coding 415, of a broken coding 400', async () => {
    for (const type of ['text/plain', 'application/xml', 'application/fhir+xml', 'application/jsonx', 'application', 'multipart/form-data; boundary=x', 'application/x-www-form-urlencoded', ', ,', 'application/json; charset=utf-16']) await goesOn(post({ 'Content-Type': type }, patient), refused(415, 400));
    for (const type of ['application/json', 'application/fhir+json', 'Application/JSON; Charset=UTF-8', 'application/fhir+json;fhirVersion=4.0']) await goesOn(post({ 'Content-Type': type }, patient), (r, what) => assert.equal(r.status, 201, what));
    await goesOn(post({ 'Content-Type': ['application/json', 'text/plain'] }, patient), (r, what) => assert.ok([400, 415].includes(r.status), what));
    for (const coding of ['br', 'compress', 'zstd', 'x', 'gzip, br', 'gzip, gzip', 'identity, br']) await goesOn(post({ 'Content-Type': 'application/json', 'Content-Encoding': coding }, patient), refused(415, 400));
    const zipped = zlib.gzipSync(patient).toString('latin1'), gzip = { 'Content-Type': 'application/json', 'Content-Encoding': 'gzip' };
    await goesOn(post(gzip, zipped), (r, what) => assert.equal(r.status, 201, what));
    for (const broken of [zipped.slice(0, -8), zipped.slice(0, 20), patient, zipped + 'x', zipped.slice(0, -5) + '\xff' + zipped.slice(-4), '', 'x'.repeat(1000)]) {
      await goesOn(post(gzip, broken), refused(400));
    }
  });
  test('that unpack to more than the limit are 413, before they are unpacked', async () => {
    const bomb = zlib.gzipSync(Buffer.alloc(200 * 1024 * 1024, 0x20), { level: 9 });
    const before = rss(worker), begun = Date.now();
    assert.ok(bomb.length < 1048576);
    const all = await Promise.all(Array.from({ length: 4 }, () => talk([withBody(line, { ...admin(), 'Content-Type': 'application/json', 'Content-Encoding': 'gzip' }, bomb.toString('latin1'))], { ms: 3000 })));
    for (const r of all) { assert.equal(r.found[0]?.status, 413, r.text); isOutcome(r.found[0], r.text); }
    assert.ok(Date.now() - begun < 3000);
    if (!sanitized) assert.ok(rss(worker) - before < 64, `${rss(worker) - before} MB`);
    const anonymous = await talk([withBody('POST /auth/token', { 'Content-Type': 'application/json', 'Content-Encoding': 'gzip' }, zlib.gzipSync(`{"grant_type":"${'x'.repeat(100000)}"}`).toString('latin1'))]);
    assert.ok([413, 415, 400].includes(anonymous.found[0]?.status), anonymous.text);
    assert.equal(JSON.parse(anonymous.found[0].body).error, 'invalid_request');
  });
  test('behind a refusal are skipped, not taken for a request', async () => {
    const inner = request('DELETE /fhir/Patient/healthy', admin());
    for (const bytes of [withBody('POST /fhir/Patient', {}, inner), withBody('POST /nothing', admin(), inner), withBody('DELETE /fhir/metadata', admin(), inner), withBody('GET /fhir/Patient/healthy', admin(), inner), withBody('POST /fhir/Patient', { ...admin(), 'Content-Type': 'text/plain' }, inner)])
      await goesOn(bytes, (r, what) => assert.ok([200, 400, 401, 404, 405, 415].includes(r.status), what));
    assert.equal((await call('GET', `${server.fhir}/Patient/healthy`, undefined, server.admin)).status, 200);
  });
});

describe('parameters and headers', () => {
  const get = (query, headers = {}) => request(`GET /fhir/Patient?${query}`, { ...admin(), ...headers });
  test('that make no sense are 400, or do nothing, and are never a fault of ours', async () => {
    const queries = ['_count=ten', '_count=-1', '_count=99999999999999999999', '_count=1.5', '_count=', '_count=1&_count=2', '_sort=nothing', '_sort=--name', '_sort=', '_sort=' + 'name,'.repeat(200), '_total=x', '_summary=x', '_elements=' + 'x,'.repeat(500), 'birthdate=x', 'birthdate=gt', 'birthdate=2020-13-45', 'birthdate=9999999-01-01', 'birthdate=gt2020-01-01T25:61:61Z', 'birthdate=' + '2020,'.repeat(1000), '_lastUpdated=x', '_id=' + 'a,'.repeat(1000), '_id=a%00b', '_id=%ff', '_id=%', '_id=%zz', 'name=%c0%af', 'name:exact:contains=x', 'name:nothing=x', ':exact=x', '=x', '&&&', 'name', 'name=', 'a'.repeat(5000), 'name=' + 'x'.repeat(5000),
      Array.from({ length: 600 }, (_, i) => `p${i}=1`).join('&'), '_include=x', '_include=Patient:*', '_include=*', '_include=Nothing:x', '_revinclude=' + 'Observation:subject', '_has:a:b:c=x', '_has:Observation:patient:' + '_has:Observation:patient:'.repeat(50) + 'code=x', 'organization.partof.partof.partof.partof.partof.name=x', 'general-practitioner:Nothing.name=x', '_filter=x', '_text=x', '_content=x', '_query=x', '_format=xml', '_format=' + 'x'.repeat(100), '_pretty=x', '_page=x', '_cursor=AAAA', '_after=x', '__page=%00', "name='%20OR%201=1%20--", 'name=%22;DROP%20TABLE%20resource;--', 'identifier=|', 'identifier=||', 'identifier=a|b|c', 'identifier=' + '%7C'.repeat(1000), 'link:missing=maybe', 'name:missing=true,false', 'name=\\', 'name=\\,', 'name=%5C', 'given=*', 'given=%25', 'given=_', '_type=Nothing', '_security=http://x|y', '_profile=::::', '_tag=|'];
    for (const query of queries) await goesOn(get(query), (r, what) => { assert.ok(r.status === 200 || (r.status >= 400 && r.status < 500), what); assert.doesNotMatch(r.body, /Wohlauf/.test(r.body) && /OR%20|DROP|%25|given=_|given=\*/.test(query) ? /Wohlauf/ : /sqlite|SQL error|near "/i, what); });
    for (const query of ['_count=ten', '_count=-1', 'birthdate=x', '_total=x', 'name:nothing=x', '_id=%ff', '_id=%zz']) await goesOn(get(query), refused(400));
    const observations = ['value-quantity=1e999999', 'value-quantity=gt5.4|http://x|y|z', 'value-quantity=' + '9'.repeat(1000), 'value-quantity=||', 'date=gt2020&date=lt2019', 'code-value-quantity=a$b$c', 'code-value-quantity=$', 'code:in=x', 'code:below=x', 'subject=../../x', 'subject=Patient/', 'subject=http://', 'subject:identifier=x', 'component-code-value-quantity=' + '$'.repeat(200)];
    for (const query of observations) await goesOn(request(`GET /fhir/Observation?${query}`, admin()), (r, what) => assert.ok(r.status < 500, what));
    await goesOn(withBody('POST /fhir/Patient/_search', { ...admin(), 'Content-Type': 'application/x-www-form-urlencoded' }, 'name=%zz'), refused(400));
    await goesOn(withBody('POST /fhir/Patient/_search', { ...admin(), 'Content-Type': 'application/x-www-form-urlencoded' }, '_count=1&'.repeat(5000)), (r, what) => assert.ok(r.status < 500, what));
    await goesOn(withBody('POST /fhir/Patient/_search', { ...admin(), 'Content-Type': 'application/json' }, '{}'), refused(415, 400));
  });
  test('Accept that allows nothing we have is 406; nonsense in headers is no fault', async () => {
    const read = (headers) => request('GET /fhir/Patient/healthy', { ...admin(), ...headers });
    for (const accept of ['text/html', 'application/fhir+xml', 'image/*', 'application/json;q=0', '*/*;q=0']) await goesOn(read({ Accept: accept }), (r, what) => assert.equal(r.status, 406, what));
    for (const accept of ['', ';;;', ',', '*', 'application/json;q=2', 'application/json;q=x', 'application/' + 'x'.repeat(3000), '*/*;'.repeat(500), 'text/html, application/json;q=0.1']) await goesOn(read({ Accept: accept }), (r, what) => assert.ok([200, 400, 406].includes(r.status), what));
    for (const headers of [{ 'If-None-Match': 'x' }, { 'If-None-Match': 'W/"' }, { 'If-None-Match': '"'.repeat(1000) }, { 'If-Modified-Since': 'yesterday' }, { 'If-Modified-Since': 'Mon, 99 Foo 99999 99:99:99 GMT' }, { Range: 'bytes=0-1' }, { Prefer: 'return=everything, handling' }, { Prefer: ','.repeat(500) }, { 'Accept-Encoding': 'gzip;q=x,,,;' }, { Cookie: secrets.cookie }, { 'User-Agent': private_.agent }, { Referer: `http://x/?${private_.query}` }, { Origin: 'null' }, { Origin: 'x'.repeat(3000) }, { Connection: 'x, keep-alive, close-not' }, { 'X-Forwarded-For': 'a, b, \x27' }, { Upgrade: 'h2c', Connection: 'Upgrade, HTTP2-Settings', 'HTTP2-Settings': 'AAMAAABkAAQAAP__' }])
      await goesOn(read(headers), (r, what) => assert.equal(r.status, 200, what));
    for (const value of ['x', '"1"x', 'W/1', 'W/"99"', '*', '']) await goesOn(withBody('PUT /fhir/Patient/healthy', { ...admin(), 'Content-Type': 'application/json', 'If-Match': value }, '{"resourceType":"Patient","id":"healthy","name":[{"family":"Wohlauf"}]}'), (r, what) => assert.ok([200, 400, 412].includes(r.status), what));
    await goesOn(read({ Authorization: [basic('root', 'secret'), basic('root', 'secret')] }).replace(/Authorization[^\r]*\r\n/, ''), (r, what) => assert.ok([200, 400].includes(r.status), what));
    await cutOffOrOn(read({ authorization: basic('root', 'secret') }), 400);
  });
  const cutOffOrOn = async (bytes, status) => { const r = await talk([bytes]); assert.equal(r.found[0]?.status, status, r.text); };
});

describe('tokens and assertions', () => {
  test('of any form are refused in the same way, and cost nobody anything', async () => {
    const claims = () => ({ iss: 'c', sub: 'c', aud: `${server.base}/auth/token`, exp: now() + 200, jti: randomUUID() });
    const make = (header, body) => jws({ alg: 'ES384', kid: 'k', ...header }, body, key.privateKey, { alg: 'ES384' });
    const rows = [secrets.assertion, `${secrets.assertion}.${secrets.assertion}.${secrets.assertion}`, '...', '..', 'a'.repeat(20000), '.'.repeat(10000), make({ kid: '../../../etc/passwd' }, claims()), make({ kid: "' OR '1'='1" }, claims()), make({ kid: 'k\0' }, claims()), make({ kid: ['k'] }, claims()), make({ alg: ['ES384'] }, claims()), make({ alg: 'ES384'.repeat(500) }, claims()),
      make({ x: JSON.parse('['.repeat(500) + ']'.repeat(500)) }, claims()), make({}, JSON.stringify(claims()).replace('"exp"', '"x":' + '['.repeat(200) + ']'.repeat(200) + ',"exp"')), make({}, { ...claims(), iss: secrets.assertion, sub: secrets.assertion }), make({}, { ...claims(), sub: 'c\0', iss: 'c\0' }), make({}, { ...claims(), jti: '\0' }), `${b64({ alg: 'ES384', kid: 'k' })}.${b64(claims())}.${b64(randomBytes(96))}`, `${b64({ alg: 'ES384', kid: 'k' })}.${b64(claims())}.${b64(randomBytes(5000))}`, `${b64({ alg: 'ES384', kid: 'k' })}.${b64(claims())}.${b64(Buffer.alloc(96, 0xff))}`];
    for (const text of rows) await goesOn(withBody('POST /auth/token', { 'Content-Type': 'application/json' }, JSON.stringify(tokenRequest(text))), (r, what) => { assert.equal(r.status, 401, what); assert.equal(JSON.parse(r.body).error, 'invalid_client', what); });
    const [h, p, s] = token.split('.');
    for (const text of [secrets.token, `${secrets.token}.b.c`, '', '"', token + '\x80', `${h}.${p}`, `${h}.${p}.${s}.${s}`, `${h}..${s}`, `${b64({ alg: 'none' })}.${p}.`, `${h}.${p}.${b64(randomBytes(256))}`, `${b64({ ...JSON.parse(Buffer.from(h, 'base64url')), kid: '../../x' })}.${p}.${s}`, 'x'.repeat(12000), 'A'.repeat(43), "' OR 1=1 --"])
      await goesOn(request('GET /fhir/Patient/healthy', { Authorization: `Bearer ${text}` }), (r, what) => { assert.equal(r.status, 401, what); assert.match(r.head, /www-authenticate: bearer realm="andiron", error="invalid_token"/, what); isOutcome(r, what); });
    for (const value of ['Basic', 'Basic ', 'Basic !', `Basic ${b64('root')}`, `Basic ${b64('root:' + secrets.wrong)}`, `Basic ${b64(':')}`, `Basic ${b64('\0:\0')}`, `Basic ${'A'.repeat(9000)}`, `Basic ${b64('a'.repeat(500) + ':x')}`, `Digest username="${secrets.wrong}"`, secrets.wrong, '""', '"', `Basic ${Buffer.from([0xff, 0x3a, 0xff]).toString('base64')}`])
      await goesOn(request('GET /fhir/Patient/healthy', { Authorization: value }), (r, what) => { assert.equal(r.status, 401, what); assert.match(r.head, /www-authenticate: /, what); isOutcome(r, what); });
  });
});

test('Bundles that are nonsense are refused as a whole, or entry by entry', async () => {
  const post = (value) => withBody('POST /fhir', { ...admin(), 'Content-Type': 'application/json' }, typeof value === 'string' ? value : JSON.stringify(value));
  const bundle = (type, ...entry) => ({ resourceType: 'Bundle', type, entry });
  for (const value of [{}, [], bundle('searchset'), bundle('transaction', 7), bundle('transaction', {}), bundle('transaction', { request: 7 }), bundle('transaction', { request: { method: 'TRACE', url: 'Patient' } }), bundle('transaction', { request: { method: 'GET', url: '../../etc/passwd' } }), bundle('transaction', { request: { method: 'PUT', url: 'Patient/%2e%2e' }, resource: { resourceType: 'Patient' } }), bundle('transaction', { request: { method: 'POST', url: 'http://evil.example/fhir/Patient' }, resource: { resourceType: 'Patient' } }),
    bundle('transaction', { request: { method: 'DELETE', url: 'Patient/a' } }, { request: { method: 'DELETE', url: 'Patient/a' } }), { resourceType: 'Bundle', type: 'transaction', entry: {} }, { resourceType: 'Bundle', type: ['transaction'] }, bundle('transaction', { fullUrl: 'urn:uuid:x', request: { method: 'POST', url: 'Patient' }, resource: { resourceType: 'Patient', link: [{ other: { reference: 'urn:uuid:x' } }] } }, { fullUrl: 'urn:uuid:x', request: { method: 'POST', url: 'Patient' }, resource: { resourceType: 'Patient' } }),
    bundle('transaction', { request: { method: 'POST', url: '' }, resource: bundle('transaction', { request: { method: 'POST', url: 'Patient' }, resource: { resourceType: 'Patient' } }) })])
    await goesOn(post(value), refused(400, 422, 404, 405));
  const many = bundle('batch', ...Array.from({ length: 5001 }, () => ({ request: { method: 'GET', url: 'x' } })));
  await goesOn(post(many), refused(400, 413, 422));
  const batch = await goesOn(post(bundle('batch', { request: { method: 'GET', url: '/health/live' } }, { request: { method: 'POST', url: 'auth/token' } }, { request: { method: 'GET', url: 'metadata' } }, { request: { method: 'POST', url: '' }, resource: bundle('batch') }, { request: { method: 'PATCH', url: 'Patient/healthy' } }, {}, { request: { method: 'GET', url: 'Patient/healthy' } })), (r, what) => assert.equal(r.status, 200, what));
  const statuses = JSON.parse(batch.body).entry.map((e) => Number(e.response.status.slice(0, 3)));
  assert.equal(statuses.at(-1), 200);
  for (const s of statuses) assert.ok(s < 500 || s === 501, `${statuses}`);
});

// A stream of random changes to good requests: whatever comes back is HTTP, and never a 5xx.
test('requests with random changes never get a 5xx, a hang or a crash', async () => {
  let seed = 20240229;
  const random = (n) => { seed = (Math.imul(seed, 1103515245) + 12345) >>> 0; return Math.floor(seed / 4294967296 * n); };
  const goods = [() => request('GET /fhir/Patient?name=x&_count=2&_sort=birthdate', admin()), () => withBody('PUT /fhir/Patient/fuzzed', { ...admin(), 'Content-Type': 'application/json' }, '{"resourceType":"Patient","id":"fuzzed","name":[{"family":"x","given":["y"]}],"birthDate":"2020-01-01","contact":[{"telecom":[{"system":"phone","value":"1"}]}]}'),
    () => withBody('POST /auth/token', { 'Content-Type': 'application/x-www-form-urlencoded' }, new URLSearchParams(tokenRequest('a.b.c')).toString()), () => withBody('POST /fhir', { ...admin(), 'Content-Type': 'application/json' }, '{"resourceType":"Bundle","type":"batch","entry":[{"request":{"method":"GET","url":"Patient?name=x"}},{"request":{"method":"PUT","url":"Patient/fuzzed2"},"resource":{"resourceType":"Patient","id":"fuzzed2"}}]}'),
    () => request('POST /fhir/Patient', { ...admin(), 'Transfer-Encoding': 'chunked', 'Content-Type': 'application/json' }, '10\r\n{"resourceType":\r\n9\r\n"Patient"\r\n1\r\n}\r\n0\r\n\r\n'), () => withBody('PUT /AccessPolicy/fuzzed', { ...admin(), 'Content-Type': 'application/json' }, '{"engine":"allow","link":[{"resourceType":"Client","id":"nobody"}]}')];
  const pieces = ['\0', '\r\n', '\n', ' ', ':', '"', '{', '}', '[', ']', ',', '%', '/', '..', '\\', '\xff', '\ud83d'.slice(0, 0), '0', '-', '99999999999', 'e', '?', '&', '=', '\t', 'chunked', 'Content-Length: 3\r\n', '$', '|', '_has:', '\\u0000', 'null', 'é'];
  const mutate = (text) => {
    for (let n = 1 + random(3); n > 0; n--) {
      const at = random(text.length), kind = random(4);
      if (kind === 0) text = text.slice(0, at) + pieces[random(pieces.length)] + text.slice(at);
      else if (kind === 1) text = text.slice(0, at) + text.slice(at + 1 + random(5));
      else if (kind === 2) text = text.slice(0, at) + String.fromCharCode(random(256)) + text.slice(at + 1);
      else { const from = random(text.length); text = text.slice(0, at) + text.slice(from, from + random(40)) + text.slice(at); }
    }
    return text;
  };
  const rows = Array.from({ length: sanitized ? 300 : 800 }, (_, i) => mutate(goods[i % goods.length]().replace('\r\n\r\n', '\r\nConnection: close\r\n\r\n')));
  const one = async () => {
    for (let bytes = rows.pop(); bytes !== undefined; bytes = rows.pop()) {
      const r = await new Promise((done) => {
        let text = '';
        const s = net.connect(server.port, '127.0.0.1', () => s.end(bytes, 'latin1')); // half closed: what is cut short is known to be
        s.setTimeout(6000, () => { done({ hung: true, text }); s.destroy(); });
        s.on('data', (d) => { text += d.toString('latin1'); });
        s.on('error', () => {});
        s.on('close', () => done({ text }));
      });
      answers.push(r.text);
      assert.ok(!r.hung, `no answer to ${JSON.stringify(bytes)}`);
      for (const { status } of responsesIn(r.text).found) assert.ok(status < 500 || status === 501 || status === 505, `${JSON.stringify(bytes)} gave ${r.text}`);
    }
  };
  await Promise.all(Array.from({ length: 8 }, one));
});

test('the others noticed nothing, the worker is the same, and nothing secret was said', async () => {
  // A few more that carry what must not be repeated, refused at different depths.
  await Promise.all([
    call('GET', `${server.fhir}/Patient?name=${private_.query}&family=${private_.family}`, undefined, server.admin), call('GET', `${server.fhir}/Patient?birthdate=${private_.query}`, undefined, server.admin), call('GET', `${server.fhir}/Patient/${private_.id}`, undefined, server.admin), call('GET', `${server.fhir}/Patient/${private_.id}x`, undefined, server.admin), call('GET', `${server.fhir}/Patient/${private_.id}`),
    call('POST', `${server.fhir}/Patient`, `{"resourceType":"Patient","name":[{"family":"${private_.family}"}`, server.admin), call('PUT', `${server.fhir}/Patient/x`, { resourceType: 'Patient', id: 'x', name: [{ family: private_.family }], birthDate: private_.query }, server.admin), call('GET', `${server.fhir}/Patient`, undefined, { authorization: basic('root', secrets.wrong) }), call('GET', `${server.fhir}/Patient`, undefined, bearer(secrets.token)),
    call('GET', `${server.fhir}/Patient?access_token=${secrets.token}`), call('POST', `${server.base}/auth/token`, { grant_type: 'client_credentials', client_id: 'secretive', client_secret: secrets.wrong }), call('POST', `${server.base}/auth/token`, { grant_type: 'client_credentials', client_id: 'secretive', client_secret: secrets.secret }), call('POST', `${server.base}/auth/token`, `{"client_secret":"${secrets.secret}"`), call('POST', `${server.base}/auth/token`, { grant_type: secrets.secret, client_secret: secrets.secret }),
    call('POST', `${server.base}/auth/token?client_secret=${secrets.secret}`, tokenRequest(secrets.assertion)), call('PUT', `${server.base}/Client/secretive`, { secret: secrets.secret, grant_types: ['basic'], nonsense: 1 }, server.admin), call('PUT', `${server.base}/Client/${private_.id}`, { secret: [secrets.secret] }, server.admin), call('PUT', `${server.base}/Client/secretive`, `{"secret":"${secrets.secret}","secret":"${secrets.secret}"}`, server.admin),
    call('GET', `${server.fhir}/Patient`, undefined, { authorization: basic('secretive', secrets.secret) }),
  ].map(async (p) => { const r = await p; if (!/Canaryfamily|canary-id/.test(r.text) || r.status !== 200) answers.push([...r.headers].join('\n') + r.text); }));
  const used = assertion(server, 'c', key);
  const good = await call('POST', `${server.base}/auth/token`, tokenRequest(used));
  assert.equal(good.status, 200);
  assert.equal((await call('GET', `${server.fhir}/Patient`, undefined, bearer(good.json.access_token))).status, 200);
  answers.push((await call('POST', `${server.base}/auth/token`, tokenRequest(used))).text, (await call('GET', `${server.fhir}/Patient`, undefined, bearer(good.json.access_token + 'x'))).text);
  const { failures, done, slowest } = await healthy.stop();
  assert.deepEqual(failures, []);
  assert.ok(done > 100, `${done}`);
  assert.ok(slowest < 10000, `a request of the healthy client took ${slowest} ms`);
  assert.deepEqual(workers(), [worker], 'it never ended');
  await sleep(300); // log lines are written in batches
  const log = server.log() + server.output();
  const lines = log.split('\n').filter(Boolean);
  for (const line of lines) assert.doesNotThrow(() => JSON.parse(line), line);
  assert.doesNotMatch(log, /"level":"error"/, lines.filter((l) => /"level":"error"/.test(l)).slice(0, 3).join('\n'));
  const never = { ...secrets, used: used.split('.')[2], issued: good.json.access_token.split('.')[2], basic: basic('root', 'secret').slice(6), basicWrong: basic('root', secrets.wrong).slice(6) };
  const inLog = { ...never, ...private_ };
  for (const [name, value] of Object.entries(inLog)) assert.ok(!log.includes(value), `${name}: ${lines.find((l) => l.includes(value))}`);
  for (const [name, value] of Object.entries(never)) for (const text of answers) assert.ok(!text.includes(value), `${name} in an answer: ${text.slice(0, 600)}`);
  for (const text of answers) if (/^HTTP\/1\.1 4/.test(text) || /^\{"resourceType":"OperationOutcome"/m.test(text)) assert.doesNotMatch(text, /Canaryfamily/, text.slice(0, 600));
});
