// An andiron that is installed as packages install it, and what a third party finds there: pkg-config, headers, the program.
import { execFileSync, spawnSync } from 'node:child_process';
import fs from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { configure, modules, start } from './server.mjs';

// Installs the build under test below a temporary folder; `env` is what a module author's shell has.
export const install = () => {
  const work = fs.mkdtempSync(path.join(os.tmpdir(), 'andiron-prefix-')), prefix = path.join(work, 'prefix');
  execFileSync('cmake', ['--install', process.env.ANDIRON_BUILD, '--prefix', prefix], { stdio: 'pipe' });
  const found = execFileSync('find', [prefix, '-name', 'andiron*.pc'], { encoding: 'utf8' }).trim().split('\n');
  // Installed below another prefix than the build was configured for.
  for (const pc of found) fs.writeFileSync(pc, fs.readFileSync(pc, 'utf8').replace(/^prefix=.*/m, `prefix=${prefix}`));
  const tools = path.join(work, 'bin');
  fs.mkdirSync(tools);
  const env = { ...process.env, PKG_CONFIG_PATH: path.dirname(found[0]), PATH: `${tools}:${path.join(prefix, 'bin')}:${process.env.PATH}` };
  const variable = (name) => execFileSync('pkg-config', [`--variable=${name}`, 'andiron'], { env, encoding: 'utf8' }).trim();
  return { work, prefix, tools, env, moduledir: variable('moduledir'), confdir: path.dirname(variable('pluginconfdir')), templatedir: variable('templatedir'), remove: () => fs.rmSync(work, { recursive: true, force: true }) };
};

// Starts the installed andiron over its own configuration folder; afterwards `andiron` in env.PATH means that folder.
export const serve = async (home, options = {}) => {
  const { plugins, ...rest } = options;
  const at = await configure({ quick: true, plugins, core: { core: { 'module-path': `${home.moduledir} ${modules}` } } });
  fs.rmSync(home.confdir, { recursive: true, force: true });
  fs.symlinkSync(at.etc, home.confdir);
  fs.writeFileSync(path.join(home.tools, 'andiron'), `#!/bin/sh\nexec ${home.prefix}/bin/andiron -c ${home.confdir} "$@"\n`, { mode: 0o755 });
  return start({ at, bin: path.join(home.prefix, 'bin/andiron'), ...rest });
};

// One shell command; the answer has status and all that was said.
export const sh = (command, { cwd, env }) => {
  const r = spawnSync('bash', ['-euo', 'pipefail', '-c', command], { cwd, env, encoding: 'utf8', timeout: 300000 });
  return { status: r.status, text: r.stdout + r.stderr, stdout: r.stdout, stderr: r.stderr };
};
