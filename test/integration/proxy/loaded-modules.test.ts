/** What is off is not loaded either: what it would cost, only those pay who want it. */

import assert from 'node:assert/strict';
import { readFileSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { startHttpUpstream } from '../../support/http-upstream.ts';
import { startPointsman, type TestConfig, temporaryDirectory } from '../../support/pointsman-process.ts';
import { send } from '../../support/request.ts';

const HOOK = fileURLToPath(new URL('../../support/note-modules.ts', import.meta.url));
const upstream = await startHttpUpstream('only');

async function modulesOf(more: Partial<TestConfig>): Promise<string> {
  const file = path.join(temporaryDirectory(), 'modules');
  writeFileSync(file, '');
  const proxy = await startPointsman(
    { backends: { a: { url: upstream.url } }, routes: [{ name: 'all', split: { a: 1 } }], ...more },
    { env: { NODE_OPTIONS: `--import=${HOOK}`, LOADED_MODULES: file } },
  );
  assert.equal((await send(proxy.trafficPort, {})).status, 200);
  return readFileSync(file, 'utf8');
}

test("OpenTelemetry's SDK, Redis' client and that of Kubernetes are loaded only when they are used", async () => {
  const plain = await modulesOf({});
  assert.match(plain, /src\/process\/primary\.ts/);
  // Its API, without which it does nothing, comes with prom-client.
  const unwanted = /node_modules\/(@opentelemetry\/(?!api\/)|ioredis\/|@kubernetes\/|nodemailer\/).*/;
  assert.equal(unwanted.exec(plain)?.[0], undefined);
  const all = await modulesOf({
    tracing: { endpoint: 'http://127.0.0.1:9/v1/traces' },
    acting: { token: 'sixteen-characters' },
    redis: { url: 'redis://127.0.0.1:9' },
  });
  assert.match(all, /node_modules\/@opentelemetry\/sdk-trace\//);
  assert.match(all, /node_modules\/ioredis\//);
});
