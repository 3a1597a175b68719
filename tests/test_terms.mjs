// Index terms of all official examples, against an evaluation of the published expressions by another engine
// (fhirpath.js) and an extraction written independently of the server's: from values to what a search should find.
import test from 'node:test';
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { createRequire } from 'node:module';
import fs from 'node:fs';
import path from 'node:path';

const modules = process.env.NPM_MODULES;
const program = path.join(process.env.ANDIRON_BUILD ?? 'build', 'unit/print-terms');
const require = createRequire(path.join(modules ?? '.', 'x.js'));
const has = (name) => modules && fs.existsSync(path.join(modules, name));
const skip = !has('fhirpath') || !has('hl7.fhir.r4.examples') ? 'needs the packages of tests/package.json' : false;

const PER_TYPE = Number(process.env.TERMS_PER_TYPE ?? 25); // examples of one type; definitions come by the hundred

function examples() {
  const folder = path.join(modules, 'hl7.fhir.r4.examples');
  const byType = new Map();
  const params = [];
  for (const file of fs.readdirSync(folder).filter((f) => f.endsWith('.json') && f !== 'package.json').sort()) {
    const resource = JSON.parse(fs.readFileSync(path.join(folder, file), 'utf8'));
    if (!resource.resourceType) continue;
    // Some examples of definitions search extensions: they are no parameters of R4 itself.
    if (resource.resourceType === 'SearchParameter' && resource.url?.startsWith('http://hl7.org/fhir/SearchParameter/') && !/extension/i.test(resource.expression ?? '')) params.push(resource);
    const list = byType.get(resource.resourceType) ?? [];
    if (list.length < PER_TYPE) list.push(resource);
    byType.set(resource.resourceType, list);
  }
  return { resources: [...byType.values()].flat(), params };
}

function printTerms(resources) {
  return new Promise((resolve, reject) => {
    const child = spawn(program, { stdio: ['pipe', 'pipe', 'inherit'] });
    const chunks = [];
    child.stdout.on('data', (c) => chunks.push(c));
    child.on('error', reject);
    child.on('exit', (code) => (code === 0 ? resolve(Buffer.concat(chunks).toString().trim().split('\n').map((l) => JSON.parse(l)))
      : reject(new Error(`print-terms exits with ${code}`))));
    child.stdin.end(resources.map((r) => JSON.stringify(r)).join('\n') + '\n');
  });
}

// ---- expressions ----------------------------------------------------------------

// resolve() would fetch; what is meant is the type that the reference names.
const typeOf = (reference) => reference?.reference?.match(/([A-Z][A-Za-z]+)\/[A-Za-z0-9.-]+(\/_history\/[^/]+)?$/)?.[1] ?? reference?.type;

function evaluator(fhirpath, model) {
  const compiled = new Map();
  const run = (expression, resource) => {
    // `as` is a filter in search parameters, also where there are several values
    const filtered = expression.replace(/^\((.*) as (\w+)\)/, '$1.ofType($2)').replace(/\.as\((\w+)\)/g, '.ofType($1)');
    if (!compiled.has(expression)) compiled.set(expression, fhirpath.compile(filtered, model));
    return compiled.get(expression)(resource, { resource });
  };
  return (union, resource) => union.split(/\s\|\s/).flatMap((part) => {
    const cast = part.match(/^(.*)\.where\(resolve\(\) is (\w+)\)$/);
    part = part.replace(/^Resource\./, `${resource.resourceType}.`); // the engine does not know the parent
    const named = part.match(/^\(?([A-Z]\w*)/);
    if (named && named[1] !== resource.resourceType) return [];
    return cast ? run(cast[1], resource).filter((r) => typeOf(r) === cast[2]) : run(part, resource);
  });
}

// ---- from a value to what it should be found by ----------------------------------

const asText = (v) => (v === null || v === undefined ? undefined : typeof v === 'object' ? (v.asStr ?? undefined) : String(v));
const token = (system, code) => (code ? [`${system ?? ''}|${code}`] : []);

function tokens(v) {
  if (typeof v !== 'object' || v.asStr !== undefined) return [`*|${asText(v)}`];
  if (v.coding || (v.text && !v.value)) return (v.coding ?? []).flatMap((c) => token(c.system, c.code));
  if (v.code !== undefined) return token(v.system, v.code);
  return v.system?.includes(':') && !v.value ? [`${v.system}|`] : token(v.system, v.value); // an Identifier without a value
}

function strings(v) {
  if (typeof v !== 'object') return [v];
  const members = v.family !== undefined || v.given !== undefined || v.prefix !== undefined || v.suffix !== undefined
    ? ['text', 'family', 'given', 'prefix', 'suffix'] : ['text', 'line', 'city', 'district', 'state', 'postalCode', 'country', 'family'];
  return members.flatMap((m) => v[m] ?? []).filter((s) => typeof s === 'string');
}

function references(v) {
  if (typeof v === 'string') return v.startsWith('#') ? [] : [v.replace(/#.*/, '')].filter(Boolean);
  if (v.resourceType) return v.id ? [`${v.resourceType}/${v.id}`] : [];
  if (v.url && !v.reference) return [v.url];
  const text = v.reference;
  if (!text || text.startsWith('#')) return [];
  const local = text.match(/^([A-Z][A-Za-z0-9]*\/[A-Za-z0-9.-]{1,64})(\/_history\/.*)?$/);
  if (local) return [local[1]];
  return /^[a-z][a-z0-9+.-]*:/.test(text) ? [text] : [];
}

// Only what another reader of dates can tell: the first instant of a date, the end of a full instant.
function dates(v) {
  const start = (s) => {
    if (!/^\d{4}(-\d\d(-\d\d(T.*)?)?)?$/.test(s ?? '')) return undefined;
    const whole = /^\d{4}$/.test(s) ? `${s}-01-01T00:00:00Z` : /^\d{4}-\d\d$/.test(s) ? `${s}-01T00:00:00Z`
      : /^\d{4}-\d\d-\d\d$/.test(s) ? `${s}T00:00:00Z` : /(Z|[+-]\d\d:\d\d)$/.test(s) ? s : `${s}Z`;
    return Date.parse(whole) * 1000;
  };
  const text = asText(v);
  if (text !== undefined) return [start(text)];
  if (v.event) return [Math.min(...v.event.map(start))];
  if (v.repeat?.boundsPeriod) v = v.repeat.boundsPeriod;
  if (v.start) return [start(v.start)];
  return v.end ? [-(2 ** 62)] : [];
}

const numbers = (v) => {
  if (typeof v === 'number') return [v];
  if (v.value !== undefined && typeof v.value === 'number' && !v.comparator) return [v.value];
  if (v.low?.value !== undefined && !v.low.comparator) return [v.low.value];
  return undefined; // open ends, other shapes: not compared
};

function expected(kind, values) {
  const lists = values.map((v) => ({ token: tokens, string: strings, reference: references, uri: references, date: dates, number: numbers, quantity: numbers }[kind](v)));
  return lists.some((l) => l === undefined) ? undefined : new Set(lists.flat().filter((x) => x !== undefined && !Number.isNaN(x)));
}

// ---- what the server found -------------------------------------------------------

function found(kind, terms) {
  const own = terms.filter((t) => t.kind === { uri: 'uri', string: 'string', token: 'token', reference: 'reference', date: 'date', number: 'number', quantity: 'quantity' }[kind] && t.group === undefined);
  const text = {
    token: () => own.filter((t) => t.exact === undefined).map((t) => `${t.system ?? ''}|${t.text}`),
    string: () => own.map((t) => t.exact),
    reference: () => own.map((t) => (t.system ? `${t.system}/${t.text}` : t.text)),
    uri: () => own.map((t) => t.text),
    date: () => own.map((t) => t.low),
    number: () => own.map((t) => t.low),
    quantity: () => own.map((t) => t.low),
  };
  return new Set(text[kind]());
}

// A canonical URL is also found without its version; codes get the system of their binding.
function same(kind, want, got) {
  if (kind === 'token') {
    const codes = new Set([...got].map((t) => `*|${t.slice(t.lastIndexOf('|') + 1)}`));
    const ends = (t, c) => t.endsWith(c) || t.toLowerCase().endsWith(c); // strings have no case
    const known = (t) => got.has(t) || (t.startsWith('*|') && [...codes].some((c) => ends(t, c.slice(1))));
    return [...want].every(known) && codes.size <= want.size; // a code may be of several systems
  }
  if (kind === 'reference' || kind === 'uri')
    return [...want].every((x) => got.has(x)) && [...got].every((x) => want.has(x) || [...want].some((w) => w.startsWith(`${x}|`)));
  if (kind === 'date') return [...want].every((x) => [...got].some((g) => Math.abs(g - x) < 1000)) && got.size === want.size;
  return want.size === got.size && [...want].every((x) => got.has(x));
}

test('index terms of the official examples are those of the published expressions', { skip, timeout: 600000 }, async () => {
  const fhirpath = require('fhirpath');
  const evaluate = evaluator(fhirpath, require('fhirpath/fhir-context/r4'));
  const { resources, params } = examples();
  const printed = await printTerms(resources);
  assert.equal(printed.length, resources.length);

  const wrong = [];
  let compared = 0;
  resources.forEach((resource, i) => {
    const byParam = Map.groupBy ? Map.groupBy(printed[i].terms, (t) => t.param)
      : printed[i].terms.reduce((m, t) => m.set(t.param, [...(m.get(t.param) ?? []), t]), new Map());
    for (const param of params) {
      const applies = param.base?.some((b) => b === resource.resourceType || b === 'Resource' || b === 'DomainResource');
      if (!applies || !param.expression || / and /.test(param.expression) || ['_id', '_lastUpdated'].includes(param.code)) continue;
      const values = evaluate(param.expression, resource);
      const terms = byParam.get(param.code) ?? [];
      const isPresent = terms.some((t) => t.kind === 'present');
      const what = `${resource.resourceType}/${resource.id} ${param.code}`;
      compared++;
      if (param.type === 'composite' || param.type === 'special') {
        if (isPresent && values.length === 0) wrong.push(`${what}: present without a value`);
        continue;
      }
      if (isPresent !== values.length > 0) wrong.push(`${what}: present ${isPresent}, values ${JSON.stringify(values)}`);
      const want = expected(param.type, values);
      const got = found(param.type, terms);
      if (want !== undefined && !same(param.type, want, got))
        wrong.push(`${what}: expected ${JSON.stringify([...want])}, found ${JSON.stringify([...got])}`);
    }
  });
  assert.ok(compared > 10000, `only ${compared} parameters were compared`);
  assert.deepEqual(wrong.slice(0, 20), [], `${wrong.length} of ${compared} differ`);
});
