// What the oracle knows: official examples, official search parameters, and the values that fhirpath.js finds for them.
// Knows nothing of Andiron's code.
import { createRequire } from 'node:module';
import fs from 'node:fs';
import path from 'node:path';
import { files, folder, invalid, text } from '../examples.mjs';

const modules = folder && path.dirname(folder);
export const skip = folder && fs.existsSync(path.join(modules, 'fhirpath')) ? false : 'needs the packages of tests/package.json';
const require = createRequire(path.join(modules ?? '/', 'x.js'));

// Examples by type: all of most types, some of those that come by the hundred (definitions). No very large ones.
export function loadExamples({ perType = 40, maxBytes = 60000 } = {}) {
  const byType = new Map();
  for (const file of files()) {
    if (invalid[file] || fs.statSync(path.join(folder, file)).size > maxBytes) continue;
    const type = file.split('-')[0], list = byType.get(type) ?? [];
    if (list.length >= perType) continue;
    const resource = JSON.parse(text(file));
    if (resource.resourceType !== type || !/^[A-Za-z0-9.-]{1,64}$/.test(resource.id ?? '') || list.some((r) => r.id === resource.id)) continue;
    byType.set(type, [...list, resource]);
  }
  return byType;
}

const json = (name) => { try { return JSON.parse(text(name)); } catch { return undefined; } };

// R4's own search parameters that have an expression, by type: those of extensions and examples are published beside them.
export function loadParams(types) {
  const all = files().filter((f) => f.startsWith('SearchParameter-')).map(json).filter((p) => p.expression && !/-extensions-|-genetic-|^example/.test(p.id));
  const byUrl = new Map(all.map((p) => [p.url, p]));
  const byType = new Map(types.map((t) => [t, all.filter((p) => p.base.some((b) => b === t || b === 'Resource' || b === 'DomainResource'))]));
  return { byType, byUrl };
}

// ---- systems of codes (search.html 3.1.1.4.10: "the system is defined in the value set") -----------------------------

const cached = (map, key, make) => { if (!map.has(key)) map.set(key, make()); return map.get(key); };
const structures = new Map(), sets = new Map(), systems = new Map();
// The resource of that type and canonical URL: mostly its file is named after the end of the URL, else all are read.
const find = (type, url) => {
  const named = json(`${type}-${url.split('/').at(-1)}.json`);
  if (named?.url === url) return named;
  return files().filter((f) => f.startsWith(`${type}-`) && text(f).includes(`"${url}"`)).map(json).find((r) => r.url === url);
};
const valueSet = (url) => cached(sets, url.split('|')[0], () => find('ValueSet', url.split('|')[0]));
const codeSystem = (url) => cached(systems, url, () => find('CodeSystem', url));
const hasCode = (concepts, code) => (concepts ?? []).some((c) => c.code === code || hasCode(c.concept, code));

function systemsOf(set, code, depth = 0) {
  if (!set || depth > 4) return [];
  return (set.compose?.include ?? []).flatMap((include) => {
    if (include.concept) return include.concept.some((c) => c.code === code) ? [include.system] : [];
    if (!include.system) return (include.valueSet ?? []).flatMap((url) => systemsOf(valueSet(url), code, depth + 1));
    const system = codeSystem(include.system);
    return !system || system.content !== 'complete' || hasCode(system.concept, code) ? [include.system] : [];
  });
}

// Systems that a code has by the required binding of its element.
export function implicitSystems(elementPath, code) {
  const type = elementPath.split('.')[0];
  const structure = cached(structures, type, () => json(`StructureDefinition-${type}.json`));
  const element = structure?.snapshot?.element.find((e) => e.path === elementPath);
  const binding = element?.binding;
  return binding?.strength === 'required' && binding.valueSet ? [...new Set(systemsOf(valueSet(binding.valueSet), code))] : [];
}

// ---- values ---------------------------------------------------------------------------------------------------------

// Parts of a union at the top level, without parentheses around a whole part.
function unionParts(expression) {
  const parts = [];
  let depth = 0, from = 0;
  for (let i = 0; i <= expression.length; i++) {
    const c = expression[i];
    if (c === '(') depth++;
    else if (c === ')') depth--;
    else if (i === expression.length || (c === '|' && depth === 0)) { parts.push(expression.slice(from, i).trim()); from = i + 1; }
  }
  return parts;
}

// Type that a reference names: what resolve() would find.
const namedType = (reference) => reference?.reference?.match(/([A-Z][A-Za-z]+)\/[A-Za-z0-9.-]+(\/_history\/[^/]+)?$/)?.[1] ?? reference?.type;

export function evaluator() {
  const fhirpath = require('fhirpath'), r4 = require('fhirpath/fhir-context/r4');
  const compiled = new Map();
  let nodes;
  const table = {
    resolve: { fn: (found) => found.flatMap((n) => { const type = namedType(n.data); return type ? [new n.constructor({ resourceType: type }, null, null, null, null, n.model)] : []; }), arity: { 0: [] }, internalStructures: true },
    nodes: { fn: (found) => { nodes.push(...found); return []; }, arity: { 0: [] }, internalStructures: true },
  };
  // `as` is a filter in search parameters, also where there are several values; and FHIR's primitives are lower case.
  const filtering = (e) => e.replace(/\(([^()]*?) as (\w+)\)/g, '($1.ofType($2))').replace(/\.as\((\w+)\)/g, '.ofType($1)').replace(/ofType\(DateTime\)/g, 'ofType(dateTime)');
  // Path of an element, "Account.status": the engine keeps only the type of primitives.
  const pathOf = (n, expression) => {
    if (n === null || typeof n !== 'object') return undefined;
    const name = expression.replace(/\.where\([^)]*\)/g, '').match(/\.?(\w+)\)*$/)?.[1];
    return n.parentResNode?.data?.[name] !== undefined ? `${n.parentResNode.path}.${name}` : n.path;
  };
  const run = (expression, input, resource) => {
    const program = cached(compiled, expression, () => fhirpath.compile(`(${filtering(expression)}).nodes()`, r4, { userInvocationTable: table }));
    nodes = [];
    program(input, { resource });
    return nodes.map((n) => ({ node: n, path: pathOf(n, expression) }));
  };
  const nodesOf = (expression, resource) => unionParts(expression).flatMap((part) => {
    const own = part.replace(/^(\(*)(Resource|DomainResource)\./, `$1${resource.resourceType}.`); // the engine does not know the parent
    const named = own.match(/^\(*([A-Z]\w*)/)?.[1];
    return named && named !== resource.resourceType ? [] : run(own, resource, resource);
  });
  const valueOf = ({ node, path: elementPath }) => (node !== null && typeof node === 'object' && 'fhirNodeDataType' in node
    ? { type: node.fhirNodeDataType ?? typeof node.data, data: node.data, path: elementPath } : { type: typeof node, data: node });
  const hasValue = (v) => v.data !== undefined && v.data !== null;
  return {
    // [{ type, data, path }]
    values: (param, resource) => nodesOf(param.expression, resource).map(valueOf).filter(hasValue),
    // For each repetition of the composite: values of each component.
    groups: (param, resource) => nodesOf(param.expression, resource).map(({ node }) => param.component.map((c) => unionParts(c.expression).flatMap((part) => run(part, node, resource)).map(valueOf).filter(hasValue))),
  };
}
