/** A connection to an endpoint, plain or TLS, as traffic, tunnels and checks all make it. */
import { connect as connectTcp, isIP, type OnReadOpts, type Socket } from 'node:net';
import { connect as connectTls } from 'node:tls';

export interface ConnectTarget {
  readonly scheme: 'http' | 'https';
  readonly address: string;
  readonly port: number;
  /** Name in the certificate, for https. */
  readonly serverName: string;
}

/** The event of the socket that says it can be used. */
export function readyEvent(scheme: ConnectTarget['scheme']): 'connect' | 'secureConnect' {
  return scheme === 'https' ? 'secureConnect' : 'connect';
}

/** @param onread takes what comes instead of the socket's stream; not for TLS */
export function connectEndpoint(
  { scheme, address, port, serverName }: ConnectTarget,
  onread?: OnReadOpts,
): Socket {
  const options = { host: address, port, noDelay: true, keepAlive: true, keepAliveInitialDelay: 60_000 };
  if (scheme === 'http') return connectTcp(onread === undefined ? options : { ...options, onread });
  // An address may not stand in SNI (RFC 6066, 3), and Node throws; without it the certificate is held against `host`.
  const name = isIP(serverName) === 0 ? { servername: serverName } : {};
  return connectTls({ ...options, ...name, ALPNProtocols: ['http/1.1'] });
}
