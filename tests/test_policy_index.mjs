// The index of policies never hides one that matches: for random policies of everybody and random requests, what the index
// lets be asked decides as asking every policy does.
import { test, before, after } from 'node:test';
import assert from 'node:assert/strict';
import { start, call } from './lib/server.mjs';
import { random } from './lib/oracle/queries.mjs';

let server;
before(async () => { server = await start(); });
after(async () => { if (server) { await server.stop(); server.remove(); } });

const { below, pick, chance } = random(Number(process.env.ANDIRON_SEED ?? 7)); // the same in every run
const words = ['a', 'b', 'true', 'ward-1', 'triage', 'the-ward-of-north-1'];
const parts = ['ward', '-1', 'a', 'age', 'rd-1', 'ward-of-north', 'the-ward-of-north-1', 'tri', 'rue'];

// ---- patterns: few words at few places, so that policies match now and then -------------------------------------------
// Found anywhere: most hold a text that must be there, some none that is known.
const expression = () => pick([
  () => pick(words), () => `${pick(parts)}$`, () => `^${pick(parts)}`, () => `${pick(parts)}.*${pick(parts)}`, () => `(a|b)${pick(parts)}`, () => `${pick(parts)}|${pick(parts)}`,
  () => `[a-w]${pick(parts)}?`, () => `(?i)${pick(parts)}`, () => `\\d${pick(parts)}`, () => `${pick(parts)}+`,
])();
const leaf = (depth = 0) => {
  const kinds = ['word', 'word', 'enum', 'one-of', 'nil', 'present', 'regex', 'regex', 'whole', 'bool', 'not'];
  switch (depth > 2 ? 'word' : pick(kinds)) {
    case 'enum': return { $enum: [pick(words), pick(words), ...(chance(0.2) ? [1] : []), ...(chance(0.2) ? [true] : [])] };
    case 'one-of': return { '$one-of': [leaf(depth + 1), leaf(depth + 1)] };
    case 'nil': return 'nil?';
    case 'present': return 'present?';
    case 'regex': return `#${expression()}`;
    case 'whole': return `#^${pick(words)}$`;
    case 'bool': return chance(0.5);
    case 'not': return { $not: leaf(depth + 1) };
    default: return pick(words);
  }
};
const elements = () => pick([
  () => ({ $contains: { name: leaf() } }), () => ({ $every: { name: leaf() } }), () => [{ name: leaf() }],
  () => ({ '$present-all': [{ name: leaf() }, { name: leaf() }], ...(chance(0.3) ? { $length: 2 } : {}) }), () => 'nil?',
])();
const places = {
  headers: () => ({ [pick(['x-a', 'x-b'])]: leaf() }),
  params: () => ({ [pick(['p', 'code:in', 'a.b', 'resource/type'])]: leaf() }),
  client: () => (chance(0.5) ? { details: { [pick(['ward', 'list'])]: chance(0.6) ? leaf() : { $contains: leaf() } } } : { 'is-lab': leaf() }),
  user: () => ({ data: chance(0.7) ? { ward: leaf() } : leaf() }),
  role: elements,
  'request-method': leaf,
};
const matcho = () => {
  const pattern = {};
  for (let i = 0; i <= below(3); i++) { const name = pick(Object.keys(places)); pattern[name] = places[name](); }
  return { engine: 'matcho', matcho: pattern };
};

// ---- schemas ----------------------------------------------------------------------------------------------------------
const value = () => pick([() => ({ const: pick(words) }), () => ({ enum: [pick(words), pick(words)] }), () => ({ type: 'string', pattern: `^${pick(words)}$` }), () => ({ pattern: `^${pick(words)}$` }), () => ({ type: 'string', pattern: expression() }), () => ({ pattern: expression() }), () => ({ const: true })])();
const object = (name, inner) => ({ ...(chance(0.5) ? { type: 'object' } : {}), properties: { [name]: inner }, ...(chance(0.6) ? { required: [name] } : {}) });
const schema = () => {
  const one = () => pick([
    () => object('headers', object(pick(['x-a', 'x-b']), value())), () => object('params', object(pick(['p', 'a.b']), value())),
    () => object('client', object('details', object('ward', value()))), () => object('user', object('data', object('ward', value()))),
    () => object('role', { ...(chance(0.3) ? { type: 'array' } : {}), contains: object('name', value()) }),
  ])();
  return { engine: 'json-schema', schema: chance(0.5) ? one() : { allOf: [one(), one()] } };
};
const complex = () => ({ engine: 'complex', [pick(['and', 'or'])]: [matcho(), chance(0.5) ? schema() : matcho(), ...(chance(0.3) ? [{ engine: 'complex', or: [matcho(), matcho()] }] : [])] });
// One that denies must leave the administrator alone, who sends no x-trial.
const denying = (policy) => ({ engine: 'complex', effect: 'deny', and: [{ engine: 'matcho', matcho: { headers: { 'x-trial': 'present?' } } }, policy] });
const policy = () => { const p = pick([matcho, matcho, schema, complex])(); return chance(0.1) ? denying(p) : p; };

// ---- requests ---------------------------------------------------------------------------------------------------------
const maybe = (name, make, p = 0.6) => (chance(p) ? { [name]: make() } : {});
const word = () => pick([...words, true]);
const request = () => {
  const query = [];
  if (chance(0.6)) query.push(`p=${pick(words)}`);
  if (chance(0.3)) query.push(`p=${pick(words)}`);
  if (chance(0.4)) query.push(`code:in=${pick(words)}`);
  if (chance(0.4)) query.push(`a.b=${pick(words)}`);
  return {
    uri: `/fhir/${pick(['Patient', 'Observation'])}?${query.join('&')}`,
    headers: { 'x-trial': '1', ...maybe('x-a', () => pick(words)), ...maybe('x-b', () => pick(words)) },
    client: { resourceType: 'Client', id: 'one', ...maybe('is-lab', word), details: { some: 1, ...maybe('ward', word), ...maybe('list', () => [word(), word()]) } },
    ...maybe('user', () => ({ resourceType: 'User', id: 'u', data: chance(0.8) ? { ward: word() } : pick(words) })),
    // More elements than are looked up by their values, too.
    ...maybe('role', () => Array.from({ length: chance(0.1) ? 70 : 1 + below(3) }, (_, i) => (i > 2 ? { name: `n${i}` } : chance(0.8) ? { name: word() } : { other: 1 }))),
  };
};

test('what the index lets be asked decides as asking every policy does', async () => {
  const outcomes = { granted: 0, refused: 0 };
  let invalid = 0;
  for (let round = 0; round < 40; round++) {
    for (let i = 0; i < 8; i++) {
      const body = policy();
      const r = await call('PUT', `${server.base}/AccessPolicy/p${i}`, body, server.admin);
      if (r.status === 422) { invalid += 1; continue; } // a policy that can never match: the one of the round before stays
      assert.ok(r.status === 200 || r.status === 201, r.text);
    }
    for (let i = 0; i < 12; i++) {
      const asked = request();
      const r = await call('POST', `${server.base}/auth/test-policy`, { request: asked }, server.admin);
      assert.equal(r.status, 200, r.text);
      const first = r.json.policies.find((p) => p['eval-result'] === true);
      const expected = first === undefined || first.effect === 'deny' ? 403 : 200;
      const policies = async () => JSON.stringify((await call('GET', `${server.base}/AccessPolicy`, undefined, server.admin)).json.entry.map((e) => e.resource));
      if (r.json.decision.status !== expected) assert.fail(`${JSON.stringify(asked)}: ${JSON.stringify(r.json.decision)} but ${JSON.stringify(r.json.policies)} of ${await policies()}`);
      if (first !== undefined) assert.equal(r.json.decision.policy, `AccessPolicy/${first.id}`);
      outcomes[expected === 200 ? 'granted' : 'refused'] += 1;
    }
  }
  assert.ok(outcomes.granted > 60 && outcomes.refused > 60, JSON.stringify({ ...outcomes, invalid }));
});

// ---- many that no index knows anything of ---------------------------------------------------------------------------

// Each asks for one of few things with what no index can look up; most of them for two.
const unknown = () => pick([
  () => ({ headers: { [pick(['x-a', 'x-b'])]: `#${pick(['^[a-m]', '[0-9]$', '^(a|b)$', '[^a-z]', '^.{4}$', '\\w-\\w', '^[^w]+$', '(?i)[B-D]$'])}` } }),
  () => ({ params: { p: pick(['present?', { $not: pick(words) }, '.client.details.ward', '.headers.x-a', { '$length': 2 }, { $contains: '#^[a-t]+$' }]) } }),
  () => ({ client: { details: { ward: { $not: pick(words) }, list: pick([{ $contains: `#${pick(parts)}` }, { $every: { $not: pick(words) } }, { $length: 2 }, 'present?']) } } }),
  () => ({ user: { data: pick([{ ward: 'not-blank?' }, { ward: '.params.p' }, { $not: 'b' }, { '$one-of': [{ ward: true }, '#^[b-z]'] }]) } }),
  () => ({ role: pick([{ $contains: { name: '#^[t-z]' } }, { $length: 1 + below(3) }, { $every: { name: { $not: pick(words) } } }]) }),
])();
const unindexed = () => ({ engine: 'matcho', ...(chance(0.15) ? { effect: 'deny' } : {}), matcho: { headers: { 'x-trial': 'present?' }, ...unknown(), ...unknown(), ...unknown(), ...unknown(), 'remote-addr': chance(0.8) ? '#^[2-9]' : { $not: 'nowhere' } } });

test('many policies that are screened together decide as asking every one does', async () => {
  const own = await start();
  const outcomes = { granted: 0, denied: 0, refused: 0 };
  let late = 0; // decided by a policy that may have been screened
  try {
    for (let round = 0; round < 2; round++) {
      const entry = Array.from({ length: 150 }, (_, i) => ({ resource: { resourceType: 'AccessPolicy', id: `p${i}`, ...unindexed(), ...(chance(0.7) ? { link: [{ resourceType: 'Client', id: chance(0.9) ? 'none' : 'one' }] } : {}) }, request: { method: 'PUT', url: `AccessPolicy/p${i}` } }));
      for (const e of entry) if (e.resource.link?.[0].id === 'none') delete e.resource.link;
      const r = await call('POST', own.fhir, { resourceType: 'Bundle', type: 'transaction', entry }, own.admin);
      assert.equal(r.status, 200, r.text);
      for (let i = 0; i < 30; i++) {
        const asked = request();
        const answer = await call('POST', `${own.base}/auth/test-policy`, { request: asked }, own.admin);
        assert.equal(answer.status, 200, answer.text);
        const first = answer.json.policies.find((p) => p['eval-result'] === true);
        const expected = first === undefined || first.effect === 'deny' ? 403 : 200;
        assert.equal(answer.json.decision.status, expected, `${JSON.stringify(asked)}: ${JSON.stringify(answer.json.decision)}, but ${JSON.stringify(first)}`);
        if (first !== undefined) assert.equal(answer.json.decision.policy, `AccessPolicy/${first.id}`);
        late += answer.json.policies.indexOf(first) >= 16;
        outcomes[first === undefined ? 'refused' : first.effect === 'deny' ? 'denied' : 'granted'] += 1;
      }
    }
    assert.ok(outcomes.granted > 5 && outcomes.denied > 2 && outcomes.refused > 5 && late > 2, JSON.stringify({ ...outcomes, late }));
  } finally {
    await own.stop();
    own.remove();
  }
});

// What a request may make the server search is bounded; what is beyond it is asked as if there were no index.
test('a request with more than the index looks at has all policies asked', async () => {
  const own = await start({ plugins: { 'policy-matcho': { 'regex-subject': '16k' } } });
  const put = async (id, policy) => { const r = await call('PUT', `${own.base}/AccessPolicy/${id}`, policy, own.admin); assert.equal(r.status, 201, r.text); };
  const search = (name) => call('POST', `${own.fhir}/Patient/_search`, `name=${name}`, { 'content-type': 'application/x-www-form-urlencoded', 'x-trial': '1' });
  try {
    for (let i = 100; i < 180; i += 1) await put(`many-${i}`, { engine: 'matcho', matcho: { headers: { 'x-trial': '1' }, params: { name: `#n${i}[x-z]` } } });
    await put('any', { engine: 'matcho', matcho: { headers: { 'x-trial': '1' }, params: { name: '#^(x|y)' } } });
    assert.equal((await search('n140z')).status, 200);
    assert.equal((await search('n140')).status, 401);
    const all = Array.from({ length: 80 }, (_, i) => `n${100 + i}`).join('');
    assert.equal((await search(all)).status, 401);
    assert.equal((await search(`${all}z`)).status, 200); // more texts are found than are looked up
    assert.equal((await search(`${'-'.repeat(3000)}n140z`)).status, 200); // longer than is searched
    // Too long for expressions at all: a fault, which denies where the policy would.
    assert.equal((await search(`x${'-'.repeat(20000)}`)).status, 401);
    await put('no', { engine: 'matcho', effect: 'deny', matcho: { params: { name: '#forbidden' } } });
    await put('all', { engine: 'matcho', matcho: { headers: { 'x-trial': '1' } } });
    assert.equal((await search('fine')).status, 200);
    assert.equal((await search('-forbidden-')).status, 403);
    assert.equal((await search('-'.repeat(20000))).status, 403);
  } finally {
    await own.stop();
    own.remove();
  }
});
