/** Tells a request whose method llhttp does not know from bytes that are not a request. */
import { CLASS, CR, LF, SP, TOKEN } from './octets.ts';

/** An error of llhttp, as `clientError` of `node:http` has it. */
export interface ParserError {
  readonly code?: string | undefined;
  /** Message of llhttp. */
  readonly reason?: string | undefined;
  /** The packet in which llhttp stopped. */
  readonly rawPacket?: Buffer | undefined;
  /** Offset in `rawPacket` where llhttp stopped: within the method. */
  readonly bytesParsed?: number | undefined;
}

/**
 * Returns true if llhttp stopped at the method of a request line that is otherwise one of HTTP/1.x: a token (RFC 9110,
 * 9.1), a space and, where the end of the line is in the same packet, the version. Pure.
 */
export function isUnknownMethod({ code, reason, rawPacket: bytes, bytesParsed = 0 }: ParserError): boolean {
  // Methods of other protocols that llhttp reads, such as DESCRIBE of RTSP.
  if (code === 'HPE_INVALID_CONSTANT') return reason === 'Invalid method for HTTP/x.x request';
  if (code !== 'HPE_INVALID_METHOD' || bytes === undefined) return false;
  let start = bytesParsed;
  while (start > 0 && isMethodByte(bytes[start - 1]!)) start--;
  let end = bytesParsed;
  while (end < bytes.length && isMethodByte(bytes[end]!)) end++;
  if (end === start || bytes[end] !== SP) return false;
  const lineEnd = bytes.indexOf(LF, end);
  if (lineEnd === -1) return true;
  if (bytes[lineEnd - 1] !== CR) return false;
  return / HTTP\/1\.[01]$/.test(bytes.toString('latin1', Math.max(end, lineEnd - 10), lineEnd - 1));
}

function isMethodByte(byte: number): boolean {
  return (CLASS[byte]! & TOKEN) !== 0;
}
