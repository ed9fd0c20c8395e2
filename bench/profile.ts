/**
 * Where the time of a proxy goes: runs one subject on Node under load with `--cpu-prof` and prints the functions with
 * most self time, and the sum by file. Samples outside the load are left out.
 *
 *   node bench/profile.ts [--seconds 5] [--subject pointsman-full] [--scenario get] [--size 1024] [--top 40] [--keep FILE]
 */

import { copyFileSync, mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { cpuBetween, readCpu } from './cpu.ts';
import { driveAutocannon } from './drivers/autocannon.ts';
import { driveWrk } from './drivers/wrk.ts';
import { isInstalled, placement } from './launch.ts';
import { subjectNamed } from './subjects/registry.ts';
import { startUpstreams } from './upstreams.ts';
import { requestsOf, SCENARIOS, type Scenario } from './workload.ts';

interface CpuProfile {
  readonly nodes: readonly {
    readonly id: number;
    readonly callFrame: { readonly functionName: string; readonly url: string; readonly lineNumber: number };
  }[];
  /** Microseconds of the monotonic clock. */
  readonly startTime: number;
  readonly samples: readonly number[];
  /** Microseconds from each sample to the next. */
  readonly timeDeltas: readonly number[];
}

const USAGE = `usage: node bench/profile.ts [options]
  --seconds N       of load (5)
  --subject NAME    pointsman (default), pointsman-pipelining, pointsman-full, http-proxy-3 or httpxy
  --scenario NAME   ${SCENARIOS.join(', ')} (get)
  --size BYTES      of bodies (1024)
  --connections N   (64)
  --access-log      one line of log per request, to a file
  --top N           functions printed (40)
  --keep FILE       copy the .cpuprofile there, for Chrome DevTools`;

const { values } = parseArgs({
  options: {
    seconds: { type: 'string', default: '5' },
    subject: { type: 'string', default: 'pointsman' },
    scenario: { type: 'string', default: 'get' },
    size: { type: 'string', default: '1024' },
    connections: { type: 'string', default: '64' },
    'access-log': { type: 'boolean', default: false },
    top: { type: 'string', default: '40' },
    keep: { type: 'string' },
    help: { type: 'boolean', default: false },
  },
});
const subject = subjectNamed(values.subject);
if (values.help || subject === undefined || !SCENARIOS.includes(values.scenario as Scenario)) {
  console.error(USAGE);
  process.exit(values.help ? 0 : 2);
}
const unavailable = subject.unavailable();
if (unavailable !== undefined) {
  console.error(`cannot profile ${subject.name}: ${unavailable}`);
  process.exit(2);
}

const cores = placement(true);
const folder = mkdtempSync(join(tmpdir(), 'pointsman-profile-'));
try {
  const size = Number(values.size);
  const upstreams = await startUpstreams({ size, core: cores.load, folder });
  const running = await subject.start({
    upstreamPorts: upstreams.ports,
    pinned: values.scenario === 'pinned',
    accessLog: values['access-log'],
    plain: false,
    placement: cores,
    folder,
    nodeArgs: ['--cpu-prof', '--cpu-prof-dir', folder, '--cpu-prof-interval', '200'],
  });
  if (running.process === undefined) throw new Error(`${subject.name} has no process to profile`);
  const load = {
    port: running.port,
    requests: requestsOf(values.scenario as Scenario, size),
    connections: Number(values.connections),
  };
  const drive = (seconds: number) =>
    isInstalled('wrk')
      ? driveWrk({ ...load, seconds }, cores.load, folder)
      : driveAutocannon({ ...load, seconds }, cores.load);
  await drive(1);
  const from = monotonicUs();
  const before = readCpu(running.process.pid);
  const result = await drive(Number(values.seconds));
  const cpu = cpuBetween(before, readCpu(running.process.pid));
  const to = monotonicUs();
  await running.stop();
  await upstreams.stop();
  const files = readdirSync(folder).filter((name) => name.endsWith('.cpuprofile'));
  if (files.length === 0)
    throw new Error(`${subject.name} wrote no profile: it must end by itself on SIGTERM`);
  if (values.keep !== undefined) copyFileSync(join(folder, files[0]!), values.keep);
  const profiles = files.map((name) => JSON.parse(readFileSync(join(folder, name), 'utf8')) as CpuProfile);
  const perRequest = cpu.totalUs / result.requests;
  console.log(
    `${subject.name}, ${values.scenario}, ${size} bytes: ${Math.round(result.requests / result.seconds)} requests/s, ` +
      `${perRequest.toFixed(1)} µs CPU a request under the profiler (user ${(cpu.userUs / result.requests).toFixed(1)}, ` +
      `system ${(cpu.systemUs / result.requests).toFixed(1)}); ${result.errors} errors, ${result.non2xx} non-2xx`,
  );
  printProfile(profiles, from, to, perRequest, Number(values.top));
} finally {
  rmSync(folder, { recursive: true, force: true });
}

/** V8 stamps profiles with the same clock. */
function monotonicUs(): number {
  return Number(process.hrtime.bigint() / 1000n);
}

function printProfile(
  profiles: readonly CpuProfile[],
  from: number,
  to: number,
  perRequest: number,
  top: number,
) {
  const byFunction = new Map<string, number>();
  const byFile = new Map<string, number>();
  let busy = 0;
  for (const profile of profiles) {
    const frames = new Map(profile.nodes.map((node) => [node.id, node.callFrame]));
    let time = profile.startTime;
    profile.samples.forEach((id, index) => {
      const delta = profile.timeDeltas[index]!;
      time += delta;
      const frame = frames.get(id)!;
      if (time < from || time > to || frame.functionName === '(idle)') return;
      busy += delta;
      const file = shortName(frame.url) || '(native)';
      const name = `${frame.functionName || '(anonymous)'}  ${file}${frame.url === '' ? '' : `:${frame.lineNumber + 1}`}`;
      byFunction.set(name, (byFunction.get(name) ?? 0) + delta);
      byFile.set(file, (byFile.get(file) ?? 0) + delta);
    });
  }
  const print = (title: string, sums: ReadonlyMap<string, number>, count: number) => {
    console.log(`\n${title}`);
    for (const [name, sum] of [...sums].sort((a, b) => b[1] - a[1]).slice(0, count)) {
      const share = sum / busy;
      console.log(
        `${(share * 100).toFixed(1).padStart(6)} %  ${(share * perRequest).toFixed(2).padStart(6)} µs  ${name}`,
      );
    }
  };
  print('self time by file (share of busy time, CPU per request)', byFile, 20);
  print('self time by function', byFunction, top);
}

function shortName(url: string): string {
  const root = fileURLToPath(new URL('..', import.meta.url));
  const path = url.startsWith('file:') ? fileURLToPath(url) : url;
  return path.startsWith(root) ? path.slice(root.length) : path;
}
