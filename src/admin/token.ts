/** The token of the configuration: a value, or a file that is read anew each time, as Secrets are renewed in place. */
import { closeSync, openSync, readSync } from 'node:fs';
import type { Config } from '../config/schema.ts';

const MAX_TOKEN_FILE = 4_096;
const MIN_TOKEN = 16;

/** Undefined when nobody may act. Throws with a message for whoever tries. */
export function readToken(acting: Config['acting']): string | undefined {
  if (acting === undefined) return undefined;
  if ('token' in acting) return acting.token;
  let text: string;
  try {
    text = readBounded(acting.tokenFile).trim();
  } catch (error) {
    const code = (error as NodeJS.ErrnoException).code ?? 'error';
    throw new Error(`acting.tokenFile cannot be read (${code}), so nobody may act`);
  }
  if (text.length < MIN_TOKEN || /\s/.test(text)) {
    throw new Error(
      `acting.tokenFile holds no token: one line of at least ${MIN_TOKEN} characters without blanks`,
    );
  }
  return text;
}

function readBounded(path: string): string {
  const file = openSync(path, 'r');
  try {
    const bytes = Buffer.alloc(MAX_TOKEN_FILE);
    return bytes.toString('utf8', 0, readSync(file, bytes, 0, MAX_TOKEN_FILE, 0));
  } finally {
    closeSync(file);
  }
}
