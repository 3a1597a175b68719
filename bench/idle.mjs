// What an empty server takes: time until it answers, memory of its own and for each connection.
import net from 'node:net';
import { bin, configure, sleep, start } from '../tests/lib/server.mjs';
import { median, note, owned, report } from './measure.mjs';
import { end, firstAnswer, settings } from './servers.mjs';

export const measureIdle = async () => {
  note('\n== memory, and start of an empty server');
  const at = await configure(settings);
  const first = await firstAnswer(at);
  await end(first.child);
  const starts = [];
  for (let i = 0; i < 7; i++) { const { ms, child } = await firstAnswer(at); starts.push(ms); await end(child); }
  const server = await start({ bin, at });
  await sleep(1500);
  const idle = owned(server.child.pid), wanted = 10000, sockets = [];
  for (let i = 0; i < wanted; i++) {
    const s = net.connect(server.port, '127.0.0.1');
    s.on('error', () => {});
    sockets.push(s);
    await new Promise((ok) => { s.once('data', ok); s.once('close', ok); s.write('GET /health/live HTTP/1.1\r\nHost: a\r\n\r\n'); });
  }
  await sleep(1500);
  const open = sockets.filter((s) => !s.destroyed && s.readyState === 'open').length, loaded = owned(server.child.pid);
  for (const s of sockets) s.destroy();
  note(`start to first 200: ${median(starts).toFixed(0)} ms (the very first, which makes keys: ${first.ms.toFixed(0)} ms)`);
  note(`memory owned, idle: ${(idle / 1e6).toFixed(1)} MB; per idle kept-alive connection at ${open}: ${((loaded - idle) / Math.max(open, 1) / 1024).toFixed(2)} KiB`);
  report('idle', { startMs: median(starts), firstMs: first.ms, idleBytes: idle, perConnectionBytes: (loaded - idle) / Math.max(open, 1), open });
  await server.stop(); server.remove();
};
