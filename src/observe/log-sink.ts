/**
 * Where log lines go: a file descriptor that may be slow, full or gone, written to without ever stopping the proxy.
 *
 * Not pino's own destination, for what was measured of it: with a reader that stopped reading, its write keeps a
 * thread of the pool and `process.exit()` then never returns; its flush ends before the last lines are written; after
 * EPIPE it loses lines uncounted. This one also costs half the CPU per line.
 */

import fs from 'node:fs';

/** Largest write. Each costs a system call, or a trip to a thread of the pool, so the fewer the better. */
const CHUNK_BYTES = 64 * 1024;
/** With several writers: POSIX makes writes to a pipe up to PIPE_BUF atomic, so their lines never mix. */
const SHARED_CHUNK_BYTES = 4096;
const MAX_QUEUED_BYTES = 8 * 1024 * 1024;
/** Longest a line waits for others to share its write. */
const GATHER_MS = 20;
const RETRY_MIN_MS = 2;
const RETRY_MAX_MS = 1_000;
const FLUSH_TIMEOUT_MS = 1_000;
const FLUSH_SYNC_TIMEOUT_MS = 250;

export interface LogDestination {
  /** One whole line, its newline included. Never throws, never blocks. */
  write(line: string): void;
  /** Resolves with true when all that was written before is out, with false after `timeoutMs` (default 1 000). */
  flush(timeoutMs?: number): Promise<boolean>;
  /** The same without an event loop, for at most 250 ms where the descriptor allows a bound. */
  flushSync(): void;
  /** Lines lost because the buffer was full or the reader had gone. */
  readonly dropped: number;
}

export interface LogSinkOptions {
  /** Default 1, standard output. */
  readonly fd?: number;
  /** Most bytes kept while the descriptor takes nothing; further lines are dropped. Default 8 MiB. */
  readonly maxQueuedBytes?: number;
  /** Other processes write to the same descriptor. */
  readonly shared?: boolean;
}

const LF = 0x0a;
const NEWLINE = Buffer.from('\n');

interface Chunk {
  bytes: Buffer;
  lines: number;
}

export class LogSink implements LogDestination {
  readonly #fd: number;
  /** Our own non-blocking description of a pipe or terminal; other kinds are written to by the thread pool. */
  readonly #nonBlocking: boolean;
  readonly #maxQueuedBytes: number;
  readonly #chunkBytes: number;
  readonly #shared: boolean;
  #queue: Chunk[] = [];
  #gathered = Buffer.allocUnsafeSlow(4096);
  #gatheredBytes = 0;
  #gatheredLines = 0;
  #queuedBytes = 0;
  #dropped = 0;
  #writing = false;
  #gone = false;
  #gatherTimer: NodeJS.Timeout | undefined;
  #retryTimer: NodeJS.Timeout | undefined;
  #retryMs = RETRY_MIN_MS;
  #idleWaiters: (() => void)[] = [];

  constructor(options: LogSinkOptions = {}) {
    this.#maxQueuedBytes = options.maxQueuedBytes ?? MAX_QUEUED_BYTES;
    this.#shared = options.shared === true;
    this.#chunkBytes = this.#shared ? SHARED_CHUNK_BYTES : CHUNK_BYTES;
    const opened = openNonBlocking(options.fd ?? 1);
    this.#fd = opened ?? options.fd ?? 1;
    this.#nonBlocking = opened !== undefined;
  }

  get dropped(): number {
    return this.#dropped;
  }

  /** Bytes not yet taken by the descriptor. */
  get queuedBytes(): number {
    return this.#queuedBytes;
  }

  write(line: string): void {
    if (this.#gone || this.#queuedBytes + line.length > this.#maxQueuedBytes) {
      this.#dropped++;
      return;
    }
    // What there is room for in any case; nearly all lines are ASCII, and are not measured first.
    if (this.#gatheredBytes + line.length * 3 > this.#gathered.length) {
      const bytes = Buffer.byteLength(line);
      if (this.#gatheredBytes + bytes > this.#chunkBytes) this.#pump();
      if (this.#gatheredBytes + bytes > this.#gathered.length) this.#grow(this.#gatheredBytes + bytes);
    }
    const bytes = this.#gathered.write(line, this.#gatheredBytes);
    this.#gatheredBytes += bytes;
    this.#gatheredLines++;
    this.#queuedBytes += bytes;
    this.#gatherTimer ??= setTimeout(() => this.#pump(), GATHER_MS);
  }

  async flush(timeoutMs = FLUSH_TIMEOUT_MS): Promise<boolean> {
    this.#pump();
    if (this.#queuedBytes === 0) return true;
    return await new Promise<boolean>((resolve) => {
      const timer = setTimeout(() => resolve(false), timeoutMs);
      this.#idleWaiters.push(() => {
        clearTimeout(timer);
        resolve(true);
      });
    });
  }

  flushSync(): void {
    this.#seal();
    const deadline = performance.now() + FLUSH_SYNC_TIMEOUT_MS;
    while (this.#queue.length > 0 && !this.#gone) {
      // A chunk that a thread of the pool is writing right now is left to it; the rest follows it out.
      const index = this.#writing ? 1 : 0;
      const chunk = this.#queue[index];
      if (chunk === undefined) break;
      try {
        this.#taken(chunk, fs.writeSync(this.#fd, chunk.bytes), index);
      } catch (error) {
        const code = (error as NodeJS.ErrnoException).code;
        if (code === 'EPIPE' || code === 'EBADF') this.#giveUp();
        if (performance.now() >= deadline) break;
        Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 5);
      }
    }
    this.#settle();
  }

  /** Turns the gathered lines into a chunk of the queue. */
  #seal(): void {
    clearTimeout(this.#gatherTimer);
    this.#gatherTimer = undefined;
    if (this.#gatheredLines === 0) return;
    const bytes = Buffer.from(this.#gathered.subarray(0, this.#gatheredBytes));
    this.#queue.push({ bytes, lines: this.#gatheredLines });
    this.#gatheredBytes = 0;
    this.#gatheredLines = 0;
  }

  #grow(length: number): void {
    const larger = Buffer.allocUnsafeSlow(
      Math.max(length, Math.min(this.#chunkBytes, this.#gathered.length * 4)),
    );
    this.#gathered.copy(larger, 0, 0, this.#gatheredBytes);
    this.#gathered = larger;
  }

  #pump(): void {
    this.#seal();
    if (this.#writing || this.#retryTimer !== undefined) return;
    while (this.#queue.length > 0) {
      const chunk = this.#queue[0]!;
      if (!this.#nonBlocking) {
        this.#writing = true;
        fs.write(this.#fd, chunk.bytes, (error, written) => {
          this.#writing = false;
          if (error !== null) {
            this.#failed(error);
            return;
          }
          this.#taken(chunk, written, 0);
          this.#pump();
        });
        return;
      }
      try {
        this.#taken(chunk, fs.writeSync(this.#fd, chunk.bytes), 0);
      } catch (error) {
        this.#failed(error as NodeJS.ErrnoException);
        return;
      }
    }
    this.#settle();
  }

  #taken(chunk: Chunk, written: number, index: number): void {
    this.#retryMs = RETRY_MIN_MS;
    this.#queuedBytes -= written;
    if (written === chunk.bytes.length) this.#queue.splice(index, 1);
    else if (this.#shared) this.#replaceRest(chunk, written, wholeLines(chunk.bytes, written));
    else chunk.bytes = chunk.bytes.subarray(written);
  }

  #replaceRest(chunk: Chunk, written: number, rest: Buffer): void {
    this.#queuedBytes += rest.length - (chunk.bytes.length - written);
    chunk.bytes = rest;
  }

  #failed(error: NodeJS.ErrnoException): void {
    if (error.code === 'EPIPE' || error.code === 'EBADF') {
      this.#giveUp();
      this.#settle();
      return;
    }
    const [next] = this.#queue;
    // A disk takes the beginning of what there is no room for, be it another process's: ours must not stand behind that.
    if (this.#shared && error.code !== 'EAGAIN' && next !== undefined && next.bytes[0] !== LF)
      this.#replaceRest(next, 0, Buffer.concat([NEWLINE, next.bytes]));
    // EAGAIN from a full pipe, ENOSPC or EDQUOT from a full disk: all may pass, and the queue is bounded meanwhile.
    this.#retryTimer = setTimeout(() => {
      this.#retryTimer = undefined;
      this.#pump();
    }, this.#retryMs);
    this.#retryTimer.unref();
    this.#retryMs = Math.min(this.#retryMs * 2, error.code === 'EAGAIN' ? 64 : RETRY_MAX_MS);
  }

  #giveUp(): void {
    this.#gone = true;
    for (const chunk of this.#queue) this.#dropped += chunk.lines;
    this.#dropped += this.#gatheredLines;
    this.#gatheredBytes = 0;
    this.#gatheredLines = 0;
    this.#queue = [];
    this.#queuedBytes = 0;
  }

  #settle(): void {
    if (this.#queuedBytes > 0) return;
    const waiters = this.#idleWaiters;
    this.#idleWaiters = [];
    for (const resolve of waiters) resolve();
  }
}

/**
 * A private, non-blocking description of the pipe or terminal behind `fd`. Setting O_NONBLOCK on `fd` itself would
 * change it for every process that shares it. Undefined for files and sockets, where no process may open it anew (in
 * containers that run as another user), and where there is no /proc.
 */
/**
 * What is left when `written` octets were taken. A line that was torn comes again, whole and on a line of its own: others
 * may write behind its beginning before we do.
 */
function wholeLines(bytes: Buffer, written: number): Buffer {
  const start = written === 0 ? 0 : bytes.lastIndexOf(LF, written - 1) + 1;
  const rest = bytes.subarray(start);
  return start === written ? rest : Buffer.concat([NEWLINE, rest]);
}

function openNonBlocking(fd: number): number | undefined {
  try {
    const stat = fs.fstatSync(fd);
    if (!stat.isFIFO() && !stat.isCharacterDevice()) return undefined;
    return fs.openSync(
      `/proc/self/fd/${fd}`,
      fs.constants.O_WRONLY | fs.constants.O_NONBLOCK | fs.constants.O_NOCTTY,
    );
  } catch {
    return undefined;
  }
}
