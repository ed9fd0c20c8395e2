import { type ConfigInput, configSchema } from '../../../src/config/schema.ts';
import type { RequestFacts } from '../../../src/routing/match.ts';
import { compileTable, type RoutingTable } from '../../../src/routing/table.ts';

/** The table of the design, with whatever a test wants else. */
export function designTable(extra: Partial<ConfigInput> = {}): RoutingTable {
  return compileTable(
    configSchema.parse({
      service: 'account-service',
      backends: {
        internal: { url: 'http://127.0.0.1:1' },
        canary: { url: 'http://127.0.0.1:2' },
        paid: { url: 'http://127.0.0.1:3' },
        production: { url: 'http://127.0.0.1:4' },
      },
      pins: { user: { by: [{ header: 'X-User-Id' }, { cookie: 'uid' }] } },
      routes: [
        { name: 'internal', match: { group: 'INTERNAL' }, split: { internal: 100 } },
        { name: 'free', match: { group: 'FREE' }, split: { canary: 5, production: 95 }, pin: 'user' },
        { name: 'enterprise', match: { group: 'ENTERPRISE' }, split: { production: 100 } },
        { name: 'paid', split: { paid: 5, production: 95 }, pin: 'user' },
      ],
      ...extra,
    }),
  );
}

export function facts(some: Partial<RequestFacts> = {}): RequestFacts {
  return {
    method: 'GET',
    path: '/',
    host: '',
    group: '',
    groups: undefined,
    rawHeaders: [],
    client: '',
    ...some,
  };
}
