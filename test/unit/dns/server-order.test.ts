import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import fc from 'fast-check';
import { ServerOrder } from '../../../src/backends/dns/server-order.ts';
import { parseNameServer } from '../../../src/backends/resolv-conf.ts';

const [A, B, C] = ['10.0.0.1', '10.0.0.2', '10.0.0.3'].map((text) => parseNameServer(text)!);
const SERVERS = [A!, B!, C!];

const told = (order: ServerOrder, rotate: boolean, now: number) =>
  order
    .of(SERVERS, rotate, now)
    .map(({ address }) => address.at(-1))
    .join('');

describe('servers are asked', () => {
  test('as they are listed', () => {
    const order = new ServerOrder();
    assert.deepEqual([told(order, false, 0), told(order, false, 1)], ['123', '123']);
  });

  test('each question from the next one on with rotate', () => {
    const order = new ServerOrder();
    const orders = [0, 1, 2, 3].map((now) => told(order, true, now));
    assert.deepEqual(orders, ['123', '231', '312', '123']);
  });

  test('behind the others for half a minute when they did not answer, or until they do', () => {
    const order = new ServerOrder();
    order.failed(A!, 1_000);
    assert.equal(told(order, false, 2_000), '231');
    assert.equal(told(order, false, 30_999), '231');
    assert.equal(told(order, false, 31_000), '123');
    order.failed(A!, 40_000);
    order.failed(B!, 40_000);
    assert.equal(told(order, false, 41_000), '312');
    order.answered(A!);
    assert.equal(told(order, false, 41_000), '132');
  });

  test('all of them, each once, whatever happened before', () => {
    const event = fc.record({
      server: fc.constantFrom(...SERVERS),
      answered: fc.boolean(),
      wait: fc.nat({ max: 20_000 }),
    });
    fc.assert(
      fc.property(fc.array(event), fc.boolean(), (events, rotate) => {
        const order = new ServerOrder();
        let now = 0;
        for (const { server, answered, wait } of events) {
          now += wait;
          if (answered) order.answered(server);
          else order.failed(server, now);
          assert.deepEqual([...told(order, rotate, now)].sort().join(''), '123');
        }
      }),
    );
  });
});
