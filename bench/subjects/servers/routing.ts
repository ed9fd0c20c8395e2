/**
 * Routing for the comparators that have none: the bench's table by X-Traffic-Group, exact shares by counting or the
 * user's hash. As cheap as it can be, so that what is measured is the proxy library.
 */

import type { IncomingMessage } from 'node:http';
import { TABLE, type Track } from '../../workload.ts';

export interface ServerOptions {
  readonly port: number;
  readonly upstreamPorts: Readonly<Record<Track, number>>;
  readonly pinned: boolean;
  readonly plain: boolean;
}

export function readOptions(): ServerOptions {
  return JSON.parse(process.argv[2] ?? '{}') as ServerOptions;
}

/** Picks the target URL of a request. */
export function targetPicker(options: ServerOptions): (request: IncomingMessage) => string {
  const rows = new Map<string | undefined, (user: string | undefined) => string>();
  for (const row of TABLE) {
    const entries = Object.entries(row.split).map(
      ([track, weight]) => [`http://127.0.0.1:${options.upstreamPorts[track as Track]}`, weight] as const,
    );
    const slots = entries.flatMap(([url, weight]) => Array.from({ length: weight }, () => url));
    // 37 shares no factor with 100, so stepping by it spreads the lighter backend over the cycle.
    let position = 0;
    rows.set(row.group, (user) => {
      if (user !== undefined) return slots[hash(user) % slots.length]!;
      position = (position + 37) % slots.length;
      return slots[position]!;
    });
  }
  const last = rows.get(undefined)!;
  return (request) => {
    const group = request.headers['x-traffic-group'];
    const row = typeof group === 'string' ? (rows.get(group.toUpperCase()) ?? last) : last;
    const user = options.pinned ? request.headers['x-user-id'] : undefined;
    return row(typeof user === 'string' ? user : undefined);
  };
}

let requests = 0;

/** The fields that a library does not add by itself. */
export function addFields(request: IncomingMessage): void {
  requests += 1;
  request.headers['via'] = '1.1 bench';
  request.headers['x-request-id'] = `${process.pid}-${requests}`;
}

/** FNV-1a over UTF-16 units. */
function hash(text: string): number {
  let value = 0x811c9dc5;
  for (let i = 0; i < text.length; i += 1) value = Math.imul(value ^ text.charCodeAt(i), 0x01000193) >>> 0;
  return value;
}
