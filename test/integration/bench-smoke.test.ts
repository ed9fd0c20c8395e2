/** The bench itself: its numbers are only worth something if it measures, and refuses what does not do the work. */

import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { createServer } from 'node:http';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { fileURLToPath } from 'node:url';
import type { Round } from '../../bench/measure.ts';
import { picture } from '../../bench/picture.ts';
import { measuredText, withMeasured } from '../../bench/readme.ts';
import { median, type Section, type Summary, summariesOf } from '../../bench/report.ts';
import { readResults } from '../../bench/results.ts';
import { PARTS } from '../../bench/standard.ts';
import { verify } from '../../bench/verify.ts';
import { bodyOf } from '../../bench/workload.ts';

const NO_LATENCY = { p50: 0, p90: 0, p99: 0, p999: 0, max: 0 };

const MAIN = fileURLToPath(new URL('../../bench/main.ts', import.meta.url));
const folder = mkdtempSync(join(tmpdir(), 'pointsman-bench-test-'));
after(() => rmSync(folder, { recursive: true, force: true }));

function bench(...args: string[]) {
  return spawnSync(process.execPath, [MAIN, ...args], { encoding: 'utf8', timeout: 100_000 });
}

test('one round through both lanes and directly gives a complete report and exit code 0', () => {
  const file = join(folder, 'report.json');
  const args = ['--rounds', '1', '--seconds', '1', '--warmup', '1', '--connections', '8', '--sizes', '100'];
  const subjects = 'pointsman,pointsman-full,direct';
  const run = bench('--subjects', subjects, '--driver', 'autocannon', ...args, '--json', file);
  assert.equal(run.status, 0, run.stdout + run.stderr);
  assert.match(run.stdout, /^pointsman +\d+ /m);
  const report = JSON.parse(readFileSync(file, 'utf8')) as {
    machine: { versions: Record<string, string> };
    sections: (Section & { summary: Summary[] })[];
  };
  assert.equal(report.machine.versions['node'], process.versions.node);
  assert.equal(report.sections.length, 1);
  const [pointsman, full, direct] = report.sections[0]!.summary;
  for (const summary of [pointsman!, full!, direct!]) {
    const { p50, p90, p99, p999, max } = summary.latency;
    assert.ok(summary.requestsPerSecond > 10, `${summary.subject}: ${summary.requestsPerSecond} requests/s`);
    assert.ok(p50 > 0 && p50 <= p90 && p90 <= p99 && p99 <= p999 && p999 <= max * 1.01);
    assert.deepEqual(summary.problems, []);
  }
  assert.equal(pointsman!.subject, 'pointsman');
  const { total, user, system } = pointsman!.cpu!;
  // A request needs at least its four system calls and at most the whole second.
  assert.ok(total > 2 && total < 100_000, `${total} µs a request`);
  assert.ok(Math.abs(user + system - total) < 0.01 * total);
  assert.ok(pointsman!.peakRss! > 20 * 1024 ** 2 && pointsman!.peakRss! < 2 * 1024 ** 3);
  assert.equal(direct!.cpu, undefined);
});

test('wrong options are refused with exit code 2 and one line that says which', () => {
  const cases: [string[], RegExp][] = [
    [['--subjects', 'squid'], /^--subjects: there is no "squid"$/m],
    [['--rounds', '0'], /^--rounds 0: must be a whole number from 1 to 1000$/m],
    [['--scenario', 'put'], /^--scenario put: use get, post, pinned, connect or all$/m],
    [['--no-such'], /--no-such/],
    [['--write'], /^--write: only what --standard measures goes into bench\/README.md$/m],
    [['--standard', '--part', 'all'], /^--part all: use cpu, /m],
  ];
  for (const [args, message] of cases) {
    const run = bench(...args);
    assert.equal(run.status, 2, args.join(' '));
    assert.match(run.stderr, message);
  }
});

test('a proxy that routes wrongly, alters a body or answers errors is found out before it is measured', async () => {
  const answers = { track: 'production', status: 200, body: bodyOf(100) };
  const server = createServer((_request, response) => {
    response.writeHead(answers.status, { 'X-Track': answers.track }).end(answers.body);
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const address = server.address();
  assert.ok(address !== null && typeof address === 'object');
  const check = (scenario: 'get' | 'pinned', routes = true) =>
    verify({ port: address.port, scenario, size: 100, routes });
  try {
    assert.equal(await check('get', false), undefined);
    assert.match((await check('get')) ?? '', /sent 0 of 100 requests of GET of group INTERNAL to internal/);
    assert.match((await check('pinned')) ?? '', /pinned 0\.0 % of the users to a canary/);
    answers.body = 'X' + answers.body.slice(1);
    assert.match((await check('get', false)) ?? '', /altered the body/);
    answers.status = 503;
    assert.match((await check('get', false)) ?? '', /answered 503/);
  } finally {
    server.closeAllConnections();
    await new Promise((resolve) => server.close(resolve));
  }
});

test('the README and the picture are made from the same results, which hold what was measured', () => {
  const results = readResults();
  const readme = readFileSync(new URL('../../bench/README.md', import.meta.url), 'utf8');
  assert.equal(withMeasured(readme, measuredText(results)), readme);
  const svg = readFileSync(new URL('../../bench/comparison.svg', import.meta.url), 'utf8');
  assert.equal(picture(results), svg);
  assert.deepEqual(Object.keys(results).sort(), [...PARTS].sort());
});

test('a ratio to HAProxy is the median of those within each round, so that a slow while counts for both', () => {
  const round = (totalUs: number): Round => ({
    result: { requests: 1, seconds: 1, bytes: 1, latency: NO_LATENCY, errors: 0, non2xx: 0 },
    cpu: { totalUs, userUs: totalUs, systemUs: 0 },
    busy: 1,
    disturbed: 0,
    peakRss: 1,
    problems: [],
  });
  const series = [
    { subject: 'pointsman', rounds: [12, 36, 11].map(round) },
    { subject: 'haproxy', rounds: [10, 30, 10].map(round) },
  ];
  const section = {
    driver: 'wrk',
    scenario: 'get',
    size: 1,
    connections: 1,
    accessLog: false,
    series,
  } as const;
  assert.deepEqual(
    summariesOf(section).map(({ cpuRatio }) => cpuRatio),
    [1.2, 1],
  );
});

test('the median is the middle value, or the mean of the two in the middle', () => {
  assert.equal(median([3, 1, 2]), 2);
  assert.equal(median([4, 1, 3, 2]), 2.5);
  assert.ok(Number.isNaN(median([])));
});
