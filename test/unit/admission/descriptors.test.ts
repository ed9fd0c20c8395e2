/** Whatever the limit of open files is, something is left for probes, and something for traffic. */

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { descriptorShares, openFilesLimit } from '../../../src/admission/descriptors.ts';

test('clients leave room for upstreams, and traffic for the admin port, at every limit', () => {
  for (let limit = 0; limit < 5_000; limit++) {
    const { sockets, clients } = descriptorShares(limit);
    assert.ok(clients >= 12 && clients < sockets, `${clients} of ${sockets} at ${limit}`);
    if (limit >= 80) assert.ok(limit - sockets >= 64, `${limit - sockets} are left at ${limit}`);
  }
});

test('a high limit goes to traffic', () => {
  assert.deepEqual(descriptorShares(1024), { sockets: 768, clients: 576 });
  assert.deepEqual(descriptorShares(1_048_576), { sockets: 1_048_256, clients: 786_192 });
  assert.deepEqual(descriptorShares(Number.POSITIVE_INFINITY), {
    sockets: Number.POSITIVE_INFINITY,
    clients: Number.POSITIVE_INFINITY,
  });
});

test('the limit of this process is known', () => {
  const limit = openFilesLimit();
  assert.ok(process.platform === 'linux' ? Number.isInteger(limit) && limit > 100 : limit > 100);
});
