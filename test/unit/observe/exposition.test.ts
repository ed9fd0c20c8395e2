import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { EXPOSED_MS, Exposition } from '../../../src/observe/exposition.ts';
import { BOUNDARIES_MS } from '../../../src/observe/histogram.ts';
import { Ledger } from '../../../src/observe/ledger.ts';
import { ProcessMetrics } from '../../../src/observe/process-metrics.ts';
import { TrafficMetrics } from '../../../src/observe/traffic-metrics.ts';
import { backendStatus, endpointStatus } from '../../support/endpoint-state.ts';
import { parseExposition } from './fixtures/exposition-parser.ts';

const bare = new Exposition({ processDefaults: false });

async function scrape(ledger: Ledger) {
  return parseExposition((await bare.render(ledger.totals())).body);
}

test('the parser of these tests refuses what a scraper would', () => {
  const head = '# HELP a a\n# TYPE a counter\n';
  assert.equal(parseExposition(`${head}a{x="1"} 2\n`).get('a')!.samples[0]!.value, 2);
  const histogram = '# HELP h h\n# TYPE h histogram\n';
  const faulty = [
    'a 1\n',
    `${head}a 1`,
    `${head}b 1\n`,
    `${head}a{x="1} 1\n`,
    `${head}a{x="\\x"} 1\n`,
    `${head}a{x="1",x="2"} 1\n`,
    `${head}a one\n`,
    `${head}a 1\na 2\n`,
    `${head}${head}`,
    `${histogram}h_bucket{le="1"} 2\nh_bucket{le="+Inf"} 1\nh_sum 1\nh_count 1\n`,
    `${histogram}h_bucket{le="1"} 1\nh_bucket{le="+Inf"} 1\nh_sum 1\nh_count 2\n`,
    `${histogram}h_bucket{le="1"} 1\nh_sum 1\nh_count 1\n`,
  ];
  for (const text of faulty) assert.throws(() => parseExposition(text), text);
});

test('every metric of the data path and of the primary is exposed in valid text', async () => {
  const ledger = new Ledger();
  const traffic = new TrafficMetrics(ledger);
  const primary = new ProcessMetrics(ledger, { version: '1.0.0', node: 'v26' });
  traffic.rowCells('free', 'canary').record('GET', 200, 12, 10);
  traffic.backendCells('canary').retries('reset').value++;
  traffic.backendCells('canary').errors('reset').value++;
  traffic.backendCells('canary').retriesDenied('reset').value++;
  traffic.backendCells('canary').shielded('reset').value++;
  traffic.endpointCells('canary', '10.0.0.1:80').requests.value++;
  traffic.failures('no_endpoint').value++;
  traffic.spills('canary', 'production').value++;
  traffic.pins('user', 'hash').value++;
  traffic.showPinsRemembered(new Map([['user', new Map([['canary', 1]])]]));
  traffic.pinStoreState('open').value = 1;
  traffic.overloaded('in_flight').value = 1;
  traffic.shed('in_flight').value++;
  traffic.rateLimited('each').value++;
  traffic.rateStoreFaults('each').value++;
  traffic.unknownGroups.count('enterprise-eu');
  primary.configLoaded('abc', 1_700_000_000_000, false);
  primary.healthCheck('canary', true);
  primary.configRejected(['never']);
  primary.setBackends([
    backendStatus({ name: 'canary', endpoints: [endpointStatus({ address: '10.0.0.1', port: 80 })] }),
  ]);
  primary.stateChanged('circuit', 'canary', 'open');
  const families = await scrape(ledger);
  const declared = ledger.totals().families.map(({ name }) => name);
  assert.deepEqual([...families.keys()], declared);
  for (const family of families.values()) {
    assert.match(family.help, /\.$/, `${family.name} has no sentence of help`);
    assert.equal(family.name.endsWith('_total'), family.type === 'counter', family.name);
  }
});

test('a histogram is exposed in seconds, cumulative and exact at every bound', async () => {
  for (const ms of EXPOSED_MS) assert.ok(BOUNDARIES_MS.includes(ms), `${ms} is no boundary`);
  await fc.assert(
    fc.asyncProperty(
      fc.array(fc.oneof(fc.double({ min: 0, max: 2e5, noNaN: true }), fc.constantFrom(...EXPOSED_MS))),
      async (values) => {
        const ledger = new Ledger();
        const cell = ledger.histogram('h_seconds', 'Help.', ['l']).cell('x');
        for (const ms of values) cell.observe(ms);
        const { samples } = (await scrape(ledger)).get('h_seconds')!;
        for (const { name, labels, value } of samples) {
          assert.equal(labels['l'], 'x');
          if (name !== 'h_seconds_bucket' || labels['le'] === '+Inf') continue;
          const le = EXPOSED_MS.find((ms) => String(ms / 1_000) === labels['le'])!;
          assert.equal(value, values.filter((ms) => ms <= le).length, `le ${le}`);
        }
        const sum = samples.find(({ name }) => name === 'h_seconds_sum')!.value;
        assert.ok(Math.abs(sum - values.reduce((a, b) => a + b, 0) / 1_000) < 1e-6);
      },
    ),
  );
});

test('any label value comes back as it was', async () => {
  const value = fc.oneof(
    fc.string({ unit: 'binary' }),
    fc.constantFrom('a"b', 'a\\nb', 'a\nb', '\\', '",x="', '}'),
  );
  await fc.assert(
    fc.asyncProperty(fc.uniqueArray(value, { minLength: 1 }), async (labels) => {
      const ledger = new Ledger();
      const family = ledger.counter('c_total', 'Help with \\ and\na line feed.', ['l']);
      for (const [i, label] of labels.entries()) family.cell(label).value = i;
      const { samples } = (await scrape(ledger)).get('c_total')!;
      assert.deepEqual(
        samples.map((sample) => [sample.labels['l'], sample.value]),
        labels.map((label, i) => [label, i]),
      );
    }),
  );
});

test('scrapes at the same time see their own totals', async () => {
  const bodies = await Promise.all(
    Array.from({ length: 20 }, async (_, n) => {
      const ledger = new Ledger();
      ledger.counter('c_total', 'Help.').cell().value = n;
      return (await scrape(ledger)).get('c_total')!.samples[0]!.value;
    }),
  );
  assert.deepEqual(
    bodies,
    Array.from({ length: 20 }, (_, n) => n),
  );
});

test('the metrics of the process itself follow, in the same valid text', async () => {
  const ledger = new Ledger();
  ledger.counter('c_total', 'Help.').cell().value = 1;
  const exposition = new Exposition();
  const { body, contentType } = await exposition.render(ledger.totals());
  assert.match(contentType, /^text\/plain; version=0\.0\.4/);
  const families = parseExposition(body);
  for (const name of ['c_total', 'process_cpu_seconds_total', 'process_resident_memory_bytes']) {
    assert.ok(families.has(name), name);
  }
  assert.ok(parseExposition((await exposition.render({ families: [] })).body).has('nodejs_version_info'));
});
