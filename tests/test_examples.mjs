// Every published example of FHIR R4 that is valid is stored, and comes back as it was sent but for blanks, id and meta.
//
// NPM_MODULES names the folder where the package hl7.fhir.r4.examples is installed; without it there is nothing to do.
import test, { before, after } from 'node:test';
import assert from 'node:assert/strict';
import { start, call } from './lib/server.mjs';
import { files, folder, invalid, text } from './lib/examples.mjs';

// JSON text without blanks between tokens, and the same without the top-level members id and meta.
const compact = (text) => text.replace(/"(?:[^"\\]|\\.)*"|[^"\s]+|\s+/gs, (token) => (token.trim() === '' && token[0] !== '"' ? '' : token));
const strip = (text) => {
  const members = [];
  let depth = 0, from = 1, i = 0;
  for (; i < text.length; i++) {
    const c = text[i];
    if (c === '"') { while (text[++i] !== '"') if (text[i] === '\\') i++; continue; }
    if (c === '{' || c === '[') depth++;
    if (c === '}' || c === ']') depth--;
    if ((c === ',' && depth === 1) || depth === 0) { members.push(text.slice(from, i)); from = i + 1; }
  }
  return members.filter((m) => !m.startsWith('"id":') && !m.startsWith('"meta":')).join(',');
};

let server;
before(async () => { if (folder) server = await start(); });
after(async () => { if (server) { await server.stop(); server.remove(); } });

test('examples come back byte for byte', { skip: folder ? false : 'NPM_MODULES has no hl7.fhir.r4.examples' }, async () => {
  const all = files();
  const wrong = [];
  let stored = 0, next = 0;
  const one = async (file) => {
    const sent = text(file), json = JSON.parse(sent);
    if (!json.resourceType || !/^[A-Za-z0-9.-]{1,64}$/.test(json.id ?? '')) return;
    const url = `${server.fhir}/${json.resourceType}/${json.id}`;
    const put = await call('PUT', url, sent, { ...server.admin, 'content-type': 'application/fhir+json' });
    if (invalid[file]) { if (put.status !== 422) wrong.push(`${file}: PUT ${put.status}, although it is invalid`); return; }
    if (put.status !== 201 && put.status !== 200) { wrong.push(`${file}: PUT ${put.status} ${put.text.slice(0, 200)}`); return; }
    const get = await call('GET', url, undefined, server.admin);
    stored++;
    if (strip(get.text) !== strip(compact(sent))) wrong.push(`${file}: differs`);
    else if (get.text !== put.text) wrong.push(`${file}: PUT and GET differ`);
  };
  await Promise.all(Array.from({ length: 24 }, async () => { while (next < all.length) await one(all[next++]); }));
  console.log(`# ${stored} examples stored`);
  assert.deepEqual(wrong.slice(0, 20), []);
  assert.ok(stored > 1000, `${stored} stored`);
});
