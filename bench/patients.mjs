// Patients of a size, and how they get into a server.
import { call } from '../tests/lib/server.mjs';

// About `bytes` of a Patient, as text with @ID@ and @N@ where they differ.
export const patientText = (bytes) => JSON.stringify({ resourceType: 'Patient', id: '@ID@', identifier: [{ system: 'http://bench.example/mrn', value: '@ID@' }], active: true, name: [{ family: 'Bench@N@', given: ['Ada', 'Grace'] }], telecom: [{ system: 'phone', value: '555-0100', use: 'home' }], gender: 'female', birthDate: '1980-02-29', address: [{ line: ['1 Main Street'], city: 'Springfield', postalCode: '01101', country: 'US' }], text: { status: 'generated', div: `<div xmlns="http://www.w3.org/1999/xhtml">${'x'.repeat(bytes - 520)}</div>` } });
export const post = async (server, bundle) => { const r = await call('POST', server.fhir, bundle, server.admin); if (r.status !== 200) throw new Error(r.text.slice(0, 500)); return r; };
export const loadPatients = async (server, text, prefix, count) => {
  for (let i = 0; i < count; i += 500) {
    const entries = Array.from({ length: Math.min(500, count - i) }, (_, j) => `{"resource":${text.replaceAll('@ID@', `${prefix}-${i + j}`).replace('@N@', i + j)},"request":{"method":"PUT","url":"Patient/${prefix}-${i + j}"}}`);
    await post(server, `{"resourceType":"Bundle","type":"transaction","entry":[${entries.join(',')}]}`);
  }
};
export const luaBody = (text) => `local body = [==[${text}]==]\nwrk.headers["Content-Type"] = "application/fhir+json"\nwrk.headers["Prefer"] = "return=minimal"\n`;
