/**
 * How many different users there were, without keeping any of them: HyperLogLog (Flajolet et al. 2007) over 4096 registers
 * of one byte, 4 KiB, off by 1.6 % (one standard deviation), with linear counting while it is nearly empty. Sketches of
 * several processes or replicas merge into what one would hold that had seen all of their users.
 *
 * Small enough to be our own: libraries bring their own hash, which would cost more than all the rest here.
 */

const PRECISION = 12;
export const REGISTERS = 1 << PRECISION;
const MAX_RANK = 32 - PRECISION + 1;

/** 0.7213 / (1 + 1.079 / m), the constant of the paper for this many registers. */
const ALPHA = 0.7213 / (1 + 1.079 / REGISTERS);

export class UserSketch {
  readonly #registers: Uint8Array;
  /** Something was added since this was last set to `false`. */
  changed = false;

  constructor(registers = new Uint8Array(REGISTERS)) {
    if (registers.length !== REGISTERS) throw new RangeError(`a sketch has ${REGISTERS} registers`);
    this.#registers = registers;
  }

  /**
   * @param hash 32 bits of the user's hash, signed or not; the same that the bucket is made of, since it is mixed again
   *             here: users of one canary lie close together in it
   */
  add(hash: number): void {
    let h = hash | 0;
    h = Math.imul(h ^ (h >>> 15), 0x2c1b3c6d);
    h = Math.imul(h ^ (h >>> 12), 0x297a2d39);
    h ^= h >>> 15;
    const index = h >>> (32 - PRECISION);
    // The bit set below the 20 that are left bounds the rank at 21.
    const rank = Math.clz32((h << PRECISION) | (1 << (PRECISION - 1))) + 1;
    const registers = this.#registers;
    if (rank <= registers[index]!) return;
    registers[index] = rank;
    this.changed = true;
  }

  /** True when it brought anything. */
  merge(other: UserSketch): boolean {
    const [mine, theirs] = [this.#registers, other.#registers];
    let brought = false;
    for (let i = 0; i < REGISTERS; i++) {
      if (theirs[i]! <= mine[i]!) continue;
      mine[i] = theirs[i]!;
      brought = true;
    }
    if (brought) this.changed = true;
    return brought;
  }

  /** Different users, rounded. */
  estimate(): number {
    let sum = 0;
    let empty = 0;
    for (const register of this.#registers) {
      sum += 2 ** -register;
      if (register === 0) empty++;
    }
    const raw = (ALPHA * REGISTERS * REGISTERS) / sum;
    if (raw <= 2.5 * REGISTERS && empty > 0) {
      return Math.round(REGISTERS * Math.log(REGISTERS / empty));
    }
    // Of 32 bits some users share one.
    const bounded = Math.min(raw, 2 ** 32 * 0.999);
    return Math.round(raw <= 2 ** 32 / 30 ? raw : -(2 ** 32) * Math.log(1 - bounded / 2 ** 32));
  }

  /** Text that `decodeSketch` reads. Registers alone, neither ids nor hashes. Equal sketches give equal texts. */
  encode(): string {
    const registers = this.#registers;
    let filled = 0;
    for (const register of registers) if (register !== 0) filled++;
    if (filled >= SPARSE_BELOW) return Buffer.from(registers).toString('base64');
    const sparse = Buffer.alloc(ENTRY * filled);
    let at = 0;
    for (let i = 0; i < REGISTERS; i++) {
      if (registers[i] === 0) continue;
      sparse.writeUInt16BE(i, at);
      sparse[at + 2] = registers[i]!;
      at += ENTRY;
    }
    return SPARSE + sparse.toString('base64');
  }
}

/** Of a sketch of few users only the registers that are filled are written, each as its index and its rank. */
const SPARSE = '.';
const ENTRY = 3;
const SPARSE_BELOW = REGISTERS / ENTRY;

/** Undefined for anything that `encode` did not write. */
export function decodeSketch(text: string): UserSketch | undefined {
  if (text.length > 2 * REGISTERS) return undefined;
  const registers = text.startsWith(SPARSE)
    ? filledRegisters(Buffer.from(text.slice(1), 'base64'))
    : new Uint8Array(Buffer.from(text, 'base64'));
  if (registers?.length !== REGISTERS) return undefined;
  if (registers.some((register) => register > MAX_RANK)) return undefined;
  return new UserSketch(registers);
}

function filledRegisters(entries: Buffer): Uint8Array<ArrayBuffer> | undefined {
  if (entries.length % ENTRY !== 0) return undefined;
  const registers = new Uint8Array(REGISTERS);
  for (let at = 0; at < entries.length; at += ENTRY) {
    const index = entries.readUInt16BE(at);
    if (index >= REGISTERS) return undefined;
    registers[index] = entries[at + 2]!;
  }
  return registers;
}
