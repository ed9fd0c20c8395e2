/** A connection to an endpoint, plain or TLS, as traffic, tunnels and checks all make it. */
import { connect as connectTcp, isIP, type OnReadOpts, type Socket } from 'node:net';
import { constants } from 'node:os';
import { connect as connectTls } from 'node:tls';

export interface ConnectTarget {
  readonly scheme: 'http' | 'https';
  readonly address: string;
  readonly port: number;
  /** Name in the certificate, for https. */
  readonly serverName: string;
}

/** Returns the event after which the socket can be used. Prefer `whenReady`. */
function readyEvent(scheme: ConnectTarget['scheme']): 'connect' | 'secureConnect' {
  return scheme === 'https' ? 'secureConnect' : 'connect';
}

/** Calls back once the socket can be used; never for a destroyed socket. */
export function whenReady(socket: Socket, scheme: ConnectTarget['scheme'], callback: () => void): void {
  socket.once(readyEvent(scheme), () => {
    if (!socket.destroyed) callback();
  });
}

/** @param onread receives the bytes instead of the stream of the socket; not for TLS */
export function connectEndpoint(target: ConnectTarget, onread?: OnReadOpts): Socket {
  const { scheme, address, port, serverName } = target;
  const options = { host: address, port, noDelay: true, keepAlive: true, keepAliveInitialDelay: 60_000 };
  if (scheme === 'http') {
    return refuseSelf(connectTcp(onread === undefined ? options : { ...options, onread }), target);
  }
  // An address may not stand in SNI (RFC 6066, 3), and Node throws; without it the certificate is held against `host`.
  const name = isIP(serverName) === 0 ? { servername: serverName } : {};
  return refuseSelf(connectTls({ ...options, ...name, ALPNProtocols: ['http/1.1'] }), target);
}

/**
 * Opens a plain connection for one check, without the options of a lasting connection: each of them is a system call.
 *
 * @param onread as for `connectEndpoint`
 */
export function connectBriefly(target: Pick<ConnectTarget, 'address' | 'port'>, onread?: OnReadOpts): Socket {
  const options = { host: target.address, port: target.port };
  return refuseSelf(connectTcp(onread === undefined ? options : { ...options, onread }), target);
}

/**
 * Fails a connection to itself as refused. Linux may give a connection to a local port the same port as its own; if
 * nothing listens there, the two ends meet (simultaneous open, RFC 9293, 3.5), and a dead endpoint looks alive.
 */
export function refuseSelf(
  socket: Socket,
  { address, port }: Pick<ConnectTarget, 'address' | 'port'>,
): Socket {
  return socket.once('connect', () => {
    if (!isSelfConnection(socket)) return;
    const error = new Error(
      `connect ECONNREFUSED ${address}:${port}: connected to itself, nothing listens there`,
    );
    const details = { errno: -constants.errno.ECONNREFUSED, code: 'ECONNREFUSED', syscall: 'connect' };
    socket.destroy(Object.assign(error, details, { address, port }));
  });
}

/** True if both ends of the connection are the same socket. */
export function isSelfConnection(
  socket: Pick<Socket, 'localAddress' | 'localPort' | 'remoteAddress' | 'remotePort'>,
): boolean {
  return socket.localPort === socket.remotePort && socket.localAddress === socket.remoteAddress;
}
