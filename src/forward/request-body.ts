/**
 * The body of a request on its way to the upstream.
 *
 * undici never gets the server's own request stream: it destroys its body when a response ends early, and with it the
 * client's connection. It gets a stand-in for each attempt; what the client has sent so far is kept, up to a bound, so
 * that a second attempt can begin at the first byte again.
 */
import { EventEmitter } from 'node:events';
import type { IncomingMessage } from 'node:http';

/** The exchange that a body belongs to. */
export interface BodyOwner {
  /** Bytes have come from the client. Returns false to stop: the body is too large. */
  onBodyChunk(length: number): boolean;
  /** The first attempt wants to read: the moment for `100 Continue`. */
  onBodyWanted(): void;
  /** The end has come while the body was collected. */
  onBodyCollected(): void;
}

const BODY = Symbol('body');

interface RequestWithBody extends IncomingMessage {
  [BODY]?: RequestBody;
}

export class RequestBody {
  readonly #req: IncomingMessage;
  readonly #owner: BodyOwner;
  readonly #expected: number;
  readonly #keepLimit: number;
  #kept: Buffer[] | undefined = [];
  #keptBytes = 0;
  #source: BodySource | undefined;
  #attached = false;
  #collecting = false;
  /** Bytes received from the client. */
  received = 0;
  ended = false;

  /**
   * @param expected  bytes that Content-Length announces; -1: chunked
   * @param keepLimit bytes kept for another attempt; 0: none
   */
  constructor(req: IncomingMessage, owner: BodyOwner, expected: number, keepLimit: number) {
    this.#req = req;
    this.#owner = owner;
    this.#expected = expected;
    this.#keepLimit = keepLimit;
  }

  /** Whether all that was received is still here, so that another attempt could send it. */
  get replayable(): boolean {
    return this.#kept !== undefined;
  }

  /** Bytes kept for another attempt. */
  get keptBytes(): number {
    return this.#kept === undefined ? 0 : this.#keptBytes;
  }

  /** Whether the client waits for the upstream to read on. */
  get paused(): boolean {
    return this.#req.isPaused();
  }

  /** Reads the body before anything is sent, for small ones that came with the head: both then leave in one write. */
  collect(): void {
    this.#collecting = true;
    this.#attach();
    this.#req.resume();
  }

  /** No longer collects: the end is not here yet, and the upstream need not wait for it. */
  stream(): void {
    this.#collecting = false;
    this.#req.pause();
  }

  /** The whole body, when it was collected. */
  get whole(): Buffer | undefined {
    if (!this.#collecting || !this.ended || this.#kept === undefined) return undefined;
    if (this.#kept.length > 1) this.#kept = [Buffer.concat(this.#kept)];
    return this.#kept[0];
  }

  /** A stand-in for the next attempt; the one before gets nothing any more. */
  open(): BodySource {
    this.#source?.detach();
    this.#source = new BodySource(this);
    return this.#source;
  }

  /** No attempt wants the rest. */
  abandon(): void {
    this.#source?.detach();
    this.#source = undefined;
    this.#kept = undefined;
  }

  /** Called by a source that begins to read. */
  start(source: BodySource): void {
    if (source !== this.#source) return;
    if (this.#kept !== undefined) for (const chunk of this.#kept) source.emit('data', chunk);
    if (this.ended) {
      source.finish();
      return;
    }
    if (!this.#attached) {
      this.#owner.onBodyWanted();
      this.#attach();
    }
    this.#req.resume();
  }

  pause(source: BodySource): void {
    if (source === this.#source && !this.ended) this.#req.pause();
  }

  resume(source: BodySource): void {
    if (source === this.#source && !this.ended) this.#req.resume();
  }

  onData(chunk: Buffer): void {
    this.received += chunk.length;
    if (!this.#owner.onBodyChunk(chunk.length)) return;
    if (this.#kept !== undefined) {
      this.#keptBytes += chunk.length;
      if (this.#keptBytes > this.#keepLimit) this.#kept = undefined;
      else this.#kept.push(chunk);
    }
    this.#source?.emit('data', chunk);
    // The stream's own end comes some turns later.
    if (this.received === this.#expected) this.onEnd();
  }

  onEnd(): void {
    this.ended = true;
    if (this.#collecting) this.#owner.onBodyCollected();
    else this.#source?.finish();
  }

  #attach(): void {
    this.#attached = true;
    (this.#req as RequestWithBody)[BODY] = this;
    this.#req.on('data', onData);
    if (this.#expected === -1) this.#req.on('end', onEnd);
  }
}

function onData(this: IncomingMessage, chunk: Buffer): void {
  (this as RequestWithBody)[BODY]!.onData(chunk);
}

function onEnd(this: IncomingMessage): void {
  (this as RequestWithBody)[BODY]!.onEnd();
}

/** What undici takes for a readable stream: it asks for `pipe` and `on`, and may destroy it. */
export class BodySource extends EventEmitter {
  readonly #body: RequestBody;
  #started = false;
  destroyed = false;
  readableEnded = false;
  closed = false;
  errored: Error | null = null;

  constructor(body: RequestBody) {
    super();
    this.#body = body;
    // A destroyed attempt may still be told of its error; without a listener that would end the process.
    super.on('error', () => {});
  }

  pipe(): never {
    throw new Error('a request body is read by its data events alone');
  }

  pause(): this {
    this.#body.pause(this);
    return this;
  }

  resume(): this {
    if (this.#started) this.#body.resume(this);
    else {
      this.#started = true;
      // Not at once: undici attaches its last listeners after the first call of resume().
      queueMicrotask(() => {
        if (!this.destroyed) this.#body.start(this);
      });
    }
    return this;
  }

  finish(): void {
    if (this.destroyed || this.readableEnded) return;
    this.readableEnded = true;
    this.emit('end');
  }

  detach(): void {
    this.destroyed = true;
    this.removeAllListeners('data');
  }

  destroy(error?: Error): this {
    if (this.destroyed && this.closed) return this;
    this.destroyed = true;
    this.errored ??= error ?? null;
    if (!this.closed) {
      this.closed = true;
      queueMicrotask(() => this.emit('close'));
    }
    return this;
  }
}
