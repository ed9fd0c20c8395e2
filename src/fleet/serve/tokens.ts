/** The tokens of agents: lines `CLUSTER TOKEN`, empty ones and `#` comments aside. */

import { readFile } from 'node:fs/promises';

/** 32 hexadecimal digits: what `openssl rand -hex 16` gives. */
const LEAST_LENGTH = 32;

/** @throws Error in plain words, never with a token in it */
export async function readTokens(file: string): Promise<ReadonlyMap<string, string>> {
  let text: string;
  try {
    text = await readFile(file, 'utf8');
  } catch (error) {
    throw new Error(`${file} cannot be read (${(error as NodeJS.ErrnoException).code})`);
  }
  const tokens = new Map<string, string>();
  for (const [index, line] of text.split('\n').entries()) {
    if (line.trim() === '' || line.trimStart().startsWith('#')) continue;
    const [cluster, token, ...more] = line.trim().split(/\s+/);
    const at = `${file}:${index + 1}`;
    if (cluster === undefined || token === undefined || more.length > 0)
      throw new Error(`${at}: expected CLUSTER TOKEN`);
    if (token.length < LEAST_LENGTH)
      throw new Error(
        `${at}: the token is shorter than ${LEAST_LENGTH} characters; make one with openssl rand -hex 32`,
      );
    if (tokens.has(cluster)) throw new Error(`${at}: ${cluster} has a token already`);
    tokens.set(cluster, token);
  }
  return tokens;
}
