/** One body through a proxy. Argument: JSON `{ port, bytes, direction }`; prints the number of bytes that arrived. */

import { request } from 'node:http';

const { port, bytes, direction } = JSON.parse(process.argv[2] ?? '{}') as {
  port: number;
  bytes: number;
  direction: 'down' | 'up';
};
const chunk = Buffer.alloc(64 * 1024, 'pointsman');

const sent = request(
  {
    port,
    host: '127.0.0.1',
    ...(direction === 'down'
      ? { path: `/${bytes}` }
      : { method: 'PUT', path: '/', headers: { 'Content-Length': bytes } }),
  },
  (response) => {
    let length = 0;
    let text = '';
    response.on('data', (data: Buffer) => {
      length += data.length;
      if (direction === 'up') text += data.toString('latin1');
    });
    response.once('end', () => process.stdout.write(direction === 'down' ? String(length) : text));
  },
);
let left = direction === 'up' ? bytes : 0;
const write = () => {
  while (left > 0) {
    const part = left < chunk.length ? chunk.subarray(0, left) : chunk;
    left -= part.length;
    if (!sent.write(part)) {
      sent.once('drain', write);
      return;
    }
  }
  sent.end();
};
write();
