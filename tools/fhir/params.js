/*
 * Search parameters by resource type: what each is called, what it refers to, and the routes
 * to its values.
 */
'use strict';
const { routes, truth } = require('./expressions.js');
const { isIndexable } = require('./kinds.js');

/* Not in R4's list, but known to every later version and cheap to have. */
const EXTRA = [{
    id: 'Resource-language', code: '_language', type: 'token', base: ['Resource'],
    expression: 'Resource.language', target: [],
}];

/* Without an expression, and answered by nothing here: _text, _content, _query. */
const isSupported = param => param.expression !== undefined;

function targetsOf(param, found, typeNames) {
    const declared = (param.target ?? []).filter(t => typeNames.has(t));
    if (declared.length === 0)
        return [];
    const meant = new Set(found.flatMap(route => route.targets));
    const targets = meant.size === 0 || meant.has('Resource') ? declared : declared.filter(t => meant.has(t));
    return (targets.length > 0 ? targets : declared).sort();
}

/*
 * Components of a composite. R4 gives DocumentReference.relationship its two definitions the
 * wrong way round; the element's type tells which one is meant.
 */
function partsOf(param, type, start, structures, byUrl) {
    const of = param.component.map(component => byUrl.get(component.definition));
    return param.component.map((component, i) => {
        const base = component.expression.startsWith('%') ? type : start;
        const [first] = routes(structures, base, component.expression);
        const fits = [of[i], ...of].find(definition => isIndexable(definition.type, first?.type));
        if (!fits)
            throw new Error(`${type}.${param.code}: no definition for "${component.expression}"`);
        return { code: fits.code, kind: fits.type, expression: component.expression };
    });
}

/* [{ type, list: [{ id, code, kind, routes, truth, targets, parts }] }], sorted; "Resource" last. */
function paramsByType(definitions) {
    const typeNames = new Set(definitions.types);
    const supported = [...definitions.params.filter(isSupported), ...EXTRA];
    const byUrl = new Map(definitions.params.map(p => [p.url, p]));
    return [...definitions.types, 'Resource'].map(type => {
        const list = supported.filter(p => p.base.includes(type)).map(p => {
            const isTrue = / and /.test(p.expression) ? truth(definitions.structures, type, p.expression) : null;
            const found = isTrue ? [] : routes(definitions.structures, type, p.expression);
            if (!isTrue && found.length === 0)
                throw new Error(`${type}.${p.code}: no route from "${p.expression}"`);
            return {
                id: p.id, code: p.code, kind: p.type, routes: found, truth: isTrue,
                targets: targetsOf(p, found, typeNames),
                parts: p.type === 'composite' ?
                    partsOf(p, type, found[0].type, definitions.structures, byUrl) : [],
            };
        });
        list.sort((a, b) => a.code < b.code ? -1 : 1);
        for (let i = 1; i < list.length; i++)
            if (list[i].code === list[i - 1].code)
                throw new Error(`${type}.${list[i].code} is defined twice`);
        return { type, list };
    });
}

module.exports = { paramsByType };
