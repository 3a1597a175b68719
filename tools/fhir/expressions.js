/*
 * The FHIRPath subset of search parameters: text to syntax tree, and tree to routes.
 *
 * A route is one way from a resource to an element: steps { member } and guards
 * ({ eq }, { reference }, { index }), and the type of the element at its end. Whatever is
 * outside the subset is an error that names it; nothing is silently left out.
 */
'use strict';

const TOKEN = /\s*(?:([%A-Za-z_][A-Za-z0-9_]*)|'([^']*)'|(\d+)|(!=|[().|[\]=]))/y;

function tokenize(text) {
    const tokens = [];
    TOKEN.lastIndex = 0;
    while (TOKEN.lastIndex < text.length) {
        const match = TOKEN.exec(text);
        if (!match)
            throw new Error(`cannot read expression "${text}"`);
        if (match[1] !== undefined)
            tokens.push({ name: match[1] });
        else if (match[2] !== undefined)
            tokens.push({ literal: match[2] });
        else if (match[3] !== undefined)
            tokens.push({ number: Number(match[3]) });
        else
            tokens.push({ sign: match[4] });
        while (/\s/.test(text[TOKEN.lastIndex] ?? ''))
            TOKEN.lastIndex++;
    }
    return tokens;
}

class Parser {
    constructor(text) {
        this.text = text;
        this.tokens = tokenize(text);
        this.at = 0;
    }
    fail(what) {
        throw new Error(`expression "${this.text}": ${what}`);
    }
    isSign(sign) {
        return this.tokens[this.at]?.sign === sign;
    }
    isName(name) {
        return this.tokens[this.at]?.name === name;
    }
    take(sign) {
        if (!this.isSign(sign))
            this.fail(`expected "${sign}"`);
        this.at++;
    }
    name() {
        const token = this.tokens[this.at++];
        if (token?.name === undefined)
            this.fail('expected a name');
        return token.name;
    }
    whole() {
        const tree = this.union();
        if (this.at !== this.tokens.length)
            this.fail(`cannot go on at ${JSON.stringify(this.tokens[this.at])}`);
        return tree;
    }
    union() {
        const args = [this.and()];
        while (this.isSign('|')) {
            this.at++;
            args.push(this.and());
        }
        return args.length === 1 ? args[0] : { op: 'union', args };
    }
    and() {
        let tree = this.compare();
        while (this.isName('and')) {
            this.at++;
            tree = { op: 'and', args: [tree, this.compare()] };
        }
        return tree;
    }
    compare() {
        const tree = this.cast();
        const sign = this.tokens[this.at]?.sign;
        if (sign !== '=' && sign !== '!=')
            return tree;
        this.at++;
        const value = this.tokens[this.at++];
        const literal = value?.literal ?? value?.name;
        if (literal === undefined)
            this.fail(`expected a literal behind "${sign}"`);
        return { op: sign === '=' ? 'eq' : 'ne', of: tree, literal };
    }
    cast() {
        let tree = this.path();
        for (;;) {
            if (this.isName('as'))
                tree = (this.at++, { op: 'as', of: tree, type: this.name() });
            else if (this.isName('is'))
                tree = (this.at++, { op: 'is', of: tree, type: this.name() });
            else
                return tree;
        }
    }
    path() {
        let tree;
        if (this.isSign('(')) {
            this.at++;
            tree = this.union();
            this.take(')');
        } else {
            tree = this.member({ op: 'start' });
        }
        for (;;) {
            if (this.isSign('.')) {
                this.at++;
                tree = this.member(tree);
            } else if (this.isSign('[')) {
                this.at++;
                const index = this.tokens[this.at++]?.number;
                if (index === undefined)
                    this.fail('expected a whole number in [ ]');
                this.take(']');
                tree = { op: 'index', of: tree, index };
            } else {
                return tree;
            }
        }
    }
    member(of) {
        const name = this.name();
        if (!this.isSign('('))
            return { op: 'member', of, name };
        this.at++;
        let tree;
        switch (name) {
        case 'where':
            tree = { op: 'where', of, condition: this.and() };
            break;
        case 'as':
        case 'ofType':
            tree = { op: 'as', of, type: this.name() };
            break;
        case 'exists':
        case 'resolve':
            tree = { op: name, of };
            break;
        default:
            this.fail(`function ${name}() is not supported`);
        }
        this.take(')');
        return tree;
    }
}

function parse(text) {
    return new Parser(text).whole();
}

const sameType = (a, b) => a.toLowerCase() === b.toLowerCase();

class Resolver {
    constructor(structures, base, text) {
        this.structures = structures;
        this.base = base; /* name of a resource type, or of the structure a component starts at */
        this.text = text;
    }
    fail(what) {
        throw new Error(`expression "${this.text}" of ${this.base}: ${what}`);
    }
    start() {
        return [{ steps: [], type: this.base, targets: [], systems: [], fromResource: false }];
    }
    routes(tree) {
        switch (tree.op) {
        case 'start':
            return this.start();
        case 'union':
            return tree.args.flatMap(arg => this.routes(arg));
        case 'member':
            return this.member(tree);
        case 'as':
            return this.routes(tree.of).filter(route => this.isOf(route.type, tree.type));
        case 'index':
            return this.guard(tree.of, { index: tree.index });
        case 'where':
            return this.where(tree);
        default:
            return this.fail(`${tree.op} is not supported here`);
        }
    }
    /* A canonical is also a uri, an Age also a Quantity: FHIRPath 6.3.1 includes subclasses. */
    isOf(type, wanted) {
        for (let t = type; t; t = this.structures.get(t)?.base)
            if (sameType(t, wanted))
                return true;
        return false;
    }
    guard(of, guard) {
        return this.routes(of).map(route => ({ ...route, steps: [...route.steps, { guard }] }));
    }
    member(tree) {
        if (tree.of.op === 'start') {
            const first = tree.name;
            if (first === '%resource') {
                const resource = this.base.split('.')[0];
                return [{ ...this.start()[0], type: resource, fromResource: true }];
            }
            if (first === this.base || first === 'Resource' || first === 'DomainResource')
                return this.start();
            if (/^[A-Z]/.test(first))
                return []; /* a part of the union for another type */
        }
        return this.routes(tree.of).flatMap(route => this.child(route, tree.name));
    }
    child(route, name) {
        const elements = this.structures.get(route.type)?.elements;
        if (!elements)
            return this.fail(`${route.type} has no members`);
        const found = elements.has(name) && elements.get(name).stem === 0 ? [name] :
            [...elements].filter(([member, e]) => e.stem === name.length && member.startsWith(name))
                .map(([member]) => member);
        if (found.length === 0)
            return this.fail(`${route.type} has no member ${name}`);
        return found.map(member => {
            const element = elements.get(member);
            return {
                ...route,
                steps: [...route.steps, { member }],
                type: element.type,
                targets: element.targets,
                systems: element.systems,
            };
        });
    }
    where(tree) {
        const { condition } = tree;
        if (condition.op === 'is' && condition.of.op === 'resolve')
            return this.guard(tree.of, { reference: condition.type })
                .map(route => ({ ...route, targets: [condition.type] }));
        const of = condition.of;
        if (condition.op === 'eq' && of.op === 'member' && of.of.op === 'start')
            return this.guard(tree.of, { member: of.name, eq: condition.literal });
        return this.fail('where() supports member = literal and resolve() is Type');
    }
}

/* All routes of an expression from a base type: [{ steps, type, targets, systems, fromResource }]. */
function routes(structures, base, text, tree = parse(text)) {
    return new Resolver(structures, base, text).routes(tree);
}

/*
 * A truth: an expression that is true or false for every resource ("a.exists() and a != b").
 * Returns [{ op: 'exists' | 'ne', members, literal }], all of which must hold; null for others.
 */
function truth(structures, base, text) {
    const tree = parse(text);
    if (tree.op !== 'and')
        return null;
    const resolver = new Resolver(structures, base, text);
    return tree.args.map(arg => {
        if (arg.op !== 'exists' && arg.op !== 'ne')
            return resolver.fail('only exists() and != are supported with and');
        const members = resolver.routes(arg.of).map(route => {
            if (route.steps.length !== 1)
                return resolver.fail('only members of the resource are supported with and');
            return route.steps[0].member;
        });
        return { op: arg.op, members, literal: arg.literal ?? null };
    });
}

module.exports = { parse, routes, truth };
