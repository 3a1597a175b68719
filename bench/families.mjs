// Searches by family: time in the store (from _explain, median), and latency at ten connections (wrk), over a loaded server.
// Values are drawn from what is stored, so that each request asks for something else; counts of unchanged data are cached.
import { spawn, spawnSync } from 'node:child_process';

// What is asked of families: p99 at ten connections below `p99` ms (at 100,000 Observations); time in the store at a million
// below `store` ms, at most `growth` times that at ten thousand, and at most `bare` times that of bare SQL.
const asked = {
  'by name': { p99: 10 }, 'by date range': { p99: 10 }, 'token + sort': { p99: 10 }, '_include': { p99: 10, growth: 1.5, bare: 2 }, '_revinclude': { p99: 10 }, 'chained': { p99: 10 },
  'token': { growth: 1.5, bare: 2 }, ':not': { growth: 1.5, bare: 2 }, 'deep page by cursor': { growth: 1.5, bare: 2 },
  'token + date range + _sort=-date': { store: 0.5, bare: 2 }, 'patient + code, newest first': { store: 0.5, bare: 2 }, 'chained by a common name': { store: 0.5, bare: 2 }, '_has': { store: 0.5, bare: 2 },
  'value range': { store: 20 }, '_total=accurate': { store: 20 },
};

const median = (list) => [...list].sort((a, b) => a - b)[Math.floor(list.length / 2)];
const encode = encodeURIComponent;

// What bare SQL is told of what was drawn: numbers of types and params, hashes and ranges, as expressions of SQL.
const quote = (text) => `'${text.replaceAll("'", "''")}'`;
const type = (name) => `(SELECT id FROM restype WHERE name='${name}')`;
const param = (of, code) => `(SELECT p FROM param WHERE type=${type(of)} AND code='${code}')`;
const patientParam = param('Observation', 'patient'), codeParam = param('Observation', 'code');
const hash = ({ code }) => `(SELECT h FROM ix_value WHERE p=${codeParam} AND k=1 AND s=${quote(code.split('|')[1])})`;
const folded = ({ family }) => quote(family.normalize('NFD').replace(/\p{M}/gu, '').toLowerCase());
const monthOf = ({ month }) => { const [y, m] = month.split('-').map(Number); return [Date.UTC(y, m - 1, 1) * 1000, Date.UTC(y, m, 1) * 1000]; };
const row = (of) => `CROSS JOIN version v ON v.vid=${of}.vid CROSS JOIN resource r ON r.rid=v.rid AND r.vid=v.vid`; // all that an answer says of a match
const byToken = `FROM ix_token t ${row('t')} WHERE t.p=?1 AND t.h=?2`;
const probe = (of, n, where) => `ix_token t ON t.p=?${n} AND t.h=?${n + 1} AND t.vid=${of}.vid${where ?? ''}`;

// Each: name, the search made of drawn values, and the same as bare SQL (bench/shapes.c): statements and arguments.
const families = [
  ['by name', ({ family }) => `Patient?name=${encode(family)}&_count=10`],
  ['by date range', ({ month }) => `Observation?date=ge${month}&date=le${month}&_count=10`],
  ['token + sort', ({ code }) => `Observation?code=${encode(code)}&_sort=-date&_count=10`],
  ['_include', ({ code }) => `Observation?code=${encode(code)}&_include=Observation:patient&_count=10`,
    [`SELECT v.*,r.id,(SELECT w.body FROM resource q CROSS JOIN version w ON w.vid=q.vid WHERE q.type=?3 AND q.id=substr(json_extract(v.body,'$.subject.reference'),9)) ${byToken} ORDER BY t.vid DESC LIMIT 10`], (v) => [codeParam, hash(v), type('Patient')]],
  ['_revinclude', ({ patient }) => `Patient?_id=${patient}&_revinclude=Observation:patient&_count=10`],
  ['chained', ({ birth }) => `Observation?subject:Patient.birthdate=${birth}&_count=10`],
  ['token', ({ code }) => `Observation?code=${encode(code)}&_count=10`, [`SELECT v.*,r.id ${byToken} ORDER BY t.vid DESC LIMIT 10`], (v) => [codeParam, hash(v)]],
  ['token + date range + _sort=-date', ({ code, month }) => `Observation?code=${encode(code)}&date=ge${month}&date=le${month}&_sort=-date&_count=10`,
    [`SELECT v.*,r.id FROM ix_date d CROSS JOIN ${probe('d', 1)} ${row('d')} WHERE d.p=?3 AND d.cls=0 AND d.lo>=?4 AND d.lo<?5 ORDER BY d.lo DESC,d.vid DESC LIMIT 10`], (v) => [codeParam, hash(v), param('Observation', 'date'), ...monthOf(v)]],
  ['patient + code, newest first', ({ code, patient }) => `Observation?patient=${patient}&code=${encode(code)}&_sort=-date&_count=10`,
    [`SELECT v.*,r.id FROM ix_ref f CROSS JOIN ${probe('f', 1)} ${row('f')} WHERE f.p=?3 AND f.tgt=?4 ORDER BY f.vid DESC LIMIT 10`], (v) => [codeParam, hash(v), patientParam, `(SELECT rid FROM resource WHERE type=${type('Patient')} AND id=${quote(v.patient)})`]],
  ['chained by a common name', ({ family }) => `Observation?subject:Patient.name=${encode(family)}&_count=10`,
    ['SELECT w.rid FROM ix_str s CROSS JOIN version w ON w.vid=s.vid WHERE s.p=?1 AND s.s>=?2 AND s.s<?2||char(1114111)', '+SELECT vid FROM ix_ref WHERE p=?3 AND tgt=?4 ORDER BY vid DESC LIMIT 10'], (v) => [param('Patient', 'name'), folded(v), patientParam]],
  ['_has', ({ code }) => `Patient?_has:Observation:patient:code=${encode(code)}&_count=10`,
    [`SELECT v.*,r.id FROM resource r INDEXED BY resource_tv CROSS JOIN version v ON v.vid=r.vid WHERE r.st=0 AND r.type=?3 AND EXISTS (SELECT 1 FROM ix_ref f CROSS JOIN ${probe('f', 1)} WHERE f.p=?4 AND f.tgt=r.rid) ORDER BY r.vid DESC LIMIT 10`], (v) => [codeParam, hash(v), type('Patient'), patientParam]],
  [':not', ({ code }) => `Observation?code:not=${encode(code)}&_count=10`,
    ['SELECT v.*,r.id FROM resource r INDEXED BY resource_tv CROSS JOIN version v ON v.vid=r.vid WHERE r.st=0 AND r.type=?3 AND NOT EXISTS (SELECT 1 FROM ix_token t WHERE t.p=?1 AND t.h=?2 AND t.vid=r.vid) ORDER BY r.vid DESC LIMIT 10'], (v) => [codeParam, hash(v), type('Observation')]],
  ['_sort=code,-date', () => 'Observation?_sort=code,-date&_count=10'],
  ['value range', ({ value }) => `Observation?value-quantity=gt${value}&_count=10`],
  ['_total=accurate', ({ code }) => `Observation?code=${encode(code)}&_total=accurate&_count=1`, ['SELECT count(*) FROM ix_token WHERE p=?1 AND h=?2'], (v) => [codeParam, hash(v)]],
];
const deepShape = [`SELECT v.*,r.id ${byToken} AND t.vid<?3 ORDER BY t.vid DESC LIMIT 10`];

// A function that draws values of what is stored, never the same row of values twice.
const samples = async (get) => {
  const rows = async (search) => ((await get(search)).entry ?? []).filter((e) => e.search.mode === 'match').map((e) => e.resource);
  const patients = await rows('Patient?_count=500'), observations = await rows('Observation?_count=500');
  let seed = 7;
  const pick = (list) => { seed = (seed * 1103515245 + 12345) % 2147483648; return list[Math.floor(seed / 2147483648 * list.length)]; };
  const months = observations.map((o) => (o.effectiveDateTime ?? o.effectivePeriod?.start)?.slice(0, 7)).filter(Boolean);
  const values = observations.map((o) => o.valueQuantity?.value).filter((v) => v !== undefined);
  return () => {
    const patient = pick(patients), { system, code } = pick(observations).code.coding[0];
    return { patient: patient.id, family: pick(patients).name[0].family, birth: pick(patients).birthDate, code: `${system}|${code}`, value: pick(values), month: pick(months) };
  };
};

// Bytes that an Observation takes on disk: its share of each table, by rows or, of bodies, by bytes.
const diskOf = (database) => {
  const ours = 'p IN (SELECT p FROM param WHERE type=(SELECT id FROM restype WHERE name=\'Observation\'))';
  const share = (table, part) => `(SELECT sum(pgsize) FROM dbstat WHERE name='${table}' AND aggregate=1)*(${part})`;
  const rows = (table, where) => `(SELECT count(*) FROM ${table} WHERE ${where})*1.0/(SELECT count(*) FROM ${table})`;
  const ofType = `type=${type('Observation')}`, bytes = 'length(keys)+length(CAST(body AS BLOB))+40';
  const parts = [
    share('version', `(SELECT sum(${bytes})*1.0 FROM version WHERE ${ofType})/(SELECT sum(${bytes}) FROM version)`),
    ...['resource', 'resource_id', 'resource_tv'].map((t) => share(t, rows('resource', ofType))), ...['version_rid', 'version_type'].map((t) => share(t, rows('version', ofType))),
    ...['ix_token', 'ix_ref', 'ix_date', 'ix_num', 'ix_str', 'ix_value'].map((t) => share(t, rows(t, ours))),
  ];
  const sql = `WITH n(n) AS (SELECT count(*) FROM resource WHERE st=0 AND ${ofType}) SELECT (${parts.join('+')})/n, (SELECT avg(length(CAST(body AS BLOB))) FROM version WHERE ${ofType}) FROM n`;
  const { stdout, status, stderr } = spawnSync('sqlite3', ['-readonly', '-separator', ' ', database, sql], { encoding: 'utf8' });
  if (status !== 0) throw new Error(stderr);
  const [perResource, body] = stdout.trim().split(' ').map(Number);
  return { bytes: perResource, body };
};

// What a program writes, as a promise that can end it.
const output = (program, args) => {
  const child = spawn(program, args, { stdio: ['ignore', 'pipe', 'inherit'] });
  let text = '';
  child.stdout.on('data', (d) => { text += d; });
  return Object.assign(new Promise((ok) => child.on('close', () => ok(text))), { end: () => child.kill('SIGINT') });
};

// Measures all families; deep is the page that is followed to for "deep page".
export const measureFamilies = async ({ call, server, header, lua, seconds, note, report, size, tool, database, deep = 30 }) => {
  const get = async (search) => {
    const r = await call('GET', search.startsWith('http') ? search : `${server.fhir}/${search}`, undefined, server.admin);
    if (r.status !== 200) throw new Error(`${search}: ${r.status} ${r.text.slice(0, 200)}`);
    return r.json;
  };
  const draw = await samples(get);
  const inStore = async (search) => JSON.parse((await get(`${search}&_explain=true`)).entry.find((e) => e.search.mode === 'outcome').resource.issue.at(-1).diagnostics);
  const bareOf = (name, shape, lines) => {
    const { stdout, stderr, status } = spawnSync(tool('shapes'), [database], { input: [`=${name}`, ...shape, ...lines, ''].join('\n'), encoding: 'utf8' });
    if (status !== 0) throw new Error(`${name}: ${stderr}`);
    const [, us, rows] = stdout.trim().split('\t');
    return { us: Number(us), rows: Number(rows) };
  };
  const measure = async (name, make, shape, args) => {
    const targets = Array.from({ length: 300 }, () => make(draw()));
    const script = lua('family.lua', `local t = { ${targets.map((t) => `"${t.startsWith('http') ? t.slice(server.base.length) : '/fhir/' + t}"`).join(',')} } local n = 0\nrequest = function() n = n % #t + 1 return wrk.format("GET", t[n]) end\n`);
    const ten = ['-t1', '-c10', `-d${seconds}s`, '--latency', '--timeout', '10s', '-s', script];
    for (const [k, v] of Object.entries(header)) ten.push('-H', `${k}: ${v}`);
    const stdout = await output('wrk', [...ten, server.base]);
    // What it costs in the store is asked while the same is asked by others: all that is read lies in memory, as it does for the bare SQL.
    const others = output('wrk', ['-t1', '-c1', '-d60s', ...ten.slice(6), server.base]), said = [], lines = [];
    for (let i = 0; i < 80; i++) {
      const values = draw(), one = await inStore(make(values));
      if (i < 20) continue;
      said.push(one);
      if (shape) lines.push(args(values).join('\t'));
    }
    others.end();
    await others;
    const [times, cpu] = ['microseconds', 'cpu'].map((of) => said.map((s) => s[of]));
    const bare = shape ? bareOf(name, shape, [...lines, ...lines, ...lines]) : undefined;
    const ms = (percent) => { const [, n, unit] = new RegExp(`\\b${percent}%\\s+([\\d.]+)(us|ms|s)`).exec(stdout) ?? [0, NaN, 's']; return Number(n) * { us: 0.001, ms: 1, s: 1000 }[unit]; };
    const bad = /Non-2xx/.test(stdout) ? ' (some answers were errors)' : '';
    const beside = bare ? `   bare SQL ${(bare.us / 1000).toFixed(3)} ms, ${bare.rows / 3} rows` : '';
    note(`${name.padEnd(34)} in the store ${(median(times) / 1000).toFixed(3).padStart(8)} ms, CPU ${(median(cpu) / 1000).toFixed(3).padStart(7)}   10 connections p50 ${ms(50).toFixed(2).padStart(7)} ms, p99 ${ms(99).toFixed(2).padStart(7)} ms${beside}${bad}`);
    report(`family ${name} ${size}`, { family: name, size, storeMs: median(times) / 1000, cpuMs: median(cpu) / 1000, p50Ms: ms(50), p99Ms: ms(99), bareMs: bare ? bare.us / 1000 : undefined });
  };
  for (const family of families) await measure(...family);
  const values = draw();
  let url = `${server.fhir}/Observation?code=${encode(values.code)}&_count=10`;
  for (let i = 0; i < deep; i++) url = (await get(url)).link.find((l) => l.relation === 'next')?.url ?? url;
  await measure('deep page by cursor', () => url, deepShape, () => [codeParam, hash(values), `(SELECT vid FROM ix_token WHERE p=${codeParam} AND h=${hash(values)} ORDER BY vid DESC LIMIT 1 OFFSET ${10 * deep - 1})`]);
  const disk = diskOf(database);
  note(`an Observation of ${disk.body.toFixed(0)} bytes takes ${disk.bytes.toFixed(0)} on disk (asked: 2,100 for 800): ${disk.bytes <= 2100 * Math.max(1, disk.body / 800) ? 'ok' : 'MISSED'}`);
  report(`disk ${size}`, disk);
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
    const judge = (text, value, limit) => verdicts.push(`${text} ${value === undefined ? 'not measured' : `${value <= limit ? 'ok' : 'MISSED'} (${value.toFixed(2)})`}`);
    if (a.p99) judge(`p99 <= ${a.p99} at 100k`, hundred?.p99Ms, a.p99);
    if (a.store) judge(`CPU in the store <= ${a.store} at 1000k`, of(name, 1000000)?.cpuMs, a.store);
    if (a.bare) judge(`at most ${a.bare}x bare SQL at 1000k`, of(name, 1000000)?.bareMs && of(name, 1000000).cpuMs / of(name, 1000000).bareMs, a.bare);
    if (a.growth) judge(`growth <= ${a.growth} from 10k to 1000k`, first === 10000 && last === 1000000 ? growth : undefined, a.growth);
    const cells = sizes.map((s) => of(name, s)).map((r) => (r ? `${r.storeMs.toFixed(3)} (${r.cpuMs.toFixed(3)}) ${r.p99Ms.toFixed(2).padStart(7)}` : '').padStart(24));
    lines.push(`${name.padEnd(34)} ${cells.join(' ')}   ${growth === undefined ? '      ' : growth.toFixed(2).padStart(5) + 'x'}   ${verdicts.join(', ')}`);
  }
  return lines.join('\n');
};
