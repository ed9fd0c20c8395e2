import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { stripVTControlCharacters } from 'node:util';
import fc from 'fast-check';
import { barCells, percent, renderFrame, type View } from '../../../src/demo/frame.ts';
import { fit, span, spread, toText, widthOf } from '../../../src/demo/text.ts';
import { bucketRanges, groupRows, lineOf, ruleOf } from '../../../src/demo/view.ts';

const NOW = Date.parse('2026-01-31T12:00:00Z');

const VIEW: View = {
  now: NOW,
  caption: 'canary is down: production serves its share, and no request fails.',
  steady: true,
  step: 2,
  steps: 4,
  answered: 12_345,
  failed: 0,
  rows: groupRows({
    anonymous: {
      internal: { internal: 20 },
      free: { canary: 5, production: 95 },
      enterprise: { production: 20 },
      paid: { paid: 1, production: 19 },
    },
    pinned: { free: { production: 50 } },
    splits: {
      internal: { internal: 100 },
      free: { canary: 5, production: 95 },
      paid: { paid: 5, production: 95 },
    },
  }),
  upstreams: [
    { track: 'internal', health: 'up', reason: 'connected', since: NOW - 9_000, port: 40_001, requests: 20 },
    {
      track: 'canary',
      health: 'down',
      reason: 'connection refused',
      since: NOW - 3_000,
      port: 40_002,
      requests: 5,
    },
    { track: 'paid', health: 'unknown', reason: '', since: undefined, port: 40_003, requests: 0 },
    {
      track: 'production',
      health: 'up',
      reason: 'connected',
      since: NOW - 99_000,
      port: 40_004,
      requests: 184,
    },
  ],
  users: [
    {
      label: 'FREE users',
      backends: [
        { track: 'canary', users: 11, buckets: '0–499' },
        { track: 'production', users: 201, buckets: '500–9999' },
      ],
    },
  ],
  events: Array.from({ length: 30 }, (_, n) => ({
    at: NOW + n * 1_000,
    text: `event ${n}`,
    tone: 'bad' as const,
  })),
  trafficPort: 41_000,
  adminPort: 41_001,
  configPath: '/tmp/pointsman-demo-abc/pointsman.yaml',
};

describe('a frame', () => {
  it('fits every terminal', () => {
    fc.assert(
      fc.property(fc.integer({ min: 20, max: 300 }), fc.integer({ min: 1, max: 100 }), (columns, rows) => {
        const lines = renderFrame(VIEW, { columns, rows }, true).map((line) =>
          stripVTControlCharacters(line),
        );
        assert.ok(lines.length <= rows);
        for (const line of lines) assert.ok(line.length <= columns, `${line.length} > ${columns}: ${line}`);
      }),
    );
  });

  it('shows groups, health, users, events, and what to try on 80 columns and 24 rows', () => {
    const lines = renderFrame(VIEW, { columns: 80, rows: 24 }, false);
    const text = lines.join('\n');
    assert.equal(lines.length, 24);
    assert.match(text, /^ FREE +100 +· +5\.0 % +· +95\.0 % {2}5 : 95/m);
    assert.match(text, /^ INTERNAL +20 +100 % +· +· +· {2}all/m);
    assert.match(text, /^ canary +5 +40002 +✗ down for 3 s, connection refused$/m);
    assert.match(text, /FREE users +canary 11 \(0–499\) +production 201 \(500–9999\)/);
    assert.match(text, /event 29/, 'the latest event');
    assert.match(text, /curl -H 'X-Traffic-Group: free' http:\/\/127\.0\.0\.1:41000\//);
    assert.match(text, /http:\/\/127\.0\.0\.1:41001\/status/);
    assert.match(text, /\/tmp\/pointsman-demo-abc\/pointsman\.yaml/);
    assert.match(text, /12,345 requests, 0 failed/);
    assert.doesNotMatch(text, /[█░]/, 'no room for bars');
    assert.ok(!text.includes('…'), 'nothing is cut off');
  });

  it('keeps all four backends and the port to try on 60 columns', () => {
    const lines = renderFrame(VIEW, { columns: 60, rows: 30 }, false);
    const text = lines.join('\n');
    assert.match(text, /^ group +requests +internal +canary +paid +produ\S*\.$/m);
    assert.match(text, /^ FREE +100 +· +5\.0 % +· +95\.0 %$/m);
    assert.match(text, /free' 127\.0\.0\.1:41000\/$/m);
    const narrow = renderFrame(VIEW, { columns: 44, rows: 30 }, false).join('\n');
    assert.match(narrow, /^ FREE +· +5\.0 % +· +95\.0 %$/m);
  });

  it('draws bars where there is room, and more events', () => {
    const lines = renderFrame(VIEW, { columns: 120, rows: 40 }, false);
    assert.ok(lines.some((line) => /^ FREE .*[^█]█+░{15,}$/.test(line)));
    assert.equal(lines.filter((line) => line.includes('event ')).length, 12);
  });

  it('holds no escape sequence without colour, and the same text with it', () => {
    const size = { columns: 100, rows: 30 };
    const plain = renderFrame(VIEW, size, false);
    assert.ok(plain.every((line) => !line.includes('\x1b')));
    const colored = renderFrame(VIEW, size, true);
    assert.ok(colored.some((line) => line.includes('\x1b[')));
    assert.deepEqual(
      colored.map((line) => stripVTControlCharacters(line).trimEnd()),
      plain,
    );
  });

  it('is one plain line for each look where there is no terminal', () => {
    assert.equal(
      lineOf(VIEW),
      'FREE 100: canary 5.0 %, production 95.0 % | no group 20: paid 5.0 %, production 95.0 % | canary down, paid unknown | 0 failed',
    );
  });
});

describe('a bar', () => {
  it('is exactly as wide as told, and never hides a backend that got something', () => {
    const counts = fc.record({ canary: fc.nat(1_000), paid: fc.nat(1_000), production: fc.nat(1_000_000) });
    fc.assert(
      fc.property(counts, fc.integer({ min: 16, max: 60 }), (counted, width) => {
        const cells = barCells(counted, width);
        const present = Object.entries(counted).filter(([, count]) => count > 0);
        assert.equal(cells.length, present.length);
        assert.ok(cells.every((cell) => cell.cells >= 1));
        if (present.length > 0) {
          assert.equal(
            cells.reduce((sum, cell) => sum + cell.cells, 0),
            width,
          );
        }
      }),
    );
  });
});

describe('texts', () => {
  it('shares are rounded to tenths, and only all is 100 %', () => {
    assert.equal(percent(0.05), '5.0 %');
    assert.equal(percent(1), '100 %');
    assert.equal(percent(0.9999), '99.9 %');
  });

  it('a split of one backend is all of it', () => {
    assert.equal(ruleOf({ internal: 100 }), 'all');
    assert.equal(ruleOf({ canary: 5, production: 95 }), '5 : 95');
    assert.equal(ruleOf(undefined), '');
  });

  it('buckets follow the weights', () => {
    assert.deepEqual(bucketRanges({ canary: 5, production: 95 }), {
      canary: '0–499',
      production: '500–9999',
    });
    assert.deepEqual(bucketRanges({ canary: 0, production: 95 }), { production: '0–9999' });
    assert.deepEqual(bucketRanges({ canary: 0, production: 0 }), {});
  });

  it('lines are cut with an ellipsis and know their width', () => {
    const line = [span('abc', 'bold'), span('defgh')];
    assert.equal(widthOf(line), 8);
    assert.equal(toText(fit(line, 8), false), 'abcdefgh');
    assert.equal(toText(fit(line, 6), false), 'abcde…');
    assert.equal(toText(fit(line, 3), false), 'ab…');
    assert.equal(toText(spread([span('a')], [span('b')], 5), false), 'a   b');
    assert.equal(toText(spread([span('abc')], [span('def')], 7), false), 'abc', 'no room for both');
  });
});
