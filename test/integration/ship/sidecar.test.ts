/**
 * The life of a pod with Pointsman as its native sidecar, in the order that the kubelet keeps: the sidecar starts, its
 * startup probe succeeds, the application starts; told to end, the application ends first and the sidecar after it.
 */

import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { suite, test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { parse, stringify } from 'yaml';
import type { ConfigInput } from '../../../src/config/schema.ts';
import { cleanUp } from '../../support/clean-up.ts';
import { startHttpUpstream } from '../../support/http-upstream.ts';
import { startPointsman } from '../../support/pointsman-process.ts';
import { inTime, waitFor } from '../../support/wait-for.ts';

const APPLICATION = fileURLToPath(new URL('../../support/sidecar-application-main.ts', import.meta.url));
const TABLE = new URL('../../../deploy/kustomize/overlays/sidecar/pointsman.yaml', import.meta.url);

suite('a sidecar', () => {
  test('serves the first and the last request of its application, with the table of deploy/kustomize', async () => {
    const upstream = await startHttpUpstream('account-service');
    const table = parse(readFileSync(TABLE, 'utf8')) as ConfigInput;
    for (const backend of Object.values(table.backends)) backend.url = upstream.url;
    const sidecar = await startPointsman(
      stringify({ ...table, listen: '127.0.0.1:0', admin: '127.0.0.1:0' }),
      // The application is started once the startup probe, /readyz, succeeds.
      { ready: true },
    );
    const application = spawn(
      process.execPath,
      [APPLICATION, `http://127.0.0.1:${sidecar.trafficPort}/accounts`],
      { stdio: ['ignore', 'pipe', 'inherit'], env: { ...process.env, NODE_OPTIONS: '' } },
    );
    cleanUp(() => application.kill('SIGKILL'));
    let output = '';
    application.stdout.setEncoding('utf8').on('data', (text: string) => {
      output += text;
    });
    const ended = new Promise<number | null>((resolve) => application.once('close', resolve));
    await waitFor('the application to be at work', () => output.includes('busy'));
    application.kill('SIGTERM');
    assert.equal(await inTime('the end of the application', ended), 0);
    assert.equal(sidecar.hasExited, false, 'the sidecar outlives it');
    sidecar.signal('SIGTERM');
    assert.equal((await inTime('the end of the sidecar', sidecar.exited)).code, 0);
    const { sent, failed } = JSON.parse(output.split('\n')[1]!) as { sent: number; failed: string[] };
    assert.deepEqual(failed, []);
    assert.ok(sent > 200, `${sent} requests`);
    assert.equal(upstream.requests.length, sent, 'every request came through, none twice');
  });
});
