/**
 * An HTTP check that goes by the status alone. It reads one response head from the bare socket and hangs up, which
 * costs a fraction of what an HTTP client does; a thousand endpoints are checked five hundred times a second.
 */

import { connect as connectTcp, type Socket } from 'node:net';
import { type ConnectTarget, connectEndpoint, readyEvent } from './connect.ts';
import type { Attempt } from './probe-attempt.ts';
import { fieldsOf, isGood, MAX_HEAD } from './probe-request.ts';
import type { HttpProbe } from './probe-target.ts';

/** Heads before the answer (`103 Early Hints`) share the limit of the whole. */
const START = /^HTTP\/1\.[01] ([1-5]\d\d)[ \r\n]/;
const START_LENGTH = 'HTTP/1.1 200 '.length;
/** Begins like a status line, as far as it goes. */
const PARTIAL = 'HTTP/1.';

/** One for all checks: what is read is looked at before anything else can be read. */
const readBuffer = Buffer.allocUnsafe(MAX_HEAD);

export function probeStatus(target: Omit<HttpProbe, 'kind'>, attempt: Attempt): void {
  const head = new HeadReader(target, attempt);
  let socket: Socket;
  try {
    socket = open(target, (text) => head.read(text));
  } catch (error) {
    attempt.fail(error as Error);
    return;
  }
  attempt.onEnd(() => socket.destroy());
  socket.on('error', (error) => attempt.fail(error));
  socket.on('end', () => head.ended());
  socket.on('close', () => head.ended());
  // Not before TLS is set up: its errors are about the certificate and not about what was written.
  if (target.scheme === 'http') socket.write(requestOf(target), 'latin1');
  else socket.once(readyEvent(target.scheme), () => socket.write(requestOf(target), 'latin1'));
}

function open(target: ConnectTarget, onText: (text: string) => void): Socket {
  if (target.scheme === 'https') {
    return connectEndpoint(target).on('data', (data: Buffer) => onText(data.toString('latin1')));
  }
  // Without the options of a connection that lasts: each of them is a system call.
  return connectTcp({
    host: target.address,
    port: target.port,
    onread: {
      buffer: readBuffer,
      callback: (length) => {
        onText(readBuffer.toString('latin1', 0, length));
        return true;
      },
    },
  });
}

function requestOf(target: Omit<HttpProbe, 'kind'>): string {
  let text = `${target.method} ${target.path} HTTP/1.1\r\nhost: ${target.host}\r\nconnection: close\r\n`;
  for (const [name, value] of fieldsOf(target)) text += `${name}: ${value}\r\n`;
  return `${text}\r\n`;
}

class HeadReader {
  readonly #good: HttpProbe['status'];
  readonly #attempt: Attempt;
  #text = '';
  /** Bytes of heads that were interim ones. */
  #passed = 0;

  constructor({ status }: Pick<HttpProbe, 'status'>, attempt: Attempt) {
    this.#good = status;
    this.#attempt = attempt;
  }

  read(text: string): void {
    this.#text += text;
    for (;;) {
      const start = START.exec(this.#text);
      if (start === null) {
        const isPartial =
          this.#text.length < START_LENGTH &&
          this.#text.slice(0, PARTIAL.length) === PARTIAL.slice(0, this.#text.length);
        if (!isPartial) this.#attempt.end(false, 'response is not HTTP/1');
        return;
      }
      const status = Number(start[1]);
      if (status === 101) {
        this.#attempt.end(false, 'HTTP 101, though no upgrade was asked for');
        return;
      }
      // A bare LF ends a line too (RFC 9112, 2.2).
      const end = /\n\r?\n/.exec(this.#text);
      const length = end === null ? this.#text.length : end.index + end[0].length;
      if (this.#passed + length > MAX_HEAD) {
        this.#attempt.end(false, 'response head is too large');
        return;
      }
      if (end === null) return;
      if (status >= 200) {
        this.#attempt.end(isGood(status, this.#good), `HTTP ${status}`);
        return;
      }
      this.#passed += length;
      this.#text = this.#text.slice(length);
      if (this.#text === '') return;
    }
  }

  ended(): void {
    const detail =
      this.#text === '' && this.#passed === 0
        ? 'connection closed without a response'
        : 'connection closed within the response head';
    this.#attempt.end(false, detail);
  }
}
