/*
 * Reads the published FHIR R4 definitions and boils them down to what the generator needs:
 * resource types, structures with their elements, search parameters, compartments.
 *
 * All of it is what HL7 published with R4 (hl7.fhir.r4.examples); other collections have
 * elements and parameters of later versions in them.
 */
'use strict';
const fs = require('fs');
const path = require('path');
const { Terms } = require('./terms.js');

const STRUCTURE_URL = 'http://hl7.org/fhir/StructureDefinition/';
const FHIR_TYPE = STRUCTURE_URL + 'structuredefinition-fhir-type';
const RESOURCE_TYPES = 'http://hl7.org/fhir/resource-types';
const SYSTEM_TYPE = 'http://hl7.org/fhirpath/System.';

/* Published resources of a type: those in files named after it. */
function published(folder, type) {
    return fs.readdirSync(folder)
        .filter(f => f.startsWith(type + '-') && f.endsWith('.json'))
        .sort()
        .map(f => JSON.parse(fs.readFileSync(path.join(folder, f), 'utf8').replace(/^\uFEFF/, '')));
}

/* A type that JSON knows no extensions of: ids of elements, url of Extension. */
const isBare = type => type.code.startsWith(SYSTEM_TYPE);

function typeNameOf(type, path) {
    if (!isBare(type))
        return type.code;
    /* Resource.id is an id; the snapshots of the types that inherit it say "string". */
    if (/^[A-Z]\w*\.id$/.test(path) && type.isOfResource)
        return 'id';
    return type.extension?.find(e => e.url === FHIR_TYPE)?.valueUrl ?? 'string';
}

function targetsOf(type) {
    return (type.targetProfile ?? []).map(url => url.replace(STRUCTURE_URL, ''));
}

const upperFirst = s => s[0].toUpperCase() + s.slice(1);

/* One row for each JSON member name: a choice element gives one for each of its types. */
function addElement(structures, element, terms, ofResource) {
    const parts = element.path.split('.');
    const name = parts.pop();
    const owner = structures.get(parts.join('.'));
    const row = {
        min: element.min,
        isArray: element.max !== '1',
        isSummary: element.isSummary === true,
        isModifier: element.isModifier === true,
        systems: terms.requiredSystems(element),
        codes: terms.requiredCodes(element),
        stem: 0,
        isBare: false,
    };
    if (element.contentReference) {
        owner.elements.set(name, { ...row, type: element.contentReference.replace(/^.*#/, ''), targets: [] });
        return;
    }
    const isChoice = name.endsWith('[x]');
    const stem = name.replace('[x]', '');
    for (const type of element.type ?? []) {
        const code = typeNameOf({ ...type, isOfResource: ofResource }, element.path);
        const isInline = code === 'BackboneElement' || code === 'Element';
        const memberName = isChoice ? stem + upperFirst(code) : name;
        owner.elements.set(memberName, {
            ...row,
            type: isInline ? element.path : code,
            stem: isChoice ? stem.length : 0,
            isBare: isBare(type) || code === 'xhtml',
            targets: targetsOf(type),
        });
        if (isInline)
            structures.set(element.path, { name: element.path, kind: 'backbone', elements: new Map() });
    }
}

function readStructures(folder, typeNames, terms) {
    const structures = new Map();
    const definitions = published(folder, 'StructureDefinition')
        .filter(d => d.derivation !== 'constraint' && (typeNames.has(d.id) || d.id === 'Resource' ||
            d.kind === 'complex-type' || d.kind === 'primitive-type'));
    for (const definition of definitions) {
        const kind = definition.kind === 'complex-type' ? 'complex' :
            definition.kind === 'primitive-type' ? 'primitive' : 'resource';
        const base = (definition.baseDefinition ?? '').replace(STRUCTURE_URL, '');
        structures.set(definition.id, { name: definition.id, kind, base, elements: new Map() });
        if (kind === 'primitive')
            continue;
        for (const element of definition.snapshot.element.slice(1))
            addElement(structures, element, terms, kind === 'resource');
    }
    return structures;
}

function readCompartments(folder) {
    return ['device', 'encounter', 'patient', 'practitioner', 'relatedPerson'].map(id => {
        const definition = JSON.parse(fs.readFileSync(path.join(folder, `CompartmentDefinition-${id}.json`), 'utf8'));
        return {
            type: definition.code,
            resources: definition.resource.filter(r => r.param).map(r => ({ type: r.code, params: r.param })),
        };
    }).sort((a, b) => a.type < b.type ? -1 : 1);
}

/* Search parameters of extensions and examples are published beside R4's own. */
const isOwnParam = param => !/-extensions-|-genetic-|^example/.test(param.id);

/* root: a node_modules folder with the packages of tools/package.json. */
function load(root) {
    const folder = path.join(root, 'hl7.fhir.r4.examples');
    const terms = new Terms(published(folder, 'ValueSet'), published(folder, 'CodeSystem'));
    const known = new Set(terms.codesOfSystem(RESOURCE_TYPES));
    known.delete('Resource');
    known.delete('DomainResource');
    return {
        types: [...known].sort(),
        structures: readStructures(folder, known, terms),
        params: published(folder, 'SearchParameter').filter(isOwnParam),
        compartments: readCompartments(folder),
    };
}

module.exports = { load, upperFirst };
