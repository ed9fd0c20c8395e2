/** One check of one endpoint over a real socket, bounded in time and in what it reads. */

import { connect as connectTcp } from 'node:net';
import { Attempt, type ProbeResult } from './probe-attempt.ts';
import { probeBody } from './probe-body.ts';
import { probeStatus } from './probe-status.ts';

export type { ProbeResult } from './probe-attempt.ts';

export interface TcpProbe {
  readonly kind: 'tcp';
  readonly address: string;
  readonly port: number;
  /** For the whole check, milliseconds. */
  readonly timeout: number;
}

export interface HttpProbe {
  readonly kind: 'http';
  readonly scheme: 'http' | 'https';
  readonly address: string;
  readonly port: number;
  readonly timeout: number;
  readonly method: 'GET' | 'HEAD' | 'OPTIONS';
  readonly path: string;
  /** The Host field. */
  readonly host: string;
  /** Name in the certificate, for https; SNI is sent when it is not an address. */
  readonly serverName: string;
  /** Good codes (`200`) and classes (`2xx`). */
  readonly status: readonly (number | string)[];
  /** Further fields. */
  readonly headers: Readonly<Record<string, string>>;
  /** What the body must hold; undefined: the status alone decides. */
  readonly body: string | undefined;
}

export type Probe = TcpProbe | HttpProbe;

/** Never rejects. Ends early, as failed, when `signal` aborts. */
export function probe(target: Probe, signal?: AbortSignal): Promise<ProbeResult> {
  return target.kind === 'tcp' ? probeTcp(target, signal) : probeHttp(target, signal);
}

/** Good when a TCP connection comes about, for https too, as with `check` alone in HAProxy. */
export function probeTcp(target: Omit<TcpProbe, 'kind'>, signal?: AbortSignal): Promise<ProbeResult> {
  return new Promise((resolve) => {
    const attempt = new Attempt(target.timeout, signal, resolve);
    const socket = connectTcp({ host: target.address, port: target.port });
    attempt.onEnd(() => socket.destroy());
    socket.once('connect', () => attempt.end(true, 'connected'));
    socket.on('error', (error) => attempt.fail(error));
  });
}

/**
 * Good when the response has a status that is listed, and holds the text, where one is asked for. Redirects are not
 * followed: 3xx is a status like any other.
 */
export function probeHttp(target: Omit<HttpProbe, 'kind'>, signal?: AbortSignal): Promise<ProbeResult> {
  return new Promise((resolve) => {
    const attempt = new Attempt(target.timeout, signal, resolve);
    if (target.body === undefined) probeStatus(target, attempt);
    else probeBody(target, target.body, attempt);
  });
}
