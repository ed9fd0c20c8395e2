/** Ids of requests that came without one. */
import { randomBytes, randomInt } from 'node:crypto';

/**
 * Ids in the form of a version 4 UUID. The front half is random per process, the last group counts from a random
 * start: unique across replicas like a drawn one, at a tenth of its cost. It is a name, not a secret.
 */
class RequestIds {
  readonly #prefix: string;
  #next: number;
  /** All but the last four digits, which change last. */
  #front = '';

  constructor(random: Buffer, start: number) {
    const hex = random.toString('hex');
    const variant = '89ab'[random[8]! & 3];
    this.#prefix = `${hex.slice(0, 8)}-${hex.slice(8, 12)}-4${hex.slice(13, 16)}-${variant}${hex.slice(17, 20)}-`;
    this.#next = start;
    this.#turn();
  }

  next(): string {
    this.#next = this.#next === 2 ** 48 - 1 ? 0 : this.#next + 1;
    const low = this.#next % 0x10000;
    if (low === 0) this.#turn();
    return this.#front + OCTETS[low >> 8]! + OCTETS[low & 0xff]!;
  }

  #turn(): void {
    this.#front =
      this.#prefix +
      Math.floor(this.#next / 0x10000)
        .toString(16)
        .padStart(8, '0');
  }
}

const OCTETS = Array.from({ length: 256 }, (_, octet) => octet.toString(16).padStart(2, '0'));

const ids = new RequestIds(randomBytes(16), randomInt(2 ** 47));

export function newRequestId(): string {
  return ids.next();
}
