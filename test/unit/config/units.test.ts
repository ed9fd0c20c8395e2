/** Durations, sizes, addresses and nearest names. */
import assert from 'node:assert/strict';
import { suite, test } from 'node:test';
import fc from 'fast-check';
import { addressesClash, formatAddress, parseAddress } from '../../../src/config/address.ts';
import { nearestName, suggestion } from '../../../src/config/nearest.ts';
import { formatDuration, formatSize, parseDuration, parseSize } from '../../../src/config/units.ts';

suite('units', () => {
  test('every number of milliseconds and bytes reads back as it was printed', () => {
    fc.assert(
      fc.property(fc.integer({ min: 0, max: 3650 * 86_400_000 }), (number) => {
        assert.equal(parseDuration(formatDuration(number)), number);
        assert.equal(parseSize(formatSize(number)), number);
      }),
    );
  });

  test('durations and sizes are read as people write them, and nothing else is', () => {
    assert.deepEqual(
      ['250ms', '2s', '1.5s', '5m', '12h', '30d', '0ms'].map(parseDuration),
      [250, 2_000, 1_500, 300_000, 43_200_000, 2_592_000_000, 0],
    );
    assert.deepEqual(['512B', '16KiB', '1MiB', '2GiB', '0B'].map(parseSize), [
      512,
      16_384,
      1024 ** 2,
      2 * 1024 ** 3,
      0,
    ]);
    for (const bad of [
      '',
      '2',
      '2 s',
      's',
      '-1s',
      '2S',
      '1e3s',
      '.5s',
      '1.s',
      '2s ',
      '3651d',
      '9999999999999s',
    ]) {
      assert.equal(parseDuration(bad), undefined, bad);
    }
    for (const bad of ['', '16', '16k', '16KB', '1.5MiB', '-1B', '16 KiB', '999999999999GiB']) {
      assert.equal(parseSize(bad), undefined, bad);
    }
  });

  test('the shortest exact spelling is printed', () => {
    assert.deepEqual([0, 250, 2_000, 1_500, 60_000, 90_000, 86_400_000].map(formatDuration), [
      '0ms',
      '250ms',
      '2s',
      '1500ms',
      '1m',
      '90s',
      '1d',
    ]);
    assert.deepEqual([0, 512, 16_384, 1024 ** 2, 1500].map(formatSize), [
      '0B',
      '512B',
      '16KiB',
      '1MiB',
      '1500B',
    ]);
  });
});

suite('addresses', () => {
  test('IPv4, IPv6 in brackets and a bare port are read, and print as they are listened on', () => {
    const printed = ['127.0.0.1:80', '[::1]:0', ':8080'].map((text) => formatAddress(parseAddress(text)!));
    assert.deepEqual(printed, ['127.0.0.1:80', '[::1]:0', '0.0.0.0:8080']);
    for (const bad of [
      '',
      '80',
      'localhost:80',
      '::1:80',
      '[127.0.0.1]:80',
      '[::1]',
      '1.2.3.4:65536',
      '1.2.3:80',
      '1.2.3.4:',
    ]) {
      assert.equal(parseAddress(bad), undefined, bad);
    }
  });

  test('two addresses clash on one port of one host, or where either means every host', () => {
    const clash = (a: string, b: string) => addressesClash(parseAddress(a)!, parseAddress(b)!);
    assert.ok(clash('127.0.0.1:80', '127.0.0.1:80'));
    assert.ok(clash('0.0.0.0:80', '127.0.0.1:80'));
    assert.ok(clash('127.0.0.1:80', '[::]:80'));
    assert.ok(!clash('127.0.0.1:80', '127.0.0.2:80'));
    assert.ok(!clash('127.0.0.1:80', '127.0.0.1:81'));
    assert.ok(!clash('0.0.0.0:0', '0.0.0.0:0'));
  });
});

suite('nearest names', () => {
  const KNOWN = ['health', 'backends', 'routes', 'timeouts', 'a', 'b', 'ttl', 'connections'];

  test('slips of the finger, case and names cut short are understood', () => {
    for (const [wrong, right] of [
      ['helth', 'health'],
      ['heatlh', 'health'],
      ['Health', 'health'],
      ['HEALTHS', 'health'],
      ['route', 'routes'],
      ['rotue', 'routes'],
      ['conn', 'connections'],
      ['connectionsPerWorker', 'connections'],
      ['tll', 'ttl'],
    ] as const) {
      assert.equal(nearestName(wrong, KNOWN), right, wrong);
    }
  });

  test('nothing is offered that is merely short or merely similar in length', () => {
    for (const wrong of ['c', 'zz', 'weights', 'xyz', '', 'x'.repeat(1000)])
      assert.equal(nearestName(wrong, KNOWN), undefined);
  });

  test('among several the nearest is offered; else a short list of what there is', () => {
    assert.equal(nearestName('paid2', ['paid1x', 'paid2x', 'paid']), 'paid2x');
    assert.equal(suggestion('zzz', ['a', 'b'], 'backends'), '; backends: a, b');
    assert.equal(
      suggestion(
        'zzz',
        Array.from({ length: 50 }, (_, i) => `n${i}`),
        'backends',
      ),
      '',
    );
    assert.equal(suggestion('zzz', [], 'backends'), '');
  });

  test('a name one edit away is always found', () => {
    const names = fc.uniqueArray(fc.stringMatching(/^[a-z]{3,12}$/), { minLength: 1, maxLength: 20 });
    fc.assert(
      fc.property(names, fc.nat(), fc.nat(), fc.constantFrom('x', 'q'), (known, which, at, letter) => {
        const name = known[which % known.length]!;
        const where = at % name.length;
        const slips = [
          name.slice(0, where) + name.slice(where + 1),
          name.slice(0, where) + letter + name.slice(where),
          name.slice(0, where) + letter + name.slice(where + 1),
        ];
        for (const slip of slips) assert.notEqual(nearestName(slip, known), undefined, slip);
      }),
    );
  });
});
