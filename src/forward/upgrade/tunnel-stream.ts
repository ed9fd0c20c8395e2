/**
 * The client's end of a tunnel, as http-proxy-3 gets it: two bounded pipes that end one by one, and a count of what
 * crosses them. http-proxy-3 treats its client socket as its own (it sets timers, ends it, and writes a head of its own
 * that loses the case and the bytes of headers), so it never gets the real one.
 */
import type { Socket } from 'node:net';
import { Duplex } from 'node:stream';

export class TunnelStream extends Duplex {
  readonly #socket: Socket;
  readonly #onBytes: (inbound: number, outbound: number) => void;
  /** True once the first write was dropped: the 101 head of http-proxy-3, which Pointsman has replaced. */
  #headDropped = false;
  #isOpen = false;
  /** Bytes that arrived before the upstream switched protocols. */
  #early = 0;
  #isFull = false;

  constructor(socket: Socket, onBytes: (inbound: number, outbound: number) => void) {
    super({ allowHalfOpen: true });
    this.#socket = socket;
    this.#onBytes = onBytes;
    // The caller of destroy() handles the error.
    this.on('error', () => {});
  }

  /** Both sides have switched protocols. */
  open(): void {
    this.#isOpen = true;
    if (this.#early > 0) this.#onBytes(this.#early, 0);
  }

  /** Takes bytes of the client. @returns false if the upstream is slower: `socket.resume()` follows */
  takeBytes(bytes: Buffer): boolean {
    if (this.#isOpen) this.#onBytes(bytes.length, 0);
    else this.#early += bytes.length;
    if (this.push(bytes)) return true;
    this.#isFull = true;
    return false;
  }

  /** The client has ended its side; it may still receive. */
  takeEnd(): void {
    this.push(null);
  }

  /** Forgets what an attempt that failed has attached. */
  reuse(): void {
    this.removeAllListeners('close');
    this.removeAllListeners('error');
    this.on('error', () => {});
  }

  override _read(): void {
    if (!this.#isFull) return;
    this.#isFull = false;
    this.#socket.resume();
  }

  override _write(bytes: Buffer, _encoding: BufferEncoding, done: () => void): void {
    if (!this.#headDropped) {
      this.#headDropped = true;
      done();
      return;
    }
    this.#onBytes(0, bytes.length);
    if (this.#socket.write(bytes)) done();
    else this.#socket.once('drain', done);
  }

  override _final(done: () => void): void {
    this.#socket.end();
    done();
  }

  // http-proxy-3 sets these on its client socket; here they are set already, or not wanted.
  setTimeout(): this {
    return this;
  }

  setNoDelay(): this {
    return this;
  }

  setKeepAlive(): this {
    return this;
  }

  destroySoon(): void {
    this.end();
  }
}
