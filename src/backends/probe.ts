/** One check of one endpoint over a real socket, bounded in time and in what it reads. */

import { connectBriefly, whenReady } from './connect.ts';
import { Attempt, type ProbeResult } from './probe-attempt.ts';
import { probeBody } from './probe-body.ts';
import { probeStatus } from './probe-status.ts';
import type { HttpProbe, Probe, TcpProbe } from './probe-target.ts';

/** Never rejects. Ends early, as failed, when `signal` aborts. */
export function probe(target: Probe, signal?: AbortSignal): Promise<ProbeResult> {
  return target.kind === 'tcp' ? probeTcp(target, signal) : probeHttp(target, signal);
}

/** Good when a TCP connection comes about, for https too, as with `check` alone in HAProxy. */
export function probeTcp(target: Omit<TcpProbe, 'kind'>, signal?: AbortSignal): Promise<ProbeResult> {
  return new Promise((resolve) => {
    const attempt = new Attempt(target.timeout, signal, resolve);
    const socket = connectBriefly(target);
    attempt.onEnd(() => socket.destroy());
    whenReady(socket, 'http', () => attempt.end(true, 'connected'));
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
