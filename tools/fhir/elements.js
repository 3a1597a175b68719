/*
 * Tables of structures, their elements, and the codes that required bindings allow.
 */
'use strict';
const { rows, array, file, hash } = require('./emit.js');

const KINDS = { resource: 0, complex: 1, backbone: 2, primitive: 3 };

/* As enum fhir_format of tables.h: what the text of a primitive must look like. */
const FORMATS = ['none', 'boolean', 'integer', 'unsignedInt', 'positiveInt', 'decimal', 'string', 'markdown',
    'xhtml', 'code', 'id', 'uri', 'url', 'canonical', 'oid', 'uuid', 'base64Binary', 'date', 'dateTime',
    'instant', 'time'];

const SLOTS = 16384;
const EMPTY = 0xffff;
/* Structures are numbered from 0; numbers next to each other must not hash next to each other. */
const seedOf = structure => Math.imul(structure, 0x9e3779b1) >>> 0;

/* Structures: resource types first, in their order, then the others. */
function structureOrder(definitions) {
    const rest = [...definitions.structures.keys()].filter(n => !definitions.types.includes(n)).sort();
    return [...definitions.types, ...rest];
}

function flagsOf(element) {
    return (element.isArray ? 1 : 0) | (element.min > 0 ? 2 : 0) | (element.isSummary ? 4 : 0) |
        (element.isModifier ? 8 : 0) | (element.isBare ? 16 : 0);
}

/* Lists of codes, each once, sorted. */
class CodeSets {
    constructor(pool) {
        this.pool = pool;
        this.sets = [[0, 0]]; /* 0: any code */
        this.codes = [];
        this.known = new Map();
    }
    at(codes) {
        if (codes === null || codes.length === 0)
            return 0;
        const key = codes.join(' ');
        if (!this.known.has(key)) {
            this.known.set(key, this.sets.length);
            this.sets.push([this.codes.length, codes.length]);
            this.codes.push(...codes.map(code => this.pool.at(code)));
        }
        return this.known.get(key);
    }
}

/* Open addressing: where the row of a structure's member is. */
function slotsOf(keys) {
    const slots = new Array(SLOTS).fill(EMPTY);
    if (keys.length > SLOTS * 3 / 4)
        throw new Error('too many elements for the table of slots');
    keys.forEach(({ structure, member }, row) => {
        let at = hash(member, seedOf(structure)) % SLOTS;
        while (slots[at] !== EMPTY)
            at = (at + 1) % SLOTS;
        slots[at] = row;
    });
    return slots;
}

/* Mandatory elements of a structure: a choice counts once. */
function mandatoryOf(elements) {
    const names = elements.filter(([, e]) => e.min > 0).map(([member, e]) => member.slice(0, e.stem || undefined));
    return new Set(names).size;
}

function elementsFile(definitions, order, names, texts, pool) {
    const indexOf = new Map(order.map((name, i) => [name, i]));
    const sets = new CodeSets(pool);
    const elements = [], keys = [], systems = [];
    const structures = order.map((name, structure) => {
        const { kind, elements: own } = definitions.structures.get(name);
        const first = elements.length;
        const choices = [];
        const choiceOf = stem => (choices.includes(stem) ? choices.indexOf(stem) + 1 : choices.push(stem));
        const sorted = [...own].sort((a, b) => a[0] < b[0] ? -1 : 1);
        for (const [member, e] of sorted) {
            keys.push({ structure, member });
            if (e.systems.length > 1)
                systems.push(...e.systems.map(system => [elements.length, texts.at(system)]));
            elements.push([names.at(member), indexOf.get(e.type), e.systems.length === 1 ? texts.at(e.systems[0]) : 0,
                sets.at(e.codes), flagsOf(e), e.stem, e.stem > 0 ? choiceOf(member.slice(0, e.stem)) : 0]);
        }
        const format = kind === 'primitive' ? FORMATS.indexOf(name) : 0;
        if (choices.length > 31 || format < 0)
            throw new Error(`${name}: too many choices, or a primitive without a format`);
        return [texts.at(name), first, own.size, KINDS[kind], format, mandatoryOf(sorted)];
    });
    return file('Elements of all R4 structures.', [
        rows('const struct fhir_structure_row fhir_structure_rows[]', structures),
        `const size_t fhir_structure_count = ${structures.length};\n`,
        rows('const struct fhir_element_row fhir_element_rows[]', elements),
        array(`const uint16_t fhir_element_slots[${SLOTS}]`, slotsOf(keys)),
        rows('const struct fhir_element_system_row fhir_element_systems[]', systems),
        `const size_t fhir_element_system_count = ${systems.length};\n`,
        rows('const struct fhir_code_set_row fhir_code_sets[]', sets.sets),
        array('const uint16_t fhir_code_texts[]', sets.codes),
    ]);
}

module.exports = { structureOrder, elementsFile };
