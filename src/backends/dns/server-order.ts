/** In which order the servers of a list are asked. */

import type { NameServer } from '../resolv-conf.ts';

/** How long a server that did not answer comes after those that may, so that it does not slow every question down. */
const AVOIDED_MS = 30_000;

export class ServerOrder {
  readonly #avoidedUntil = new Map<string, number>();
  #turn = 0;

  /**
   * As listed, or with `rotate` each time from the next one on; behind the others those that did not answer lately.
   * @param now by the monotonic clock
   */
  of(servers: readonly NameServer[], rotate: boolean, now: number): NameServer[] {
    const first = rotate ? this.#turn++ % Math.max(1, servers.length) : 0;
    const listed = [...servers.slice(first), ...servers.slice(0, first)];
    const isAvoided = (server: NameServer) => (this.#avoidedUntil.get(keyOf(server)) ?? 0) > now;
    return [...listed.filter((server) => !isAvoided(server)), ...listed.filter(isAvoided)];
  }

  answered(server: NameServer): void {
    this.#avoidedUntil.delete(keyOf(server));
  }

  failed(server: NameServer, now: number): void {
    this.#avoidedUntil.set(keyOf(server), now + AVOIDED_MS);
  }
}

function keyOf({ address, port, scope }: NameServer): string {
  return `${address} ${port} ${scope ?? ''}`;
}
