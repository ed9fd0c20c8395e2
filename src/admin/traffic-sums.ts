/** The counters of the data path, added up per route, backend and endpoint in one pass. */

import { BUCKETS, percentile } from '../observe/histogram.ts';
import { familyOf, isHistogram, type LedgerTotals, seriesKey } from '../observe/totals.ts';

/** Milliseconds, two decimals; null when there was no request. */
export interface Latency {
  readonly p50: number | null;
  readonly p90: number | null;
  readonly p99: number | null;
}

export class RequestSums {
  requests = 0;
  /** Answered with 5xx. */
  errors = 0;
  readonly #counts = new Float64Array(BUCKETS);

  addRequests(code: string, count: number): void {
    this.requests += count;
    if (code === '5xx') this.errors += count;
  }

  addDurations(counts: readonly number[]): void {
    for (const [i, count] of counts.entries()) this.#counts[i]! += count;
  }

  latency(): Latency {
    const at = (q: number) => {
      const ms = percentile(this.#counts, q);
      return ms === undefined ? null : Math.round(ms * 100) / 100;
    };
    return { p50: at(0.5), p90: at(0.9), p99: at(0.99) };
  }
}

interface RouteSums {
  readonly total: RequestSums;
  readonly byBackend: Map<string, number>;
  /** By backend. */
  readonly rows: Map<string, RequestSums>;
}

interface EndpointSums {
  requests: number;
  errors: number;
}

export class TrafficSums {
  /** Answers of Pointsman's own, by reason. */
  readonly failures: Readonly<Record<string, number>>;
  /** Requests whose group no row names, by value; the rarest together as `other`. */
  readonly unknownGroups: Readonly<Record<string, number>>;
  readonly clientConnections: number;
  readonly tunnels: number;
  readonly #pins = new Map<string, Record<string, number>>();
  readonly #remembered = new Map<string, Record<string, number>>();
  readonly #routes = new Map<string, RouteSums>();
  readonly #backends = new Map<string, RequestSums>();
  readonly #inFlight = new Map<string, number>();
  readonly #endpoints = new Map<string, EndpointSums>();

  constructor(totals: LedgerTotals) {
    for (const { labels, value } of valuesOf(totals, 'pointsman_requests_total')) {
      const [route = '', backend = '', , code = ''] = labels;
      const ofRoute = this.#routeSums(route);
      ofRoute.total.addRequests(code, value);
      ofRoute.byBackend.set(backend, (ofRoute.byBackend.get(backend) ?? 0) + value);
      rowOf(ofRoute, backend).addRequests(code, value);
      this.#backendSums(backend).addRequests(code, value);
    }
    for (const series of familyOf(totals, 'pointsman_request_duration_seconds')?.series ?? []) {
      if (!isHistogram(series)) continue;
      const [route = '', backend = ''] = series.labels;
      const ofRoute = this.#routeSums(route);
      ofRoute.total.addDurations(series.counts);
      rowOf(ofRoute, backend).addDurations(series.counts);
      this.#backendSums(backend).addDurations(series.counts);
    }
    for (const { labels, value } of valuesOf(totals, 'pointsman_requests_in_flight')) {
      this.#inFlight.set(labels[0]!, value);
    }
    for (const { labels, value } of valuesOf(totals, 'pointsman_endpoint_requests_total')) {
      this.#endpointSums(labels).requests = value;
    }
    for (const { labels, value } of valuesOf(totals, 'pointsman_endpoint_errors_total')) {
      this.#endpointSums(labels).errors = value;
    }
    for (const { labels, value } of valuesOf(totals, 'pointsman_pins_total')) {
      const [pin = '', result = ''] = labels;
      const results = this.#pins.get(pin) ?? {};
      results[result] = value;
      this.#pins.set(pin, results);
    }
    for (const { labels, value } of valuesOf(totals, 'pointsman_pins_remembered')) {
      const [pin = '', backend = ''] = labels;
      const byBackend = this.#remembered.get(pin) ?? {};
      byBackend[backend] = value;
      this.#remembered.set(pin, byBackend);
    }
    this.failures = Object.fromEntries(
      valuesOf(totals, 'pointsman_failures_total').map(({ labels, value }) => [labels[0]!, value]),
    );
    this.unknownGroups = Object.fromEntries(
      valuesOf(totals, 'pointsman_unknown_group_total')
        .sort((a, b) => b.value - a.value)
        .map(({ labels, value }) => [labels[0]!, value]),
    );
    this.clientConnections = sumOf(totals, 'pointsman_client_connections');
    this.tunnels = sumOf(totals, 'pointsman_tunnels');
  }

  route(name: string): RouteSums {
    return this.#routes.get(name) ?? newRoute();
  }

  /** One backend of a route. */
  row(route: string, backend: string): RequestSums {
    return this.#routes.get(route)?.rows.get(backend) ?? new RequestSums();
  }

  backend(name: string): RequestSums {
    return this.#backends.get(name) ?? new RequestSums();
  }

  /** By result. */
  pinLookups(pin: string): Readonly<Record<string, number>> {
    return { ...this.#pins.get(pin) };
  }

  /** By backend: users whom the memory of this replica's processes holds. */
  pinsRemembered(pin: string): Readonly<Record<string, number>> {
    return { ...this.#remembered.get(pin) };
  }

  inFlight(backend: string): number {
    return this.#inFlight.get(backend) ?? 0;
  }

  endpoint(backend: string, endpoint: string): Readonly<EndpointSums> {
    return this.#endpoints.get(seriesKey([backend, endpoint])) ?? { requests: 0, errors: 0 };
  }

  #routeSums(name: string): RouteSums {
    let sums = this.#routes.get(name);
    if (sums === undefined) {
      sums = newRoute();
      this.#routes.set(name, sums);
    }
    return sums;
  }

  #backendSums(name: string): RequestSums {
    let sums = this.#backends.get(name);
    if (sums === undefined) {
      sums = new RequestSums();
      this.#backends.set(name, sums);
    }
    return sums;
  }

  #endpointSums(labels: readonly string[]): EndpointSums {
    const key = seriesKey(labels);
    let sums = this.#endpoints.get(key);
    if (sums === undefined) {
      sums = { requests: 0, errors: 0 };
      this.#endpoints.set(key, sums);
    }
    return sums;
  }
}

function newRoute(): RouteSums {
  return { total: new RequestSums(), byBackend: new Map(), rows: new Map() };
}

function rowOf({ rows }: RouteSums, backend: string): RequestSums {
  let sums = rows.get(backend);
  if (sums === undefined) {
    sums = new RequestSums();
    rows.set(backend, sums);
  }
  return sums;
}

function valuesOf(totals: LedgerTotals, name: string): { labels: readonly string[]; value: number }[] {
  const list: { labels: readonly string[]; value: number }[] = [];
  for (const series of familyOf(totals, name)?.series ?? []) if (!isHistogram(series)) list.push(series);
  return list;
}

function sumOf(totals: LedgerTotals, name: string): number {
  return valuesOf(totals, name).reduce((sum, { value }) => sum + value, 0);
}
