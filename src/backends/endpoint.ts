/** What is known of the upstreams: produced by the primary (DNS and checks), consumed by the forwarding side. */

/** `unchecked`: no check has ended yet; used only while its backend has nothing that is up. */
export type HealthState = 'unchecked' | 'up' | 'down';

/** One resolved address of a backend, as forwarding needs it. */
export interface EndpointState {
  readonly address: string;
  readonly port: number;
  readonly scheme: 'http' | 'https';
  /** Name in the certificate, for https. */
  readonly serverName: string;
  /** Host for requests that came without one. */
  readonly authority: string;
  readonly health: HealthState;
  /** Share among the endpoints of the backend, at least 1. */
  readonly weight: number;
  /** Endpoints of a tier are used only while none of a lower one is available (SRV priority, then `backup`). */
  readonly tier: number;
  /** By configuration or by hand: no new requests. */
  readonly drained: boolean;
  /** Traffic failed on it; no new requests until the ejection ends. */
  readonly ejected: boolean;
  /** Since when it ramps up after its return, epoch milliseconds; 0: it takes its full share. */
  readonly warmingSince: number;
}

/** The endpoints of one backend: the whole list, which replaces the one before. */
export interface BackendEndpoints {
  readonly backend: string;
  readonly endpoints: readonly EndpointState[];
}

/** One finished check. */
export interface CheckResult {
  /** When it ended, epoch milliseconds. */
  readonly at: number;
  readonly ok: boolean;
  readonly durationMs: number;
  /** `connected`, `HTTP 200`, `connection refused`, `timed out after 1000ms`, … */
  readonly detail: string;
}

/** An endpoint as status, logs and metrics show it. */
export interface EndpointStatus extends EndpointState {
  /** Why `health` is what it is. */
  readonly reason: string;
  /** Since when, epoch milliseconds. */
  readonly since: number;
  /** Latest checks, newest last, at most 20. */
  readonly checks: readonly CheckResult[];
}

/** `pending`: not asked yet; `stale`: the last question failed and earlier addresses stay; `failed`: there are none. */
export type ResolutionState = 'static' | 'pending' | 'resolved' | 'stale' | 'failed';

export interface BackendStatus {
  readonly name: string;
  readonly resolution: {
    readonly state: ResolutionState;
    readonly reason: string;
    readonly since: number;
    /** When the last good answer came, epoch milliseconds; undefined when there was none. */
    readonly answeredAt: number | undefined;
    readonly ttlMs: number | undefined;
  };
  readonly endpoints: readonly EndpointStatus[];
}

/** `10.1.2.3:8080` or `[fd00::1]:8080`. */
export function endpointLabel(address: string, port: number): string {
  return address.includes(':') ? `[${address}]:${port}` : `${address}:${port}`;
}
