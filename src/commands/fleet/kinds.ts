/** `pointsman fleet kinds`: every kind of finding, for `ignore` and for those who wonder. */

import { KINDS } from '../../fleet/finding.ts';
import type { CommandIo } from '../io.ts';

export function kinds(_args: readonly string[], io: CommandIo): Promise<number> {
  const width = Math.max(...Object.keys(KINDS).map((kind) => kind.length));
  for (const [kind, words] of Object.entries(KINDS)) io.stdout(`${kind.padEnd(width)}  ${words}\n`);
  return Promise.resolve(0);
}
