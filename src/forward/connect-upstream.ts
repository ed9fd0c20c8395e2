/** Opens connections to endpoints for traffic: the connect timeout, and what happens when a write fails. */
import type { OnReadOpts, Socket } from 'node:net';
import { whenReady } from '../backends/connect.ts';
import { isTlsFailure } from '../backends/socket-error.ts';
import type { EndpointPool } from './endpoint-pool.ts';
import type { FailureReason } from './reasons.ts';

/** Error of a connection attempt that took longer than `connectTimeout`. */
export class ConnectTimeoutError extends Error {
  readonly code = 'CONNECT_TIMEOUT';
}

/** Time for a response to arrive after the upstream stopped reading, milliseconds. */
const READ_ON_MS = 1_000;

type Written = (error?: Error | null) => void;

interface Writing {
  _write(chunk: unknown, encoding: BufferEncoding, done: Written): void;
  _writev(chunks: unknown, done: Written): void;
}

/**
 * Opens a connection in a place that was leased. Exactly one of the callbacks is called, never before this returns.
 *
 * @param onread   takes what arrives instead of the socket's stream; not for TLS
 * @param onOpen   called when it can be used; listeners for errors are then the caller's
 * @param onFailed called with the reason, which has a code
 */
export function connectUpstream(
  pool: EndpointPool,
  onread: OnReadOpts | undefined,
  onOpen: () => void,
  onFailed: (error: Error) => void,
): Socket {
  const { scheme, address, port, connectTimeout } = pool.options;
  const socket = pool.connect(onread);
  let pending = true;
  const timer = setTimeout(() => {
    socket.destroy(new ConnectTimeoutError(`no connection to ${address}:${port} within ${connectTimeout}ms`));
  }, connectTimeout);
  const fail = (error: Error) => {
    if (!pending) return;
    pending = false;
    clearTimeout(timer);
    onFailed(error);
  };
  socket.once('error', fail);
  socket.once('close', () => {
    if (pending) fail(new Error('the connection was closed'));
    else if (isOpen) pool.closed();
  });
  let isOpen = false;
  whenReady(socket, scheme, () => {
    if (!pending) return;
    pending = false;
    isOpen = true;
    clearTimeout(timer);
    socket.removeListener('error', fail);
    pool.opened();
    onOpen();
  });
  return socket;
}

/**
 * Continues to read after a failed write. An upstream may respond early and close without reading the rest of the
 * request body. Its reset fails the next write while the response still waits to be read, and Node would discard that
 * response with the socket. So this function holds the failure back: the socket looks as if it did not drain. If no
 * response ends the exchange within a second, the failure is reported.
 */
export function readOnAfterFailedWrite(socket: Socket): void {
  const writing = socket as unknown as Writing;
  if (Object.hasOwn(socket, '_write')) return;
  const { _write, _writev } = writing;
  const held =
    (done: Written): Written =>
    (error) => {
      const { code } = (error ?? {}) as NodeJS.ErrnoException;
      if ((code !== 'EPIPE' && code !== 'ECONNRESET') || socket.destroyed || socket.readableEnded) {
        done(error);
        return;
      }
      const timer = setTimeout(done, READ_ON_MS, error).unref();
      socket.once('close', () => clearTimeout(timer));
    };
  writing._write = (chunk, encoding, done) => _write.call(socket, chunk, encoding, held(done));
  writing._writev = (chunks, done) => _writev.call(socket, chunks, held(done));
}

/** Returns why no connection could be made. */
export function connectFailure(error: Error | undefined): FailureReason {
  if (error === undefined) return 'connect_failed';
  if ((error as NodeJS.ErrnoException).code === 'CONNECT_TIMEOUT') return 'connect_timeout';
  return isTlsFailure(error) ? 'tls_failed' : 'connect_failed';
}
