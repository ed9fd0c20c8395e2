/** Lists a kind page by page, so that neither side ever holds all of 20,000 pods as text. */

import type { Query } from './connection.ts';
import { ClusterFailure } from './failure.ts';
import { pathOf, type Resource } from './resources.ts';

/** What listing and watching need of a connection. */
export interface Reader {
  get(what: string, path: string, query: Query, signal: AbortSignal): Promise<{ readonly body: unknown }>;
}

export interface ListRequest {
  readonly resource: Resource;
  /** '' for all. */
  readonly namespace: string;
  readonly selector?: string | undefined;
}

/** As kubectl. */
const PAGE = 500;
/** 500,000 objects; a server that goes on and on is broken. */
const MAX_PAGES = 1_000;
/** How often a list may start again because its continue token expired. */
const RESTARTS = 3;

interface Page {
  readonly items?: unknown;
  readonly metadata?: { readonly continue?: unknown; readonly resourceVersion?: unknown } | null;
}

export function whatOf({ resource, namespace }: ListRequest, verb = 'list'): string {
  return `${verb} ${resource.plural}${namespace === '' ? ' in all namespaces' : ` in namespace "${namespace}"`}`;
}

/**
 * Calls `onItem` with every object, and `onRestart` when all seen so far must be forgotten: the token for the next page
 * had expired (410), as it does after five minutes.
 *
 * @returns the version to watch from
 * @throws ClusterFailure
 */
export async function listAll(
  reader: Reader,
  request: ListRequest,
  signal: AbortSignal,
  onItem: (item: unknown) => void,
  onRestart: () => void,
): Promise<string> {
  const what = whatOf(request);
  const path = pathOf(request.resource, request.namespace);
  for (let restart = 0; ; restart++) {
    try {
      return await pages(reader, request, what, path, signal, onItem);
    } catch (error) {
      if (!(error instanceof ClusterFailure) || !error.expired || restart >= RESTARTS) throw error;
      onRestart();
    }
  }
}

async function pages(
  reader: Reader,
  request: ListRequest,
  what: string,
  path: string,
  signal: AbortSignal,
  onItem: (item: unknown) => void,
): Promise<string> {
  let next = '';
  for (let page = 0; page < MAX_PAGES; page++) {
    const query: Record<string, string> = { limit: String(PAGE) };
    if (request.selector !== undefined) query['labelSelector'] = request.selector;
    if (next !== '') query['continue'] = next;
    const { body } = await reader.get(what, path, query, signal);
    const { items, metadata } = (typeof body === 'object' && body !== null ? body : {}) as Page;
    // Go's JSON of a list without items is null.
    if (items !== null && items !== undefined && !Array.isArray(items)) {
      throw new ClusterFailure(`cannot ${what}: the answer is no list`, 0, 'NotAList');
    }
    for (const item of (items as unknown[] | null | undefined) ?? []) onItem(item);
    next = typeof metadata?.continue === 'string' ? metadata.continue : '';
    if (next === '') return typeof metadata?.resourceVersion === 'string' ? metadata.resourceVersion : '';
  }
  throw new ClusterFailure(`cannot ${what}: it goes on after ${MAX_PAGES} pages`, 0, 'Endless');
}
