/** Whether a proxy holds what it held before: descriptors and handles of all its processes, and what it counts. */

import { parseExposition } from '../../support/exposition.ts';
import type { PointsmanProcess } from '../../support/pointsman-process.ts';
import { openDescriptors, ProcessCensus } from '../../support/process-census.ts';
import { waitFor } from '../../support/wait-for.ts';
import type { FaultyUpstream } from './faulty-upstream.ts';

/** What is under way or open: nothing, when nobody is there. */
const GAUGES = [
  'pointsman_requests_in_flight',
  'pointsman_requests_queued',
  'pointsman_client_connections',
  'pointsman_upstream_connections',
  'pointsman_tunnels',
  'pointsman_buffered_bytes',
] as const;

/** Some things end a moment after the last client has gone. */
const SETTLE_MS = 10_000;

type Counts = Readonly<Record<string, number>>;

export class Census {
  readonly #proxy: PointsmanProcess;
  readonly #upstream: FaultyUpstream;
  readonly #processes: ProcessCensus;
  readonly #pids: readonly number[];
  #before: readonly Counts[] = [];

  private constructor(
    proxy: PointsmanProcess,
    upstream: FaultyUpstream,
    processes: ProcessCensus,
    pids: readonly number[],
  ) {
    this.#proxy = proxy;
    this.#upstream = upstream;
    this.#processes = processes;
    this.#pids = pids;
  }

  /**
   * What it holds now is what it may hold later.
   *
   * @param folder that the proxy was started with, for its processes to write to
   */
  static async take(
    proxy: PointsmanProcess,
    upstream: FaultyUpstream,
    folder: string,
    pids: readonly number[],
  ): Promise<Census> {
    const census = new Census(proxy, upstream, new ProcessCensus(folder), pids);
    await census.#settle();
    census.#before = await census.#holdings();
    return census;
  }

  /** Waits until all is as it was. @returns what is not */
  async problems(): Promise<string[]> {
    let problems: string[] = [];
    await waitFor(
      'what is held to be what was held before',
      async () => {
        problems = await this.#gaugeProblems();
        if (problems.length > 0) return false;
        await this.#settle();
        problems = differences(this.#before, await this.#holdings());
        return problems.length === 0;
      },
      SETTLE_MS,
    ).catch((error: Error) => problems.push(error.message));
    return problems;
  }

  /** Bytes of all processes together, after a garbage collection. */
  async memory(): Promise<{ readonly heapUsed: number; readonly external: number; readonly rss: number }> {
    const sum = { heapUsed: 0, external: 0, rss: 0 };
    for (const pid of this.#pids) {
      const held = await this.#processes.held(pid);
      sum.heapUsed += held.heapUsed;
      sum.external += held.external;
      sum.rss += held.rss;
    }
    return sum;
  }

  async #gaugeProblems(): Promise<string[]> {
    const families = parseExposition(await this.#proxy.metrics());
    const problems = GAUGES.flatMap((name) =>
      (families.get(name)?.samples ?? [])
        .filter(({ value }) => value !== 0 && name !== 'pointsman_upstream_connections')
        .map(({ value, labels }) => `${name}${JSON.stringify(labels)} is ${value}`),
    );
    const half = this.#upstream.halfClosed;
    if (half > 0) problems.push(`${half} connections are held that the upstream has closed`);
    return problems;
  }

  /** Lets go of connections that lie idle between proxy and upstream. */
  async #settle(): Promise<void> {
    this.#upstream.closeIdle();
    await waitFor('idle connections to be let go', async () => {
      const families = parseExposition(await this.#proxy.metrics());
      const samples = families.get('pointsman_upstream_connections')?.samples ?? [];
      return samples.every(({ value }) => value === 0);
    });
  }

  /** By process. */
  async #holdings(): Promise<Counts[]> {
    const { adminPort } = this.#proxy;
    return await Promise.all(
      this.#pids.map(async (pid) => {
        const { resources } = await this.#processes.held(pid);
        const { others, tcp } = openDescriptors(pid);
        const counts: Record<string, number> = {};
        for (const [kind, count] of Object.entries(others)) counts[`descriptor ${kind}`] = count;
        for (const [kind, count] of Object.entries(resources)) counts[`handle ${kind}`] = count;
        // Standard streams become handles when something first looks at them; other pipes are descriptors, too.
        delete counts['handle PipeWrap'];
        // Who asks the admin port keeps his connections.
        const admin = tcp.filter((one) => one.localPort === adminPort && one.remotePort !== 0).length;
        counts['descriptor tcp'] = tcp.length - admin;
        counts['handle TCPSocketWrap'] = (resources['TCPSocketWrap'] ?? 0) - admin;
        return counts;
      }),
    );
  }
}

function differences(before: readonly Counts[], now: readonly Counts[]): string[] {
  return before.flatMap((counts, i) => {
    const kinds = new Set([...Object.keys(counts), ...Object.keys(now[i]!)]);
    return [...kinds]
      .filter((kind) => (now[i]![kind] ?? 0) > (counts[kind] ?? 0))
      .map((kind) => `process ${i} holds ${now[i]![kind] ?? 0} of ${kind}, and not ${counts[kind] ?? 0}`);
  });
}
