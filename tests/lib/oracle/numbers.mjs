// Decimals as exact fractions, dates as exact ranges of microseconds: search.html 3.1.1.4.5 to 3.1.1.4.7.

// ---- decimals: { n, e } is n * 10^e --------------------------------------------------------------------------------

export function decimal(text) {
  const m = String(text).match(/^(-?)(\d+)(?:\.(\d+))?(?:[eE]([+-]?\d+))?$/);
  if (!m) return undefined;
  const [, sign, whole, fraction = '', exponent = '0'] = m;
  return { n: BigInt(sign + whole + fraction), e: Number(exponent) - fraction.length, isExponential: m[4] !== undefined, hasFraction: fraction !== '', isWhole: /^0*$/.test(fraction) };
}
const scaled = (d, e) => d.n * 10n ** BigInt(d.e - e);
export const compareDecimals = (a, b) => {
  const e = Math.min(a.e, b.e), [x, y] = [scaled(a, e), scaled(b, e)];
  return x < y ? -1 : x > y ? 1 : 0;
};
export const plus = (a, b) => { const e = Math.min(a.e, b.e); return { n: scaled(a, e) + scaled(b, e), e }; };
export const minus = (a, b) => plus(a, { n: -b.n, e: b.e });
export const times = (a, b) => ({ n: a.n * b.n, e: a.e + b.e });
const magnitude = (d) => ({ n: d.n < 0n ? -d.n : d.n, e: d.e });

// Half a unit of the last digit given. "1e2" is [95, 105): as if it had one more digit (table of 3.1.1.4.6).
export function implied(d) {
  const last = d.isExponential && !d.hasFraction ? d.e - 1 : d.e;
  const half = { n: 5n, e: last - 1 };
  return { low: minus(d, half), high: plus(d, half) };
}
export const tenth = (d) => ({ low: minus(d, { ...magnitude(d), e: d.e - 1 }), high: plus(d, { ...magnitude(d), e: d.e - 1 }) });

// ---- ranges: undefined is open. t: { low, high, openLow, openHigh } ---------------------------------------------------

const below = (a, b) => a !== undefined && (b === undefined || compareDecimals(a, b) < 0); // a, b: upper ends
const atLeast = (low, x) => low !== undefined && compareDecimals(low, x) >= 0;
// The value of a target range t against the search's d. isInteger: exact matches, unless exponential (3.1.1.4.6).
export function compareNumbers(prefix, d, t, isInteger) {
  const exact = isInteger && !d.isExponential;
  const range = exact ? { low: d, high: d } : implied(d);
  const within = t.low !== undefined && t.high !== undefined && compareDecimals(range.low, t.low) <= 0 &&
    (exact ? compareDecimals(t.high, range.high) <= 0 : compareDecimals(t.high, range.high) < 0 || (t.openHigh && compareDecimals(t.high, range.high) === 0));
  // A target that is open at d itself still has values as near to d as one likes, on its side of it.
  const above = below(d, t.high), under = t.low === undefined || compareDecimals(t.low, d) < 0;
  switch (prefix) {
    case 'eq': return within;
    case 'ne': return !within;
    case 'gt': return above || t.high === undefined;
    case 'lt': return under;
    case 'ge': return above || t.high === undefined || (compareDecimals(t.low ?? d, d) === 0 && compareDecimals(t.high, d) === 0);
    case 'le': return under || (t.high !== undefined && compareDecimals(t.low, d) === 0 && compareDecimals(t.high, d) === 0);
    case 'sa': return t.low !== undefined && (compareDecimals(t.low, d) > 0 || (t.openLow && atLeast(t.low, d)));
    case 'eb': return t.high !== undefined && (compareDecimals(t.high, d) < 0 || (t.openHigh && compareDecimals(t.high, d) === 0));
    case 'ap': {
      const near = tenth(d);
      const starts = t.low !== undefined && (compareDecimals(t.low, near.high) > 0 || (t.openLow && compareDecimals(t.low, near.high) === 0));
      const ends = t.high !== undefined && (compareDecimals(t.high, near.low) < 0 || (t.openHigh && compareDecimals(t.high, near.low) === 0));
      return !starts && !ends;
    }
    default: return undefined;
  }
}

// ---- dates: [low, high) in microseconds, BigInt; open ends far outside -----------------------------------------------

export const LOWEST = -(1n << 62n), HIGHEST = 1n << 62n;
const DATE = /^(\d{4})(?:-(\d\d)(?:-(\d\d)(?:T(\d\d):(\d\d)(?::(\d\d)(?:\.(\d+))?)?(Z|[+-]\d\d:\d\d)?)?)?)?$/;

const utc = (year, month, day, hour = 0, minute = 0, second = 0) => {
  const date = new Date(Date.UTC(2000, month - 1, day, hour, minute, second));
  date.setUTCFullYear(year, month - 1, day);
  return BigInt(date.getTime()) * 1000n;
};

export function dateRange(text) {
  const m = String(text).match(DATE);
  if (!m) return undefined;
  const [, y, mo, d, h, mi, s, fraction, zone] = m, year = Number(y);
  if (mo === undefined) return { low: utc(year, 1, 1), high: utc(year + 1, 1, 1) };
  const month = Number(mo);
  if (d === undefined) return { low: utc(year, month, 1), high: month === 12 ? utc(year + 1, 1, 1) : utc(year, month + 1, 1) };
  let low = utc(year, month, Number(d));
  if (h === undefined) return { low, high: low + 86400000000n };
  low += BigInt(Number(h) * 3600 + Number(mi) * 60 + Number(s ?? 0)) * 1000000n;
  if (zone && zone !== 'Z') low -= BigInt((zone[0] === '-' ? -1 : 1) * (Number(zone.slice(1, 3)) * 60 + Number(zone.slice(4)))) * 60000000n;
  if (s === undefined) return { low, high: low + 60000000n };
  if (fraction === undefined) return { low, high: low + 1000000n };
  const digits = fraction.slice(0, 6);
  low += BigInt(digits.padEnd(6, '0'));
  return { low, high: low + 10n ** BigInt(6 - digits.length) };
}

// now: microseconds; only "ap" looks at it.
export function compareDates(prefix, q, t, now) {
  const within = q.low <= t.low && t.high <= q.high;
  switch (prefix) {
    case 'eq': return within;
    case 'ne': return !within;
    case 'gt': return t.high > q.high;
    case 'lt': return t.low < q.low;
    case 'ge': return t.high > q.high || within;
    case 'le': return t.low < q.low || within;
    case 'sa': return t.low >= q.high;
    case 'eb': return t.high <= q.low;
    case 'ap': {
      const gap = now > q.low ? now - q.low : q.low - now;
      return t.low < q.high + gap / 10n && t.high > q.low - gap / 10n;
    }
    default: return undefined;
  }
}
