// A steady load, for test-deb: clients over kept-alive connections, until standard input ends. Prints what failed.
//
//   node load.mjs URL CLIENTS REQUESTS-PER-SECOND      ANDIRON_ADMIN=id:secret
import http from 'node:http';

const [url, clients, rate] = [process.argv[2], Number(process.argv[3]), Number(process.argv[4])];
const headers = { authorization: 'Basic ' + Buffer.from(process.env.ANDIRON_ADMIN).toString('base64') };
const counts = { done: 0, failed: 0, worst_ms: 0 }, reasons = {};
let going = true;

const fail = (reason) => { counts.failed += 1; reasons[reason] = (reasons[reason] ?? 0) + 1; };
const once = (agent) => new Promise((done) => {
  const began = performance.now();
  const request = http.get(url, { agent, headers, timeout: 20000 }, (answer) => {
    answer.resume();
    answer.on('end', () => {
      counts.worst_ms = Math.max(counts.worst_ms, Math.round(performance.now() - began));
      if (answer.statusCode === 200) counts.done += 1; else fail(`status ${answer.statusCode}`);
      done();
    });
    answer.on('error', (e) => { fail(e.code); done(); });
  });
  request.on('timeout', () => request.destroy(Object.assign(new Error(), { code: 'no answer within 20 s' })));
  request.on('error', (e) => { fail(e.code); done(); });
});
const client = async () => {
  const agent = new http.Agent({ keepAlive: true, maxSockets: 1 });
  while (going) {
    const next = performance.now() + 1000 * clients / rate;
    await once(agent);
    await new Promise((ok) => setTimeout(ok, Math.max(0, next - performance.now())));
  }
  agent.destroy();
};
process.stdin.on('end', () => { going = false; }).resume();
await Promise.all(Array.from({ length: clients }, client));
console.log(JSON.stringify({ ...counts, reasons }));
process.exit(counts.failed === 0 && counts.done > 0 ? 0 : 1);
