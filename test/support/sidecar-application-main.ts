/**
 * An application beside a sidecar: asks its URL (the first argument) from its first moment on and, told to end, for some
 * more while it puts things in order. Prints how many requests it sent and what went wrong, as one line of JSON.
 */

import { Agent, request } from 'node:http';

const url = process.argv[2]!;
/** As a service that writes its last events. */
const LAST_WORDS_MS = 300;

const agent = new Agent({ keepAlive: true });
const failed: string[] = [];
let sent = 0;
let until = Number.POSITIVE_INFINITY;
process.on('SIGTERM', () => {
  until = performance.now() + LAST_WORDS_MS;
});

function ask(body: string | undefined): Promise<string | undefined> {
  return new Promise((resolve) => {
    const asked = request(url, { agent, method: body === undefined ? 'GET' : 'POST' }, (answer) => {
      answer.resume();
      answer.once('error', (error) => resolve(error.message));
      answer.once('end', () =>
        resolve(answer.statusCode === 200 ? undefined : `status ${answer.statusCode}`),
      );
    });
    asked.once('error', (error) => resolve(error.message));
    asked.end(body);
  });
}

async function work(lane: number): Promise<void> {
  while (performance.now() < until) {
    sent++;
    const fault = await ask(lane % 2 === 0 ? undefined : 'x'.repeat(1_000));
    if (fault !== undefined) failed.push(fault);
    if (sent === 200) process.stdout.write('busy\n');
  }
}

await Promise.all([0, 1, 2, 3].map(work));
process.stdout.write(`${JSON.stringify({ sent, failed })}\n`);
process.exit(0);
