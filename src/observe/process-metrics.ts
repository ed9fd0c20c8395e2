/** The metrics of the primary: what it knows of upstreams, configuration and workers. */

import {
  type BackendStatus,
  endpointLabel,
  type HealthState,
  type ResolutionState,
} from '../backends/endpoint.ts';
import type { Cell, Family, Ledger } from './ledger.ts';

const HEALTH_STATES: readonly HealthState[] = ['up', 'down', 'unchecked'];
const DNS_STATES: readonly ResolutionState[] = ['static', 'pending', 'resolved', 'stale', 'failed'];

/** Each process that has a log of its own counts what it lost. */
export function logLinesDropped(ledger: Ledger): Cell {
  return ledger
    .counter(
      'pointsman_log_lines_dropped_total',
      'Log lines lost because standard output took them too slowly, or not at all.',
    )
    .cell();
}

export class ProcessMetrics {
  readonly workers: Cell;
  readonly workerRestarts: Cell;
  /** Set, not raised: the destination of the log counts for itself. */
  readonly logLinesDropped: Cell;
  readonly #reloadsOk: Cell;
  readonly #reloadsRejected: Cell;
  readonly #lastReloadSuccess: Cell;
  readonly #lastReloadSuccessAt: Cell;
  readonly #configHash: Family;
  readonly #endpointUp: Family;
  readonly #backendEndpoints: Family;
  readonly #dnsState: Family;
  readonly #healthChecks: Family;

  constructor(ledger: Ledger, build: { readonly version: string; readonly node: string }) {
    this.#endpointUp = ledger.gauge(
      'pointsman_endpoint_up',
      'Whether checks find the endpoint up: 1, or 0 when it is down or was not checked yet.',
      ['backend', 'endpoint'],
    );
    this.#backendEndpoints = ledger.gauge('pointsman_backend_endpoints', 'Endpoints by health.', [
      'backend',
      'health',
    ]);
    this.#healthChecks = ledger.counter('pointsman_health_checks_total', 'Checks ended, by result.', [
      'backend',
      'result',
    ]);
    this.#dnsState = ledger.gauge(
      'pointsman_dns_state',
      '1 for the state in which the name of the backend is; stale: earlier addresses stay in use.',
      ['backend', 'state'],
    );
    const reloads = ledger.counter(
      'pointsman_config_reloads_total',
      'Configurations read after the start: taken over, or rejected for an error in them.',
      ['result'],
    );
    this.#reloadsOk = reloads.cell('ok');
    this.#reloadsRejected = reloads.cell('rejected');
    this.#lastReloadSuccess = ledger
      .gauge('pointsman_config_last_reload_success', 'Whether the last configuration read was taken over.')
      .cell();
    this.#lastReloadSuccessAt = ledger
      .gauge(
        'pointsman_config_last_reload_success_timestamp_seconds',
        'When the configuration in use was taken over.',
      )
      .cell();
    this.#configHash = ledger.gauge(
      'pointsman_config_hash',
      '1, labelled with the hash of the configuration in use.',
      ['hash'],
    );
    this.workers = ledger.gauge('pointsman_workers', 'Processes that forward.').cell();
    this.workerRestarts = ledger
      .counter('pointsman_worker_restarts_total', 'Workers that ended unasked and were replaced.')
      .cell();
    this.logLinesDropped = logLinesDropped(ledger);
    ledger
      .gauge('pointsman_build_info', '1, labelled with the versions that run.', ['version', 'node'])
      .cell(build.version, build.node).value = 1;
  }

  /** The configuration of the start or of a reload is in use since `atMs` (epoch). The first is not a reload. */
  configLoaded(hash: string, atMs: number, isReload: boolean): void {
    if (isReload) this.#reloadsOk.value++;
    this.#lastReloadSuccess.value = 1;
    this.#lastReloadSuccessAt.value = atMs / 1_000;
    this.#configHash.clear();
    this.#configHash.cell(hash).value = 1;
  }

  configRejected(): void {
    this.#reloadsRejected.value++;
    this.#lastReloadSuccess.value = 0;
  }

  healthCheck(backend: string, ok: boolean): void {
    this.#healthChecks.cell(backend, ok ? 'ok' : 'failed').value++;
  }

  /** Replaces what is exposed about upstreams; call before a scrape or at each change. */
  setBackends(backends: readonly BackendStatus[]): void {
    this.#endpointUp.clear();
    this.#backendEndpoints.clear();
    this.#dnsState.clear();
    for (const backend of backends) {
      for (const health of HEALTH_STATES) {
        const having = backend.endpoints.filter((endpoint) => endpoint.health === health);
        this.#backendEndpoints.cell(backend.name, health).value = having.length;
      }
      for (const state of DNS_STATES) {
        this.#dnsState.cell(backend.name, state).value = backend.resolution.state === state ? 1 : 0;
      }
      for (const { address, port, health } of backend.endpoints) {
        const cell = this.#endpointUp.cell(backend.name, endpointLabel(address, port));
        cell.value = health === 'up' ? 1 : 0;
      }
    }
  }
}
