/** The traffic group of a request: one value, whatever a client or a gateway managed to send. */
import { listValues } from './field-values.ts';

export type GroupReading =
  | { readonly kind: 'none' }
  | { readonly kind: 'one'; readonly group: string }
  | { readonly kind: 'several'; readonly groups: readonly string[] };

const NONE: GroupReading = { kind: 'none' };

/**
 * Reads the values of the group header. A comma separates values even within one line, since an intermediary may join
 * two lines into one (RFC 9110, 5.3), and HAProxy's `hdr()` splits there too. Values that differ only in case are equal.
 * A comma in a quoted string separates nothing; a quote that is not closed protects no comma. Quotes and parameters are
 * part of the value, so `FREE;q=1` is an unknown group, as in HAProxy.
 *
 * @param values one or more header lines
 */
export function readGroup(values: readonly string[]): GroupReading {
  const groups: string[] = [];
  for (const value of values) {
    for (const part of listValues(value)) {
      const group = part.toLowerCase();
      if (group !== '' && !groups.includes(group)) groups.push(group);
    }
  }
  if (groups.length === 0) return NONE;
  return groups.length === 1 ? { kind: 'one', group: groups[0]! } : { kind: 'several', groups };
}
