// What the worker owns: memory that large requests took is not kept.
import test from 'node:test';
import assert from 'node:assert/strict';
import fs from 'node:fs';
import { start, call, sanitized, sleep, store } from './lib/server.mjs';
import { scopedToken } from './lib/smart.mjs';

test('what large Bundles took is given back', { skip: sanitized && 'memory is not comparable' }, async (t) => {
  const server = await start();
  t.after(async () => { await server.stop(); server.remove(); });
  const worker = fs.readFileSync(`/proc/${server.child.pid}/task/${server.child.pid}/children`, 'utf8').trim();
  const owned = () => Number(fs.readFileSync(`/proc/${worker}/smaps_rollup`, 'utf8').match(/^Anonymous:\s+(\d+)/m)[1]) / 1024;
  const bundle = (n) => ({ resourceType: 'Bundle', type: 'transaction', entry: Array.from({ length: 4000 }, (_, i) => ({ request: { method: 'PUT', url: `Patient/${n}-${i}` }, resource: { resourceType: 'Patient', id: `${n}-${i}`, text: { status: 'generated', div: `<div xmlns="http://www.w3.org/1999/xhtml">${'x'.repeat(500)}</div>` }, name: [{ family: `F${i}`, given: ['Ann', 'Bea'] }], birthDate: '1980-01-01' } })) });
  const before = owned();
  for (const r of await Promise.all([1, 2, 3, 4].map((n) => call('POST', server.fhir, bundle(n), { ...server.admin, prefer: 'return=minimal' }))))
    assert.equal(r.status, 200, r.text.slice(0, 300));
  let left;
  for (let i = 0; i < 50 && (left = owned() - before) > 60; i++) await sleep(100);
  assert.ok(left <= 60, `${left} MB are left of four Bundles of 4000 entries; the store's cache may have 24 of them`);
});

test('a transaction of 5,000 entries of 1 KB takes four times its size at most', { skip: sanitized && 'memory is not comparable' }, async (t) => {
  const server = await start();
  t.after(async () => { await server.stop(); server.remove(); });
  const worker = fs.readFileSync(`/proc/${server.child.pid}/task/${server.child.pid}/children`, 'utf8').trim();
  const status = (name) => Number(fs.readFileSync(`/proc/${worker}/status`, 'utf8').match(new RegExp(`^${name}:\\s+(\\d+)`, 'm'))[1]) * 1024;
  const bundle = (n) => JSON.stringify({ resourceType: 'Bundle', type: 'transaction', entry: Array.from({ length: 5000 }, (_, i) => ({ request: { method: 'PUT', url: `Patient/${n}-${i}` }, resource: { resourceType: 'Patient', id: `${n}-${i}`, identifier: [{ system: 'http://test.example/mrn', value: `${n}-${i}` }], active: true, name: [{ family: `F${i}`, given: ['Ann', 'Bea'] }], telecom: [{ system: 'phone', value: '555-0100', use: 'home' }], gender: 'female', birthDate: '1980-02-29', address: [{ line: ['1 Main Street'], city: 'Springfield', postalCode: '01101', country: 'US' }], text: { status: 'generated', div: `<div xmlns="http://www.w3.org/1999/xhtml">${'x'.repeat(540)}</div>` } } })) });
  const taken = [];
  for (let n = 0; n < 5; n++) { // the first ones fill the store's caches, too
    const text = bundle(n);
    fs.writeFileSync(`/proc/${worker}/clear_refs`, '5'); // begins VmHWM anew
    const before = status('VmRSS');
    const r = await call('POST', server.fhir, text, server.admin);
    assert.equal(r.status, 200, r.text.slice(0, 300));
    taken.push((status('VmHWM') - before) / text.length);
  }
  // 3.6 to 3.7 was measured once caches are full (store-postgres: 5.2); the rest is for how memory comes in pieces.
  assert.ok(Math.min(...taken) <= (store === 'postgres' ? 5.8 : 4), `${taken.map((x) => x.toFixed(2))} times the Bundle`);
});

// Times the Bundle's size that a transaction of 5,000 entries of 1 KB takes: the least of some.
const taken = async (server, headers, entryOf) => {
  const worker = fs.readFileSync(`/proc/${server.child.pid}/task/${server.child.pid}/children`, 'utf8').trim();
  const status = (name) => Number(fs.readFileSync(`/proc/${worker}/status`, 'utf8').match(new RegExp(`^${name}:\\s+(\\d+)`, 'm'))[1]) * 1024;
  const runs = [];
  for (let n = 0; n < 5; n++) { // the first three fill the store's caches, too
    const resource = (i) => ({ resourceType: 'Patient', identifier: [{ system: 'http://test.example/mrn', value: `${n}-${i}` }], active: true, name: [{ family: `F${i}`, given: ['Ann', 'Bea'] }], gender: 'female', birthDate: '1980-02-29', text: { status: 'generated', div: `<div xmlns="http://www.w3.org/1999/xhtml">${'x'.repeat(690)}</div>` } });
    const text = JSON.stringify({ resourceType: 'Bundle', type: 'transaction', entry: Array.from({ length: 5000 }, (_, i) => entryOf(`${n}-${i}`, resource(i))) });
    fs.writeFileSync(`/proc/${worker}/clear_refs`, '5');
    const before = status('VmRSS');
    const r = await call('POST', server.fhir, text, headers);
    assert.equal(r.status, 200, r.text.slice(0, 300));
    runs.push((status('VmHWM') - before) / text.length);
  }
  return runs;
};
// The figures are those of store-sqlite; store-postgres takes 4.9 to 5.1 for the same.
const few = (runs, most) => assert.ok(Math.min(...runs) <= (store === 'postgres' ? 5.8 : most), `${runs.map((x) => x.toFixed(2))} times the Bundle`);

test('so does one whose entries are conditional', { skip: sanitized && 'memory is not comparable' }, async (t) => {
  const server = await start();
  t.after(async () => { await server.stop(); server.remove(); });
  few(await taken(server, server.admin, (id, resource) => ({ fullUrl: `urn:uuid:${id}`, request: { method: 'POST', url: 'Patient', ifNoneExist: `identifier=http://test.example/mrn|${id}` }, resource })), 4); // 3.8 to 3.9 was measured
});

test('so does one with referential integrity', { skip: sanitized && 'memory is not comparable' }, async (t) => {
  const server = await start({ plugins: { fhir: { 'referential-integrity': 'on' } } });
  t.after(async () => { await server.stop(); server.remove(); });
  few(await taken(server, server.admin, (id, resource) => ({ request: { method: 'PUT', url: `Patient/${id}` }, resource: { ...resource, id, link: [{ other: { reference: `Patient/${id.split('-')[0]}-0` }, type: 'seealso' }] } })), 4); // 3.4 was measured
});

test('so does one of a token that may write only some resources', { skip: sanitized && 'memory is not comparable' }, async (t) => {
  const server = await start();
  t.after(async () => { await server.stop(); server.remove(); });
  const { headers } = await scopedToken(server, 'narrow', ['system/Patient.cruds?active=true']);
  few(await taken(server, headers, (id, resource) => ({ request: { method: 'PUT', url: `Patient/${id}` }, resource: { ...resource, id } })), 4); // 3.5 was measured
});

test('the loops have little to do with a transaction of 5,000 entries', { skip: sanitized && 'times are not comparable' }, async (t) => {
  const server = await start();
  t.after(async () => { await server.stop(); server.remove(); });
  const worker = fs.readFileSync(`/proc/${server.child.pid}/task/${server.child.pid}/children`, 'utf8').trim(), tasks = `/proc/${worker}/task`;
  // Nanoseconds of processor time, of the loops and of all threads.
  const spent = () => fs.readdirSync(tasks).reduce(([loops, all], id) => {
    const ns = Number(fs.readFileSync(`${tasks}/${id}/schedstat`, 'utf8').split(' ')[0]);
    return [loops + (fs.readFileSync(`${tasks}/${id}/comm`, 'utf8').startsWith('loop') ? ns : 0), all + ns];
  }, [0, 0]);
  const shares = [];
  for (let n = 0; n < 3; n++) {
    const entry = Array.from({ length: 5000 }, (_, i) => ({ request: { method: 'PUT', url: `Patient/${n}-${i}` }, resource: { resourceType: 'Patient', id: `${n}-${i}`, name: [{ family: `F${i}`, given: ['Ann', 'Bea'] }], birthDate: '1980-02-29', text: { status: 'generated', div: `<div xmlns="http://www.w3.org/1999/xhtml">${'x'.repeat(700)}</div>` } } }));
    const before = spent();
    assert.equal((await call('POST', server.fhir, { resourceType: 'Bundle', type: 'transaction', entry }, server.admin)).status, 200);
    const after = spent();
    shares.push((after[0] - before[0]) / (after[1] - before[1]));
  }
  // 0.03 was measured: reading, checking and writing it, and freeing its memory, are for other threads. What is sent to
  // PostgreSQL is put together by the loop: 0.14 to 0.18.
  assert.ok(Math.min(...shares) < (store === 'postgres' ? 0.25 : 0.1), `the loops did ${shares.map((x) => x.toFixed(3))} of the work`);
});
