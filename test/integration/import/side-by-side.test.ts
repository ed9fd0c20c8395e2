/**
 * HAProxy on a configuration, and Pointsman on what it is imported to, choose the same backend for every request.
 * TEST_LONG=1 sends 100,000 requests through each, as many as the seed of this product was promised to be held to.
 */
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { suite, test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { inParallel } from '../../support/request.ts';
import { requestOf, seeded, vocabularyOf } from '../../support/request-vocabulary.ts';
import { type Choice, type SentRequest, startSideBySide } from '../../support/side-by-side.ts';

const REQUESTS = process.env['TEST_LONG'] === '1' ? 100_000 : 2_000;
const SEED = Number(process.env['TEST_SEED'] ?? 20261123);

const fixture = (name: string) => fileURLToPath(new URL(`../../fixtures/haproxy/${name}`, import.meta.url));

/** Requests per backend and upstream. */
type Tally = Map<string, Map<string, number>>;

function count(tally: Tally, backend: string, upstream: string | undefined): void {
  const own = tally.get(backend) ?? new Map<string, number>();
  tally.set(backend, own);
  own.set(upstream ?? 'none', (own.get(upstream ?? 'none') ?? 0) + 1);
}

/** Both samples are of one distribution: their shares differ by less than five standard deviations. */
function assertSameShares(left: Tally, right: Tally): void {
  assert.deepEqual([...left.keys()].sort(), [...right.keys()].sort());
  for (const [backend, counts] of left) {
    const others = right.get(backend)!;
    const total = sum(counts);
    const otherTotal = sum(others);
    for (const upstream of new Set([...counts.keys(), ...others.keys()])) {
      const [a, b] = [(counts.get(upstream) ?? 0) / total, (others.get(upstream) ?? 0) / otherTotal];
      const share = (a * total + b * otherTotal) / (total + otherTotal);
      const deviation = Math.sqrt(share * (1 - share) * (1 / total + 1 / otherTotal));
      const allowed = 5 * deviation + 1 / total + 1 / otherTotal;
      const said = `${backend} → ${upstream}: HAProxy ${a.toFixed(4)} of ${total}, Pointsman ${b.toFixed(4)} of ${otherTotal}`;
      assert.ok(Math.abs(a - b) <= allowed, said);
    }
  }
}

function sum(counts: ReadonlyMap<string, number>): number {
  return [...counts.values()].reduce((all, one) => all + one, 0);
}

interface Shape {
  readonly file: string;
  readonly frontend: string;
  /** Words that requests are made of besides those of the rules. */
  readonly words?: readonly string[];
  /** HAProxy's backend of a row that is named otherwise; default: the row's name. */
  readonly backendOf?: (route: string) => string;
  /** `false`: users keep servers by other hashes, so that only backends are compared. */
  readonly servers?: boolean;
  /** Backends that requests must have met, or the comparison says little. */
  readonly meets: readonly string[];
}

const SHAPES: readonly Shape[] = [
  {
    file: '01-account-service.cfg',
    frontend: 'account-service',
    words: ['PAID', 'INTERNALX'],
    meets: ['internal', 'free', 'enterprise', 'paid'],
  },
  {
    file: '02-sidecar.cfg',
    frontend: 'shop',
    words: ['beta', 'yes'],
    meets: ['shop-beta', 'shop-production', 'reports'],
  },
  {
    file: '03-matchers.cfg',
    frontend: 'edge',
    words: ['a, b', 'canary-7', 'deep.example.org', 'a/media/b', '2'],
    meets: ['one', 'two', 'three', 'four', 'five', 'six', 'seven', 'eight', 'nine', 'ten'],
  },
  { file: '04-inheritance.cfg', frontend: 'main', meets: ['pages', 'reports'] },
  { file: '05-listen.cfg', frontend: 'web', meets: ['web'] },
  {
    file: '06-checks.cfg',
    frontend: 'in',
    meets: ['by-status', 'by-range', 'by-expression', 'by-body', 'by-tcp', 'plain'],
  },
  {
    file: '07-persistence.cfg',
    frontend: 'in',
    servers: false,
    meets: ['inserted', 'prefixed', 'table', 'address', 'hashed', 'spread'],
  },
  {
    file: '10-lexer.cfg',
    frontend: 'in',
    words: ['Two Words!', 'tabAbed', 'a\\b', 'four escaped words'],
    meets: ['Upper', 'upper', 'dollar', 'rest'],
  },
  { file: '11-crlf-source.cfg', frontend: 'in', meets: ['inner', 'outer'] },
  {
    file: '12-use-server.cfg',
    frontend: 'in',
    backendOf: (route) => route.replace(/^app-.*/, 'app'),
    meets: ['small', 'app'],
  },
  { file: '13-overlapping.cfg', frontend: 'in', meets: ['canary', 'archive', 'production'] },
];

suite('the import of a configuration chooses as HAProxy does on it', { concurrency: 1 }, () => {
  for (const shape of SHAPES) {
    test(`${shape.file}: the same backend for every request, its servers by the same shares`, async () => {
      const { haproxy, pointsman } = await startSideBySide(fixture(shape.file), shape.frontend);
      const words = vocabularyOf(readFileSync(fixture(shape.file), 'utf8'), shape.words);
      const random = seeded(SEED);
      const requests = Array.from({ length: REQUESTS }, () => requestOf(words, random));
      const [theirs, ours] = [new Map(), new Map()] as [Tally, Tally];
      const wrong: string[] = [];
      await inParallel(REQUESTS, 24, async (i) => {
        const request = requests[i]!;
        const [one, two] = await Promise.all([haproxy(request), pointsman(request)]);
        if (wrong.length < 5 && !agree(one, two, shape)) wrong.push(disagreement(request, one, two));
        count(theirs, one.backend ?? 'none', one.upstream);
        count(ours, routeBackend(two, shape), two.upstream);
      });
      assert.deepEqual(wrong, [], `seed ${SEED}`);
      assert.deepEqual(
        shape.meets.filter((backend) => !theirs.has(backend)),
        [],
      );
      if (shape.servers !== false) assertSameShares(theirs, ours);
    });
  }

  test('08-maps.cfg: names from fields and maps; fields set, added and removed in both directions', async () => {
    const { haproxy, pointsman } = await startSideBySide(fixture('08-maps.cfg'), 'in');
    const ask = (path: string, ...headers: string[]): SentRequest => ({
      method: 'GET',
      path,
      headers: ['Host', 'maps.test', ...headers],
      from: '127.0.0.1',
    });
    const cases: [SentRequest, string][] = [
      [ask('/'), 'production'],
      [ask('/', 'X-Track', 'FREE', 'X-Secret', 's', 'X-Client', 'forged', 'X-Passed', 'client'), 'canary'],
      [ask('/', 'X-Track', 'internal'), 'internal'],
      [ask('/', 'X-Track', 'gone'), 'production'],
      [ask('/', 'X-Track', 'unknown'), 'production'],
      [ask('/to/x?to=blue', 'X-Track', 'unknown'), 'production'],
      [ask('/', 'X-Direct', 'INTERNAL'), 'internal'],
      [ask('/', 'X-Direct', 'nobody', 'X-Track', 'free'), 'production'],
      [ask('/to/x?to=blue'), 'be_blue'],
      [ask('/to/x?a=1&to=green'), 'be_green'],
      [ask('/to/x?to=red'), 'production'],
      [ask('/x?to=green'), 'production'],
    ];
    for (const [request, backend] of cases) {
      const [one, two] = [await haproxy(request), await pointsman(request)];
      assert.equal(one.backend, backend, JSON.stringify(request));
      assert.equal(two.backend, backend, JSON.stringify(request));
      assert.equal(two.upstream, one.upstream);
      for (const name of [
        'x-forwarded-port',
        'x-client',
        'x-passed',
        'x-secret',
        'x-backend',
        'x-forwarded-for',
      ]) {
        assert.deepEqual(
          valuesOf(two.received, name),
          valuesOf(one.received, name),
          `${name} of ${request.path}`,
        );
      }
      for (const name of ['x-frame-options', 'server', 'x-served-by']) {
        assert.deepEqual(
          valuesOf(two.answered, name),
          valuesOf(one.answered, name),
          `${name} of ${request.path}`,
        );
      }
    }
  });

  test('09-dice.cfg: canaries by chance and weights from the environment have the same shares', async () => {
    const { haproxy, pointsman } = await startSideBySide(fixture('09-dice.cfg'), 'in');
    const kinds: SentRequest[] = ['/', '/weighted', '/guarded'].flatMap((path) =>
      [[], ['X-Beta', 'yes']].map((headers) => ({
        method: 'GET',
        path,
        headers: ['Host', 'dice.test', ...headers],
        from: '127.0.0.1',
      })),
    );
    const [theirs, ours] = [new Map(), new Map()] as [Tally, Tally];
    // In no order: weights in turn would meet kinds in turn, and each kind always the same part of the cycle.
    const random = seeded(SEED);
    await inParallel(Math.max(REQUESTS, 6_000), 24, async () => {
      const kind = Math.floor(random() * kinds.length);
      const [one, two] = await Promise.all([haproxy(kinds[kind]!), pointsman(kinds[kind]!)]);
      const name = `${kinds[kind]!.path} ${kinds[kind]!.headers[3] ?? ''}`;
      count(theirs, name, one.upstream);
      count(ours, name, two.upstream);
    });
    assertSameShares(theirs, ours);
    const plain = ours.get('/ ')!;
    // 20 %, then 19/95 of what is left, and the rest.
    assert.equal(plain.size, 3);
    assert.ok([...plain.values()].every((hits) => hits / sum(plain) > 0.12 && hits / sum(plain) < 0.72));
  });
});

function routeBackend(choice: Choice, shape: Shape): string {
  if (choice.backend === undefined) return 'none';
  return shape.backendOf?.(choice.backend) ?? choice.backend;
}

function agree(one: Choice, two: Choice, shape: Shape): boolean {
  return one.status === two.status && (one.backend ?? 'none') === routeBackend(two, shape);
}

function disagreement(request: SentRequest, one: Choice, two: Choice): string {
  return `${JSON.stringify(request)}: HAProxy ${one.status} ${one.backend}, Pointsman ${two.status} ${two.backend}`;
}

function valuesOf(fields: readonly string[], lowerName: string): string[] {
  return fields.filter((_, i) => i % 2 === 1 && fields[i - 1]!.toLowerCase() === lowerName);
}
