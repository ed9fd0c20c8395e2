/**
 * Which backend a user belongs to, from the user and the weights alone: every replica agrees with no shared state.
 *
 * A user hashes to a bucket 0–9999. With up to two canaries the first grows up from 0, the second down from 9999 and
 * the main backend lies in the middle: each canary gains or loses just the buckets by which its share changes, and nobody
 * ever moves from one to the other. With more, weighted rendezvous hashing decides, which moves users to and from the
 * changed backend alone, at a small cost in exactness (±0.2 points).
 *
 * Canaries are ordered by name, those without a weight too, so that neither the order in the file nor a weight of 0
 * moves anybody. The price: a second canary whose name sorts before the first one's sends the first to the other end.
 */

export const BUCKETS = 10_000;

/** Where one backend of a split lies; `from` inclusive, `to` exclusive, within 0–10000. */
export interface BucketRange {
  /** Index in the split. */
  readonly index: number;
  readonly from: number;
  readonly to: number;
}

export type BucketLayout =
  | { readonly kind: 'ranges'; readonly ranges: readonly BucketRange[] }
  | { readonly kind: 'rendezvous' };

/**
 * MurmurHash3 x86 32-bit over the UTF-8 bytes of `text`. Chosen over FNV-1a and `hash % sum`, which fail the
 * uniformity this needs (a difference in the last byte does not diffuse through FNV).
 */
export function murmur3(text: string, seed: number): number {
  let hash = seed | 0;
  let length = 0;
  let block = 0;
  for (let i = 0; i < text.length; i++) {
    let code = text.charCodeAt(i);
    if (code < 0x80) {
      block |= code << ((length & 3) << 3);
      if ((++length & 3) === 0) {
        hash = mixBlock(hash, block);
        block = 0;
      }
      continue;
    }
    if (code >= 0xd800 && code < 0xdc00 && i + 1 < text.length) {
      const low = text.charCodeAt(i + 1);
      if (low >= 0xdc00 && low < 0xe000) {
        code = 0x10000 + ((code - 0xd800) << 10) + (low - 0xdc00);
        i++;
      }
    }
    const bytes = code < 0x800 ? 2 : code < 0x10000 ? 3 : 4;
    for (let k = bytes - 1; k >= 0; k--) {
      const lead = bytes === 2 ? 0xc0 : bytes === 3 ? 0xe0 : 0xf0;
      const byte = k === bytes - 1 ? lead | (code >> (6 * k)) : 0x80 | ((code >> (6 * k)) & 0x3f);
      block |= byte << ((length & 3) << 3);
      if ((++length & 3) === 0) {
        hash = mixBlock(hash, block);
        block = 0;
      }
    }
  }
  if ((length & 3) !== 0) {
    hash ^= Math.imul(rotate(Math.imul(block, 0xcc9e2d51), 15), 0x1b873593);
  }
  return finish(hash ^ length);
}

/** 32 bits, unsigned, of a user. The NUL between salt and user keeps ("a", "bc") and ("ab", "c") apart. */
export function userHash(salt: string, user: string): number {
  return murmur3(`${salt}\0${user}`, 0);
}

/** Bucket 0–9999 of a user's hash. */
export function bucketOfHash(hash: number): number {
  return Math.floor((hash / 2 ** 32) * BUCKETS);
}

/** Bucket 0–9999 of a user. */
export function bucketOf(salt: string, user: string): number {
  return bucketOfHash(userHash(salt, user));
}

/**
 * Lays the backends of a split out over the buckets.
 *
 * @param names   backends of the split; their order does not matter: canaries are ordered by name
 * @param weights weights in the same order; those of 0 get nobody
 * @param middle  index of the backend between the canaries; must not follow from the weights, see `Split.middle`
 */
export function layOut(names: readonly string[], weights: readonly number[], middle: number): BucketLayout {
  const canaries = names
    .map((name, index) => ({ name, index }))
    .filter(({ index }) => index !== middle)
    .sort((a, b) => (a.name < b.name ? -1 : 1));
  const total = weights.reduce((sum, weight) => sum + weight, 0);
  // Without any weight there is nobody to lie between the canaries either.
  if (canaries.length > 2 || total === 0) return { kind: 'rendezvous' };
  const share = (index: number) => Math.round(((weights[index] ?? 0) / total) * BUCKETS);
  const low = canaries[0];
  const high = canaries[1];
  const lowEnd = low === undefined ? 0 : share(low.index);
  const highStart = high === undefined ? BUCKETS : Math.max(lowEnd, BUCKETS - share(high.index));
  const ranges: BucketRange[] = [];
  if (low !== undefined) ranges.push({ index: low.index, from: 0, to: lowEnd });
  ranges.push({ index: middle, from: lowEnd, to: highStart });
  if (high !== undefined) ranges.push({ index: high.index, from: highStart, to: BUCKETS });
  return { kind: 'ranges', ranges };
}

/**
 * Index in the split of the backend that a user belongs to.
 *
 * @param usable which backends may be chosen; when the user's own is not among them the user goes to the one that
 *               weighted rendezvous prefers among the rest, so that replicas agree on that too
 * @returns -1 when no backend with a weight is usable
 */
export function backendOfUser(
  layout: BucketLayout,
  bucket: number,
  salt: string,
  user: string,
  names: readonly string[],
  weights: readonly number[],
  usable: (index: number) => boolean,
): number {
  if (layout.kind === 'ranges') {
    for (const range of layout.ranges) {
      if (bucket >= range.from && bucket < range.to) {
        if (usable(range.index)) return range.index;
        break;
      }
    }
  }
  let best = -1;
  let bestScore = Number.NEGATIVE_INFINITY;
  for (let i = 0; i < names.length; i++) {
    const weight = weights[i]!;
    if (weight === 0 || !usable(i)) continue;
    const u = (murmur3(`${salt}\0${user}\0${names[i]}`, 0x9747b28c) + 0.5) / 2 ** 32;
    const score = -weight / Math.log(u);
    if (score > bestScore) {
      bestScore = score;
      best = i;
    }
  }
  return best;
}

function mixBlock(hash: number, block: number): number {
  const mixed = hash ^ Math.imul(rotate(Math.imul(block, 0xcc9e2d51), 15), 0x1b873593);
  return (Math.imul(rotate(mixed, 13), 5) + 0xe6546b64) | 0;
}

function rotate(value: number, bits: number): number {
  return (value << bits) | (value >>> (32 - bits));
}

function finish(hash: number): number {
  let h = hash;
  h ^= h >>> 16;
  h = Math.imul(h, 0x85ebca6b);
  h ^= h >>> 13;
  h = Math.imul(h, 0xc2b2ae35);
  h ^= h >>> 16;
  return h >>> 0;
}
