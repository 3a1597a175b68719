// Searches by family: time in the store (from _explain, median), and latency at ten connections (wrk), over a loaded server.
// Values are drawn from what is stored, so that each request asks for something else; counts of unchanged data are cached.
import { spawnSync } from 'node:child_process';

// What is asked of families: p99 at ten connections below `p99` ms (at 100,000 Observations); time in the store at a million
// below `store` ms, and at most `growth` times that at ten thousand.
const asked = {
  'by name': { p99: 10 }, 'by date range': { p99: 10 }, 'token + sort': { p99: 10 }, '_include': { p99: 10, growth: 1.5 }, '_revinclude': { p99: 10 }, 'chained': { p99: 10 },
  'token': { growth: 1.5 }, ':not': { growth: 1.5 }, 'deep page by cursor': { growth: 1.5 },
  'token + date range + _sort=-date': { store: 0.5 }, 'patient + code, newest first': { store: 0.5 }, 'chained by a common name': { store: 0.5 }, '_has': { store: 0.5 },
  'value range': { store: 20 }, '_total=accurate': { store: 20 },
};

const median = (list) => [...list].sort((a, b) => a - b)[Math.floor(list.length / 2)];

// Each: name, and a search made of values drawn from the samples by pick().
const families = [
  ['by name', ({ family }) => `Patient?name=${family()}&_count=10`],
  ['by date range', ({ month }) => `Observation?${month()}&_count=10`],
  ['token + sort', ({ code }) => `Observation?code=${code()}&_sort=-date&_count=10`],
  ['_include', ({ code }) => `Observation?code=${code()}&_include=Observation:patient&_count=10`],
  ['_revinclude', ({ patient }) => `Patient?_id=${patient()}&_revinclude=Observation:patient&_count=10`],
  ['chained', ({ birth }) => `Observation?subject:Patient.birthdate=${birth()}&_count=10`],
  ['token', ({ code }) => `Observation?code=${code()}&_count=10`],
  ['token + date range + _sort=-date', ({ code, month }) => `Observation?code=${code()}&${month()}&_sort=-date&_count=10`],
  ['patient + code, newest first', ({ code, patient }) => `Observation?patient=${patient()}&code=${code()}&_sort=-date&_count=10`],
  ['chained by a common name', ({ family }) => `Observation?subject:Patient.name=${family()}&_count=10`],
  ['_has', ({ code }) => `Patient?_has:Observation:patient:code=${code()}&_count=10`],
  [':not', ({ code }) => `Observation?code:not=${code()}&_count=10`],
  ['_sort=code,-date', () => 'Observation?_sort=code,-date&_count=10'],
  ['value range', ({ value }) => `Observation?value-quantity=gt${value()}&_count=10`],
  ['_total=accurate', ({ code }) => `Observation?code=${code()}&_total=accurate&_count=1`],
];

// Functions that draw a value of what is stored: encoded for a query, and never the same row of values twice.
const samples = async (get) => {
  const rows = async (search) => ((await get(search)).entry ?? []).filter((e) => e.search.mode === 'match').map((e) => e.resource);
  const patients = await rows('Patient?_count=500'), observations = await rows('Observation?_count=500');
  let seed = 7;
  const pick = (list) => () => { seed = (seed * 1103515245 + 12345) % 2147483648; return encodeURIComponent(list[Math.floor(seed / 2147483648 * list.length)]); };
  const months = observations.map((o) => (o.effectiveDateTime ?? o.effectivePeriod?.start)?.slice(0, 7)).filter(Boolean);
  const range = pick(months);
  return {
    patient: pick(patients.map((p) => p.id)), family: pick(patients.map((p) => p.name[0].family)), birth: pick(patients.map((p) => p.birthDate)),
    code: pick(observations.map((o) => `${o.code.coding[0].system}|${o.code.coding[0].code}`)), value: pick(observations.map((o) => o.valueQuantity?.value).filter((v) => v !== undefined)),
    month: () => { const m = range(); return `date=ge${m}&date=le${m}`; },
  };
};

// Measures all families; deep is the page that is followed to for "deep page".
export const measureFamilies = async ({ call, server, header, lua, seconds, note, report, size, deep = 60 }) => {
  const get = async (search) => {
    const r = await call('GET', search.startsWith('http') ? search : `${server.fhir}/${search}`, undefined, server.admin);
    if (r.status !== 200) throw new Error(`${search}: ${r.status} ${r.text.slice(0, 200)}`);
    return r.json;
  };
  const draw = await samples(get);
  const inStore = async (search) => JSON.parse((await get(`${search}&_explain=true`)).entry.find((e) => e.search.mode === 'outcome').resource.issue.at(-1).diagnostics);
  const measure = async (name, make) => {
    const said = [];
    for (let i = 0; i < 60; i++) said.push(await inStore(make()));
    const [times, cpu] = ['microseconds', 'cpu'].map((of) => said.map((s) => s[of]));
    const targets = Array.from({ length: 300 }, make);
    const script = lua('family.lua', `local t = { ${targets.map((t) => `"${t.startsWith('http') ? t.slice(server.base.length) : '/fhir/' + t}"`).join(',')} } local n = 0\nrequest = function() n = n % #t + 1 return wrk.format("GET", t[n]) end\n`);
    const args = ['-t1', '-c10', `-d${seconds}s`, '--latency', '--timeout', '10s', '-s', script];
    for (const [k, v] of Object.entries(header)) args.push('-H', `${k}: ${v}`);
    const { stdout } = spawnSync('wrk', [...args, server.base], { encoding: 'utf8' });
    const ms = (percent) => { const [, n, unit] = new RegExp(`\\b${percent}%\\s+([\\d.]+)(us|ms|s)`).exec(stdout) ?? [0, NaN, 's']; return Number(n) * { us: 0.001, ms: 1, s: 1000 }[unit]; };
    const bad = /Non-2xx/.test(stdout) ? ' (some answers were errors)' : '';
    note(`${name.padEnd(34)} in the store ${(median(times) / 1000).toFixed(3).padStart(8)} ms   10 connections p50 ${ms(50).toFixed(2).padStart(7)} ms, p99 ${ms(99).toFixed(2).padStart(7)} ms${bad}`);
    report(`family ${name} ${size}`, { family: name, size, storeMs: median(times) / 1000, cpuMs: median(cpu) / 1000, p50Ms: ms(50), p99Ms: ms(99) });
  };
  for (const [name, make] of families) await measure(name, () => make(draw));
  let url = `${server.fhir}/Observation?code=${draw.code()}&_count=10`;
  for (let i = 0; i < deep; i++) url = (await get(url)).link.find((l) => l.relation === 'next')?.url ?? url;
  await measure('deep page by cursor', () => url);
};

// The families of all sizes side by side, with what is asked of them. Growth is that of CPU time, which others on the machine
// do not change.
export const familyTable = (results, sizes) => {
  const of = (name, size) => results.find((r) => r.family === name && r.size === size);
  const names = [...new Set(results.filter((r) => r.family).map((r) => r.family))], [first, last] = [sizes[0], sizes.at(-1)];
  const lines = [`\n== families: time in the store (CPU), p99 at 10 connections, in ms`, `${'family'.padEnd(34)} ${sizes.map((s) => `${s / 1000}k`.padStart(24)).join(' ')}   growth   asked`];
  for (const name of names) {
    const a = asked[name] ?? {}, small = of(name, first), large = of(name, last), hundred = of(name, 100000);
    const growth = sizes.length > 1 && large && small ? large.cpuMs / small.cpuMs : undefined, verdicts = [];
    const judge = (text, value, limit) => verdicts.push(`${text} ${value === undefined ? 'not measured' : value <= limit ? 'ok' : 'MISSED'}`);
    if (a.p99) judge(`p99 <= ${a.p99} at 100k`, hundred?.p99Ms, a.p99);
    if (a.store) judge(`store <= ${a.store} at 1000k`, of(name, 1000000)?.storeMs, a.store);
    if (a.growth) judge(`growth <= ${a.growth} from 10k to 1000k`, first === 10000 && last === 1000000 ? growth : undefined, a.growth);
    const cells = sizes.map((s) => of(name, s)).map((r) => (r ? `${r.storeMs.toFixed(3)} (${r.cpuMs.toFixed(3)}) ${r.p99Ms.toFixed(2).padStart(7)}` : '').padStart(24));
    lines.push(`${name.padEnd(34)} ${cells.join(' ')}   ${growth === undefined ? '      ' : growth.toFixed(2).padStart(5) + 'x'}   ${verdicts.join(', ')}`);
  }
  return lines.join('\n');
};
