/** A failure of the clients that speak on bare sockets. */

import type { Socket } from 'node:net';
import { monotonic } from '../clock.ts';
import type { Failure, FailureForm } from './failure.ts';
import { originOf } from './tracked-agent.ts';

export function rawFailure(
  request: {
    readonly kind: string;
    readonly nonce: string;
    readonly method: string;
    readonly startedAt: number;
  },
  form: FailureForm,
  what: string,
  socket: Socket,
  head: string,
): Failure {
  const { kind, nonce, method, startedAt } = request;
  const { port, connectingAt } = originOf(socket);
  return {
    form,
    kind,
    nonce,
    method,
    what,
    status: Number(/^HTTP\/1\.\d (\d{3})/.exec(head)?.[1] ?? 0),
    reason: fieldOf(head, 'x-pointsman-reason'),
    endpoint: fieldOf(head, 'x-endpoint'),
    bodyBytes: 0,
    port,
    connectingAt,
    startedAt,
    endedAt: monotonic(),
  };
}

export function fieldOf(head: string, name: string): string | undefined {
  return new RegExp(`\\r\\n${name}: *([^\\r\\n]*)`, 'i').exec(head)?.[1];
}

/** The lines of a GET, of which the last one is the empty one. */
export function getLines(
  target: string,
  version: '1.0' | '1.1',
  nonce: string,
  group: string | undefined,
): string {
  const groupLine = group === undefined ? '' : `X-Traffic-Group: ${group}\r\n`;
  return `GET ${target}?n=${nonce} HTTP/${version}\r\nHost: soak.test\r\nX-Request-Id: ${nonce}\r\n${groupLine}\r\n`;
}
