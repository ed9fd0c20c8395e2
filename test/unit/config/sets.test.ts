import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { parseConfig } from '../../../src/config/load.ts';
import { type ConfigInput, configSchema } from '../../../src/config/schema.ts';
import { applyOverrides } from '../../../src/overrides/apply.ts';
import { bucketOf } from '../../../src/routing/bucket.ts';
import { decide } from '../../../src/routing/decide.ts';
import { requestFacts } from '../../../src/routing/described-request.ts';
import { explainRequest } from '../../../src/routing/explain.ts';
import type { RequestFacts } from '../../../src/routing/match.ts';
import { compileTable } from '../../../src/routing/table.ts';

const INPUT: ConfigInput = {
  service: 'shop',
  backends: {
    cart: { url: 'http://cart' },
    'cart-canary': { url: 'http://cart-canary' },
    pricing: { url: 'http://pricing' },
    'pricing-canary': { url: 'http://pricing-canary' },
  },
  sets: { 'checkout-v2': ['cart-canary', 'pricing-canary'] },
  pins: { user: { by: [{ header: 'X-User' }] }, other: { by: [{ header: 'X-User' }], salt: 'own' } },
  routes: [
    { name: 'cart', match: { path: '/cart' }, split: { 'cart-canary': 10, cart: 90 }, pin: 'user' },
    {
      name: 'pricing',
      match: { path: '/price' },
      split: { 'pricing-canary': 10, pricing: 90 },
      pin: 'other',
    },
    { name: 'rest', split: { cart: 1 }, pin: 'other' },
  ],
};
const config = configSchema.parse(INPUT);
const table = compileTable(config);
const usable = () => true;

const override = (route: string, weights: Record<string, number>) =>
  ({
    id: 'abcdef',
    target: { kind: 'split', route, weights },
    reason: 'worse than production',
    by: 'canary guard',
    createdAt: 1,
    until: 9,
  }) as const;

describe('release sets', () => {
  it('give a user all members or none, whatever the salts of the pins', () => {
    const met = new Set<string>();
    for (let user = 0; user < 3_000; user++) {
      const [cart, pricing] = [0, 1].map((index) => {
        const route = table.routes[index]!;
        const { index: found } = decide(route, String(user), undefined, usable, undefined);
        return route.split.names[found]!.endsWith('-canary');
      });
      assert.equal(cart, pricing);
      met.add(String(cart));
    }
    assert.equal(met.size, 2);
    assert.equal(table.routes[2]!.pin!.salt, 'own');
  });

  it('hash as another service does that has a set of the same name', () => {
    const other = compileTable(
      configSchema.parse({ ...INPUT, service: 'other', sets: { 'checkout-v2': ['cart-canary'] } }),
    );
    assert.equal(other.routes[0]!.pin!.salt, table.routes[0]!.pin!.salt);
    assert.equal(bucketOf(table.routes[0]!.pin!.salt, '4711'), bucketOf('set:checkout-v2', '4711'));
  });

  it('tell a row which other backends its member needs', () => {
    const id = (name: string) => table.backends.find((backend) => backend.name === name)!.id;
    assert.deepEqual(table.routes[0]!.fates, [[id('pricing-canary')], undefined]);
    assert.deepEqual(table.routes[1]!.fates, [[id('cart-canary')], undefined]);
    assert.equal(table.routes[2]!.fates, undefined);
  });

  it('lose their share in all rows when one member is braked, with the reason, and keep it when one is raised', () => {
    const { config: braked } = applyOverrides(config, [override('cart', { 'cart-canary': 0 })]);
    const held = braked.heldWeights!['pricing']!;
    assert.equal(held.weights['pricing-canary'], 0);
    assert.deepEqual([held.until, held.by], [9, 'canary guard']);
    assert.match(held.reason, /worse than production \(set checkout-v2\)/);
    assert.equal(braked.heldWeights!['rest'], undefined);
    assert.equal(compileTable(braked).routes[1]!.split.weights[0], 0);

    const { config: raised } = applyOverrides(config, [override('cart', { 'cart-canary': 50 })]);
    assert.equal(raised.heldWeights!['pricing'], undefined);
  });

  it('lose their share with a member in the table of another service, and say whose it is', () => {
    const member = {
      backend: 'canary',
      ratio: 0.5,
      until: 9,
      reason: 'bad (set checkout-v2: canary of stock)',
      by: 'ann',
    };
    const { config: lowered, fallen } = applyOverrides(config, [], {
      fallen: [['checkout-v2', member]],
      lostSets: {},
    });
    for (const route of ['cart', 'pricing']) {
      const { weights, reason } = lowered.heldWeights![route]!;
      assert.equal(compileTable(lowered).routes.length, 3);
      const [canary, main] = [weights[`${route}-canary`]!, weights[route]!];
      assert.equal(canary / (canary + main), 0.05);
      assert.equal(reason, member.reason);
    }
    assert.equal(lowered.heldWeights!['rest'], undefined);
    // It is not this table's to tell further, or two services would hold each other down for ever.
    assert.equal(fallen.size, 0);
  });

  it('are left out, with their pins as they are, while a member elsewhere takes no requests', () => {
    const lostSets = { 'checkout-v2': 'canary of stock takes no requests: none available' };
    const { config: lost } = applyOverrides(config, [], { fallen: [], lostSets });
    const lostTable = compileTable(lost);
    assert.deepEqual(lostTable.routes[0]!.fates, ['lost', undefined]);
    assert.deepEqual(lostTable.routes[0]!.split, table.routes[0]!.split);
    const explained = explainRequest(
      lostTable,
      requestFacts(lostTable, [], ['GET', '/cart'], '') as RequestFacts,
    );
    assert.equal(explained.backend, 'cart');
    assert.match(
      JSON.stringify(explained),
      /cart-canary is left out with its release set checkout-v2 \(canary of stock/,
    );
    const down = new Set(['pricing-canary']);
    const here = explainRequest(
      table,
      requestFacts(table, [], ['GET', '/cart'], '') as RequestFacts,
      undefined,
      { down },
    );
    assert.match(JSON.stringify(here), /left out with its release set checkout-v2 \(pricing-canary down\)/);
  });

  it('shrink together when one member is on trial with a tenth of its share', () => {
    const { config: probing } = applyOverrides(config, [override('cart', { 'cart-canary': 1, cart: 99 })]);
    const { weights } = probing.heldWeights!['pricing']!;
    assert.equal(weights['pricing-canary']! / (weights['pricing-canary']! + weights['pricing']!), 0.01);
  });

  it('warn of a member that is the main backend of its row, which a brake cannot reach', () => {
    const text = (main: string) => `backends: { cart: { url: http://a }, old: { url: http://b } }
routes: [ { name: r, split: { cart: 50, old: 50 }${main} } ]
sets: { one: [ cart ] }
`;
    const warned = (main: string) =>
      parseConfig(text(main), { file: 'f', environment: {} }).problems.map(({ message }) => message);
    assert.match(
      warned('').join(),
      /cart is a member of the release set one and the main backend.*main: old/,
    );
    assert.deepEqual(warned(', main: old'), []);
  });

  it('are judged: unknown members, members of two sets, two members in a row, fields that mean something else', () => {
    const text = `backends: { a: { url: http://a }, b: { url: http://b } }
routes: [ { name: r, split: { a: 1, b: 9 } } ]
sets: { one: [ a, b, c ], two: [ a ] }
propagate: { route: Content-Length, bucket: x-traffic-group }
`;
    const { problems } = parseConfig(text, { file: 'f', environment: {} });
    const found = problems.map(({ message, line }) => `${line}: ${message}`).join('\n');
    assert.match(found, /2: .*"a".*both are in sets|2: stands beside "a"/);
    assert.match(found, /3: there is no backend "c"/);
    assert.match(found, /3: "a" is in the set one already/);
    assert.match(found, /4: .*meaning of its own in HTTP/);
    assert.match(found, /4: .*same field as groupHeader/);
  });
});
