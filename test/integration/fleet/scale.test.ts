/**
 * A large fleet with every fault planted, each into a service of its own. `TEST_LONG=1` takes 500 services with 20,000
 * pods and holds the process to 5 s and 200 MiB.
 */

import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { readFileSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { describe, it } from 'node:test';
import { fileURLToPath } from 'node:url';
import { stringify } from 'yaml';
import type { FleetReport } from '../../../src/fleet/report.ts';
import { cleanUp } from '../../support/clean-up.ts';
import { FleetProcess, temporaryDirectory } from '../../support/fleet-process.ts';
import { waitFor } from '../../support/wait-for.ts';
import { PLANTS } from '../../unit/fleet/planted-faults.ts';

const LONG = process.env['TEST_LONG'] === '1';
const SERVICES = LONG ? 500 : 60;
const DOUBLE = fileURLToPath(new URL('../../support/kubernetes-api/process-main.ts', import.meta.url));

/** MiB. */
function peakMemory(pid: number): number {
  try {
    return Number(/^VmHWM:\s+(\d+) kB$/m.exec(readFileSync(`/proc/${pid}/status`, 'utf8'))?.[1] ?? 0) / 1024;
  } catch {
    return 0;
  }
}

/** What is only seen in live tables is not on the server. */
const plants = PLANTS.filter(({ survey }) => survey === undefined);

describe('fleet status over a large fleet', () => {
  it(`finds every fault of ${SERVICES} services, invents none${LONG ? ', in 5 s and 200 MiB' : ''}`, {
    timeout: 180_000,
  }, async () => {
    const planted = plants.map(({ kind }) => kind);
    const double = spawn(
      process.execPath,
      [DOUBLE, JSON.stringify({ services: SERVICES, realistic: true, large: LONG, planted })],
      { stdio: ['pipe', 'pipe', 'inherit'] },
    );
    cleanUp(() => double.kill('SIGKILL'));
    let url = '';
    double.stdout.setEncoding('utf8').on('data', (text: string) => {
      url += text;
    });
    await waitFor('the double', () => url.includes('\n'), 60_000);
    const kubeconfig = path.join(temporaryDirectory(), 'kubeconfig');
    writeFileSync(
      kubeconfig,
      stringify({
        apiVersion: 'v1',
        kind: 'Config',
        'current-context': 'c',
        clusters: [{ name: 'c', cluster: { server: url.trim(), 'insecure-skip-tls-verify': true } }],
        users: [{ name: 'u', user: { token: 't' } }],
        contexts: [{ name: 'c', context: { cluster: 'c', user: 'u', namespace: 'shop' } }],
      }),
    );
    const started = performance.now();
    const status = new FleetProcess(['status', '--kubeconfig', kubeconfig, '-o', 'json']);
    let peak = 0;
    const timer = setInterval(() => {
      peak = Math.max(peak, peakMemory(status.child.pid!));
    }, 20);
    const { stdout, stderr, code } = await status.exited;
    clearInterval(timer);
    const seconds = (performance.now() - started) / 1_000;
    assert.equal(code, 2, stderr);
    const report = JSON.parse(stdout) as FleetReport;
    assert.equal(report.counts.services, SERVICES);
    if (LONG) assert.ok(report.counts.pods >= 20_000, `${report.counts.pods}`);
    for (const [index, { kind, also = [] }] of plants.entries()) {
      const found = report.findings
        .filter(({ service }) => service === `service-${String(index).padStart(3, '0')}`)
        .map((finding) => finding.kind);
      assert.ok(found.includes(kind), `${kind} of service ${index}: ${found}`);
      assert.deepEqual(
        found.filter((one) => one !== kind && !also.includes(one)),
        [],
        kind,
      );
    }
    assert.equal(report.counts.fine, SERVICES - plants.length);
    console.log(
      `${report.counts.services} services, ${report.counts.pods} pods: ${seconds.toFixed(1)} s, ${peak.toFixed(0)} MiB`,
    );
    if (!LONG) return;
    assert.ok(seconds < 5, `${seconds} s`);
    assert.ok(peak > 0 && peak < 200, `${peak} MiB`);
  });
});
