/**
 * The endpoints of all tracks, each a process at an address of its own, and what DNS says of them. They come and go as
 * pods do: killed and started again in place, replaced by one with a new address, or taken out of DNS and put back.
 */

import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import type { DnsServer, DnsZone } from '../../test/support/dns-server.ts';
import { type Launched, launch, waitFor } from '../launch.ts';
import { monotonic } from './clock.ts';
import type { EndpointKill } from './explain.ts';
import { ENDPOINTS, hostOf, TRACKS, type Track } from './tracks.ts';

const PROCESS = fileURLToPath(new URL('./upstream-process.ts', import.meta.url));

/** A clean end takes what is under way, and no longer. */
const END_MS = 10_000;

export interface EndpointOptions {
  readonly port: number;
  readonly dns: DnsServer;
  readonly folder: string;
  /** How long Pointsman may need to notice that an endpoint is there or gone; milliseconds. */
  readonly noticeMs: number;
  /** Between the parts of a slow response. */
  readonly dripMs: number;
}

interface Endpoint {
  readonly track: Track;
  readonly address: string;
  process: Launched;
  /** Since when it has been both alive and in DNS; infinity: it is not. */
  servingSince: number;
  inDns: boolean;
}

export class Endpoints {
  readonly #options: EndpointOptions;
  readonly #all: Endpoint[] = [];
  readonly #killed: Endpoint[] = [];
  readonly #issued = new Map<Track, number>();
  #published: Promise<void> = Promise.resolve();
  #turn = 0;

  constructor(options: EndpointOptions) {
    this.#options = options;
  }

  async start(): Promise<void> {
    const wanted = TRACKS.flatMap((track) => Array.from({ length: ENDPOINTS[track] }, () => track));
    this.#all.push(
      ...(await Promise.all(wanted.map((track) => this.#launch(track, this.#newAddress(track))))),
    );
    // There from the start on.
    for (const endpoint of this.#all) endpoint.servingSince = 0;
    await this.#publish();
  }

  /** SIGKILL in the midst of everything. @returns what went; undefined when none can be spared */
  async kill(): Promise<(EndpointKill & { readonly track: Track }) | undefined> {
    const victim = this.#spare(1);
    if (victim === undefined) return undefined;
    victim.servingSince = Number.POSITIVE_INFINITY;
    this.#killed.push(victim);
    const at = monotonic();
    victim.process.signal('SIGKILL');
    await victim.process.stop();
    return { endpoint: this.#label(victim), at, goneAt: monotonic(), track: victim.track };
  }

  /** What was killed comes back: at its address, as a container does, or at a new one, as a pod does. */
  async revive(elsewhere: boolean): Promise<string> {
    const endpoint = this.#killed.shift();
    if (endpoint === undefined) return 'nothing was killed';
    if (elsewhere) {
      this.#all.splice(this.#all.indexOf(endpoint), 1);
      const fresh = await this.#launch(endpoint.track, this.#newAddress(endpoint.track));
      this.#all.push(fresh);
      await this.#publish();
      fresh.servingSince = monotonic();
      return `${this.#label(fresh)} instead of ${this.#label(endpoint)}`;
    }
    endpoint.process = (await this.#launch(endpoint.track, endpoint.address)).process;
    endpoint.servingSince = monotonic();
    return this.#label(endpoint);
  }

  /** A pod of a rolling update: the new one comes first, then the old one leaves DNS, and ends when nobody uses it. */
  async replace(): Promise<string | undefined> {
    const leaving = this.#spare(1);
    if (leaving === undefined) return undefined;
    const fresh = await this.#launch(leaving.track, this.#newAddress(leaving.track));
    this.#all.push(fresh);
    await this.#publish();
    fresh.servingSince = monotonic();
    await sleep(this.#options.noticeMs);
    leaving.servingSince = Number.POSITIVE_INFINITY;
    leaving.inDns = false;
    await this.#publish();
    await sleep(this.#options.noticeMs);
    this.#all.splice(this.#all.indexOf(leaving), 1);
    await leaving.process.stop(END_MS);
    return `${this.#label(leaving)} → ${this.#label(fresh)}`;
  }

  /** One leaves DNS though it lives, and is in it again later. */
  async hide(): Promise<string | undefined> {
    const hidden = this.#spare(1);
    if (hidden === undefined) return undefined;
    hidden.servingSince = Number.POSITIVE_INFINITY;
    hidden.inDns = false;
    await this.#publish();
    await sleep(this.#options.noticeMs * 2);
    hidden.inDns = true;
    await this.#publish();
    hidden.servingSince = monotonic();
    return this.#label(hidden);
  }

  async stop(): Promise<void> {
    await Promise.all(this.#all.map(({ process }) => process.stop()));
  }

  /** One whose track has others, `left` of them at least, which Pointsman has had the time to notice. */
  #spare(left: number): Endpoint | undefined {
    const before = monotonic() - this.#options.noticeMs;
    const candidates = this.#all.filter((endpoint) => {
      if (endpoint.servingSince > before) return false;
      const others = this.#all.filter(
        (other) => other !== endpoint && other.track === endpoint.track && other.servingSince <= before,
      );
      return others.length >= left;
    });
    if (candidates.length === 0) return undefined;
    this.#turn += 1;
    return candidates[this.#turn % candidates.length];
  }

  /** One after the other: the server tells by one record whether it has the newest. */
  #publish(): Promise<void> {
    this.#published = this.#published.then(() => this.#options.dns.serve(this.#zone()));
    return this.#published;
  }

  #zone(): DnsZone {
    const zone: Record<string, string[]> = {};
    for (const track of TRACKS) {
      zone[hostOf(track)] = this.#all
        .filter((endpoint) => endpoint.track === track && endpoint.inDns)
        .map(({ address }) => address);
    }
    return { ...zone, [hostOf('extra')]: zone[hostOf('production')]! };
  }

  async #launch(track: Track, address: string): Promise<Endpoint> {
    const { port, folder, dripMs } = this.#options;
    const name = `${track}-${address}-${Math.round(monotonic())}`;
    const process = launch({
      name,
      command: globalThis.process.execPath,
      args: [PROCESS, JSON.stringify({ track, address, port, dripMs })],
      core: undefined,
      folder,
    });
    await waitFor(`endpoint ${name} to listen`, () => {
      process.assertAlive();
      return process.output().includes('ready') ? true : undefined;
    });
    return { track, address, process, servingSince: Number.POSITIVE_INFINITY, inDns: true };
  }

  /** Each track has a block of loopback addresses, of which none is used twice before all were. */
  #newAddress(track: Track): string {
    const issued = (this.#issued.get(track) ?? 0) + 1;
    this.#issued.set(track, issued);
    return `127.0.${20 + TRACKS.indexOf(track)}.${1 + (issued % 250)}`;
  }

  #label({ address }: Endpoint): string {
    return `${address}:${this.#options.port}`;
  }
}
