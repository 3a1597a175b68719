// andiron-jws-verify: the daemon's signature check against the vectors of RFC 7515, 7520 and 8037, against every
// algorithm signed by node:crypto, and against signatures and keys that must be refused.
import test from 'node:test';
import assert from 'node:assert/strict';
import { constants, createHash, generateKeyPairSync, privateEncrypt, sign } from 'node:crypto';
import { spawnSync } from 'node:child_process';
import fs from 'node:fs';
import path from 'node:path';
import { source } from './lib/server.mjs';

const program = path.join(process.env.ANDIRON_BUILD ?? path.join(source, 'build'), 'andiron-jws-verify');
const hex = (bytes) => Buffer.from(bytes).toString('hex');
const bytes = (b64) => Buffer.from(b64, 'base64url');
const number = (b) => BigInt('0x' + hex(b));
const sized = (n, size) => Buffer.from(n.toString(16).padStart(size * 2, '0'), 'hex');

// Verdicts for lines, which are objects or ready text.
const verdicts = (lines) => {
  const { stdout, status, stderr } = spawnSync(program, { input: lines.map((l) => (typeof l === 'string' ? l : JSON.stringify(l)) + '\n').join(''), encoding: 'utf8', maxBuffer: 1 << 26 });
  assert.equal(status, 0, stderr);
  return stdout.trimEnd().split('\n');
};
const expect = (cases) => {
  const got = verdicts(cases.map((c) => c.line));
  assert.equal(got.length, cases.length);
  cases.forEach((c, i) => assert.equal(got[i], c.valid ? 'valid' : 'invalid', c.name));
};
const vector = (name, valid, jwk, alg, msg, sig) => ({ name, valid, line: { jwk, alg, msg: hex(msg), sig: hex(sig) } });

const kinds = {
  RS256: ['rsa', 256], RS384: ['rsa', 384], RS512: ['rsa', 512], PS256: ['rsa', 256], PS384: ['rsa', 384], PS512: ['rsa', 512],
  ES256: ['P-256', 256, 32], ES384: ['P-384', 384, 48], ES512: ['P-521', 512, 66], EdDSA: ['ed25519'],
};
const pairs = new Map();
const pairOf = (kind, bits = 2048) => {
  const name = `${kind} ${bits}`;
  if (!pairs.has(name)) {
    const pair = kind === 'rsa' ? generateKeyPairSync('rsa', { modulusLength: bits }) : kind === 'ed25519' ? generateKeyPairSync('ed25519') : generateKeyPairSync('ec', { namedCurve: kind });
    pairs.set(name, { ...pair, jwk: pair.publicKey.export({ format: 'jwk' }) });
  }
  return pairs.get(name);
};
const signed = (alg, msg, { key = pairOf(kinds[alg][0]).privateKey, der = false, salt } = {}) => sign(
  alg === 'EdDSA' ? null : `sha${kinds[alg][1]}`, msg,
  { key, dsaEncoding: der ? 'der' : 'ieee-p1363', ...(alg.startsWith('PS') ? { padding: constants.RSA_PKCS1_PSS_PADDING, saltLength: salt ?? constants.RSA_PSS_SALTLEN_DIGEST } : {}) });
const msg = Buffer.from('header.payload');

// Orders of the groups of the curves (FIPS 186-4 D.1.2) and of Ed25519 (RFC 8032 section 5.1).
const order = {
  ES256: 0xffffffff00000000ffffffffffffffffbce6faada7179e84f3b9cac2fc632551n,
  ES384: 0xffffffffffffffffffffffffffffffffffffffffffffffffc7634d81f4372ddf581a0db248b0a77aecec196accc52973n,
  ES512: 0x01fffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffa51868783bf2f966b7fcc0148f709a5d03bb5c9b8899c47aebb6fb71e91386409n,
  EdDSA: 0x1000000000000000000000000000000014def9dea2f79cd65812631a5cf5d3edn,
};

test('examples of RFC 7515 appendix A: signatures are valid, HMAC and none are not', () => {
  const payload = 'eyJpc3MiOiJqb2UiLA0KICJleHAiOjEzMDA4MTkzODAsDQogImh0dHA6Ly9leGFtcGxlLmNvbS9pc19yb290Ijp0cnVlfQ';
  const rsa = { kty: 'RSA', n: 'ofgWCuLjybRlzo0tZWJjNiuSfb4p4fAkd_wWJcyQoTbji9k0l8W26mPddxHmfHQp-Vaw-4qPCJrcS2mJPMEzP1Pt0Bm4d4QlL-yRT-SFd2lZS-pCgNMsD1W_YpRPEwOWvG6b32690r2jZ47soMZo9wGzjb_7OMg0LOL-bSf63kpaSHSXndS5z5rexMdbBYUsLA9e-KXBdQOS-UTo7WTBEMa2R2CapHg665xsmtdVMTBQY4uDZlxvb3qCo5ZwKh9kG4LT6_I5IhlJH7aGhyxXFvUK-DWNmoudF8NAco9_h9iaGNj8q2ethFkMLs91kzk2PAcDTW9gb54h4FRWyuXpoQ', e: 'AQAB' };
  const p256 = { kty: 'EC', crv: 'P-256', x: 'f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU', y: 'x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0' };
  const p521 = { kty: 'EC', crv: 'P-521', x: 'AekpBQ8ST8a8VcfVOTNl353vSrDCLLJXmPk06wTjxrrjcBpXp5EOnYG_NjFZ6OvLFV1jSfS9tsz4qUxcWceqwQGk', y: 'ADSmRA43Z1DSNx_RvcLI87cdL07l6jQyyBXMoxVg_l2Th-x3S1WDhjDly79ajL4Kkd0AZMaZmh9ubmf63e3kyMj2' };
  const hmac = { kty: 'oct', k: 'AyM1SysPpbyDfgZld3umj1qzKObwVMkoqQ-EstJQLr_T-1qS0gZH75aKtMN3Yj0iPS4hcgUuTwjAzZr1Z9CAow' };
  expect([
    vector('A.1 HS256', false, hmac, 'HS256', 'eyJ0eXAiOiJKV1QiLA0KICJhbGciOiJIUzI1NiJ9.' + payload, bytes('dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk')),
    vector('A.2 RS256', true, rsa, 'RS256', 'eyJhbGciOiJSUzI1NiJ9.' + payload, bytes('cC4hiUPoj9Eetdgtv3hF80EGrhuB__dzERat0XF9g2VtQgr9PJbu3XOiZj5RZmh7AAuHIm4Bh-0Qc_lF5YKt_O8W2Fp5jujGbds9uJdbF9CUAr7t1dnZcAcQjbKBYNX4BAynRFdiuB--f_nZLgrnbyTyWzO75vRK5h6xBArLIARNPvkSjtQBMHlb1L07Qe7K0GarZRmB_eSN9383LcOLn6_dO--xi12jzDwusC-eOkHWEsqtFZESc6BfI7noOPqvhJ1phCnvWh6IeYI2w9QOYEUipUTI8np6LbgGY9Fs98rqVt5AXLIhWkWywlVmtVrBp0igcN_IoypGlUPQGe77Rw')),
    vector('A.3 ES256', true, p256, 'ES256', 'eyJhbGciOiJFUzI1NiJ9.' + payload, bytes('DtEhU3ljbEg8L38VWAfUAqOyKAM6-Xx-F4GawxaepmXFCgfTjDxw5djxLa8ISlSApmWQxfKTUJqPP3-Kg6NU1Q')),
    vector('A.4 ES512', true, p521, 'ES512', 'eyJhbGciOiJFUzUxMiJ9.UGF5bG9hZA', bytes('AdwMgeerwtHoh-l192l60hp9wAHZFVJbLfD_UxMi70cwnZOYaRI1bKPWROc-mZZqwqT2SI-KGDKB34XO0aw_7XdtAG8GaSwFKdCAPZgoXD2YBJZCPEX3xKpRwcdOO8KpEHwJjyqOgzDO7iKvU8vcnwNrmxYbSW9ERBXukOXolLzeO_Jn')),
    vector('A.5 none', false, rsa, 'none', 'eyJhbGciOiJub25lIn0.' + payload, ''),
  ]);
});

test('examples of RFC 7520 section 4: signatures are valid, HMAC is not', () => {
  const { payload, signatures, refused, ...keys } = JSON.parse(fs.readFileSync(path.join(source, 'tests/jose/rfc7520.json'), 'utf8'));
  const of = (valid) => (v) => vector(`section ${v.section} ${v.alg}`, valid, keys[v.key], v.alg, `${v.header}.${payload}`, bytes(v.sig));
  expect([...signatures.map(of(true)), ...refused.map(of(false)), ...signatures.map((v) => vector(`${v.section}, other payload`, false, keys[v.key], v.alg, `${v.header}.${payload}x`, bytes(v.sig)))]);
});

test('the Ed25519 example of RFC 8037 appendix A.4 is valid', () => {
  const jwk = { kty: 'OKP', crv: 'Ed25519', x: '11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo' };
  expect([vector('A.4', true, jwk, 'EdDSA', 'eyJhbGciOiJFZERTQSJ9.RXhhbXBsZSBvZiBFZDI1NTE5IHNpZ25pbmc', bytes('hgyY0il_MGCjP0JzlnLWG1PPOt7-09PGcvMg3AIbQR6dWbhijcNR4ki4iylGjg5BhVsPt9g7sVvpAr_MuM0KAg'))]);
});

test('every algorithm: right is valid, another byte, length, message or algorithm is not', () => {
  const cases = [];
  for (const [alg, [kind]] of Object.entries(kinds)) {
    const { jwk } = pairOf(kind), sig = signed(alg, msg);
    const flip = (at) => { const s = Buffer.from(sig); s[at] ^= 1; return s; };
    cases.push(
      vector(`${alg}`, true, jwk, alg, msg, sig),
      vector(`${alg}, no bytes`, true, jwk, alg, '', signed(alg, Buffer.alloc(0))),
      vector(`${alg}, 100 kB`, true, jwk, alg, Buffer.alloc(100000, 7), signed(alg, Buffer.alloc(100000, 7))),
      vector(`${alg}, its own alg in the key`, true, { ...jwk, alg, use: 'sig', key_ops: ['verify'], kid: 'k' }, alg, msg, sig),
      vector(`${alg}, first byte`, false, jwk, alg, msg, flip(0)),
      vector(`${alg}, last byte`, false, jwk, alg, msg, flip(sig.length - 1)),
      vector(`${alg}, other message`, false, jwk, alg, 'header.payloae', sig),
      vector(`${alg}, empty signature`, false, jwk, alg, msg, ''),
      vector(`${alg}, trailing byte`, false, jwk, alg, msg, Buffer.concat([sig, Buffer.from([0])])),
      vector(`${alg}, leading zero`, false, jwk, alg, msg, Buffer.concat([Buffer.from([0]), sig])),
      vector(`${alg}, cut short`, false, jwk, alg, msg, sig.subarray(0, sig.length - 1)),
      vector(`${alg}, all zeros`, false, jwk, alg, msg, Buffer.alloc(sig.length)),
      vector(`${alg}, all ones`, false, jwk, alg, msg, Buffer.alloc(sig.length, 255)),
      vector(`${alg}, key for encryption`, false, { ...jwk, use: 'enc' }, alg, msg, sig),
      vector(`${alg}, key that only signs`, false, { ...jwk, key_ops: ['sign'] }, alg, msg, sig),
      vector(`${alg}, private key`, false, pairOf(kind).privateKey.export({ format: 'jwk' }), alg, msg, sig),
      ...Object.keys(kinds).filter((other) => other !== alg).map((other) => vector(`${alg} as ${other}`, false, jwk, other, msg, sig)),
      ...Object.entries(kinds).filter(([other]) => kinds[other][0] !== kind).map(([other, [k]]) => vector(`${alg} with a key for ${other}`, false, pairOf(k).jwk, alg, msg, sig)),
      vector(`${alg}, key of another algorithm`, false, { ...jwk, alg: alg === 'RS256' ? 'RS384' : 'RS256' }, alg, msg, sig));
  }
  expect(cases);
});

test('ECDSA signatures: DER, zeros, numbers of the order and above are invalid; leading zeros count', () => {
  const cases = [];
  for (const alg of ['ES256', 'ES384', 'ES512']) {
    const [kind, , size] = kinds[alg], { jwk, privateKey } = pairOf(kind), n = order[alg];
    const sig = signed(alg, msg), r = sig.subarray(0, size), s = sig.subarray(size), zero = Buffer.alloc(size);
    const top = (1n << BigInt(size * 8)) - 1n;
    const put = (name, a, b) => cases.push(vector(`${alg}, ${name}`, false, jwk, alg, msg, Buffer.concat([a, b])));
    put('r = 0', zero, s);
    put('s = 0', r, zero);
    put('r = s = 0', zero, zero);
    put('r = n', sized(n, size), s);
    put('s = n', r, sized(n, size));
    put('r = s = n', sized(n, size), sized(n, size));
    put('r and s exchanged', s, r);
    if (number(r) + n <= top) put('r + n', sized(number(r) + n, size), s);
    if (number(s) + n <= top) put('s + n', r, sized(number(s) + n, size));
    put('r = s = 1', sized(1n, size), sized(1n, size));
    cases.push(vector(`${alg}, DER`, false, jwk, alg, msg, signed(alg, msg, { der: true })));
    put('a byte between r and s', Buffer.concat([r, Buffer.from([0])]), s);
    // A short r or s is filled from the left, never cut (RFC 7518 section 3.4).
    for (let i = 0; i < 2000; i++) {
      const m = Buffer.from(`try ${i}`), short = sign(`sha${kinds[alg][1]}`, m, { key: privateKey, dsaEncoding: 'ieee-p1363' });
      if (short[0] !== 0 && short[size] !== 0) continue;
      cases.push(vector(`${alg}, leading zero`, true, jwk, alg, m, short));
      const cut = short[0] === 0 ? short.subarray(1) : Buffer.concat([short.subarray(0, size), short.subarray(size + 1)]);
      cases.push(vector(`${alg}, leading zero left out`, false, jwk, alg, m, cut));
      break;
    }
  }
  expect(cases);
});

test('RSA signatures: other salts, other padding, numbers above the modulus are invalid', () => {
  const { jwk, privateKey } = pairOf('rsa'), n = number(bytes(jwk.n));
  const cases = [];
  for (const alg of ['PS256', 'PS384', 'PS512'])
    for (const salt of [0, 20, kinds[alg][1] / 8 - 1, constants.RSA_PSS_SALTLEN_MAX_SIGN])
      cases.push(vector(`${alg}, salt ${salt}`, false, jwk, alg, msg, signed(alg, msg, { salt })));
  for (const alg of ['RS256', 'PS256']) {
    const sig = signed(alg, msg), more = number(sig) + n;
    if (more < 1n << 2048n) cases.push(vector(`${alg}, signature + n`, false, jwk, alg, msg, sized(more, 256)));
    cases.push(vector(`${alg}, n itself`, false, jwk, alg, msg, bytes(jwk.n)));
    cases.push(vector(`${alg}, one`, false, jwk, alg, msg, sized(1n, 256)));
  }
  // PKCS #1 has one DigestInfo for SHA-256 (RFC 8017 section 9.2); other spellings of it are forgeries.
  const digest = createHash('sha256').update(msg).digest();
  const padded = (name, valid, info) => cases.push(vector(name, valid, jwk, 'RS256', msg, privateEncrypt({ key: privateKey, padding: constants.RSA_PKCS1_PADDING }, Buffer.concat([Buffer.from(info, 'hex'), digest]))));
  padded('DigestInfo', true, '3031300d060960864801650304020105000420');
  padded('no DigestInfo', false, '');
  padded('DigestInfo without NULL', false, '302f300b0609608648016503040201' + '0420');
  padded('DigestInfo with a long length', false, '308131300d060960864801650304020105000420');
  padded('DigestInfo of SHA-1', false, '3021300906052b0e03021a05000414');
  cases.push(vector('bytes behind the hash', false, jwk, 'RS256', msg, privateEncrypt({ key: privateKey, padding: constants.RSA_PKCS1_PADDING }, Buffer.concat([Buffer.from('3031300d060960864801650304020105000420', 'hex'), digest, Buffer.alloc(8)]))));
  expect(cases);
});

test('Ed25519: S + L is no second spelling of S', () => {
  const { jwk } = pairOf('ed25519'), sig = signed('EdDSA', msg);
  const s = number(Buffer.from(sig.subarray(32)).reverse()) + order.EdDSA;
  expect([vector('S + L', false, jwk, 'EdDSA', msg, Buffer.concat([sig.subarray(0, 32), sized(s, 32).reverse()]))]);
});

test('keys: weak, of foreign curves, off their curve or misspelled are invalid', () => {
  const cases = [], rsa = pairOf('rsa').jwk, p256 = pairOf('P-256').jwk, ed = pairOf('ed25519').jwk;
  for (const bits of [512, 1024, 2040, 2047]) {
    const pair = generateKeyPairSync('rsa', { modulusLength: bits });
    cases.push(vector(`RSA of ${bits} bits`, false, pair.publicKey.export({ format: 'jwk' }), 'RS256', msg, sign('sha256', msg, pair.privateKey)));
  }
  const big = pairOf('rsa', 3072);
  cases.push(vector('RSA of 3072 bits', true, big.jwk, 'RS512', msg, sign('sha512', msg, big.privateKey)));
  const k1 = generateKeyPairSync('ec', { namedCurve: 'secp256k1' });
  const koblitz = sign('sha256', msg, { key: k1.privateKey, dsaEncoding: 'ieee-p1363' });
  cases.push(vector('secp256k1', false, k1.publicKey.export({ format: 'jwk' }), 'ES256', msg, koblitz));
  cases.push(vector('secp256k1 called P-256', false, { ...k1.publicKey.export({ format: 'jwk' }), crv: 'P-256' }, 'ES256', msg, koblitz));
  const ok = (name, jwk, alg, valid = false) => cases.push(vector(name, valid, jwk, alg, msg, signed(alg, msg)));
  const y = bytes(p256.y);
  y[31] ^= 1;
  ok('a point off the curve', { ...p256, y: y.toString('base64url') }, 'ES256');
  ok('the point 0, 0', { ...p256, x: Buffer.alloc(32).toString('base64url'), y: Buffer.alloc(32).toString('base64url') }, 'ES256');
  ok('x of 33 bytes', { ...p256, x: Buffer.concat([Buffer.alloc(1), bytes(p256.x)]).toString('base64url') }, 'ES256');
  ok('x of 31 bytes', { ...p256, x: bytes(p256.x).subarray(1).toString('base64url') }, 'ES256');
  ok('x with padding', { ...p256, x: p256.x + '=' }, 'ES256');
  ok('no y', { ...p256, y: undefined }, 'ES256');
  ok('a point of P-384 called P-256', { ...pairOf('P-384').jwk, crv: 'P-256' }, 'ES256');
  ok('modulus with a leading zero', { ...rsa, n: Buffer.concat([Buffer.alloc(1), bytes(rsa.n)]).toString('base64url') }, 'RS256');
  ok('modulus with a stray character', { ...rsa, n: rsa.n.slice(0, -1) + '!' }, 'RS256');
  for (const e of ['AA', 'AQ', 'Ag', 'AQAA']) ok(`exponent ${e}`, { ...rsa, e }, 'RS256');
  ok('no exponent', { ...rsa, e: undefined }, 'RS256');
  ok('Ed25519 of 31 bytes', { ...ed, x: bytes(ed.x).subarray(1).toString('base64url') }, 'EdDSA');
  ok('Ed25519 called Ed448', { ...ed, crv: 'Ed448' }, 'EdDSA');
  ok('Ed25519 with kty EC', { ...ed, kty: 'EC' }, 'EdDSA');
  ok('kty in small letters', { ...rsa, kty: 'rsa' }, 'RS256');
  ok('a key that is sound', p256, 'ES256', true);
  expect(cases);
});

test('lines that are no vectors are invalid, each for itself, and the next line counts again', () => {
  const good = vector('', true, pairOf('P-256').jwk, 'ES256', msg, signed('ES256', msg)).line;
  const bad = [
    '', '{', 'null', '[]', '"x"', '{}', '\u0000', 'x'.repeat(70000), '['.repeat(5000), JSON.stringify(good) + '}', JSON.stringify(good).replace('"alg"', '"alg":"ES256","alg"'),
    { ...good, jwk: undefined }, { ...good, jwk: null }, { ...good, jwk: 'x' }, { ...good, jwk: [good.jwk] }, { ...good, alg: undefined }, { ...good, alg: 5 }, { ...good, alg: '' },
    { ...good, alg: 'none' }, { ...good, alg: 'HS256' }, { ...good, alg: 'es256' }, { ...good, alg: 'ES256 ' }, { ...good, alg: 'ES256K' }, { ...good, msg: undefined }, { ...good, msg: 5 },
    { ...good, msg: good.msg + '0' }, { ...good, msg: good.msg + '0g' }, { ...good, sig: null }, { ...good, sig: good.sig + ' ' }, { ...good, sig: '0x' + good.sig },
  ];
  const got = verdicts(bad.flatMap((line) => [line, good]));
  assert.equal(got.length, bad.length * 2);
  got.forEach((verdict, i) => assert.equal(verdict, i % 2 ? 'valid' : 'invalid', JSON.stringify(bad[i >> 1])?.slice(0, 100)));
  assert.deepEqual(verdicts([{ ...good, msg: good.msg.toUpperCase(), sig: good.sig.toUpperCase() }]), ['valid']);
  assert.equal(spawnSync(program, { input: '', encoding: 'utf8' }).stdout, '');
  assert.equal(spawnSync(program, { input: JSON.stringify(good), encoding: 'utf8' }).stdout, 'valid\n');
});
