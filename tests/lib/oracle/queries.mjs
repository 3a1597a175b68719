// Searches made from the values that resources have, as they are and mutated. Seeded: the same seed makes the same.
import { escape, textsOf, tokensOf } from './rules.mjs';
import { dateRange, decimal } from './numbers.mjs';

// mulberry32
export function random(seed) {
  let a = seed >>> 0;
  const next = () => { a = (a + 0x6d2b79f5) | 0; let t = Math.imul(a ^ (a >>> 15), 1 | a); t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t; return ((t ^ (t >>> 14)) >>> 0) / 4294967296; };
  return { next, below: (n) => Math.floor(next() * n), pick: (list) => list[Math.floor(next() * list.length)], chance: (p) => next() < p };
}

const PREFIXES = ['eq', 'ne', 'gt', 'lt', 'ge', 'le', 'sa', 'eb', 'ap'];
const prefix = (r) => (r.chance(0.2) ? '' : r.pick(PREFIXES));

// ---- values by kind: each returns [modifier, value], or undefined if this value gives no search -------------------------

const swapCase = (s) => [...s].map((c) => (c === c.toUpperCase() ? c.toLowerCase() : c.toUpperCase())).join('');
const hasBase = (s) => /[\p{L}\p{N}\p{S}]/u.test(s);
const anyText = (v) => (typeof v.data === 'string' ? v.data : undefined);

function stringOf(v, r) {
  const all = typeof v.data === 'string' ? [v.data] : Object.entries(v.data).filter(([k]) => !['use', 'type', 'period'].includes(k)).flatMap(([, x]) => x).filter((x) => typeof x === 'string' && x !== '');
  if (all.length === 0) return undefined;
  const whole = r.pick(all), text = whole.slice(0, 200);
  const anywhere = r.below(whole.length), within = whole.slice(anywhere, anywhere + 1 + r.below(r.pick([8, 8, 400])));
  const from = r.below(text.length), part = text.slice(from, from + 1 + r.below(8));
  const words = text.split(/[^\p{L}\p{N}]+/u).filter(Boolean);
  const [modifier, value] = r.pick([
    () => ['', text.slice(0, 1 + r.below(text.length))], () => ['', swapCase(text)], () => ['', part], () => ['', words.length ? r.pick(words) : text], () => ['', `${text}x`],
    () => ['', text.normalize('NFD').replace(/\s/g, '  ')], () => ['exact', text], () => ['exact', swapCase(text)], () => ['exact', text.slice(0, -1) || text], () => ['contains', within],
    () => ['contains', swapCase(within)],
  ])();
  if (value.trim() === '' || (modifier !== 'exact' && !hasBase(value)) || !value.isWellFormed()) return undefined;
  return [modifier, escape(value)];
}

const piped = (v) => !['ContactPoint', 'boolean', 'uri', 'string', 'id', 'canonical'].includes(v.type);
// Few identifiers have a type, so these get searches of their own.
function ofTypeOf(v, r) {
  const c = v.type === 'Identifier' && v.data.value ? v.data.type?.coding?.find((x) => x.system && x.code) : undefined;
  if (!c) return undefined;
  const [system, code, value] = [c.system, c.code, v.data.value].map(escape);
  return ['of-type', r.pick([[system, code, value], [system, code, value], [system, code, value], [system, code, `${value}x`], [system, `${code}x`, value], [`${system}x`, code, value],
    [escape(v.data.system ?? 'http://example.org/none'), code, value]]).join('|')];
}

function tokenOf(v, r, { isPart = false, code: param } = {}) {
  const tokens = tokensOf(v), t = tokens.length ? r.pick(tokens) : {};
  const code = t.code === undefined ? undefined : escape(t.code);
  const not = r.chance(0.3) && !isPart ? 'not' : '';
  const texts = textsOf(v);
  const ofType = () => {
    const c = v.data.type.coding?.[0];
    return !isPart && v.data.value && c?.code ? ['of-type', `${escape(c.system ?? '')}|${escape(c.code)}|${escape(v.data.value)}${r.chance(0.2) ? 'x' : ''}`] : undefined;
  };
  const media = param === 'contenttype' && t.code ? escape(t.code.split(';')[0]) : undefined;
  if (media && r.chance(0.6)) return ['below', r.pick([media, media.split('/')[0], `${media}x`, `${media.split('/')[0]}x`])];
  const way = r.pick([
    () => code && [not, code],
    () => code && piped(v) && [not, `${escape(t.system ?? '')}|${code}`],
    () => code && piped(v) && [not, `|${code}`],
    () => t.system && piped(v) && [not, `${escape(t.system)}|`],
    () => code && [not, swapCase(code)],
    () => code && piped(v) && [not, `http://example.org/other|${code}`],
    () => code && [not, `${code}x`],
    () => code && [not, isPart ? code : `nothing,${code}`],
    () => texts.length && !isPart && ((text) => ['text', escape(text.slice(0, 1 + r.below(Math.min(60, text.length))))])(r.pick(texts)),
    () => texts.length && !isPart && ((text) => ['text', escape(swapCase(text.slice(0, 60)))])(r.pick(texts)),
    ...(v.type === 'Identifier' && v.data.type ? [ofType, ofType, ofType] : []),
  ])();
  if (!way || (way[0] === 'text' && !hasBase(way[1])) || /^\s|\s$/.test(way[1])) return undefined;
  return way[0] === 'of-type' && way[1].startsWith('|') ? undefined : way;
}

function referenceOf(v, r, { base, targets, isPart = false } = {}) {
  if (v.type === 'Reference' && v.data.identifier?.value && !isPart && r.chance(0.5)) {
    const { system, value } = v.data.identifier;
    return ['identifier', r.pick([escape(value), `${escape(system ?? '')}|${escape(value)}`, `|${escape(value)}`, `${escape(value)}x`])];
  }
  const text = v.type === 'Reference' ? v.data.reference : v.data?.resourceType ? `${v.data.resourceType}/${v.data.id}` : v.type === 'Attachment' ? v.data.url : anyText(v);
  if (typeof text !== 'string' || text === '' || text.startsWith('#')) return undefined;
  const local = v.type === 'Reference' || v.data?.resourceType ? text.match(/^([A-Z][A-Za-z]+)\/([A-Za-z0-9.-]{1,64})(\/_history\/.*)?$/) : undefined;
  if (!local) return /^[A-Za-z][A-Za-z0-9+.-]*:/.test(text) ? ['', escape(r.pick([text, text.replace(/[|#].*/s, ''), `${text}x`, `${text.replace(/[|#].*/s, '')}|9.9`]))] : undefined;
  const [, type, id] = local;
  return r.pick([['', id], ['', `${type}/${id}`], ['', `${base}/${type}/${id}`], ['', `${type}/${id}/_history/1`], ['', `${type}/${id}x`], ['', `http://example.org/${type}/${id}`], ...(isPart || (targets?.length && !targets.includes(type)) ? [] : [[type, id], [type, `${type}/${id}`]])]);
}

function uriOf(v, r, { code, versions = [] }) {
  const text = anyText(v);
  if (!text) return undefined;
  const up = text.replace(/\/[^/]*$/, '');
  if (code === 'url' && versions.length > 0 && r.chance(0.3)) return ['', `${escape(text)}|${escape(r.chance(0.3) ? swapCase(r.pick(versions)) : r.pick(versions))}`];
  return r.pick([['', escape(text)], ['', escape(up)], ['', escape(swapCase(text))], ['below', escape(text)], ['below', escape(up)], ['below', escape(`${up}/`)], ['below', escape(text.slice(0, -1))],
    ['above', escape(`${text}/_history/5`)], ['above', escape(text)], ['above', escape(`${text}x`)]]);
}

function dateOf(v, r) {
  const { data } = v;
  const all = typeof data === 'string' ? [data] : [data.start, data.end, ...(data.event ?? []), data.repeat?.boundsPeriod?.start, data.repeat?.boundsPeriod?.end].filter(Boolean);
  const range = all.length && dateRange(r.pick(all));
  if (!range) return undefined;
  const steps = [0n, 0n, 0n, 1000n, -1000n, 1000000n, 86400000000n, -86400000000n, 31n * 86400000000n, range.high - range.low, -1000000n];
  const at = new Date(Number((r.chance(0.5) ? range.low : range.high) + r.pick(steps)) / 1000);
  if (at.getUTCFullYear() < 1000 || at.getUTCFullYear() > 9990) return undefined;
  const full = at.toISOString(), ahead = new Date(at.getTime() + 5.5 * 3600000).toISOString();
  return ['', prefix(r) + r.pick([full, full.slice(0, 19) + 'Z', full.slice(0, 16), full.slice(0, 16) + 'Z', full.slice(0, 10), full.slice(0, 10), full.slice(0, 7), full.slice(0, 4), ahead.slice(0, 19) + '+05:30', full.slice(0, 23)])];
}

// A number near to another one, with more digits, fewer, or with an exponent.
function digitsNear(n, r) {
  const text = String(n), d = decimal(text);
  if (!d) return undefined;
  const x = Number(text);
  return r.pick([text, text, /[.e]/.test(text) ? text : `${text}.0`, /e/.test(text) ? text : `${text}${text.includes('.') ? '' : '.'}00`, x.toExponential().replace('e+', 'e'), x.toExponential(0).replace('e+', 'e'), String(Math.round(x)), x.toFixed(1), String(x * 1.05),
    String(x + 0.5), String(x - 0.5), String(x + 1), x.toPrecision(2).replace('e+', 'e'), String(-x), String(x * 0.95)]);
}

function numberOf(v, r) {
  const n = typeof v.data === 'number' ? v.data : r.chance(0.5) ? v.data.low?.value : v.data.high?.value;
  const digits = n === undefined ? undefined : digitsNear(n, r);
  return digits === undefined ? undefined : ['', prefix(r) + digits];
}

function quantityOf(v, r) {
  const { data } = v;
  const q = v.type === 'Range' ? (r.chance(0.5) ? data.low : data.high) : v.type === 'SampledData' ? data.origin : data;
  const digits = q?.value === undefined ? undefined : digitsNear(q.value, r);
  if (digits === undefined) return undefined;
  const system = q.currency ? 'urn:iso:std:iso:4217' : q.system, code = q.currency ?? q.code;
  const unit = r.pick(['', '', code ? `|${escape(system ?? '')}|${escape(code)}` : '', code ? `||${escape(code)}` : '', q.unit ? `||${escape(q.unit)}` : '', '||other', code ? `|http://example.org|${escape(code)}` : '']);
  return ['', prefix(r) + digits + unit];
}

function nearOf(v, r) {
  const { latitude, longitude } = v.data;
  if (latitude === undefined || longitude === undefined) return undefined;
  const east = Math.min(180, Math.max(-180, longitude + r.next() * 2 - 1)), north = Math.min(90, Math.max(-90, latitude + r.next() * 2 - 1));
  return ['', `${north.toFixed(4)}|${east.toFixed(4)}|${(r.next() * 200).toFixed(1)}${r.pick(['', '|km', '|[mi_us]'])}`];
}

const byKind = { string: stringOf, token: tokenOf, reference: referenceOf, uri: uriOf, date: dateOf, number: numberOf, quantity: quantityOf, special: nearOf };

// Kinds that few parameters have, or that have many ways to be asked.
const OFTEN = { composite: 6, quantity: 8, number: 8, date: 2, special: 12 };

// Searches of one parameter: at most `count`, from values (or groups of a composite) of any resources.
export function searches({ kind, kinds }, found, perParam, r, options) {
  const count = perParam * (OFTEN[kind] ?? 1);
  const made = new Map();
  for (let tries = 0; found.length > 0 && made.size < count && tries < count * 4; tries++) {
    const one = r.pick(found);
    let way;
    if (kind === 'composite') {
      const parts = one.map((values, i) => (values.length ? byKind[kinds[i]](r.pick(values), r, { ...options, isPart: true }) : undefined));
      way = parts.every((p) => p && p[0] === '') ? ['', parts.map(([, v]) => v).join('$')] : undefined;
    } else {
      way = byKind[kind](one, r, options);
      const also = way && way[0] === '' && r.chance(0.1) ? byKind[kind](r.pick(found), r, options) : undefined;
      if (also && also[0] === '' && !also[1].includes(',')) way = ['', `${way[1]},${also[1]}`];
    }
    if (way && way[1] !== '') made.set(way.join('='), { modifier: way[0] || undefined, value: way[1] });
  }
  const typed = kind === 'token' ? found.filter((v) => ofTypeOf(v, r)) : [];
  for (let tries = 0; tries < Math.min(typed.length * 2, 12); tries++) { const [modifier, value] = ofTypeOf(r.pick(typed), r); made.set(`${modifier}=${value}`, { modifier, value }); }
  if (kind !== 'composite' && kind !== 'special' && r.chance(found.length > 0 ? 0.5 : 0.15)) for (const value of ['true', 'false']) made.set(`missing=${value}`, { modifier: 'missing', value });
  return [...made.values()];
}
