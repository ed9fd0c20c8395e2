/** http-proxy-3 on node:http with a keep-alive agent. */

import { Agent, createServer, ServerResponse } from 'node:http';
import httpProxy from 'http-proxy-3';
import { addFields, readOptions, targetPicker } from './routing.ts';

const options = readOptions();
const pick = targetPicker(options);
const agent = new Agent({ keepAlive: true, maxSockets: 1024 });
const proxy = httpProxy.createProxyServer({ agent, xfwd: !options.plain });
proxy.on('error', (_error, _request, response) => {
  if (response instanceof ServerResponse && !response.headersSent) response.writeHead(502).end();
  else response.destroy();
});

createServer((request, response) => {
  if (!options.plain) addFields(request);
  proxy.web(request, response, { target: pick(request) });
}).listen(options.port, '127.0.0.1');

// A profile is written only by a process that ends by itself.
process.once('SIGTERM', () => process.exit(0));
