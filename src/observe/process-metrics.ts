/** The metrics of the primary: what it knows of upstreams, configuration and workers. */

import {
  type BackendStatus,
  type CircuitState,
  endpointLabel,
  type HealthState,
  type ResolutionState,
} from '../backends/endpoint.ts';
import type { Cell, Family, Ledger } from './ledger.ts';

const HEALTH_STATES: readonly HealthState[] = ['up', 'down', 'unchecked'];
const CIRCUIT_STATES: readonly CircuitState[] = ['closed', 'degraded', 'panic', 'open'];
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
  readonly #rejectedByRule: Family;
  readonly #lastReloadSuccess: Cell;
  readonly #lastReloadSuccessAt: Cell;
  readonly #configHash: Family;
  readonly #endpointUp: Family;
  readonly #endpointEjected: Family;
  readonly #endpointDrained: Family;
  readonly #backendEndpoints: Family;
  readonly #backendCircuit: Family;
  readonly #backendHealthyRatio: Family;
  readonly #stateChanges: Family;
  readonly #dnsState: Family;
  readonly #healthChecks: Family;

  constructor(ledger: Ledger, build: { readonly version: string; readonly node: string }) {
    this.#endpointUp = ledger.gauge(
      'pointsman_endpoint_up',
      'Whether checks find the endpoint up: 1, or 0 when it is down or was not checked yet.',
      ['backend', 'endpoint'],
    );
    this.#endpointEjected = ledger.gauge(
      'pointsman_endpoint_ejected',
      '1 while the endpoint gets no requests because traffic failed on it.',
      ['backend', 'endpoint'],
    );
    this.#endpointDrained = ledger.gauge(
      'pointsman_endpoint_drained',
      '1 while the endpoint gets no new requests because the configuration says so.',
      ['backend', 'endpoint'],
    );
    this.#backendCircuit = ledger.gauge(
      'pointsman_backend_circuit',
      '1 for the state in which the backend is: degraded: some endpoints are down or ejected; panic: too few are left; open: none is available.',
      ['backend', 'state'],
    );
    this.#backendHealthyRatio = ledger.gauge(
      'pointsman_backend_healthy_ratio',
      'Healthy endpoints among those checked of the tier in use, from 0 to 1.',
      ['backend'],
    );
    this.#stateChanges = ledger.counter(
      'pointsman_state_changes_total',
      'Changes of state, each of them a line of the log: of health, ejection and drain of an endpoint, of the DNS of a name, of the circuit of a backend.',
      ['kind', 'backend', 'to'],
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
    this.#rejectedByRule = ledger.counter(
      'pointsman_config_rejected_total',
      'Configurations rejected, by the invariant that they break (never, maxShare, maxStep), or error for any other fault.',
      ['rule'],
    );
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

  /** @param rules kinds of invariants that it breaks; none when something else is wrong */
  configRejected(rules: readonly string[] = []): void {
    this.#reloadsRejected.value++;
    for (const rule of rules.length === 0 ? ['error'] : rules) this.#rejectedByRule.cell(rule).value++;
    this.#lastReloadSuccess.value = 0;
  }

  healthCheck(backend: string, ok: boolean): void {
    this.#healthChecks.cell(backend, ok ? 'ok' : 'failed').value++;
  }

  /** @param kind of the state that is `to` now; both are from short lists */
  stateChanged(kind: string, backend: string, to: string): void {
    this.#stateChanges.cell(kind, backend, to).value++;
  }

  /** Replaces what is exposed about upstreams; call before a scrape or at each change. */
  setBackends(backends: readonly BackendStatus[]): void {
    this.#endpointUp.clear();
    this.#endpointEjected.clear();
    this.#endpointDrained.clear();
    this.#backendEndpoints.clear();
    this.#backendCircuit.clear();
    this.#backendHealthyRatio.clear();
    this.#dnsState.clear();
    for (const backend of backends) {
      for (const health of HEALTH_STATES) {
        const having = backend.endpoints.filter((endpoint) => endpoint.health === health);
        this.#backendEndpoints.cell(backend.name, health).value = having.length;
      }
      for (const state of DNS_STATES) {
        this.#dnsState.cell(backend.name, state).value = backend.resolution.state === state ? 1 : 0;
      }
      for (const state of CIRCUIT_STATES) {
        this.#backendCircuit.cell(backend.name, state).value = backend.circuit.state === state ? 1 : 0;
      }
      this.#backendHealthyRatio.cell(backend.name).value = backend.healthyShare;
      for (const { address, port, health, ejected, drained } of backend.endpoints) {
        const label = endpointLabel(address, port);
        this.#endpointUp.cell(backend.name, label).value = health === 'up' ? 1 : 0;
        this.#endpointEjected.cell(backend.name, label).value = ejected ? 1 : 0;
        this.#endpointDrained.cell(backend.name, label).value = drained ? 1 : 0;
      }
    }
  }
}
