import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { TrustList } from '../../../src/forward/peer.ts';

describe('trusted peers', () => {
  it('are those within the ranges, of both families', () => {
    const trust = new TrustList(['10.0.0.0/8', '192.168.1.7', 'fd00::/8']);
    for (const address of ['10.255.0.1', '192.168.1.7', 'fd12::1']) assert.ok(trust.has(address), address);
    for (const address of ['11.0.0.1', '192.168.1.8', 'fe80::1', '']) assert.ok(!trust.has(address), address);
  });

  it('are nobody when the list is empty', () => {
    const trust = new TrustList([]);
    assert.ok(trust.empty);
    assert.ok(!trust.has('127.0.0.1'));
  });
});
