// Validation of all official examples, and of examples with one thing broken: exactly that place is found.
//
// Where things may be broken is worked out here from the published StructureDefinitions and ValueSets, independently of
// the server's tables.
import test from 'node:test';
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import path from 'node:path';
import { files, folder, invalid, text } from './lib/examples.mjs';

const program = path.join(process.env.ANDIRON_BUILD ?? 'build', 'unit/print-issues');
const skip = folder ? false : 'NPM_MODULES has no hl7.fhir.r4.examples';
const PER_TYPE = Number(process.env.EXAMPLES_PER_TYPE ?? 4), PER_KIND = 2;

const printIssues = (lines, mode = []) => new Promise((ok, no) => {
  const child = spawn(program, mode, { stdio: ['pipe', 'pipe', 'inherit'] });
  const chunks = [];
  child.stdout.on('data', (c) => chunks.push(c));
  child.on('error', no);
  child.on('exit', (code) => (code === 0 ? ok(Buffer.concat(chunks).toString().trim().split('\n').map((l) => JSON.parse(l))) : no(new Error(`print-issues exits with ${code}`))));
  child.stdin.end(lines.join('\n') + '\n');
});

test('official examples are valid, but for those that are listed with what they break', { skip, timeout: 600000 }, async () => {
  const all = files();
  const printed = await printIssues(all.map((f) => text(f).replace(/[\r\n]+/g, ' ')));
  const wrong = [];
  all.forEach((file, i) => {
    const found = [...new Set(printed[i].map((issue) => `${issue.code} ${issue.where.replace(/\[\d+\]/g, '')}`))].sort();
    const listed = [...(invalid[file] ?? [])].sort();
    if (JSON.stringify(found) !== JSON.stringify(listed)) wrong.push(`${file}: ${found} instead of ${listed}`);
  });
  assert.deepEqual(wrong, []);
  assert.ok(all.length > 5000);
});

// ---- definitions ------------------------------------------------------------------

class Definitions {
  constructor() {
    this.elements = new Map(); // path -> Map(json name -> { path, type, many, required, choice, codes })
    this.definitions = new Map();
    this.terms = new Map();
    for (const file of files()) {
      if (!/^(StructureDefinition|ValueSet|CodeSystem)-/.test(file)) continue;
      const resource = JSON.parse(text(file));
      if (resource.resourceType !== 'StructureDefinition') this.terms.set(`${resource.resourceType} ${resource.url}`, resource);
      else if (resource.derivation !== 'constraint') this.definitions.set(resource.type, resource);
    }
  }
  codes(url) {
    const include = this.terms.get(`ValueSet ${url?.replace(/\|.*/, '')}`)?.compose?.include;
    const known = (i) => i.system && !i.filter && (i.concept || this.terms.get(`CodeSystem ${i.system}`)?.content === 'complete');
    return include?.every(known) ? include : undefined;
  }
  of(at) {
    if (!this.elements.has(at)) this.load(at.split('.')[0]);
    return this.elements.get(at);
  }
  load(type) {
    for (const e of this.definitions.get(type).snapshot.element) {
      this.elements.set(e.path, this.elements.get(e.path) ?? new Map());
      if (!e.path.includes('.')) continue;
      const last = e.path.lastIndexOf('.'), name = e.path.slice(last + 1), owner = this.elements.get(e.path.slice(0, last));
      for (const t of e.type ?? [{ code: 'reference' }]) {
        const code = e.contentReference ? e.contentReference.replace(/^.*#/, '') : t.code.replace(/^.*System\..*$/, 'bare');
        owner.set(name.replace('[x]', code[0].toUpperCase() + code.slice(1)), {
          type: ['BackboneElement', 'Element'].includes(code) ? e.path : code, many: e.max === '*', required: e.min > 0,
          choice: name.endsWith('[x]') ? name.slice(0, -3) : undefined, types: (e.type ?? []).map((x) => x.code),
          codes: ['code', 'CodeableConcept'].includes(code) && e.binding?.strength === 'required' && this.codes(e.binding.valueSet),
        });
      }
    }
  }
  isPrimitive(type) { return /^[a-z]/.test(type); }
}

// Every member of a resource: { owner, name, place of owner, place, element }.
function* members(definitions, object, at, place) {
  const known = definitions.of(at);
  for (const [name, value] of Object.entries(object)) {
    if (name === 'resourceType' || name[0] === '_') continue;
    const element = known.get(name);
    const own = `${place}.${element.choice ?? name}`;
    yield { owner: object, at, name, ownerPlace: place, place: own, element, value };
    if (definitions.isPrimitive(element.type)) continue;
    for (const [i, v] of (element.many ? value : [value]).entries()) {
      const next = element.type === 'Resource' ? v.resourceType : element.type;
      yield* members(definitions, v, next, element.many ? `${own}[${i}]` : own);
    }
  }
}

// ---- what is broken -----------------------------------------------------------------

const BAD = { // values that the type's form forbids
  date: ['2020-13-01', '2020-02-30', '20200101', '2020-01-01T00:00:00Z', '01.02.2020'], dateTime: ['2020-01-01T10:00', '2020-01-01T10:00:00', '2020-01-01 10:00:00Z', '2020-1-1'],
  instant: ['2020-01-01', '2020-01-01T10:00:00'], time: ['25:00:00', '10:00', '10:00:00Z'], id: ['a b', 'ä', 'x'.repeat(65)], uri: ['a b'], url: ['a b'], canonical: ['http://a b'],
  oid: ['1.2.3', 'urn:oid:3.1', 'urn:oid:1.02'], uuid: ['urn:uuid:C757873D-EC9A-4326-A141-556F43239520', 'c757873d-ec9a-4326-a141-556f43239520'], base64Binary: ['abc', 'a=bc', '####'],
  code: [' final', 'a  b'], integer: [1.5, 2147483648], unsignedInt: [-1], positiveInt: [0], boolean: ['true', 1], decimal: ['1.0'], xhtml: ['text', '<p>x</p>'],
};
const VALUES = { boolean: true, integer: 1, string: 'x', code: 'x', uri: 'u', dateTime: '2020', date: '2020', decimal: 1, CodeableConcept: { text: 'x' }, Reference: { display: 'x' }, Quantity: { value: 1 }, Period: { start: '2020' }, Range: { low: { value: 1 } } };
const size = (o) => Object.keys(o).length;

// Each takes a member and a function that picks from a list; changes the owner, and returns the issues, or nothing where it does not apply.
const kinds = {
  misspelt({ owner, name, ownerPlace, place, element, at }) {
    if (at === 'Extension' || owner['_' + name] !== undefined) return;
    owner[`${name}Q`] = owner[name];
    delete owner[name];
    return [`structure ${ownerPlace}.${name}Q`, ...(element.required ? [`required ${place}`] : [])];
  },
  missing({ owner, name, place, element, at }) {
    if (!element.required || at === 'Extension' || size(owner) < 3 || owner['_' + name] !== undefined) return;
    delete owner[name];
    return [`required ${place}`];
  },
  twoValues({ owner, name, place, element, value }) {
    if (element.many) return;
    owner[name] = [value, value];
    return [`structure ${place}`];
  },
  noArray({ owner, name, place, element, value }) {
    if (!element.many) return;
    owner[name] = value[0];
    return [`structure ${place}`];
  },
  wrongType({ owner, name, place, element, value, primitive }) {
    const broken = primitive ? (typeof value === 'string' || typeof value?.[0] === 'string' ? 17 : 'seventeen') : 'text';
    const i = element.many ? 0 : undefined;
    if (element.many && value[0] === null) return;
    if (element.many) owner[name] = [broken, ...value.slice(1)];
    else owner[name] = broken;
    return [`${primitive ? 'value' : 'structure'} ${place}${element.many ? `[${i}]` : ''}`];
  },
  badForm({ owner, name, place, element, value }, pick) {
    if (!BAD[element.type] || (element.many && value[0] === null)) return;
    const broken = pick(BAD[element.type]);
    owner[name] = element.many ? [broken, ...value.slice(1)] : broken;
    return [`value ${place}${element.many ? '[0]' : ''}`];
  },
  badCode({ owner, name, place, element, value }) {
    if (!element.codes || (element.many && value[0] === null)) return;
    const broken = element.type === 'code' ? 'no-such-code' : { coding: [{ system: 'http://example.org', code: 'x' }] };
    owner[name] = element.many ? [broken, ...value.slice(1)] : broken;
    return [`code-invalid ${place}${element.many ? '[0]' : ''}`];
  },
  twoChoices({ owner, name, place, element }, pick) {
    if (!element.choice) return;
    const others = element.types.filter((t) => VALUES[t] !== undefined && element.choice + t[0].toUpperCase() + t.slice(1) !== name);
    if (others.length === 0) return;
    const other = pick(others);
    owner[element.choice + other[0].toUpperCase() + other.slice(1)] = VALUES[other];
    return [`structure ${place}`];
  },
  isNull({ owner, name, place }) {
    owner[name] = null;
    return [`structure ${place}`];
  },
  isEmpty({ owner, name, place, element, primitive }) {
    const empty = primitive ? '' : {};
    if (primitive && !['string', 'code', 'uri', 'dateTime', 'date', 'id', 'markdown'].includes(element.type)) return;
    if (element.type === 'Resource') return;
    owner[name] = element.many ? [empty] : empty;
    return [`structure ${place}${element.many ? '[0]' : ''}`];
  },
  emptyArray({ owner, name, place, element }) {
    if (!element.many) return;
    owner[name] = [];
    return [`structure ${place}`];
  },
  badExtras({ owner, name, place, element, primitive }) {
    if (!primitive || element.many || element.type === 'bare' || element.type === 'xhtml' || owner['_' + name]) return;
    owner['_' + name] = { extension: [{ url: 'u', valueCode: 'a  b' }] };
    return [`value ${place}.extension[0].value`];
  },
  extrasOfObject({ owner, name, ownerPlace, primitive }) {
    if (primitive) return;
    owner['_' + name] = { id: 'x' };
    return [`structure ${ownerPlace}._${name}`];
  },
  noType({ owner, name, place, element, value }) {
    if (element.type !== 'Resource') return;
    const inner = element.many ? value[0] : value;
    delete inner.resourceType;
    return [`required ${place}${element.many ? '[0]' : ''}.resourceType`];
  },
};

// The same choices at every run.
const random = (seed) => { let s = seed; return (n) => { s = (Math.imul(s, 1664525) + 1013904223) >>> 0; return Math.floor((s / 2 ** 32) * n); }; };

test('one broken thing is found at its place, and nothing else', { skip, timeout: 600000 }, async () => {
  const definitions = new Definitions(), counts = {};
  const cases = [], perType = {};
  const next = random(42), pick = (list) => list[next(list.length)];
  for (const file of files()) {
    const source = text(file);
    if (invalid[file] || source.length > 60000) continue;
    const type = JSON.parse(source).resourceType;
    if (!type || (perType[type] = (perType[type] ?? 0) + 1) > PER_TYPE) continue;
    for (const [kind, damage] of Object.entries(kinds))
      for (let done = 0, tries = 0; done < PER_KIND && tries < 40; tries++) {
        const resource = JSON.parse(source), all = [...members(definitions, resource, type, type)];
        const member = pick(all);
        member.primitive = definitions.isPrimitive(member.element.type);
        const expected = damage(member, pick);
        if (!expected) continue;
        done++;
        counts[kind] = (counts[kind] ?? 0) + 1;
        cases.push({ what: `${file} ${kind} ${member.place}`, line: JSON.stringify(resource), expected: expected.sort() });
      }
  }
  const printed = await printIssues(cases.map((c) => c.line));
  const wrong = [];
  cases.forEach(({ what, expected }, i) => {
    const found = printed[i].map((issue) => `${issue.code} ${issue.where}`).sort();
    if (JSON.stringify(found) !== JSON.stringify(expected)) wrong.push(`${what}: ${found} instead of ${expected}`);
  });
  console.log(`# ${cases.length} broken resources of ${Object.keys(perType).length} types: ${Object.entries(counts).map(([k, n]) => `${k} ${n}`).join(', ')}`);
  assert.deepEqual(wrong.slice(0, 20), [], `${wrong.length} wrong`);
  for (const kind of Object.keys(kinds)) assert.ok(counts[kind] > 15, `${kind}: only ${counts[kind] ?? 0}`);
});
