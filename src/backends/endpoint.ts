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

/** A state, why it holds and since when (epoch milliseconds). */
export interface Standing<State extends string> {
  readonly state: State;
  readonly reason: string;
  readonly since: number;
}

/** `drain`: no new requests, what is under way ends. */
export type AdminState = 'ready' | 'drain';

/** An ejection under way. */
export interface EjectionStatus {
  readonly reason: string;
  /** Epoch milliseconds. */
  readonly since: number;
  /** When it ends by itself. */
  readonly until: number;
  /** Ejections that have counted towards its length, this one included. */
  readonly times: number;
}

/** An endpoint as status, logs and metrics show it. */
export interface EndpointStatus extends EndpointState {
  /** Why `health` is what it is. */
  readonly reason: string;
  /** Since when, epoch milliseconds. */
  readonly since: number;
  readonly admin: Standing<AdminState>;
  /** Of the name that the address came from. */
  readonly dns: Standing<ResolutionState>;
  readonly ejection: EjectionStatus | undefined;
  /** Latest checks, newest last, at most 20. */
  readonly checks: readonly CheckResult[];
}

/** `pending`: not asked yet; `stale`: the last question failed and earlier addresses stay; `failed`: there are none. */
export type ResolutionState = 'static' | 'pending' | 'resolved' | 'stale' | 'failed';

export interface ResolutionStatus extends Standing<ResolutionState> {
  /** When the last good answer came, epoch milliseconds; undefined when there was none. */
  readonly answeredAt: number | undefined;
  readonly ttlMs: number | undefined;
}

/** One upstream of a backend, as listed in `servers`. */
export interface ServerStatus {
  readonly url: string;
  readonly weight: number;
  readonly backup: boolean;
  readonly resolution: ResolutionStatus;
}

/**
 * `closed`: every endpoint takes requests; `degraded`: some are down or ejected; `panic`: too few are left, so that the
 * main backend of a split uses all of them; `open`: none is available.
 */
export type CircuitState = 'closed' | 'degraded' | 'panic' | 'open';

export interface BackendStatus {
  readonly name: string;
  /** Of all servers in one: the worst state among them. */
  readonly resolution: ResolutionStatus;
  readonly servers: readonly ServerStatus[];
  readonly circuit: Standing<CircuitState>;
  /** From 0 to 1, among the endpoints that are not drained; 0 when there are none. */
  readonly healthyShare: number;
  readonly endpoints: readonly EndpointStatus[];
}

/** `10.1.2.3:8080` or `[fd00::1]:8080`. */
export function endpointLabel(address: string, port: number): string {
  return address.includes(':') ? `[${address}]:${port}` : `${address}:${port}`;
}
