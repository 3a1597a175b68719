// Searches that look beyond one resource, and the order of answers: chains, _has and _sort, with what the oracle says of them.
import { matches, sortKeysOf, targetsOf } from './rules.mjs';
import { searches } from './queries.mjs';

// What one parameter of a type gives for each of its resources: { type, param, kind, kinds, values, resources }.
const SORTABLE = ['date', 'number', 'quantity', 'token', 'string', 'uri', 'reference'];

const options = (known, base, now, x) => ({ base, now, targets: known.param.target, code: known.param.code, version: x.version });
const searchesOf = (known, found, count, r, base) => searches(known, found, count, r, { base, targets: known.param.target, code: known.param.code, versions: known.resources.map((x) => x.version).filter(Boolean) });
const nameOf = ({ param, modifier }) => `${param.code}${modifier ? `:${modifier}` : ''}`;

// Chains and _has along every reference parameter that leads from an example to another one: some for each pair of types.
export function linkSearches(all, perLink, r, base) {
  const byType = new Map(), asked = [];
  for (const known of all) byType.set(known.type, [...(byType.get(known.type) ?? []), known]);
  const has = new Map(all.map((known) => [known.type, new Set(known.resources.map((x) => x.id))]));
  // "ap" depends on the time, and words far behind in a long text are a courtesy: these are asked of one resource only.
  const plain = (known) => !['composite', 'special'].includes(known.kind);
  const certain = ({ value, modifier }, known) => !(known.kind === 'date' && /(^|,)ap/.test(value)) && (known.kind !== 'string' || modifier !== undefined);
  const ids = (known, search, now) => new Set(known.resources.filter((x, i) => matches({ ...known, ...search }, known.values[i], options(known, base, now, x))).map((x) => x.id));
  for (const link of all.filter((k) => k.kind === 'reference')) {
    const edges = link.values.map((found) => found.flatMap((v) => targetsOf(v, base)).filter((t) => t.type && has.get(t.type)?.has(t.id) && (!link.param.target?.length || link.param.target.includes(t.type))));
    for (const type of new Set(edges.flat().map((t) => t.type))) {
      const leads = link.resources.map((x, i) => [x.id, edges[i].filter((t) => t.type === type).map((t) => t.id)]).filter(([, to]) => to.length > 0);
      const make = (of, write, expect) => {
        for (let tries = 0, made = 0; made < perLink && tries < perLink * 6; tries++) {
          const known = r.pick(byType.get(of).filter(plain)), found = known.values.flat();
          const search = found.length > 0 && r.pick(searchesOf(known, found, 1, r, base));
          if (!search || !certain(search, known)) continue;
          const met = ids(known, search, BigInt(Date.now()) * 1000n);
          asked.push({ text: write(nameOf({ ...known, ...search }), encodeURIComponent(search.value)), expected: expect(met).sort() });
          made++;
        }
      };
      make(type, (name, value) => `${link.type}?${link.param.code}:${type}.${name}=${value}`, (met) => leads.filter(([, to]) => to.some((id) => met.has(id))).map(([from]) => from));
      make(link.type, (name, value) => `${type}?_has:${link.type}:${link.param.code}:${name}=${value}`, (met) => [...new Set(leads.filter(([from]) => met.has(from)).flatMap(([, to]) => to))]);
    }
  }
  return asked;
}

// Sorted searches of all resources of a type, by one or two parameters; wrong(ids) says what is not in order, or undefined.
export function sortSearches(all, perType, r) {
  const byType = new Map(), asked = [];
  for (const known of all) if (SORTABLE.includes(known.kind)) byType.set(known.type, [...(byType.get(known.type) ?? []), known]);
  for (const [type, list] of byType) {
    for (let i = 0; i < perType; i++) {
      const keys = [r.pick(list), ...(r.chance(0.4) ? [r.pick(list)] : [])].map((known) => {
        const descending = r.chance(0.5), of = new Map(known.resources.map((x, n) => {
          const found = sortKeysOf(known.kind, known.values[n]);
          return [x.id, found.length === 0 ? undefined : found.reduce((a, b) => ((compare(a, b) > 0) === descending ? a : b))];
        }));
        return { known, descending, of };
      });
      const order = (a, b) => {
        for (const { descending, of } of keys) {
          const [x, y] = [of.get(a), of.get(b)];
          if ((x === undefined) !== (y === undefined)) return x === undefined ? 1 : -1; // without a value: last
          const c = x === undefined ? 0 : compare(x, y);
          if (c !== 0) return beginAlike(x, y) ? 0 : descending ? -c : c;
        }
        return 0;
      };
      const ids = list[0].resources.map((x) => x.id).sort();
      asked.push({
        text: `${type}?_sort=${keys.map(({ known, descending }) => `${descending ? '-' : ''}${known.param.code}`).join(',')}`,
        wrong: (got) => {
          if (String([...got].sort()) !== String(ids)) return `not all of them, or one twice: ${got}`;
          const at = got.findIndex((id, n) => n > 0 && order(got[n - 1], id) > 0);
          return at < 0 ? undefined : `${got[at - 1]} before ${got[at]}`;
        },
      });
    }
  }
  return asked;
}

// Of long texts the start decides, which an index knows: their order is open, and with it that of the keys behind them.
const SURE = 240;
const beginAlike = (a, b) => Buffer.isBuffer(a) && a.length >= SURE && Buffer.compare(a.subarray(0, SURE), b.subarray(0, SURE)) === 0;
// Numbers and instants by size, texts byte by byte.
const compare = (a, b) => (Buffer.isBuffer(a) ? Buffer.compare(a, b) : a < b ? -1 : a > b ? 1 : 0);
