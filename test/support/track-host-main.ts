/**
 * Entry of the upstreams of one service: a port for each track named in the arguments. What runs on a track comes over
 * the channel, as a Deployment would bring it; a build whose tag says so is broken.
 */

import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';

const images = new Map<string, string>();
const ports: Record<string, number> = {};

for (const track of process.argv.slice(2)) {
  let count = 0;
  const server = createServer((req, res) => {
    req.resume();
    const image = images.get(track);
    const tag = image?.split(':').at(-1) ?? '';
    // Every third request, by turns, so that figures do not hang on chance.
    const broken = /bad/.test(tag) && ++count % 3 === 0;
    const status = image === undefined ? 503 : broken ? (/bad-retried/.test(tag) ? 503 : 500) : 200;
    res.writeHead(status, { 'x-track': track, 'x-version': tag, 'content-length': '2' });
    res.end('ok');
  });
  server.keepAliveTimeout = 60_000;
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  ports[track] = (server.address() as AddressInfo).port;
}

process.on('message', (next: Readonly<Record<string, string>>) => {
  for (const [track, image] of Object.entries(next)) images.set(track, image);
  process.send!({ applied: next });
});
process.on('disconnect', () => process.exit());
process.send!({ ports });
