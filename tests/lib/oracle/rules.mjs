// Which values match which search values: R4 search.html, section by section, in JavaScript. Written from the standard's
// text and not from Andiron's code; where Andiron decides what the standard leaves open, DEVIATIONS says by which clause.
import { implicitSystems } from './data.mjs';
import { compareDates, compareNumbers, dateRange, decimal, HIGHEST, LOWEST, plus, times } from './numbers.mjs';

// Accepted differences between the plainest reading of the standard and what Andiron does; each is built into a rule below.
export const DEVIATIONS = {
  words: 'strings also match at the start of a word: 3.1.1.4.8, "servers should search the parts of a family name independently" and "may also use flexible match"',
  longTexts: 'of a string, words behind its first 16 and those that end behind 256 bytes need not be found by their start: 3.1.1.4.8 asks for the start; "may also use flexible match"',
  systemAlone: 'number|system| without a code is refused: 3.1.1.4.11 has "[number]|[system]|[code]", "[number]||[code]" and "[number]"',
  plainNumbers: 'a stored number is a value without a range of its own: 3.1.1.4.6, "Values that equal 100 .. searching for values in the range [99.5 ... 100.5)"',
  caseSensitive: 'codes and identifiers are compared with case: 3.1.1.4.10, "Match is case sensitive unless the underlying semantics for the context indicate .."; only elements of type string are not',
  noZone: 'a time without a zone is UTC: 3.1.1.4.7, "the servers local time zone should be assumed"',
  outerLimits: 'a Timing is the range from its first to its last event or bound: 3.1.1.4.7, "only the outer limits matter"',
  calendarless: 'an Age or Range found by a date parameter only counts as present: 3.1.1.4.7 lists neither',
  unitOfRange: 'a Range has the unit of its low end, else of its high end: 3.1.1.4.11 is silent',
  canonicalFragment: 'a fragment (#x) of a canonical URL does not count: references.html#canonical, it points inside of the resource',
  targets: 'an id alone means only the types that the definition names (SearchParameter.target): 3.1.1.4.12, "for when the reference can point to different types"',
  attachmentUrl: 'an Attachment found by a reference parameter is its url (Consent.source-reference): 3.1.1.4.12 lists only Reference and canonical',
};

// ---- syntax (3.1.1.4.19) -----------------------------------------------------------------------------------------------

export function split(text, sign) {
  const parts = [''];
  for (let i = 0; i < text.length; i++) {
    if (text[i] === '\\' && i + 1 < text.length) parts[parts.length - 1] += text[i] + text[++i];
    else if (text[i] === sign) parts.push('');
    else parts[parts.length - 1] += text[i];
  }
  return parts;
}
export const unescape = (text) => text.replace(/\\([\\,|$])/g, '$1');
export const escape = (text) => text.replace(/[\\,|$]/g, '\\$&');
const PREFIXED = /^(eq|ne|gt|lt|ge|le|sa|eb|ap)?(.*)$/s;

// ---- string (3.1.1.4.8) ------------------------------------------------------------------------------------------------

const strip = (s) => s.normalize('NFKD').toLowerCase().normalize('NFKD').replace(/\p{M}/gu, '').replace(/\p{P}/gu, '');
export const fold = (s) => strip(s).replace(/[\s\p{Cc}]+/gu, ' ').trim();
const wordStarts = (s) => [...s.normalize('NFC').matchAll(/(?<![\p{L}\p{N}\p{M}])[\p{L}\p{N}]/gu)].map((m) => s.normalize('NFC').slice(m.index));

const NAME = ['text', 'family', 'given', 'prefix', 'suffix'];
const ADDRESS = ['text', 'line', 'city', 'district', 'state', 'postalCode', 'country'];
const members = (data, names) => names.flatMap((n) => data[n] ?? []).filter((s) => typeof s === 'string');
const stringsOf = (v) => (v.type === 'HumanName' ? members(v.data, NAME) : v.type === 'Address' ? members(v.data, ADDRESS) : typeof v.data === 'string' ? [v.data] : []);

const matchesText = (s, text) => fold(s).startsWith(fold(text));
const bytes = (s) => Buffer.byteLength(s);
function stringMatches(modifier, text, v, options) {
  const wanted = unescape(text);
  return stringsOf(v).some((s) => {
    if (modifier === 'exact') return s === wanted;
    if (modifier === 'contains') return fold(s).includes(fold(wanted));
    return matchesText(s, wanted) || (!options.isPart && wordStarts(s).some((w, i) => matchesText(w, wanted) && !(options.isShort && (i > 16 || bytes(fold(s)) > 256))));
  });
}

// ---- token (3.1.1.4.10) ------------------------------------------------------------------------------------------------

const SPECIAL_VALUES = 'http://terminology.hl7.org/CodeSystem/special-values';
const codings = (data) => (data.coding ?? []).map((c) => ({ system: c.system, code: c.code }));

// [{ system, code, isFree }]; isFree: case does not matter
export function tokensOf(v) {
  const { data } = v;
  switch (v.type) {
    case 'CodeableConcept': return codings(data);
    case 'Coding': return [{ system: data.system, code: data.code }];
    case 'Identifier': return [{ system: data.system, code: data.value }];
    case 'ContactPoint': return [{ code: data.value }];
    case 'boolean': return [{ system: SPECIAL_VALUES, code: String(data) }];
    case 'code': {
      const systems = implicitSystems(v.path, data);
      return systems.length > 0 ? systems.map((system) => ({ system, code: data })) : [{ code: data }];
    }
    case 'string': return [{ code: data, isFree: true }];
    default: return typeof data === 'object' ? [] : [{ code: String(data) }];
  }
}

function tokenMatches(text, tokens) {
  const parts = split(text, '|').map(unescape), code = parts.at(-1);
  return tokens.some((t) => {
    if (parts.length === 2 && parts[0] !== '' && t.system !== parts[0]) return false;
    if (parts.length === 2 && parts[0] === '' && t.system !== undefined) return false;
    if (parts.length === 2 && code === '') return t.code !== undefined || t.system !== undefined;
    return t.code !== undefined && (t.code === code || (t.isFree && t.code.toLowerCase() === code.toLowerCase()));
  });
}

export const textsOf = ({ type, data }) => (type === 'CodeableConcept' ? [data.text, ...(data.coding ?? []).map((c) => c.display)]
  : type === 'Coding' ? [data.display] : type === 'Identifier' ? [data.type?.text] : []).filter((s) => typeof s === 'string');

function ofTypeMatches(text, v) {
  const [system, code, value] = split(text, '|').map(unescape);
  return v.type === 'Identifier' && v.data.value === value && codings(v.data.type ?? {}).some((c) => (c.system ?? '') === system && c.code === code);
}

// ---- reference (3.1.1.4.12) and uri (3.1.1.4.9) ------------------------------------------------------------------------

const LOCAL = /^([A-Z][A-Za-z0-9]*)\/([A-Za-z0-9.-]{1,64})(?:\/_history\/[^/]+)?$/;
const isAbsolute = (s) => /^[A-Za-z][A-Za-z0-9+.-]*:/.test(s);

// { type, id } of a local resource, or { url }; undefined for others
function target(text, base) {
  if (text.startsWith('#')) return undefined;
  const relative = [base, `${base.replace(/\/fhir$/, '')}`].map((b) => (text.startsWith(`${b}/`) ? text.slice(b.length + 1) : undefined)).find((r) => r && LOCAL.test(r)) ?? text;
  const local = relative.match(LOCAL);
  if (local) return { type: local[1], id: local[2] };
  return isAbsolute(text) ? { url: text } : undefined;
}

const bare = (url) => url.replace(/#.*/s, '');
const withoutVersion = (url) => url.replace(/\|.*/s, '');
const urlMatches = (wanted, url) => bare(url) === wanted || withoutVersion(bare(url)) === wanted;

export function targetsOf(v, base) {
  if (v.type === 'Reference') return typeof v.data.reference === 'string' ? [target(v.data.reference, base)].filter(Boolean) : [];
  if (v.data?.resourceType) return v.data.id ? [{ type: v.data.resourceType, id: v.data.id }] : [];
  const url = v.type === 'Attachment' ? v.data.url : typeof v.data === 'string' ? v.data : undefined;
  return url === undefined || bare(url) === '' ? [] : [{ url, isCanonical: true }];
}

function referenceMatches(modifier, text, v, options) {
  if (modifier === 'identifier') return v.type === 'Reference' && v.data.identifier !== undefined && tokenMatches(text, tokensOf({ type: 'Identifier', data: v.data.identifier }));
  const wanted = unescape(text), found = targetsOf(v, options.base);
  const isId = /^[A-Za-z0-9.-]{1,64}$/.test(wanted);
  if (isId) return found.some((t) => t.id === wanted && (modifier === undefined ? !options.targets?.length || options.targets.includes(t.type) : t.type === modifier));
  const asked = target(wanted, options.base);
  return asked !== undefined && found.some((t) => (asked.url !== undefined ? t.url !== undefined && (t.isCanonical ? urlMatches(asked.url, t.url) : t.url === asked.url)
    : t.type === asked.type && t.id === asked.id));
}

const isBelow = (lower, upper) => lower === upper || lower.startsWith(upper.endsWith('/') ? upper : `${upper}/`);
function uriMatches(modifier, text, v) {
  if (typeof v.data !== 'string') return false;
  const wanted = unescape(text), url = bare(v.data);
  if (modifier === 'below') return isBelow(url, wanted) || isBelow(url, wanted.replace(/\/$/, ''));
  if (modifier === 'above') return isBelow(wanted, url);
  return urlMatches(wanted, v.data);
}

// "detecting a |[version] portion .. and interpreting that portion as a search on the version" (3.1.1.4.9).
const versionOf = (text) => { const parts = split(text, '|').map(unescape); return parts.length === 2 && parts[0] && parts[1] ? parts : undefined; };
const urlAndVersion = (text, v, version) => { const asked = versionOf(text); return asked !== undefined && v.data === asked[0] && (version ?? '').toLowerCase() === asked[1].toLowerCase(); };

// ---- date, number, quantity --------------------------------------------------------------------------------------------

function rangesOf(v) {
  const { data } = v;
  if (typeof data === 'string') {
    const range = dateRange(data);
    // "an interval with an effective width of 0"
    return range === undefined ? [] : [v.type === 'instant' ? { low: range.low, high: range.low + 1n } : range];
  }
  const period = (p) => (p?.start || p?.end ? { low: p.start ? dateRange(p.start).low : LOWEST, high: p.end ? dateRange(p.end).high : HIGHEST } : undefined);
  if (v.type === 'Period') return [period(data)].filter((r) => r && r.low < r.high);
  if (v.type === 'Timing') {
    const all = [...(data.event ?? []).map(dateRange), period(data.repeat?.boundsPeriod)].filter(Boolean);
    return all.length === 0 ? [] : [{ low: all.map((r) => r.low).reduce((a, b) => (a < b ? a : b)), high: all.map((r) => r.high).reduce((a, b) => (a > b ? a : b)) }];
  }
  return [];
}

const withComparator = (value, comparator) => ({ '<': { high: value, openHigh: true }, '<=': { high: value }, '>': { low: value, openLow: true }, '>=': { low: value } }[comparator] ?? { low: value, high: value });

// [{ low, high, system, code, unit }]
function amountsOf(v) {
  const { data } = v;
  if (typeof data === 'number') return [{ low: decimal(data), high: decimal(data) }];
  if (typeof data !== 'object') return [];
  const unit = (q) => ({ system: q?.system, code: q?.code, unit: q?.unit });
  if (v.type === 'Range') {
    const { low, high } = data;
    if (low?.value === undefined && high?.value === undefined) return [];
    return [{ low: low?.value !== undefined ? decimal(low.value) : undefined, high: high?.value !== undefined ? decimal(high.value) : undefined, ...unit(low?.value !== undefined ? low : high) }];
  }
  if (v.type === 'SampledData') { // "just search on the bounds of the values": Observation-value-quantity
    const scale = (x) => plus(times(decimal(x), decimal(data.factor ?? 1)), decimal(data.origin.value));
    const limit = { L: data.lowerLimit, U: data.upperLimit };
    const all = (data.data ?? '').split(/\s+/).map((x) => (x in limit ? limit[x] : x)).filter((x) => x !== undefined && decimal(x)).map(scale);
    const order = (a, b) => compareNumbers('lt', b, { low: a, high: a });
    if (all.length === 0) return [];
    return [{ low: all.reduce((a, b) => (order(b, a) ? b : a)), high: all.reduce((a, b) => (order(a, b) ? b : a)), ...unit(data.origin) }];
  }
  if (data.value === undefined) return [];
  if (data.currency !== undefined || v.type === 'Money') return [{ low: decimal(data.value), high: decimal(data.value), code: data.currency, system: data.currency && 'urn:iso:std:iso:4217' }];
  return [{ ...withComparator(decimal(data.value), data.comparator), ...unit(data) }];
}

function numberMatches(text, v, options) {
  const [, prefix = 'eq', digits] = text.match(PREFIXED);
  return amountsOf(v).some((t) => compareNumbers(prefix, decimal(digits), t, v.type === 'integer' || v.type === 'positiveInt' || v.type === 'unsignedInt' || options.isInteger));
}

function quantityMatches(text, v) {
  const [, prefix = 'eq', rest] = text.match(PREFIXED);
  const [digits, system, code] = split(rest, '|').map(unescape);
  return amountsOf(v).some((t) => {
    if (system && t.system !== system) return false;
    if (code && t.code !== code && (system || t.unit !== code)) return false;
    return compareNumbers(prefix, decimal(digits), t, false);
  });
}

// ---- near (location.html) ----------------------------------------------------------------------------------------------

const KM = { '': 1, km: 1, m: 0.001, '[mi_us]': 1.609347, '[mi_i]': 1.609344 };
export function kilometres(a, b) {
  const rad = Math.PI / 180, [dp, dl] = [(b.latitude - a.latitude) * rad, (b.longitude - a.longitude) * rad];
  const h = Math.sin(dp / 2) ** 2 + Math.cos(a.latitude * rad) * Math.cos(b.latitude * rad) * Math.sin(dl / 2) ** 2;
  return 2 * 6371.0088 * Math.asin(Math.min(1, Math.sqrt(h)));
}
function nearMatches(text, v) {
  const [latitude, longitude, distance = '10', unit = 'km'] = split(text, '|');
  if (v.data?.latitude === undefined || v.data?.longitude === undefined) return false;
  return kilometres({ latitude: Number(latitude), longitude: Number(longitude) }, v.data) <= Number(distance) * KM[unit];
}

// ---- order (3.1.1.5.1, _sort) --------------------------------------------------------------------------------------------

// Keys of a value: numbers, or bytes of which the first hundred count (longer texts have an order of their own behind them).
// The standard leaves open what of a range counts (here its low end), and that codes are sorted by code rather than display
// (an identifier without a value is an empty one).
const key = (text) => Buffer.from(text);
const approximate = (d) => (d === undefined ? -Infinity : Number(`${d.n}e${d.e}`));
const urls = (url) => [bare(url), withoutVersion(bare(url))].filter((u) => u !== '');
export function sortKeysOf(kind, found) {
  switch (kind) {
    case 'date': return found.flatMap(rangesOf).map((r) => r.low);
    case 'number': case 'quantity': return found.flatMap(amountsOf).map((a) => approximate(a.low));
    case 'token': return found.flatMap(tokensOf).filter((t) => t.code !== undefined || t.system !== undefined).map((t) => key(t.isFree ? t.code.toLowerCase() : t.code ?? ''));
    case 'string': return found.flatMap(stringsOf).map(fold).filter((s) => s !== '').map(key);
    case 'uri': return found.filter((v) => typeof v.data === 'string').flatMap((v) => urls(v.data)).map(key);
    case 'reference': return found.flatMap((v) => targetsOf(v, '')).flatMap((t) => (t.url === undefined ? [`${t.type}/${t.id}`] : t.isCanonical ? urls(t.url) : [t.url])).map(key);
    default: throw new Error(`nothing is sorted by ${kind}`);
  }
}

// ---- all ---------------------------------------------------------------------------------------------------------------

// Does one value of a resource match one search value? options: { base, now, isPart }
export function valueMatches(kind, modifier, text, v, options) {
  switch (kind) {
    case 'string': return stringMatches(modifier, text, v, options);
    case 'token':
      if (modifier === 'text') return textsOf(v).some((s) => matchesText(s, unescape(text)));
      if (modifier === 'below') return tokensOf(v).some((t) => t.system === 'urn:ietf:bcp:13' && (t.code === unescape(text) || t.code?.startsWith(unescape(text) + (text.includes('/') ? ';' : '/'))));
      return modifier === 'of-type' ? ofTypeMatches(text, v) : tokenMatches(text, tokensOf(v));
    case 'reference': return referenceMatches(modifier, text, v, options);
    case 'uri': return (modifier === undefined && options.code === 'url' && urlAndVersion(text, v, options.version)) || uriMatches(modifier, text, v);
    case 'date': {
      const [, prefix = 'eq', date] = text.match(PREFIXED);
      return rangesOf(v).some((t) => compareDates(prefix, dateRange(date), t, options.now));
    }
    case 'number': return numberMatches(text, v, options);
    case 'quantity': return quantityMatches(text, v);
    case 'special': return nearMatches(text, v);
    default: throw new Error(`no rule for ${kind}`);
  }
}

// Does a resource match? found: its values, or its groups for a composite (kinds: of the parts). options.isShort: only what
// must be found of long texts.
export function matches({ kind, kinds, modifier, value }, found, options) {
  if (modifier === 'missing') return (found.length === 0) === (value === 'true');
  const any = split(value, ',').some((one) => {
    if (kind !== 'composite') return found.some((v) => valueMatches(kind, modifier === 'not' ? undefined : modifier, one, v, options));
    const parts = split(one, '$');
    return found.some((group) => parts.every((part, i) => group[i].some((v) => valueMatches(kinds[i], undefined, part, v, { ...options, isPart: true }))));
  });
  return modifier === 'not' ? !any : any;
}
