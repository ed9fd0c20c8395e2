/** A request as the bytes that go over the wire, for load generators on plain sockets. */

import { bodyOf, type Request } from '../workload.ts';

export function wireOf(request: Request, port: number): Buffer {
  const fields = { Host: `127.0.0.1:${port}`, ...request.headers };
  const lines = Object.entries(fields).map(([name, value]) => `${name}: ${value}\r\n`);
  const length = request.bodySize > 0 ? `Content-Length: ${request.bodySize}\r\n` : '';
  const head = `${request.method} ${request.path} HTTP/1.1\r\n${lines.join('')}${length}\r\n`;
  return Buffer.from(head + bodyOf(request.bodySize), 'latin1');
}
