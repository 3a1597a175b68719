/*
 * Extraction programs: for each resource type one tree over member names that leads to the
 * values of all its search parameters, so that one walk through a resource finds them.
 */
'use strict';
const { routes } = require('./expressions.js');
const { HOW, howOf, isIndexable } = require('./kinds.js');

/* The store answers these itself. */
const OF_STORE = new Set(['_id', '_lastUpdated']);

const newNode = () => ({ edges: new Map(), emits: [], guards: [] });

function nodeAt(root, steps) {
    let node = root;
    for (const step of steps) {
        if (step.member !== undefined) {
            if (!node.edges.has(step.member))
                node.edges.set(step.member, newNode());
            node = node.edges.get(step.member);
            continue;
        }
        const key = JSON.stringify(step.guard);
        let guard = node.guards.find(g => g.key === key);
        if (!guard)
            node.guards.push(guard = { key, ...step.guard, node: newNode() });
        node = guard.node;
    }
    return node;
}

function addEmit(node, emit) {
    const same = e => e.how === emit.how && e.param === emit.param && e.part === emit.part && e.system === emit.system;
    if (emit.how === 'COMPOSITE' || !node.emits.some(same))
        node.emits.push(emit);
}

/* A code whose binding names several systems is found by each of them: which one is not looked up. */
function addValue(node, route, emit) {
    const systems = emit.how === 'CODE' && route.systems.length > 0 ? route.systems : [null];
    for (const system of systems)
        addEmit(node, { ...emit, system });
}

/* A component may say "value" where its definition says (value as CodeableConcept): the rest is left. */
function partOf(structures, start, part, number, param) {
    const found = routes(structures, start, part.expression).filter(route => isIndexable(part.kind, route.type));
    const root = newNode();
    for (const route of found)
        addValue(nodeAt(root, route.steps), route, { how: howOf(part.kind, route), param, part: number });
    return { root, fromResource: found[0].fromResource };
}

/* Tree of one type; param is the index of its first parameter. */
function tree(structures, type, list, first) {
    const root = newNode();
    list.forEach((p, i) => {
        const param = first + i;
        const what = `${type}.${p.code}`;
        if (OF_STORE.has(p.code))
            return;
        if (p.truth) {
            addEmit(root, { how: 'TRUTH', param, part: 0, system: null, truth: p.truth });
            return;
        }
        for (const route of p.routes) {
            const node = nodeAt(root, route.steps);
            if (p.kind !== 'composite') {
                addValue(node, route, { how: howOf(p.kind, route, what), param, part: 0 });
                continue;
            }
            /* A component's base is the element's type, but %resource still means the whole. */
            const start = route.type;
            const parts = p.parts.map((part, n) =>
                partOf(structures, part.expression.startsWith('%') ? type : start, part, n + 1, param));
            addEmit(node, { how: 'COMPOSITE', param, part: 0, system: null, parts });
        }
    });
    return root;
}

/* Rows for C: nodes, edges, guards, emits, composites, truths; and the root of each type. */
class Tables {
    constructor(names, texts) {
        Object.assign(this, {
            names, texts, nodes: [], edges: [], guards: [], emits: [], composites: [], truths: [], truthMembers: [],
        });
    }
    add(node) {
        const index = this.nodes.length;
        this.nodes.push(null);
        const edges = [...node.edges].sort(([a], [b]) => a.length - b.length || (a < b ? -1 : 1))
            .map(([name, to]) => [this.names.at(name), this.add(to), name.length]);
        const guards = node.guards.map(g => this.guard(g));
        const emits = node.emits.map(e => [e.param, this.argument(e), HOW.indexOf(e.how), e.part]);
        const firsts = [this.edges.length, this.guards.length, this.emits.length];
        this.edges.push(...edges);
        this.guards.push(...guards);
        this.emits.push(...emits);
        this.nodes[index] = [...firsts, edges.length, guards.length, emits.length];
        return index;
    }
    guard(g) {
        const to = this.add(g.node);
        if (g.eq !== undefined)
            return [0, this.names.at(g.member), this.names.at(g.eq), to];
        if (g.reference !== undefined)
            return [1, this.names.at(g.reference), 0, to];
        return [2, g.index, 0, to];
    }
    argument(emit) {
        if (emit.how === 'CODE')
            return emit.system ? this.texts.at(emit.system) : 0;
        if (emit.how === 'COMPOSITE') {
            const parts = emit.parts.map(p => this.add(p.root));
            const mask = emit.parts.reduce((m, p, i) => m | (p.fromResource ? 1 << i : 0), 0);
            this.composites.push([parts.length, mask, `{ ${parts.join(', ')} }`]);
            return this.composites.length - 1;
        }
        if (emit.how === 'TRUTH') {
            const first = this.truths.length;
            for (const t of emit.truth) {
                this.truths.push([t.op === 'exists' ? 0 : 1, t.members.length, this.truthMembers.length,
                    t.literal === null ? 0 : this.names.at(t.literal), t === emit.truth.at(-1) ? 1 : 0]);
                this.truthMembers.push(...t.members.map(m => this.names.at(m)));
            }
            return first;
        }
        return 0;
    }
}

/* byType: from params.js, in the order of the parameter table. */
function build(definitions, byType, names, texts) {
    const tables = new Tables(names, texts);
    let first = 0;
    const roots = byType.map(({ type, list }) => {
        const root = tables.add(tree(definitions.structures, type, list, first));
        first += list.length;
        return root;
    });
    return { tables, roots };
}

module.exports = { build };
