import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { type DebugFacts, DebugGate, debugFields } from '../../../src/debug-header/debug-fields.ts';

const NOTHING: DebugFacts = {
  route: undefined,
  backend: undefined,
  endpoint: undefined,
  bucket: undefined,
  pinned: undefined,
  retries: 0,
  spilledFrom: undefined,
  shieldedFrom: undefined,
  headMs: undefined,
  queueMs: undefined,
  connectMs: undefined,
  responseMs: undefined,
  totalMs: undefined,
};

describe('who may ask for the decision', () => {
  it('is who has the token, and trusted peers', () => {
    const gate = new DebugGate('a-token-of-these-tests');
    assert.equal(gate.allows('a-token-of-these-tests', false), true);
    assert.equal(gate.allows(' a-token-of-these-tests ', false), true);
    for (const wrong of ['', 'a-token-of-these-test', 'a-token-of-these-testsx', '1', 'x'.repeat(100_000)]) {
      assert.equal(gate.allows(wrong, false), false);
      assert.equal(gate.allows(wrong, true), true);
    }
  });

  it('is nobody else where there is no token', () => {
    for (const value of ['', 'undefined', 'true'])
      assert.equal(new DebugGate(undefined).allows(value, false), false);
  });
});

describe('what the response tells', () => {
  it('is route, backend, endpoint, bucket, who decided, retries, and times as Server-Timing', () => {
    assert.deepEqual(
      debugFields({
        ...NOTHING,
        ...{ route: 'free', backend: 'production', endpoint: '10.0.0.1:8080', bucket: 431, pinned: 'bucket' },
        ...{ retries: 1, spilledFrom: 'canary', shieldedFrom: 'canary' },
        ...{ headMs: 0, queueMs: 0.12345, connectMs: 0.8, responseMs: 12, totalMs: 13.2 },
      }),
      [
        ...['X-Pointsman-Route', 'free', 'X-Pointsman-Backend', 'production'],
        ...['X-Pointsman-Endpoint', '10.0.0.1:8080', 'X-Pointsman-Bucket', '431'],
        ...['X-Pointsman-Decided-By', 'bucket', 'X-Pointsman-Spilled-From', 'canary'],
        ...['X-Pointsman-Shielded-From', 'canary', 'X-Pointsman-Retries', '1'],
        ...['Server-Timing', 'head;dur=0, queue;dur=0.123, connect;dur=0.8, upstream;dur=12, total;dur=13.2'],
      ],
    );
  });

  it('leaves out what is not known, and times of phases that were not reached', () => {
    assert.deepEqual(debugFields({ ...NOTHING, route: 'rest', queueMs: -1 }), [
      ...['X-Pointsman-Route', 'rest', 'X-Pointsman-Decided-By', 'weights', 'X-Pointsman-Retries', '0'],
    ]);
  });
});
