// Servers to compare with, on free ports of the loopback address.
import { spawn } from 'node:child_process';
import fs from 'node:fs';
import net from 'node:net';
import path from 'node:path';
import { freePort, sleep } from '../tests/lib/server.mjs';

const waitPort = async (port) => {
  for (let i = 0; i < 1200; i++) { // half a minute: a busy machine starts slowly
    if (await new Promise((ok) => { const s = net.connect(port, '127.0.0.1', () => { s.destroy(); ok(true); }); s.on('error', () => ok(false)); })) return;
    await sleep(25);
  }
  throw new Error(`nothing listens on ${port}`);
};
export const ended = []; // what to do at the end, however it comes
export const launch = async (port, command, args) => {
  const child = spawn(command, args, { stdio: ['ignore', 'ignore', 'inherit'] });
  ended.push(() => child.kill('SIGTERM'));
  await waitPort(port);
  return { pid: child.pid, base: `http://127.0.0.1:${port}`, stop: () => child.kill('SIGTERM') };
};
export const nginx = async (dir, body) => {
  const port = await freePort(), root = path.join(dir, 'nginx');
  fs.mkdirSync(path.join(root, 'www'), { recursive: true });
  fs.writeFileSync(path.join(root, 'www/resource.json'), body);
  fs.writeFileSync(path.join(root, 'nginx.conf'), `daemon off; worker_processes 2; pid ${root}/pid; error_log ${root}/error.log;
${process.getuid() === 0 ? 'user root;' : ''}
events { worker_connections 4096; }
http { access_log off; default_type application/fhir+json; keepalive_requests 1000000000; sendfile on; tcp_nopush off; open_file_cache max=100; client_body_temp_path ${root}/b; proxy_temp_path ${root}/p; fastcgi_temp_path ${root}/f; uwsgi_temp_path ${root}/u; scgi_temp_path ${root}/s;
server { listen 127.0.0.1:${port}; root ${root}/www; } }`);
  return launch(port, fs.existsSync('/usr/sbin/nginx') ? '/usr/sbin/nginx' : 'nginx', ['-c', path.join(root, 'nginx.conf'), '-p', root]);
};
