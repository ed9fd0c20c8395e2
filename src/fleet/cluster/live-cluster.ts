/**
 * A survey that keeps itself up to date: five kinds by list and watch, ConfigMaps and live tables, which cannot be
 * watched with the rights this has, every `refreshMs`.
 */

import { askProxies, proxyTargets } from '../ask-proxies.ts';
import type { ConfigMapFacts, Gap, ProxyFacts, Survey } from '../facts.ts';
import { buildFleet } from '../model.ts';
import { pause } from './connection.ts';
import { Interner } from './project.ts';
import { Reflector, type WatchingReader } from './reflector.ts';
import { WATCHED, type WatchedKind } from './resources.ts';
import {
  configMapNames,
  type Facts,
  getConfigMaps,
  type Lists,
  PROJECTIONS,
  type SurveyOptions,
  selectorFor,
  surveyOf,
} from './survey.ts';

export interface LiveClusterOptions extends Omit<SurveyOptions, 'now'> {
  readonly now: () => number;
  /** Between two looks at ConfigMaps and proxies. */
  readonly refreshMs: number;
  /** Changes of this long are one. */
  readonly settleMs: number;
  readonly onSurvey: (survey: Survey) => void;
}

interface Watched {
  readonly kind: WatchedKind;
  readonly namespace: string;
  readonly reflector: Reflector<Facts<WatchedKind>>;
}

export class LiveCluster {
  readonly #options: LiveClusterOptions;
  readonly #reader: WatchingReader;
  readonly #watched: readonly Watched[];
  #configMaps: readonly ConfigMapFacts[] = [];
  #proxies: readonly ProxyFacts[] = [];
  #gaps: readonly Gap[] = [];
  #timer: NodeJS.Timeout | undefined;
  #complete = false;
  readonly ended: Promise<void>;

  constructor(reader: WatchingReader, options: LiveClusterOptions) {
    this.#options = options;
    this.#reader = reader;
    const interner = new Interner();
    const scopes = options.namespaces.length === 0 ? [''] : options.namespaces;
    this.#watched = scopes.flatMap((namespace) =>
      (Object.keys(WATCHED) as WatchedKind[]).map((kind): Watched => {
        const reflector = new Reflector<Facts<WatchedKind>>({
          reader,
          request: { resource: WATCHED[kind], namespace, selector: selectorFor(kind, options.settings) },
          project: (object) => PROJECTIONS[kind](object, interner),
          onChange: () => this.#changed(),
          signal: options.signal,
        });
        return { kind, namespace, reflector };
      }),
    );
    this.ended = this.#run();
  }

  async #run(): Promise<void> {
    const { signal, refreshMs } = this.#options;
    await Promise.all(this.#watched.map(({ reflector }) => reflector.ready));
    while (!signal.aborted) {
      await this.#refresh();
      this.#complete = true;
      if (signal.aborted) break;
      this.#tell();
      await pause(refreshMs, signal);
    }
    clearTimeout(this.#timer);
    await Promise.all(this.#watched.map(({ reflector }) => reflector.ended));
  }

  async #refresh(): Promise<void> {
    const { settings, signal, proxies } = this.#options;
    const fleet = buildFleet(this.#survey(), settings);
    const [maps, live] = await Promise.all([
      getConfigMaps(this.#reader, configMapNames(fleet), signal),
      proxies === 'direct' ? askProxies(proxyTargets(fleet, settings), settings.proxy, signal) : [],
    ]);
    // An object that did not change stays the same one, so that its table is not parsed again.
    const known = new Map(this.#configMaps.map((map) => [`${map.namespace}/${map.name}`, map]));
    this.#configMaps = maps.found.map((map) => {
      const before = known.get(`${map.namespace}/${map.name}`);
      return before !== undefined && JSON.stringify(before) === JSON.stringify(map) ? before : map;
    });
    this.#proxies = live;
    this.#gaps = maps.gaps;
  }

  #survey(): Survey {
    const lists: Lists = { Service: [], EndpointSlice: [], Deployment: [], ReplicaSet: [], Pod: [] };
    const gaps: Gap[] = [...this.#gaps];
    for (const { kind, namespace, reflector } of this.#watched) {
      for (const facts of reflector.objects) (lists[kind] as unknown[]).push(facts);
      if (reflector.failure !== undefined) gaps.push({ kind, namespace, message: reflector.failure.message });
    }
    return surveyOf(lists, gaps, this.#configMaps, this.#proxies, this.#options);
  }

  #changed(): void {
    if (!this.#complete || this.#timer !== undefined) return;
    this.#timer = setTimeout(() => {
      this.#timer = undefined;
      if (!this.#options.signal.aborted) this.#tell();
    }, this.#options.settleMs);
  }

  #tell(): void {
    this.#options.onSurvey(this.#survey());
  }
}
