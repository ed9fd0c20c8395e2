/**
 * An HTTP check that goes by the status alone. It reads one response head from the bare socket and hangs up, which
 * costs a fraction of what an HTTP client does; a thousand endpoints are checked five hundred times a second.
 */

import type { Socket } from 'node:net';
import { type ConnectTarget, connectBriefly, connectEndpoint, whenReady } from './connect.ts';
import type { Attempt } from './probe-attempt.ts';
import { ResponseHeads } from './probe-head.ts';
import { fieldsOf, isGood, MAX_HEAD } from './probe-request.ts';
import type { HttpProbe } from './probe-target.ts';

/** One for all checks: what is read is looked at before anything else can be read. */
const readBuffer = Buffer.allocUnsafe(MAX_HEAD);

export function probeStatus(target: Omit<HttpProbe, 'kind'>, attempt: Attempt): void {
  const heads = new ResponseHeads();
  const read = (text: string) => {
    const verdict = heads.read(text);
    if (verdict === undefined) return;
    if (verdict.kind === 'bad') attempt.end(false, verdict.detail);
    else attempt.end(isGood(verdict.status, target.status), `HTTP ${verdict.status}`);
  };
  let socket: Socket;
  try {
    socket = open(target, read);
  } catch (error) {
    attempt.fail(error as Error);
    return;
  }
  attempt.onEnd(() => socket.destroy());
  socket.on('error', (error) => attempt.fail(error));
  socket.on('end', () => attempt.end(false, heads.ended()));
  socket.on('close', () => attempt.end(false, heads.ended()));
  // Not before TLS is set up: its errors are about the certificate and not about what was written. Nor before it is known
  // that the connection does not lead to itself: the request would come back.
  whenReady(socket, target.scheme, () => socket.write(requestOf(target), 'latin1'));
}

function open(target: ConnectTarget, onText: (text: string) => void): Socket {
  if (target.scheme === 'https') {
    return connectEndpoint(target).on('data', (data: Buffer) => onText(data.toString('latin1')));
  }
  return connectBriefly(target, {
    buffer: readBuffer,
    callback: (length) => {
      onText(readBuffer.toString('latin1', 0, length));
      return true;
    },
  });
}

function requestOf(target: Omit<HttpProbe, 'kind'>): string {
  let text = `${target.method} ${target.path} HTTP/1.1\r\nhost: ${target.host}\r\nconnection: close\r\n`;
  for (const [name, value] of fieldsOf(target)) text += `${name}: ${value}\r\n`;
  return `${text}\r\n`;
}
