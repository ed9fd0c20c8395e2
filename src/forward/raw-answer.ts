/** Answers on a bare socket, where there is no `ServerResponse`. */
import { STATUS_CODES } from 'node:http';
import { fieldLines } from './fast/field-lines.ts';
import { FAILURES, type FailureReason, failureAnswer, REASON_FIELD } from './reasons.ts';

/** The whole answer as bytes; it says that the connection ends. */
export function rawAnswer(
  reason: FailureReason,
  accept: string | undefined,
  requestId: string,
  requestIdField: string,
  detail?: string,
  extra: readonly string[] = [],
): Buffer {
  const { status } = FAILURES[reason];
  const { contentType, body } = failureAnswer(reason, accept, requestId, detail);
  const head =
    `HTTP/1.1 ${status} ${STATUS_CODES[status] ?? ''}\r\nContent-Type: ${contentType}\r\n` +
    `Cache-Control: no-store\r\n${requestIdField}: ${requestId}\r\n${REASON_FIELD}: ${reason}\r\n` +
    `${fieldLines(extra)}Content-Length: ${body.length}\r\nConnection: close\r\n\r\n`;
  return Buffer.concat([Buffer.from(head, 'latin1'), body]);
}
