/**
 * Every track on node:http: answers GET with as many bytes as the path says (`/1024`), and anything else with the
 * number of bytes that it got. Argument: JSON `{ ports }`.
 */

import { createServer } from 'node:http';

const { ports } = JSON.parse(process.argv[2] ?? '{}') as { ports: readonly number[] };
const chunk = Buffer.alloc(64 * 1024, 'pointsman');

for (const port of ports) {
  const server = createServer({ requestTimeout: 0 }, (request, response) => {
    if (request.method !== 'GET') {
      let bytes = 0;
      request.on('data', (data: Buffer) => {
        bytes += data.length;
      });
      request.once('end', () => response.end(String(bytes)));
      return;
    }
    let left = Number(request.url!.slice(1));
    response.writeHead(200, { 'Content-Length': left });
    const write = () => {
      while (left > 0) {
        const part = left < chunk.length ? chunk.subarray(0, left) : chunk;
        left -= part.length;
        if (!response.write(part)) {
          response.once('drain', write);
          return;
        }
      }
      response.end();
    };
    write();
  });
  server.listen(port, '127.0.0.1');
}
