/** An HTTP check that looks for a text in the body, with an HTTP client that knows every framing of it. */

import { Client, type Dispatcher } from 'undici';
import { connectEndpoint, whenReady } from './connect.ts';
import type { Attempt } from './probe-attempt.ts';
import { ResponseHeads } from './probe-head.ts';
import { fieldsOf, isGood, MAX_HEAD } from './probe-request.ts';
import type { HttpProbe } from './probe-target.ts';

/** Bytes of a body in which the text is looked for. */
const MAX_BODY = 64 * 1024;
/**
 * What undici is told: it neither connects there nor sends it, and the real address would make it throw where no URL
 * can hold it (`fe80::1%eth0`).
 */
const ORIGIN = 'endpoint.invalid';

export function probeBody(target: Omit<HttpProbe, 'kind'>, text: string, attempt: Attempt): void {
  const client = new Client(`${target.scheme}://${ORIGIN}`, {
    // undici's timers are coarse; the timer of the whole check covers every phase.
    headersTimeout: 0,
    bodyTimeout: 0,
    allowH2: false,
    maxHeaderSize: MAX_HEAD,
    connect: (_, callback) => {
      const socket = connectEndpoint(target);
      attempt.onEnd(() => socket.destroy());
      socket.on('error', (error) => attempt.fail(error));
      whenReady(socket, target.scheme, () => callback(null, socket));
    },
  });
  attempt.onEnd(() => {
    client.destroy().catch(() => {});
  });
  client.dispatch(
    {
      method: target.method,
      path: target.path,
      headers: ['host', target.host, ...fieldsOf(target).flat()],
      // `Connection: close`: nobody comes back on this connection.
      reset: true,
    },
    new TextFinder(target.status, text, attempt),
  );
}

class TextFinder implements Dispatcher.DispatchHandler {
  readonly #good: HttpProbe['status'];
  readonly #text: Buffer;
  readonly #attempt: Attempt;
  #status = 0;
  #read = 0;
  /** The end of what was read, in which the text may have begun. */
  #tail: Buffer = Buffer.alloc(0);

  constructor(good: HttpProbe['status'], text: string, attempt: Attempt) {
    this.#good = good;
    this.#text = Buffer.from(text);
    this.#attempt = attempt;
  }

  onRequestStart(): void {}

  onResponseStart(
    controller: Dispatcher.DispatchController,
    status: number,
    _: unknown,
    reason: string | undefined,
  ): void {
    // undici is more lenient than traffic is.
    const head = new ResponseHeads().read(headText(status, reason, controller.rawHeaders as Buffer[]));
    if (head?.kind === 'bad') {
      this.#attempt.end(false, head.detail);
      return;
    }
    // An interim response is not the answer yet.
    if (status < 200) return;
    this.#status = status;
    if (!isGood(status, this.#good)) this.#attempt.end(false, `HTTP ${status}`);
  }

  onResponseData(_: Dispatcher.DispatchController, chunk: Buffer): void {
    const within = chunk.subarray(0, MAX_BODY - this.#read);
    this.#read += within.length;
    const window = Buffer.concat([this.#tail, within]);
    if (window.includes(this.#text)) {
      this.#attempt.end(true, `HTTP ${this.#status}, with the text in its body`);
    } else if (this.#read === MAX_BODY) {
      this.#attempt.end(false, `HTTP ${this.#status}, without the text in the first 64 KiB of its body`);
    } else {
      this.#tail = window.subarray(Math.max(0, window.length - this.#text.length + 1));
    }
  }

  onResponseEnd(): void {
    this.#attempt.end(false, `HTTP ${this.#status}, without the text in its body`);
  }

  onResponseError(_: Dispatcher.DispatchController, error: Error): void {
    this.#attempt.fail(error);
  }
}

/** Returns the head as the endpoint sent it, one character per byte; undici does not tell the version. */
function headText(status: number, reason: string | undefined, rawHeaders: readonly Buffer[]): string {
  let text = `HTTP/1.1 ${status} ${Buffer.from(reason ?? '').toString('latin1')}\r\n`;
  for (let i = 0; i + 1 < rawHeaders.length; i += 2) {
    text += `${rawHeaders[i]!.toString('latin1')}: ${rawHeaders[i + 1]!.toString('latin1')}\r\n`;
  }
  return `${text}\r\n`;
}
