/** One check of one endpoint over a real socket, bounded in time and in what it reads. */

import { connect as connectTcp } from 'node:net';
import { Client, type Dispatcher } from 'undici';
import { connectEndpoint, readyEvent } from './connect.ts';
import { isLocalShortage, socketError } from './socket-error.ts';

export interface ProbeResult {
  readonly ok: boolean;
  /** `connected`, `HTTP 200`, `connection refused`, `timed out after 1000ms`, … */
  readonly detail: string;
  readonly durationMs: number;
  /** The probe could not even be tried for want of something on this host, which says nothing about the endpoint. */
  readonly local: boolean;
}

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
}

export type Probe = TcpProbe | HttpProbe;

/** Of a response body; what is beyond it is cut off, for the status has decided already. */
const MAX_BODY = 64 * 1024;
const MAX_HEAD = 16 * 1024;
/**
 * What undici is told: it neither connects there nor sends it, and the real address would make it throw where no URL
 * can hold it (`fe80::1%eth0`).
 */
const ORIGIN = 'endpoint.invalid';

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

/** Good when the response has a status that is listed. Redirects are not followed: 3xx is a status like any other. */
export function probeHttp(target: Omit<HttpProbe, 'kind'>, signal?: AbortSignal): Promise<ProbeResult> {
  return new Promise((resolve) => {
    const attempt = new Attempt(target.timeout, signal, resolve);
    const client = new Client(`${target.scheme}://${ORIGIN}`, {
      // undici's timers are coarse; the timer of the whole check covers every phase.
      headersTimeout: 0,
      bodyTimeout: 0,
      allowH2: false,
      maxHeaderSize: MAX_HEAD,
      connect: (_, callback) => {
        const socket = connectEndpoint(target);
        attempt.onEnd(() => socket.destroy());
        socket.on('error', (error) => attempt.fail(error));
        socket.once(readyEvent(target.scheme), () => callback(null, socket));
      },
    });
    attempt.onEnd(() => {
      client.destroy().catch(() => {});
    });
    client.dispatch(requestOf(target), new StatusReader(target.status, attempt));
  });
}

function requestOf({ method, path, host }: Omit<HttpProbe, 'kind'>): Dispatcher.DispatchOptions {
  return {
    method,
    path,
    headers: { host, 'user-agent': 'pointsman-check', accept: '*/*' },
    // `Connection: close`: nobody comes back on this connection.
    reset: true,
  };
}

/** One probe under way: its timer, what must be torn down, and the verdict, which may be there before the end. */
class Attempt {
  readonly #resolve: (result: ProbeResult) => void;
  readonly #signal: AbortSignal | undefined;
  readonly #startedAt = performance.now();
  readonly #timer: NodeJS.Timeout;
  readonly #abort = () => this.end(false, 'called off');
  readonly #cleanups: (() => void)[] = [];
  #verdict: ProbeResult | undefined;
  #ended = false;

  constructor(timeout: number, signal: AbortSignal | undefined, resolve: (result: ProbeResult) => void) {
    this.#resolve = resolve;
    this.#signal = signal;
    this.#timer = setTimeout(() => this.end(false, `timed out after ${timeout}ms`), timeout);
    signal?.addEventListener('abort', this.#abort, { once: true });
  }

  onEnd(cleanup: () => void): void {
    if (this.#ended) cleanup();
    else this.#cleanups.push(cleanup);
  }

  /** Fixes the verdict; the first one counts. */
  decide(ok: boolean, detail: string, local = false): void {
    this.#verdict ??= { ok, detail, local, durationMs: performance.now() - this.#startedAt };
  }

  /** Ends the probe with the verdict given before, else with this one. */
  end(ok: boolean, detail: string, local = false): void {
    if (this.#ended) return;
    this.#ended = true;
    this.decide(ok, detail, local);
    clearTimeout(this.#timer);
    this.#signal?.removeEventListener('abort', this.#abort);
    for (const cleanup of this.#cleanups) cleanup();
    this.#resolve(this.#verdict!);
  }

  fail(error: Error): void {
    this.end(false, socketError(error), isLocalShortage(error));
  }
}

class StatusReader implements Dispatcher.DispatchHandler {
  readonly #good: readonly (number | string)[];
  readonly #attempt: Attempt;
  #read = 0;

  constructor(good: readonly (number | string)[], attempt: Attempt) {
    this.#good = good;
    this.#attempt = attempt;
  }

  onRequestStart(): void {}

  onResponseStart(_: Dispatcher.DispatchController, status: number): void {
    // An interim response is not the answer yet.
    if (status < 200) return;
    const ok = this.#good.some((good) => good === status || good === `${Math.floor(status / 100)}xx`);
    this.#attempt.decide(ok, `HTTP ${status}`);
  }

  onResponseData(_: Dispatcher.DispatchController, chunk: Buffer): void {
    this.#read += chunk.length;
    if (this.#read > MAX_BODY) this.#attempt.end(false, 'response is too large');
  }

  onResponseEnd(): void {
    this.#attempt.end(false, 'response without a status');
  }

  onResponseError(_: Dispatcher.DispatchController, error: Error): void {
    this.#attempt.fail(error);
  }
}
