/**
 * Octets as text, one character each. Node's own `latin1Slice` is what `toString('latin1')` ends in, after a look at the
 * encoding and both bounds; here it is called several times per request.
 */
interface Sliceable {
  latin1Slice(start: number, end: number): string;
}

export function latin1(bytes: Buffer, start: number, end: number): string {
  return (bytes as unknown as Sliceable).latin1Slice(start, end);
}
