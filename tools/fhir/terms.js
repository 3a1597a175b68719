/*
 * Value sets: which code systems and which codes a required binding allows.
 */
'use strict';

const withoutVersion = url => url.replace(/\|.*/, '');

/* Codes of a list of concepts and of all below them. */
function codesOf(concepts) {
    return concepts.flatMap(c => [c.code, ...codesOf(c.concept ?? [])]);
}

class Terms {
    constructor(valueSets, codeSystems) {
        this.valueSets = new Map(valueSets.map(v => [v.url, v]));
        this.codeSystems = new Map(codeSystems.map(c => [c.url, c]));
    }

    /* All codes of a system; null if it is not published whole. */
    codesOfSystem(url) {
        const system = this.codeSystems.get(url);
        return system?.content === 'complete' ? codesOf(system.concept ?? []) : null;
    }

    codesOfInclude(include) {
        if (include.filter)
            return null;
        const lists = (include.valueSet ?? []).map(url => this.codesOf(url));
        if (include.system)
            lists.push(include.concept?.map(c => c.code) ?? this.codesOfSystem(include.system));
        if (lists.includes(null))
            return null;
        /* Several conditions of one include hold together. */
        return lists.reduce((a, b) => a.filter(code => b.includes(code)));
    }

    /* All codes of a value set; null if they cannot be enumerated: media types, units, currencies. */
    codesOf(url) {
        const compose = this.valueSets.get(withoutVersion(url))?.compose;
        if (!compose || compose.exclude)
            return null;
        const lists = compose.include.map(include => this.codesOfInclude(include));
        return lists.includes(null) ? null : [...new Set(lists.flat())].sort();
    }

    /* Systems of a value set: those of its includes, also through value sets it includes. */
    systemsOf(url, seen = new Set()) {
        const bare = withoutVersion(url);
        const systems = new Set();
        if (seen.has(bare))
            return systems;
        seen.add(bare);
        for (const include of this.valueSets.get(bare)?.compose?.include ?? []) {
            if (include.system)
                systems.add(include.system);
            for (const other of include.valueSet ?? [])
                for (const system of this.systemsOf(other, seen))
                    systems.add(system);
        }
        return systems;
    }

    static required(element) {
        return element.binding?.strength === 'required' ? element.binding.valueSet : undefined;
    }

    /* Systems that a code with a required binding may be of: nearly always one. */
    requiredSystems(element) {
        const url = Terms.required(element);
        return url ? [...this.systemsOf(url)] : [];
    }

    /* Codes that a required binding allows; null: any. */
    requiredCodes(element) {
        const url = Terms.required(element);
        return url ? this.codesOf(url) : null;
    }
}

module.exports = { Terms };
