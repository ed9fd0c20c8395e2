/** Bodies that both ends can make, so that a byte that is altered, lost or somebody else's is noticed. */

export const SMALL_FILL = 'pointsman'.repeat(60);

export function smallBody(nonce: string): string {
  return `${nonce}\n${SMALL_FILL}`;
}

/** Without a period that packets or buffers could share. */
export const NOISE: Buffer = makeNoise(1024 ** 2);

function makeNoise(length: number): Buffer {
  const words = new Uint32Array(length / 4);
  let state = 0x9e3779b9;
  for (let index = 0; index < words.length; index += 1) {
    state ^= state << 13;
    state ^= state >>> 17;
    state ^= state << 5;
    words[index] = state;
  }
  return Buffer.from(words.buffer);
}
