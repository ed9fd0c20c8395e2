/** httpxy on node:http with a keep-alive agent. */

import { Agent, createServer } from 'node:http';
import { createProxyServer } from 'httpxy';
import { addFields, readOptions, targetPicker } from './routing.ts';

const options = readOptions();
const pick = targetPicker(options);
const agent = new Agent({ keepAlive: true, maxSockets: 1024 });
const proxy = createProxyServer({ agent, xfwd: !options.plain });

createServer((request, response) => {
  if (!options.plain) addFields(request);
  proxy.web(request, response, { target: pick(request) }).catch(() => {
    if (response.headersSent) response.destroy();
    else response.writeHead(502).end();
  });
}).listen(options.port, '127.0.0.1');

// A profile is written only by a process that ends by itself.
process.once('SIGTERM', () => process.exit(0));
