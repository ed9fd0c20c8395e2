/** The newest report of every cluster: our own and those that agents send. */

import type { FleetReport } from '../report.ts';

export interface ClusterState {
  readonly cluster: string;
  readonly report: FleetReport;
  /** When it arrived; epoch ms. */
  readonly receivedAt: number;
  /** Sent by an agent. */
  readonly remote: boolean;
  /** No report for longer than `silentMs`. */
  readonly silent: boolean;
}

export interface ClustersOptions {
  readonly now: () => number;
  readonly silentMs: number;
  readonly most: number;
}

interface Known {
  readonly report: FleetReport;
  readonly receivedAt: number;
  readonly remote: boolean;
}

export type Taken = 'taken' | 'older' | 'full' | 'ours';

export class Clusters {
  readonly #options: ClustersOptions;
  readonly #known = new Map<string, Known>();

  constructor(options: ClustersOptions) {
    this.#options = options;
  }

  setOwn(report: FleetReport): void {
    this.#known.set(report.cluster, { report, receivedAt: this.#options.now(), remote: false });
  }

  /** `older`: a buffered report that came after a newer one; it is fine, and changes nothing. */
  take(report: FleetReport): Taken {
    const known = this.#known.get(report.cluster);
    if (known !== undefined && !known.remote) return 'ours';
    if (known === undefined && this.#known.size >= this.#options.most) return 'full';
    const receivedAt = this.#options.now();
    if (known !== undefined && Date.parse(known.report.at) > Date.parse(report.at)) {
      this.#known.set(report.cluster, { ...known, receivedAt });
      return 'older';
    }
    this.#known.set(report.cluster, { report, receivedAt, remote: true });
    return 'taken';
  }

  states(): ClusterState[] {
    const now = this.#options.now();
    return [...this.#known]
      .map(([cluster, { report, receivedAt, remote }]) => ({
        cluster,
        report,
        receivedAt,
        remote,
        silent: now - receivedAt > this.#options.silentMs,
      }))
      .sort((a, b) => (a.cluster < b.cluster ? -1 : 1));
  }
}
