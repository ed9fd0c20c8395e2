/** What the status document is told of a process on which nothing has happened yet. */

import type { ProcessFacts } from '../../src/admin/status.ts';

export const QUIET_PROCESS: ProcessFacts = {
  version: '1',
  node: 'v26',
  startedAt: 0,
  now: 0,
  ready: { ok: true, reasons: [] },
  config: {
    file: 'f',
    hash: 'abc',
    loadedAt: 0,
    reloads: { ok: 0, rejected: 0 },
    lastReload: undefined,
    lastError: undefined,
    restartNeeded: [],
  },
  workers: [],
};
