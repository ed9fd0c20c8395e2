/**
 * A strict reader of HTTP/1.1 messages for tests: what is not exactly as RFC 9112 wants it is an error, so that a test
 * notices a proxy that frames messages wrongly. Texts are Latin-1, one character per byte.
 */

export interface WireHead {
  /** Request line or status line. */
  readonly startLine: string;
  /** Names and values in order, names in the case they came in. */
  readonly fields: readonly (readonly [string, string])[];
  /** The head as it came, the empty line included. */
  readonly bytes: Buffer;
}

export interface WireBody {
  readonly body: Buffer;
  readonly trailers: readonly (readonly [string, string])[];
  /** Whether it was chunked. */
  readonly chunked: boolean;
}

export class WireError extends Error {}

const FIELD = /^([!#$%&'*+.^_`|~0-9A-Za-z-]+):[ \t]*([\t\x20-\x7e\x80-\xff]*)$/;
const MAX_HEAD = 1024 ** 2;

/** Bytes that come in somehow, read by whoever waits for them. */
export class WireReader {
  #buffer: Buffer = Buffer.alloc(0);
  #pending: Buffer[] = [];
  #size = 0;
  #ended = false;
  #error: Error | undefined;
  #wake: (() => void) | undefined;

  push(chunk: Buffer): void {
    this.#pending.push(chunk);
    this.#size += chunk.length;
    this.#notify();
  }

  /** No more bytes will come; with `error`, because the connection was reset. */
  end(error?: Error): void {
    this.#ended = true;
    this.#error ??= error;
    this.#notify();
  }

  /** Bytes received and not read yet. */
  get buffered(): Buffer {
    return this.#compact();
  }

  /** A whole head; undefined when the connection ended in order before its first byte. */
  async readHead(): Promise<WireHead | undefined> {
    let end = -1;
    for (;;) {
      end = this.#compact().indexOf('\r\n\r\n');
      if (end !== -1) break;
      if (this.#size > MAX_HEAD) throw new WireError('the head does not end');
      if (this.#ended) {
        if (this.#size === 0 && this.#error === undefined) return undefined;
        throw this.#endError('in a head');
      }
      await this.#more();
    }
    const bytes = this.#take(end + 4);
    const [startLine = '', ...lines] = bytes.toString('latin1').slice(0, -4).split('\r\n');
    if (/[\r\n]/.test(startLine)) throw new WireError('bare CR or LF in the start line');
    return { startLine, fields: lines.map(parseField), bytes };
  }

  async readChunked(): Promise<WireBody> {
    const chunks: Buffer[] = [];
    for (;;) {
      const line = await this.#line();
      if (!/^[0-9A-Fa-f]{1,8}$/.test(line)) throw new WireError(`bad chunk size ${JSON.stringify(line)}`);
      const size = Number.parseInt(line, 16);
      if (size === 0) break;
      chunks.push(await this.readExactly(size));
      if ((await this.#line()) !== '') throw new WireError('a chunk is longer than it says');
    }
    const trailers: (readonly [string, string])[] = [];
    for (;;) {
      const line = await this.#line();
      if (line === '') break;
      trailers.push(parseField(line));
    }
    return { body: Buffer.concat(chunks), trailers, chunked: true };
  }

  async readExactly(length: number): Promise<Buffer> {
    while (this.#size < length) {
      if (this.#ended) throw this.#endError(`${length - this.#size} bytes before the end of a body`);
      await this.#more();
    }
    this.#compact();
    return this.#take(length);
  }

  async readToEnd(): Promise<Buffer> {
    while (!this.#ended) await this.#more();
    if (this.#error !== undefined) throw this.#error;
    this.#compact();
    return this.#take(this.#size);
  }

  /** Waits until a byte is there or the end has come. */
  async readable(): Promise<'bytes' | 'end'> {
    while (this.#size === 0 && !this.#ended) await this.#more();
    return this.#size > 0 ? 'bytes' : 'end';
  }

  async #line(): Promise<string> {
    for (;;) {
      const end = this.#compact().indexOf('\r\n');
      if (end !== -1) return this.#take(end + 2).toString('latin1', 0, end);
      if (this.#ended) throw this.#endError('in a chunked body');
      await this.#more();
    }
  }

  #endError(where: string): Error {
    return new WireError(`the connection ended ${where}`, { cause: this.#error });
  }

  #compact(): Buffer {
    if (this.#pending.length > 0) {
      this.#buffer = Buffer.concat([this.#buffer, ...this.#pending]);
      this.#pending = [];
    }
    return this.#buffer;
  }

  #take(length: number): Buffer {
    const taken = this.#buffer.subarray(0, length);
    this.#buffer = this.#buffer.subarray(length);
    this.#size -= length;
    return taken;
  }

  #more(): Promise<void> {
    return new Promise((resolve) => {
      this.#wake = resolve;
    });
  }

  #notify(): void {
    const wake = this.#wake;
    this.#wake = undefined;
    wake?.();
  }
}

function parseField(line: string): readonly [string, string] {
  const match = FIELD.exec(line);
  if (match === null) throw new WireError(`bad field line ${JSON.stringify(line)}`);
  return [match[1]!, match[2]!.replace(/[ \t]+$/, '')];
}

/** Every value of a field, in order; the name in any case. */
export function valuesOf(fields: readonly (readonly [string, string])[], name: string): string[] {
  return fields.filter(([key]) => key.toLowerCase() === name.toLowerCase()).map(([, value]) => value);
}

/** The only value of a field; undefined when it is absent, an error when it came twice. */
export function singleValue(
  fields: readonly (readonly [string, string])[],
  name: string,
): string | undefined {
  const values = valuesOf(fields, name);
  if (values.length > 1) throw new WireError(`${name} came ${values.length} times`);
  return values[0];
}

/** How long a body is, by the rules of RFC 9112, 6.3, without the leniencies. */
export function lengthOf(fields: readonly (readonly [string, string])[]): number | 'chunked' | undefined {
  const encoding = singleValue(fields, 'transfer-encoding');
  const length = singleValue(fields, 'content-length');
  if (encoding !== undefined) {
    if (length !== undefined) throw new WireError('both Content-Length and Transfer-Encoding');
    if (encoding !== 'chunked') throw new WireError(`Transfer-Encoding: ${encoding}`);
    return 'chunked';
  }
  if (length === undefined) return undefined;
  if (!/^\d+$/.test(length)) throw new WireError(`Content-Length: ${length}`);
  return Number(length);
}
