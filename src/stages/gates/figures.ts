/** The proxies' own figures, by their admin ports: no Prometheus needed. */

import { lookup } from 'node:dns/promises';
import { isIP } from 'node:net';
import type { ProxySample } from './judge.ts';
import type { Tally } from './statistics.ts';

/** What one proxy says of one stage. */
export interface ProxyView {
  readonly url: string;
  /** SHA-256 of the table in force. */
  readonly tableHash: string;
  readonly ready: boolean;
  /** Of the track's backend. */
  readonly endpoints: readonly { readonly endpoint: string; readonly health: string }[];
  readonly sample: ProxySample;
}

export type ProxyAnswer = ProxyView | { readonly url: string; readonly error: string };

export interface Question {
  /** Admin URLs, placeholders filled in. */
  readonly urls: readonly string[];
  readonly track: string;
  readonly main: string;
  /** Rows that share traffic between the two. */
  readonly routes: readonly string[];
}

const TIMEOUT = 5_000;
const MAX_BODY = 32 * 1024 ** 2;
export const MAX_PROXIES = 256;

/** Asks every proxy; one that cannot be asked is in the answers with its error. */
export async function askProxies(question: Question): Promise<ProxyAnswer[]> {
  const urls = (await Promise.all(question.urls.map(addressesOf))).flat().slice(0, MAX_PROXIES);
  return await Promise.all(
    urls.map(async (url): Promise<ProxyAnswer> => {
      try {
        const [status, metrics] = await Promise.all([read(`${url}/status`), read(`${url}/metrics`)]);
        return viewOf(url, JSON.parse(status) as StatusShape, metrics, question);
      } catch (error) {
        const cause = (error as { cause?: { code?: string } }).cause?.code;
        return { url, error: cause ?? (error as Error).message };
      }
    }),
  );
}

/** A name that stands for several proxies gives a URL for each. */
export async function addressesOf(text: string): Promise<string[]> {
  const url = new URL(text);
  const base = text.replace(/\/+$/, '');
  if (isIP(url.hostname.replace(/^\[|\]$/g, '')) !== 0 || url.protocol === 'https:') return [base];
  try {
    const found = await lookup(url.hostname, { all: true });
    return found
      .map(({ address, family }) => `http://${family === 6 ? `[${address}]` : address}:${url.port || '80'}`)
      .sort();
  } catch {
    return [base];
  }
}

export async function read(url: string): Promise<string> {
  const response = await fetch(url, { signal: AbortSignal.timeout(TIMEOUT), redirect: 'error' });
  if (!response.ok) {
    await response.body?.cancel();
    throw new Error(`answered ${response.status}`);
  }
  let text = '';
  const decoder = new TextDecoder();
  for await (const chunk of response.body ?? []) {
    text += decoder.decode(chunk as Uint8Array, { stream: true });
    if (text.length > MAX_BODY) throw new Error('answered with more than 32 MiB');
  }
  return text;
}

interface StatusShape {
  readonly startedAt: string;
  readonly ready: { readonly ok: boolean };
  readonly config: { readonly hash: string };
  readonly backends: readonly { name: string; endpoints: readonly { endpoint: string; health: string }[] }[];
}

function viewOf(url: string, status: StatusShape, metrics: string, question: Question): ProxyView {
  const backend = status.backends.find(({ name }) => name === question.track);
  const tallies = readTallies(metrics, question);
  return {
    url,
    tableHash: status.config.hash,
    ready: status.ready.ok,
    endpoints: (backend?.endpoints ?? []).map(({ endpoint, health }) => ({ endpoint, health })),
    sample: { startedAt: status.startedAt, ...tallies },
  };
}

const SERIES =
  /^(pointsman_(?:requests_total|request_duration_seconds_bucket|endpoint_requests_total|endpoint_errors_total))\{([^\n]*)\} (\S+)/gm;
const LABEL = /([a-z_]+)="((?:[^"\\]|\\.)*)"/g;

interface Side {
  requests: number;
  errors: number;
  attempts: number;
  failedAttempts: number;
  buckets: Map<number, number>;
}

/**
 * A canary's failure that was retried on production is answered well and yet the canary's: so attempts count, where
 * they tell worse than answers. Of production, which serves other rows too, attempts only raise the baseline.
 */
export function readTallies(
  metrics: string,
  { track, main, routes }: Pick<Question, 'track' | 'main' | 'routes'>,
): { canary: Tally; main: Tally } {
  const sides = new Map<string, Side>();
  const sideOf = (backend: string): Side => {
    let side = sides.get(backend);
    if (side === undefined) {
      side = { requests: 0, errors: 0, attempts: 0, failedAttempts: 0, buckets: new Map() };
      sides.set(backend, side);
    }
    return side;
  };
  for (const [, name, labelText, valueText] of metrics.matchAll(SERIES)) {
    const labels: Record<string, string> = {};
    for (const [, key, value] of labelText!.matchAll(LABEL)) labels[key!] = value!;
    const backend = labels['backend'] ?? '';
    if (backend !== track && backend !== main) continue;
    const value = Number(valueText);
    const side = sideOf(backend);
    if (name === 'pointsman_endpoint_requests_total') side.attempts += value;
    else if (name === 'pointsman_endpoint_errors_total') side.failedAttempts += value;
    else if (!routes.includes(labels['route'] ?? '')) continue;
    else if (name === 'pointsman_requests_total') {
      // Nobody knows how a request would have ended whose client left before.
      if (labels['code'] === 'none') continue;
      side.requests += value;
      if (labels['code'] === '5xx') side.errors += value;
    } else {
      const bound = labels['le'] === '+Inf' ? Number.POSITIVE_INFINITY : Number(labels['le']);
      side.buckets.set(bound, (side.buckets.get(bound) ?? 0) + value);
    }
  }
  return {
    canary: tallyOf(sideOf(track), 'attempts'),
    main: track === main ? tallyOf(emptySide(), 'answers') : tallyOf(sideOf(main), 'answers'),
  };
}

function emptySide(): Side {
  return { requests: 0, errors: 0, attempts: 0, failedAttempts: 0, buckets: new Map() };
}

function tallyOf(side: Side, by: 'attempts' | 'answers'): Tally {
  const sorted = [...side.buckets].sort(([a], [b]) => a - b);
  const histogram = {
    bounds: sorted.map(([bound]) => (Number.isFinite(bound) ? bound : Number.MAX_VALUE)),
    counts: sorted.map(([, count]) => count),
  };
  if (by === 'attempts') {
    return {
      requests: Math.max(side.requests, side.attempts),
      errors: Math.max(side.errors, side.failedAttempts),
      ...histogram,
    };
  }
  const hidden = side.attempts === 0 ? 0 : side.failedAttempts / side.attempts;
  return {
    requests: side.requests,
    errors: Math.max(side.errors, Math.round(hidden * side.requests)),
    ...histogram,
  };
}
