/**
 * Takes the items out of a list's JSON while it arrives, one text each, so that no page of 500 pods is ever parsed as a
 * whole: that is what keeps 20,000 pods within some tens of MiB. What is around the items stays as a small document.
 */

import { Buffer } from 'node:buffer';

const QUOTE = 0x22;
const BACKSLASH = 0x5c;
const OPEN_MAP = 0x7b;
const CLOSE_MAP = 0x7d;
const OPEN_LIST = 0x5b;
const CLOSE_LIST = 0x5d;

export interface SplitterLimits {
  /** Bytes of one item. */
  readonly item: number;
  /** Bytes of everything else. */
  readonly rest: number;
}

export class ItemSplitter {
  readonly #onItem: (text: string) => void;
  readonly #limits: SplitterLimits;
  readonly #rest: Buffer[] = [];
  readonly #item: Buffer[] = [];
  #restSize = 0;
  #itemSize = 0;
  #depth = 0;
  #inText = false;
  #escaped = false;
  /** Bytes of the newest text at depth 1, which is the key when a list opens. */
  #key: number[] = [];
  #readingKey = false;
  #inItems = false;

  constructor(
    onItem: (text: string) => void,
    limits: SplitterLimits = { item: 8 * 1024 ** 2, rest: 1024 ** 2 },
  ) {
    this.#onItem = onItem;
    this.#limits = limits;
  }

  /** @throws Error when a limit is passed */
  push(chunk: Buffer): void {
    // Where the part that is to be kept begins: of an item, or of the rest.
    let from = 0;
    for (let at = 0; at < chunk.length; at++) {
      const byte = chunk[at]!;
      if (this.#inText) {
        if (this.#escaped) this.#escaped = false;
        else if (byte === BACKSLASH) this.#escaped = true;
        else if (byte === QUOTE) {
          this.#inText = false;
          this.#readingKey = false;
        } else if (this.#readingKey && this.#key.length < 16) this.#key.push(byte);
        continue;
      }
      switch (byte) {
        case QUOTE:
          this.#inText = true;
          if (this.#depth === 1) {
            this.#readingKey = true;
            this.#key = [];
          }
          break;
        case OPEN_MAP:
        case OPEN_LIST:
          if (this.#inItems && this.#depth === 2) {
            this.#keepRest(chunk.subarray(from, at));
            from = at;
          }
          this.#depth++;
          if (
            byte === OPEN_LIST &&
            this.#depth === 2 &&
            Buffer.from(this.#key).toString('latin1') === 'items'
          )
            this.#inItems = true;
          break;
        case CLOSE_MAP:
        case CLOSE_LIST:
          this.#depth--;
          if (this.#inItems && this.#depth === 2) {
            this.#keepItem(chunk.subarray(from, at + 1));
            this.#endItem();
            from = at + 1;
          } else if (this.#inItems && this.#depth === 1) this.#inItems = false;
          break;
        default:
      }
    }
    const left = chunk.subarray(from);
    if (left.length === 0) return;
    if (this.#inItems && this.#depth > 2) this.#keepItem(left);
    else this.#keepRest(left);
  }

  /** The document without its items: what stood between them, commas, is taken out. @throws SyntaxError */
  end(): unknown {
    if (this.#depth !== 0 || this.#inText) throw new SyntaxError('the list ends in its middle');
    const text = Buffer.concat(this.#rest).toString('utf8');
    return JSON.parse(text.replace(/("items"\s*:\s*\[)[\s,]*\]/, '$1]')) as unknown;
  }

  #keepItem(part: Buffer): void {
    this.#itemSize += part.length;
    if (this.#itemSize > this.#limits.item) throw new Error(`one object is over ${this.#limits.item} bytes`);
    this.#item.push(part);
  }

  #endItem(): void {
    const [only] = this.#item;
    const whole = this.#item.length === 1 ? only! : Buffer.concat(this.#item);
    this.#item.length = 0;
    this.#itemSize = 0;
    this.#onItem(whole.toString('utf8'));
  }

  #keepRest(part: Buffer): void {
    // Between items there is a comma each; kept, they would be a list of their own.
    if (
      this.#inItems &&
      this.#depth === 2 &&
      this.#restSize > 0 &&
      part.length < 8 &&
      /^[\s,]*$/.test(part.toString('latin1'))
    )
      return;
    this.#restSize += part.length;
    if (this.#restSize > this.#limits.rest)
      throw new Error(`what is around the items is over ${this.#limits.rest} bytes`);
    // A copy: the chunk may be large, and its memory is used again.
    this.#rest.push(Buffer.from(part));
  }
}
