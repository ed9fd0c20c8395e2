/** The tracks on node:http, for machines without HAProxy. Argument: JSON `{ ports: { track: port }, size }`. */

import { createServer } from 'node:http';
import { bodyOf } from './workload.ts';

const { ports, size } = JSON.parse(process.argv[2] ?? '{}') as {
  ports: Record<string, number>;
  size: number;
};
const body = Buffer.from(bodyOf(size));

for (const [track, port] of Object.entries(ports)) {
  const server = createServer({ keepAliveTimeout: 60_000 }, (request, response) => {
    const answer = () => {
      response.writeHead(200, {
        'Content-Type': 'application/json',
        'Content-Length': body.length,
        'X-Track': track,
      });
      response.end(body);
    };
    if (request.method === 'GET') answer();
    else request.resume().once('end', answer);
  });
  server.listen(port, '127.0.0.1');
}
