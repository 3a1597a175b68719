// Jobs of nodes over one database: the index of a new SearchParameter, and an export. Each runs on one node; when that is
// killed another goes on where it was, and in the end all is there, nothing twice.
import { test } from 'node:test';
import assert from 'node:assert/strict';
import fs from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { startPostgres } from './lib/postgres.mjs';
import { freezeNode, killNode, node, restartNode, until } from './lib/nodes.mjs';
import { begin, download, finished, load } from './lib/bulk.mjs';
import { call, indexAgrees } from './lib/server.mjs';

const count = 2400, eye = 'http://example.org/eye';
const patient = (i) => ({ resourceType: 'Patient', id: `p${i}`, extension: [{ url: eye, valueCode: i % 2 ? 'blue' : 'brown' }] });
const parameter = { resourceType: 'SearchParameter', id: 'eye', url: 'http://example.org/SearchParameter/eye', name: 'eye', status: 'active', description: 'x', code: 'eye-color', base: ['Patient'], type: 'token', expression: `Patient.extension('${eye}').value` };

const ask = (n, method, where, body, headers) => call(method, `${n.fhir}/${where}`, body, { ...n.admin, ...headers });
const index = async (n) => {
  const r = await ask(n, 'GET', 'SearchParameter/$index-status').catch(() => ({}));
  const part = r.json?.parameter?.[0]?.part ?? [];
  return Object.fromEntries(part.map(({ name, ...value }) => [name, Object.values(value)[0]]));
};
const progress = async (n, url) => {
  const r = await ask(n, 'GET', url.slice(url.indexOf('$export-status')));
  return r.status === 200 ? count : Number(/(\d+) resources/.exec(r.headers.get('x-progress') ?? '')?.[1] ?? 0);
};
const told = (nodes, event) => nodes.map((n) => n.log()).join('').split('\n').filter((l) => event.test(l)).length;

test('a job survives its node', async (t) => {
  const pg = await startPostgres(), directory = fs.mkdtempSync(path.join(os.tmpdir(), 'andiron-exports-')), nodes = [];
  try {
    const dsn = pg.database('jobs'), core = { log: { 'access-log': 'off' } };
    const plugins = { bulk: { directory, 'slice-rows': 1, checkpoint: '50ms', poll: '100ms', lease: '60s', 'file-size': '50k' }, search: { 'index-pause': '2s' } };
    const first = await node({ dsn, plugins, core });
    nodes.push(first);
    await load(first, count, patient);
    // Begun while it is alone, so both are its own.
    assert.equal((await ask(first, 'PUT', 'SearchParameter/eye', parameter)).status, 201);
    await until('the index is being built', async () => Number((await index(first)).percent) > 0);
    const url = await begin(first, '$export?_type=Patient');
    await until('the export is under way', async () => (await progress(first, url)) > 0);
    // It stands still until it is killed, however long the other takes to start.
    freezeNode(first);
    // Of one node all know the base-url by which they are asked.
    const second = await node({ dsn, plugins: { ...plugins, bulk: { ...plugins.bulk, 'slice-rows': 200 }, search: { 'index-pause': '1ms' } }, core, base: first.base, init: false });
    nodes.push(second);
    // What one node has begun, and still holds, the other leaves alone.
    const was = await progress(second, url);
    assert.ok(was > 0 && was < count, `${was} resources`);
    assert.equal(told([second], /"bulk\.resumed"/), 0);
    const writing = [];
    for (let i = 0; i < 20; i++) writing.push(ask(second, 'PUT', `Patient/late${i}`, { ...patient(1), id: `late${i}` }));
    await Promise.all(writing);
    await killNode(first);
    const killed = Date.now();

    const at = { ...second, base: second.base };
    const done = await finished({ ...at, admin: second.admin }, url.replace(first.base, `http://127.0.0.1:${second.port}`));
    assert.equal(done.status, 200, done.text);
    t.diagnostic(`the export was over ${Date.now() - killed} ms after the kill`);
    await second.logged(/"bulk\.resumed"/);
    const m = { ...done.json, output: done.json.output.map((o) => ({ ...o, url: o.url.replace(first.base, `http://127.0.0.1:${second.port}`) })) };
    const ids = (await download(second, m)).map(([, line]) => JSON.parse(line).id);
    assert.equal(new Set(ids).size, ids.length, 'nothing is there twice');
    assert.deepEqual(ids.filter((id) => /^p/.test(id)).sort(), Array.from({ length: count }, (_, i) => `p${i}`).sort());

    await until('the index is ready', async () => (await index(second)).state === 'ready', 60000);
    t.diagnostic(`the index was ready ${Date.now() - killed} ms after the kill`);
    nodes[0] = await restartNode(first);
    for (const n of nodes)
      await until('all are found', async () => (await ask(n, 'GET', 'Patient?eye-color=blue&_summary=count', undefined, { prefer: 'handling=strict' })).json.total === count / 2 + 20);
    assert.equal(pg.sql("SELECT count(*) FROM (SELECT 1 FROM andiron.ix_token GROUP BY p, h, vid HAVING count(*) > 1) twice", 'jobs')[0], '0');
    await indexAgrees(second);
    await second.logged(/the index of SearchParameter\/eye is ready/);
    assert.equal(told(nodes, /the index of SearchParameter\/eye is ready/), 1, 'it was built once');
    assert.equal(told(nodes, /"bulk\.finished"/), 1, 'it ended once');

    // With both there, one of them does it.
    const another = await begin(nodes[0], '$export?_type=Patient');
    assert.equal((await finished(nodes[0], another)).status, 200);
    await until('somebody says so', () => told(nodes, /"bulk\.finished"/) >= 2);
    assert.equal(told(nodes, /"bulk\.finished"/), 2);
  } finally {
    for (const n of nodes) { await n.stop(); n.remove(); }
    fs.rmSync(directory, { recursive: true, force: true });
    await pg.stop();
  }
});
