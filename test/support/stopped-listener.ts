/** A port whose process is stopped and whose queue is full: connections to it neither succeed nor fail. */

import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { connect, type Socket } from 'node:net';
import { cleanUp } from './clean-up.ts';
import { inTime, pause } from './wait-for.ts';

const SCRIPT = `
const server = require('node:net').createServer();
server.listen({ port: 0, host: '127.0.0.1', backlog: 1 }, () => process.send(server.address().port));
`;

/** Enough to fill a queue of one, which Linux takes for two, with some to spare. */
const FILLERS = 8;

export async function startStoppedListener(): Promise<{ port: number; url: string }> {
  const child = spawn(process.execPath, ['-e', SCRIPT], { stdio: ['ignore', 'inherit', 'inherit', 'ipc'] });
  const fillers: Socket[] = [];
  cleanUp(() => {
    for (const socket of fillers) socket.destroy();
    child.kill('SIGKILL');
  });
  const [port] = (await inTime('the listener', once(child, 'message'))) as [number];
  child.kill('SIGSTOP');
  for (let i = 0; i < FILLERS; i++) {
    fillers.push(connect({ host: '127.0.0.1', port }).on('error', () => {}));
  }
  await pause(50);
  return { port, url: `http://127.0.0.1:${port}` };
}
