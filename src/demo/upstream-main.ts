/** Entry of one demo upstream: its track and port (0: the kernel's choice) come as arguments; prints the port. */
import './end-with-parent.ts';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';

const [track = 'upstream', port = '0'] = process.argv.slice(2);

const server = createServer({ keepAliveTimeout: 60_000 }, (request, response) => {
  request.resume();
  const group = request.headers['x-traffic-group'] ?? 'none';
  const user = request.headers['x-user-id'];
  const body = `${track} answers ${request.method} ${request.url} (group ${group}${user === undefined ? '' : `, user ${user}`})\n`;
  response.writeHead(200, {
    'Content-Type': 'text/plain; charset=utf-8',
    'Content-Length': Buffer.byteLength(body),
    'X-Track': track,
  });
  response.end(body);
});

server.on('error', (error) => {
  process.stderr.write(`${error.message}\n`);
  process.exit(1);
});
server.listen(Number(port), '127.0.0.1', () => {
  process.stdout.write(`${(server.address() as AddressInfo).port}\n`);
});
