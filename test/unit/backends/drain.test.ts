import assert from 'node:assert/strict';
import { test } from 'node:test';
import { adminStateOf } from '../../../src/backends/drain.ts';

const SERVER = { weight: 1, drain: false };
const reasonOf = (...args: Parameters<typeof adminStateOf>) => {
  const { state, reason } = adminStateOf(...args);
  return state === 'drain' ? reason : undefined;
};

test('an endpoint is drained with its backend, its server, a weight of 0, or by name, and the reason says which', () => {
  assert.equal(reasonOf(false, SERVER, '10.0.0.1', 80), undefined);
  assert.equal(reasonOf([], SERVER, '10.0.0.1', 80), undefined);
  assert.equal(reasonOf(true, SERVER, '10.0.0.1', 80), 'the backend is drained');
  assert.equal(reasonOf(['10.0.0.1'], SERVER, '10.0.0.1', 80), 'listed in drain of the backend');
  assert.equal(reasonOf(false, { ...SERVER, drain: true }, '10.0.0.1', 80), 'its server is drained');
  assert.equal(reasonOf(false, { ...SERVER, weight: 0 }, '10.0.0.1', 80), 'its server has weight 0');
});

test('a list names endpoints by address, or by address and port, whatever the notation', () => {
  const isListed = (item: string, address: string, port = 80) =>
    reasonOf([item], SERVER, address, port) !== undefined;
  assert.equal(isListed('10.0.0.1:80', '10.0.0.1'), true);
  assert.equal(isListed('10.0.0.1:81', '10.0.0.1'), false);
  assert.equal(isListed('10.0.0.1', '10.0.0.11'), false);
  assert.equal(isListed('FD00:0:0::1', 'fd00::1'), true);
  assert.equal(isListed('[fd00:0::1]', 'fd00::1'), true);
  assert.equal(isListed('[fd00:0::1]:80', 'fd00::1'), true);
  assert.equal(isListed('[fd00:0::1]:81', 'fd00::1'), false);
  assert.equal(isListed('fd00::1', 'fd00::2'), false);
  assert.equal(isListed('fe80::1', 'fe80::1%eth0'), false);
});
