import assert from 'node:assert/strict';
import { BlockList } from 'node:net';
import { suite, test } from 'node:test';
import fc from 'fast-check';
import { clientKey } from '../../../src/admission/client-key.ts';
import { ConnectionCount } from '../../../src/admission/connection-count.ts';

/** Of a /64, in the spelling of `new URL`, which is the canonical one (RFC 5952). */
function canonical(address: string): string {
  return new URL(`http://[${address}]/`).hostname.slice(1, -1);
}

const unmapped = fc.ipV6().filter((address) => !/^::ffff:.*\./i.test(address));

suite('a client', () => {
  test('is an IPv4 address, or the /64 of an IPv6 one in whatever spelling', () => {
    const cases: Record<string, string> = {
      '192.0.2.7': '192.0.2.7',
      '2001:db8:1:2:3:4:5:6': '2001:db8:1:2::/64',
      '2001:0DB8:0001:0002::1': '2001:db8:1:2::/64',
      '2001:db8::1': '2001:db8:0:0::/64',
      '::1': '0:0:0:0::/64',
      '::': '0:0:0:0::/64',
      '1::2:3:4:5:6:7': '1:0:2:3::/64',
      '64:ff9b::192.0.2.7': '64:ff9b:0:0::/64',
      '::2:3:4:5:6:192.0.2.7': '0:2:3:4::/64',
      'fe80::1%eth0': 'fe80:0:0:0::/64',
      '::ffff:192.0.2.7': '192.0.2.7',
      '::FFFF:192.0.2.7': '192.0.2.7',
    };
    for (const [address, key] of Object.entries(cases)) assert.equal(clientKey(address), key, address);
  });

  test('is the same for two addresses exactly when they share their /64', () => {
    fc.assert(
      fc.property(unmapped, unmapped, (a, b) => {
        const list = new BlockList();
        list.addSubnet(a, 64, 'ipv6');
        assert.equal(clientKey(a) === clientKey(b), list.check(b, 'ipv6'), `${a} ${b}`);
        assert.equal(clientKey(a), clientKey(canonical(a)), a);
      }),
    );
  });
});

test('connections are counted by client, and forgotten with the last one', () => {
  const commands = fc.array(fc.tuple(fc.integer({ min: 0, max: 4 }), fc.boolean()), { maxLength: 200 });
  fc.assert(
    fc.property(commands, fc.integer({ min: 1, max: 5 }), (steps, limit) => {
      const count = new ConnectionCount();
      const open = [0, 0, 0, 0, 0];
      for (const [who, opens] of steps) {
        const address = `192.0.2.${who}`;
        if (opens) {
          assert.equal(count.add(address, limit), open[who]! < limit);
          if (open[who]! < limit) open[who]!++;
        } else if (open[who]! > 0) {
          count.remove(address);
          open[who]!--;
        }
        assert.equal(count.clients, open.filter((one) => one > 0).length);
      }
    }),
  );
});
