/** The answer to bytes that are no request, on a bare socket; the connection ends with it. */
import type { Socket } from 'node:net';
import { newRequestId } from '../http/request-id.ts';
import { endAndLinger } from './end-connection.ts';
import { startRecord } from './exchange-facts.ts';
import type { Forwarder } from './forwarder.ts';
import { peerOf } from './peer.ts';
import { FAILURES, type FailureReason, requiredHeaders } from './reasons.ts';
import { errorText } from './socket-response.ts';

export function refuseConnection(
  forwarder: Forwarder,
  socket: Socket,
  reason: FailureReason,
  detail?: string,
): void {
  const { accessLog, log, metrics, now } = forwarder.edges;
  const { policy } = forwarder.snapshot;
  const requestId = newRequestId();
  const { termination } = FAILURES[reason];
  const extra = requiredHeaders(reason, policy.allowedMethods);
  const { text, status, bodySize } = errorText(
    reason,
    undefined,
    requestId,
    policy,
    detail,
    extra,
    true,
    false,
  );
  metrics.failures(reason).value++;
  forwarder.unroutedCells.record('', status, 0, -1);
  const peer = peerOf(socket, policy.trust);
  log.debug({ client: peer.label, reason, detail }, 'request refused');
  const record = startRecord(peer);
  record.status = status;
  record.bytesOut = bodySize;
  if (peer.requests === 0) record.totalMs = now() - peer.acceptedAt;
  record.termination = termination;
  record.reason = reason;
  record.requestId = requestId;
  accessLog.write(record);
  metrics.bytesOut.value += bodySize;
  endAndLinger(socket, Buffer.from(text, 'latin1'));
}
