/**
 * The address of a Kubernetes Service, as its clients see it: every new connection goes to one of the endpoints, an open
 * one stays where it is. Endpoints come once their pod is ready and go late: the kubelet has to find a pod unready, the
 * API to learn of it, and kube-proxy on every node to be told.
 */

import { Agent, type AgentOptions } from 'node:http';
import { connect, type NetConnectOpts, type Socket } from 'node:net';
import type { PointsmanProcess } from './pointsman-process.ts';
import { pause } from './wait-for.ts';

export interface Lateness {
  /** Between two probes of readiness. */
  readonly periodMs: number;
  /** Probes that fail before a pod counts as unready. */
  readonly failures: number;
  /** From then until the last kube-proxy has heard of it. */
  readonly propagationMs: number;
}

export class ServiceAddress {
  readonly #lateness: Lateness;
  readonly #endpoints: PointsmanProcess[] = [];
  readonly #probing: Promise<void>[] = [];
  #next = 0;
  #closed = false;

  constructor(lateness: Lateness) {
    this.#lateness = lateness;
  }

  get endpoints(): readonly PointsmanProcess[] {
    return this.#endpoints;
  }

  /** Takes a proxy in once it is ready, and out, late, when it is not any more. */
  add(proxy: PointsmanProcess): void {
    this.#endpoints.push(proxy);
    this.#probing.push(this.#probe(proxy));
  }

  /** Connections for clients; those that are idle are used again. */
  agent(options: AgentOptions = {}): Agent {
    const agent = new Agent({ keepAlive: true, ...options });
    agent.createConnection = (wanted: NetConnectOpts): Socket => {
      const at = this.#endpoints[this.#next++ % this.#endpoints.length];
      if (at === undefined) throw new Error('the Service has no endpoints');
      return connect({ ...wanted, host: '127.0.0.1', port: at.trafficPort });
    };
    return agent;
  }

  async close(): Promise<void> {
    this.#closed = true;
    await Promise.all(this.#probing);
  }

  async #probe(proxy: PointsmanProcess): Promise<void> {
    const { periodMs, failures, propagationMs } = this.#lateness;
    for (let failed = 0; failed < failures && !this.#closed; ) {
      await pause(periodMs);
      const status = await proxy.readiness().catch(() => 0);
      failed = status === 200 ? 0 : failed + 1;
    }
    await pause(propagationMs);
    this.#endpoints.splice(this.#endpoints.indexOf(proxy), 1);
  }
}
