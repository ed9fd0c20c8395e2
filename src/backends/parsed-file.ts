/** A small file that others change under us, parsed again whenever it has changed. */

import { open } from 'node:fs/promises';

/** More than that of a file is not read. */
const MAX_BYTES = 4 * 1024 ** 2;
/**
 * A file changed so recently may change again within one tick of the file system's clock and keep its times and size;
 * until it is older it is read every time (git's rule for racily clean entries).
 */
const RACY_MS = 2_000;

export class ParsedFile<T> {
  readonly #path: string;
  readonly #parse: (text: string) => T;
  #identity = '';
  #text = '';
  #value: T;
  #reading: Promise<T> | undefined;

  /** @param parse takes any text; a file that is missing counts as an empty one */
  constructor(path: string, parse: (text: string) => T) {
    this.#path = path;
    this.#parse = parse;
    this.#value = parse('');
  }

  /** The present content, or the one before while the file cannot be read; one object as long as it is the same. */
  read(): Promise<T> {
    this.#reading ??= this.#readNow().finally(() => {
      this.#reading = undefined;
    });
    return this.#reading;
  }

  async #readNow(): Promise<T> {
    try {
      await using file = await open(this.#path, 'r');
      const stat = await file.stat({ bigint: true });
      const identity = `${stat.dev}:${stat.ino}:${stat.size}:${stat.mtimeNs}:${stat.ctimeNs}`;
      const racy = Date.now() - Number(stat.mtimeMs) < RACY_MS || Date.now() - Number(stat.ctimeMs) < RACY_MS;
      if (identity === this.#identity && !racy) return this.#value;
      const buffer = Buffer.alloc(Math.min(MAX_BYTES, Number(stat.size) + 4096));
      let length = 0;
      for (;;) {
        const { bytesRead } = await file.read(buffer, length, buffer.length - length, length);
        length += bytesRead;
        if (bytesRead === 0 || length === buffer.length) break;
      }
      this.#take(buffer.toString('utf8', 0, length));
      this.#identity = identity;
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code === 'ENOENT') {
        this.#take('');
        this.#identity = '';
      }
    }
    return this.#value;
  }

  #take(text: string): void {
    if (text === this.#text) return;
    this.#text = text;
    this.#value = this.#parse(text);
  }
}
