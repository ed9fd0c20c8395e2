/** The metrics of the data path. Cells are taken when a table is built or a thing first happens, never per request. */

import type { HistogramCell } from './histogram.ts';
import type { Cell, Family, Ledger } from './ledger.ts';
import { UnknownGroups } from './unknown-groups.ts';

/** Label of requests that never got a route or a backend. */
export const NO_LABEL = '-';

const METHODS = ['GET', 'HEAD', 'POST', 'PUT', 'DELETE', 'PATCH', 'OPTIONS', 'other'] as const;

/** `none`: the request ended without an answer, because the client had gone. */
const CODES = ['none', '1xx', '2xx', '3xx', '4xx', '5xx'] as const;

/** A thousand routes of two backends with the methods and status classes they usually see. */
const REQUEST_SERIES_LIMIT = 16_384;

/** Index into the method classes; clients may send any token, so all but the common ones share a label. */
function methodIndex(method: string): number {
  switch (method) {
    case 'GET':
      return 0;
    case 'HEAD':
      return 1;
    case 'POST':
      return 2;
    case 'PUT':
      return 3;
    case 'DELETE':
      return 4;
    case 'PATCH':
      return 5;
    case 'OPTIONS':
      return 6;
    default:
      return 7;
  }
}

function codeIndex(status: number): number {
  return status >= 100 && status <= 599 ? Math.floor(status / 100) : 0;
}

/** The cells of one route and backend. */
export class RowCells {
  readonly route: string;
  readonly backend: string;
  readonly #families: TrafficFamilies;
  /** By method class and status class; made on first use, so that combinations nobody saw are not exposed. */
  readonly #requests: (Cell | undefined)[] = new Array(METHODS.length * CODES.length).fill(undefined);
  #duration: HistogramCell | undefined;
  #response: HistogramCell | undefined;

  constructor(families: TrafficFamilies, route: string, backend: string) {
    this.#families = families;
    this.route = route;
    this.backend = backend;
  }

  /**
   * Counts one finished request. `status` 0: no answer was sent. `durationMs` is the whole request (Ta), `responseMs`
   * the time until the response head came (Tr); negative when it did not get that far.
   */
  record(method: string, status: number, durationMs: number, responseMs: number): void {
    const index = methodIndex(method) * CODES.length + codeIndex(status);
    const requests = this.#requests[index] ?? this.#requestCell(index);
    requests.value++;
    this.#duration ??= this.#families.duration.cell(this.route, this.backend);
    this.#duration.observe(durationMs);
    if (responseMs >= 0) {
      this.#response ??= this.#families.response.cell(this.route, this.backend);
      this.#response.observe(responseMs);
    }
  }

  #requestCell(index: number): Cell {
    const method = METHODS[Math.floor(index / CODES.length)]!;
    const cell = this.#families.requests.cell(this.route, this.backend, method, CODES[index % CODES.length]!);
    this.#requests[index] = cell;
    return cell;
  }
}

/** The cells of one backend. */
export class BackendCells {
  readonly backend: string;
  readonly inFlight: Cell;
  readonly connections: Cell;
  readonly connects: Cell;
  readonly tunnels: Cell;
  readonly redispatches: Cell;
  /** Requests that wait for a connection. */
  readonly queued: Cell;
  /** 1 while all endpoints are used, since too few are healthy. */
  readonly panic: Cell;
  readonly #families: TrafficFamilies;
  readonly #retries = new Map<string, Cell>();
  readonly #errors = new Map<string, Cell>();
  readonly #shielded = new Map<string, Cell>();
  readonly #retriesDenied = new Map<string, Cell>();

  constructor(families: TrafficFamilies, backend: string) {
    this.#families = families;
    this.backend = backend;
    this.inFlight = families.inFlight.cell(backend);
    this.connections = families.upstreamConnections.cell(backend);
    this.connects = families.upstreamConnects.cell(backend);
    this.tunnels = families.tunnels.cell(backend);
    this.redispatches = families.redispatches.cell(backend);
    this.queued = families.queued.cell(backend);
    this.panic = families.panic.cell(backend);
  }

  /** Attempts sent again, by the reason that the attempt before failed. */
  retries(reason: string): Cell {
    return memoised(this.#retries, reason, () => this.#families.retries.cell(this.backend, reason));
  }

  /** Requests that failed here and were sent to the main backend, by the reason that they failed. */
  shielded(reason: string): Cell {
    return memoised(this.#shielded, reason, () => this.#families.shielded.cell(this.backend, reason));
  }

  /** Attempts that could have been sent again, were the retry budget not used up. */
  retriesDenied(reason: string): Cell {
    return memoised(this.#retriesDenied, reason, () =>
      this.#families.retriesDenied.cell(this.backend, reason),
    );
  }

  /** Attempts that failed, retried or not. */
  errors(reason: string): Cell {
    return memoised(this.#errors, reason, () => this.#families.upstreamErrors.cell(this.backend, reason));
  }
}

/** The cells of one endpoint: requests sent to it, and those of them that failed or were answered with 5xx. */
export interface EndpointCells {
  readonly requests: Cell;
  readonly errors: Cell;
}

/** What still exists, for `TrafficMetrics.retain`. */
export interface LiveLabels {
  hasRoute(route: string): boolean;
  hasBackend(backend: string): boolean;
  hasEndpoint(backend: string, endpoint: string): boolean;
}

export class TrafficMetrics {
  readonly clientConnections: Cell;
  readonly clientConnectionsTotal: Cell;
  readonly clientAborts: Cell;
  /** Bytes of request bodies. */
  readonly bytesIn: Cell;
  /** Bytes of response bodies. */
  readonly bytesOut: Cell;
  /** Errors of Pointsman itself that ended a request, violated invariants among them. */
  readonly internalErrors: Cell;
  /** Bytes that requests under way keep in memory. */
  readonly bufferedBytes: Cell;
  readonly unknownGroups: UnknownGroups;
  readonly #ledger: Ledger;
  readonly #families: TrafficFamilies;
  readonly #rows = new Map<string, Map<string, RowCells>>();
  readonly #backends = new Map<string, BackendCells>();
  readonly #endpoints = new Map<string, Map<string, EndpointCells>>();
  readonly #failures = new Map<string, Cell>();

  constructor(ledger: Ledger) {
    this.#ledger = ledger;
    this.#families = declareFamilies(ledger);
    this.unknownGroups = new UnknownGroups(ledger);
    const { clientConnections, clientConnectionsTotal, clientAborts, bytes } = this.#families;
    this.clientConnections = clientConnections.cell();
    this.clientConnectionsTotal = clientConnectionsTotal.cell();
    this.clientAborts = clientAborts.cell();
    this.bytesIn = bytes.cell('in');
    this.bytesOut = bytes.cell('out');
    this.internalErrors = this.#families.internalErrors.cell();
    this.bufferedBytes = this.#families.bufferedBytes.cell();
  }

  /** Pass `NO_LABEL` for a request that got no route or no backend. */
  rowCells(route: string, backend: string): RowCells {
    const ofRoute = memoised(this.#rows, route, () => new Map<string, RowCells>());
    return memoised(ofRoute, backend, () => new RowCells(this.#families, route, backend));
  }

  backendCells(backend: string): BackendCells {
    return memoised(this.#backends, backend, () => new BackendCells(this.#families, backend));
  }

  /** `endpoint` as `endpointLabel()` writes it. */
  endpointCells(backend: string, endpoint: string): EndpointCells {
    const ofBackend = memoised(this.#endpoints, backend, () => new Map<string, EndpointCells>());
    return memoised(ofBackend, endpoint, () => ({
      requests: this.#families.endpointRequests.cell(backend, endpoint),
      errors: this.#families.endpointErrors.cell(backend, endpoint),
    }));
  }

  /** Answers that Pointsman made itself, by reason. */
  failures(reason: string): Cell {
    return memoised(this.#failures, reason, () => this.#families.failures.cell(reason));
  }

  /** 1 while requests are refused for this cause, else 0. */
  overloaded(cause: string): Cell {
    return this.#families.overloaded.cell(cause);
  }

  /** Requests refused because the process is overloaded. */
  shed(cause: string): Cell {
    return this.#families.shed.cell(cause);
  }

  /** Requests refused because they came too often, by the name of the rate. */
  rateLimited(rate: string): Cell {
    return this.#families.rateLimited.cell(rate);
  }

  /** Requests for which Redis did not say whether they come too often. */
  rateStoreFaults(rate: string): Cell {
    return this.#families.rateStoreFaults.cell(rate);
  }

  /** Requests that left the chosen backend because it had no healthy endpoint. Take the cell once: this looks it up. */
  spills(from: string, to: string): Cell {
    return this.#families.spills.cell(from, to);
  }

  /** 1 for the state that the circuit before Redis is in, else 0. */
  pinStoreState(state: string): Cell {
    return this.#families.pinStoreState.cell(state);
  }

  /** Lookups of pinned users; `result` such as `hash`, `stored`, `remembered`, `anonymous` or `unavailable`. */
  /** By pin and backend: written anew each time. */
  showPinsRemembered(counts: ReadonlyMap<string, ReadonlyMap<string, number>>): void {
    const family = this.#families.pinsRemembered;
    family.clear();
    for (const [pin, byBackend] of counts) {
      for (const [backend, users] of byBackend) family.cell(pin, backend).value = users;
    }
  }

  pins(pin: string, result: string): Cell {
    return this.#families.pins.cell(pin, result);
  }

  /**
   * Called with each new table or endpoint list. Forgets the series of what is gone once a family is nearly full, and
   * drops the memoised cells of what is gone always. Take cells of live things anew afterwards: when `true` is returned
   * cells held from before may no longer be exposed.
   */
  retain(live: LiveLabels): boolean {
    const forgotten = this.#ledger.retain((labels) => isLive(labels, live));
    for (const [route, backends] of this.#rows) {
      for (const backend of backends.keys()) if (!isLive({ route, backend }, live)) backends.delete(backend);
      if (backends.size === 0) this.#rows.delete(route);
    }
    for (const backend of this.#backends.keys()) {
      if (!isLive({ backend }, live)) this.#backends.delete(backend);
    }
    for (const [backend, endpoints] of this.#endpoints) {
      for (const endpoint of endpoints.keys()) {
        if (!isLive({ backend, endpoint }, live)) endpoints.delete(endpoint);
      }
      if (endpoints.size === 0) this.#endpoints.delete(backend);
    }
    return forgotten > 0;
  }
}

type TrafficFamilies = ReturnType<typeof declareFamilies>;

function declareFamilies(ledger: Ledger) {
  const requests: Family = ledger.counter(
    'pointsman_requests_total',
    'Requests finished, by route, backend, method and class of the status sent (none: the client left before).',
    ['route', 'backend', 'method', 'code'],
    { limit: REQUEST_SERIES_LIMIT },
  );
  return {
    requests,
    duration: ledger.histogram(
      'pointsman_request_duration_seconds',
      'From the first byte of a request to the last of its response.',
      ['route', 'backend'],
    ),
    response: ledger.histogram(
      'pointsman_upstream_response_seconds',
      'From the request being sent to the head of the response of the upstream.',
      ['route', 'backend'],
    ),
    inFlight: ledger.gauge('pointsman_requests_in_flight', 'Requests being forwarded now.', ['backend']),
    retries: ledger.counter(
      'pointsman_retries_total',
      'Attempts sent again, by the reason that the one before failed.',
      ['backend', 'reason'],
    ),
    retriesDenied: ledger.counter(
      'pointsman_retries_denied_total',
      'Attempts not sent again because the retry budget was used up, by the reason that they failed.',
      ['backend', 'reason'],
    ),
    shielded: ledger.counter(
      'pointsman_shielded_total',
      'Requests that failed on a canary and were sent to the main backend, by the canary and the reason.',
      ['backend', 'reason'],
    ),
    queued: ledger.gauge('pointsman_requests_queued', 'Requests that wait for a connection now.', [
      'backend',
    ]),
    panic: ledger.gauge(
      'pointsman_backend_panic',
      'Workers that use all endpoints of the backend, healthy or not, since too few are healthy.',
      ['backend'],
    ),
    upstreamErrors: ledger.counter(
      'pointsman_upstream_errors_total',
      'Attempts that failed, whether they were retried or not.',
      ['backend', 'reason'],
    ),
    failures: ledger.counter('pointsman_failures_total', 'Answers that Pointsman made itself, by reason.', [
      'reason',
    ]),
    redispatches: ledger.counter('pointsman_redispatches_total', 'Retries that went to another endpoint.', [
      'backend',
    ]),
    spills: ledger.counter(
      'pointsman_spills_total',
      'Requests that went to another backend of their split because the chosen one had no healthy endpoint.',
      ['from', 'to'],
    ),
    clientConnections: ledger.gauge('pointsman_client_connections', 'Client connections open now.'),
    clientConnectionsTotal: ledger.counter(
      'pointsman_client_connections_total',
      'Client connections accepted.',
    ),
    upstreamConnections: ledger.gauge(
      'pointsman_upstream_connections',
      'Connections to upstreams open now.',
      ['backend'],
    ),
    upstreamConnects: ledger.counter(
      'pointsman_upstream_connects_total',
      'Connections to upstreams that were opened.',
      ['backend'],
    ),
    tunnels: ledger.gauge('pointsman_tunnels', 'WebSockets and other upgraded connections open now.', [
      'backend',
    ]),
    clientAborts: ledger.counter(
      'pointsman_client_aborts_total',
      'Requests that the client left before they were answered in full.',
    ),
    bufferedBytes: ledger.gauge(
      'pointsman_buffered_bytes',
      'Bytes that requests under way keep in memory: bodies kept for retries, and what waits for slow readers.',
    ),
    overloaded: ledger.gauge(
      'pointsman_overloaded',
      'Workers that refuse requests now, by cause: in_flight, event_loop or buffered_bytes.',
      ['cause'],
    ),
    shed: ledger.counter('pointsman_shed_total', 'Requests answered 503 for overload, by cause.', ['cause']),
    rateLimited: ledger.counter(
      'pointsman_rate_limited_total',
      'Requests answered 429, by the name of the rate (limits.rates).',
      ['rate'],
    ),
    rateStoreFaults: ledger.counter(
      'pointsman_rate_store_faults_total',
      'Requests that a shared rate judged by the buckets of the worker alone, since Redis did not answer.',
      ['rate'],
    ),
    pins: ledger.counter('pointsman_pins_total', 'Lookups of pinned users, by pin and result.', [
      'pin',
      'result',
    ]),
    pinsRemembered: ledger.gauge(
      'pointsman_pins_remembered',
      'Users whom pins with store: memory remember, by backend.',
      ['pin', 'backend'],
    ),
    pinStoreState: ledger.gauge(
      'pointsman_pin_store_state',
      'Workers by the state of their circuit before Redis: closed (Redis is asked), open, half-open (it is tried).',
      ['state'],
    ),
    internalErrors: ledger.counter(
      'pointsman_internal_errors_total',
      'Errors of Pointsman itself that ended a request, violated invariants among them.',
      [],
    ),
    bytes: ledger.counter(
      'pointsman_bytes_total',
      'Bytes of bodies and of tunnels: in from clients, out to clients.',
      ['direction'],
    ),
    endpointRequests: ledger.counter('pointsman_endpoint_requests_total', 'Requests sent, by endpoint.', [
      'backend',
      'endpoint',
    ]),
    endpointErrors: ledger.counter(
      'pointsman_endpoint_errors_total',
      'Requests that failed or were answered with 5xx, by endpoint.',
      ['backend', 'endpoint'],
    ),
  };
}

/** Only labels that name configured things can go stale; `-` and `other` always stay. */
function isLive(labels: Readonly<Record<string, string>>, live: LiveLabels): boolean {
  const { route, backend, endpoint, from, to } = labels;
  if (route !== undefined && route !== NO_LABEL && !live.hasRoute(route)) return false;
  for (const name of [backend, from, to]) {
    if (name !== undefined && name !== NO_LABEL && !live.hasBackend(name)) return false;
  }
  return backend === undefined || endpoint === undefined || live.hasEndpoint(backend, endpoint);
}

function memoised<K, V>(map: Map<K, V>, key: K, create: () => V): V {
  let value = map.get(key);
  if (value === undefined) {
    value = create();
    map.set(key, value);
  }
  return value;
}
