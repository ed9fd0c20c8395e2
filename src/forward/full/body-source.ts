/**
 * A request body in the form that undici accepts as a readable stream. undici never gets the server's own request stream: it
 * destroys its body when a response ends early, and with it the client's connection. Each attempt has one of these.
 */
import { EventEmitter } from 'node:events';

export class BodySource extends EventEmitter {
  readonly #onWanted: () => void;
  readonly #onDrained: () => void;
  #started = false;
  /** True if undici has paused, until it calls `resume`. */
  isPaused = false;
  destroyed = false;
  readableEnded = false;
  closed = false;
  errored: Error | null = null;

  /** @param onWanted  called once, when undici begins to read
   *  @param onDrained called when it reads on */
  constructor(onWanted: () => void, onDrained: () => void) {
    super();
    this.#onWanted = onWanted;
    this.#onDrained = onDrained;
    // A destroyed attempt may still emit an error; without a listener that would end the process.
    super.on('error', () => {});
  }

  pipe(): never {
    throw new Error('a request body is read by its data events alone');
  }

  pause(): this {
    this.isPaused = true;
    return this;
  }

  resume(): this {
    const wasPaused = this.isPaused;
    this.isPaused = false;
    if (!this.#started) {
      this.#started = true;
      // A microtask later: undici attaches its last listeners after the first call of resume().
      queueMicrotask(() => {
        if (!this.destroyed) this.#onWanted();
      });
    } else if (wasPaused && !this.destroyed) this.#onDrained();
    return this;
  }

  /** @returns false if undici has paused */
  write(chunk: Buffer): boolean {
    if (!this.destroyed) this.emit('data', chunk);
    return !this.isPaused;
  }

  finish(): void {
    if (this.destroyed || this.readableEnded) return;
    this.readableEnded = true;
    this.emit('end');
  }

  /** Delivers nothing more. */
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
