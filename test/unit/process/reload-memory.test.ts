import assert from 'node:assert/strict';
import { test } from 'node:test';
import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import { configSchema } from '../../../src/config/schema.ts';
import { createLogger } from '../../../src/observe/log.ts';
import { Forwarding } from '../../../src/process/forwarding.ts';
import { endpointState } from '../../support/endpoint-state.ts';

setFlagsFromString('--expose-gc');
const collectGarbage = runInNewContext('gc') as () => void;

function configWith(weight: number) {
  return configSchema.parse({
    backends: { a: { url: 'http://127.0.0.1:9' }, b: { url: 'http://127.0.0.1:9' } },
    pins: { user: { by: [{ header: 'X-User-Id' }], store: 'memory' } },
    routes: [{ name: 'all', split: { a: weight, b: 95 }, pin: 'user' }],
  });
}

test('a reload leaves nothing of the table before behind', () => {
  const endpoints = ['a', 'b'].map((backend) => ({
    backend,
    endpoints: [endpointState({ address: '127.0.0.1', port: 9 })],
  }));
  const forwarding = new Forwarding({
    config: configWith(5),
    endpoints,
    worker: '0',
    ownsLog: false,
    log: createLogger({
      level: 'error',
      service: 'test',
      destination: { write: () => {}, flush: () => Promise.resolve(true), flushSync: () => {}, dropped: 0 },
    }),
    onEndpointFailure: () => {},
    onOutlier: () => {},
  });
  const reload = (times: number) => {
    for (let i = 0; i < times; i++) forwarding.applyConfig(configWith(i % 50), endpoints);
    collectGarbage();
    return process.memoryUsage().heapUsed;
  };
  const before = reload(500);
  const after = reload(3_000);
  forwarding.destroy();
  // A table is about 5 KB: had each stayed, it would be 15 MB.
  assert.ok(after - before < 2_000_000, `${after - before} bytes more after 3,000 reloads`);
});
