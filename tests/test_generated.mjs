// The tables of plugins/common/fhir/generated are what tools/generate-fhir makes of the published definitions.
import test from 'node:test';
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import fs from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { source } from './lib/server.mjs';

const modules = process.env.NPM_MODULES;
const wanted = Object.keys(JSON.parse(fs.readFileSync(path.join(source, 'tools/package.json'), 'utf8')).devDependencies);
const skip = modules && wanted.every((name) => fs.existsSync(path.join(modules, name))) ? false : 'needs the packages of tools/package.json';

test('generated tables are up to date', { skip }, () => {
  const kept = path.join(source, 'plugins/common/fhir/generated');
  const made = fs.mkdtempSync(path.join(os.tmpdir(), 'andiron-generated-'));
  execFileSync(path.join(source, 'tools/generate-fhir'), [modules, made]);
  assert.deepEqual(fs.readdirSync(made).sort(), fs.readdirSync(kept).sort());
  for (const file of fs.readdirSync(made))
    assert.ok(fs.readFileSync(path.join(made, file)).equals(fs.readFileSync(path.join(kept, file))), `${file} differs; run tools/generate-fhir`);
  fs.rmSync(made, { recursive: true });
});
