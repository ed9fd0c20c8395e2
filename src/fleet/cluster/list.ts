/** Lists a kind page by page. */

import type { Query } from './connection.ts';
import { ClusterFailure } from './failure.ts';
import { pathOf, type Resource } from './resources.ts';

/** What surveys need of a connection. */
export interface Reader {
  get(what: string, path: string, query: Query, signal: AbortSignal): Promise<unknown>;
  page<T>(
    what: string,
    path: string,
    query: Query,
    signal: AbortSignal,
    project: (item: unknown) => T,
  ): Promise<{ readonly body: unknown; readonly items: T[] }>;
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

export interface Listed<T> {
  readonly items: T[];
  /** To watch from. */
  readonly version: string;
}

export function whatOf({ resource, namespace }: ListRequest, verb = 'list'): string {
  return `${verb} ${resource.plural}${namespace === '' ? ' in all namespaces' : ` in namespace "${namespace}"`}`;
}

/**
 * Starts again when the token for the next page has expired (410), as it does after some minutes.
 *
 * @throws ClusterFailure
 */
export async function listAll<T>(
  reader: Reader,
  request: ListRequest,
  signal: AbortSignal,
  project: (item: unknown) => T,
): Promise<Listed<T>> {
  for (let restart = 0; ; restart++) {
    try {
      return await pages(reader, request, signal, project);
    } catch (error) {
      if (!(error instanceof ClusterFailure) || !error.expired || restart >= RESTARTS) throw error;
    }
  }
}

async function pages<T>(
  reader: Reader,
  request: ListRequest,
  signal: AbortSignal,
  project: (item: unknown) => T,
): Promise<Listed<T>> {
  const what = whatOf(request);
  const path = pathOf(request.resource, request.namespace);
  const all: T[] = [];
  let next = '';
  for (let page = 0; page < MAX_PAGES; page++) {
    const query: Record<string, string> = { limit: String(PAGE) };
    if (request.selector !== undefined) query['labelSelector'] = request.selector;
    if (next !== '') query['continue'] = next;
    const { body, items } = await reader.page(what, path, query, signal, project);
    for (const item of items) all.push(item);
    const { items: rest, metadata } = (typeof body === 'object' && body !== null ? body : {}) as Page;
    // Go's JSON of a list without items is null.
    if (rest !== null && rest !== undefined && !Array.isArray(rest)) {
      throw new ClusterFailure(`cannot ${what}: the answer is no list`, 0, 'NotAList');
    }
    next = typeof metadata?.continue === 'string' ? metadata.continue : '';
    if (next === '')
      return {
        items: all,
        version: typeof metadata?.resourceVersion === 'string' ? metadata.resourceVersion : '',
      };
  }
  throw new ClusterFailure(`cannot ${what}: it goes on after ${MAX_PAGES} pages`, 0, 'Endless');
}
