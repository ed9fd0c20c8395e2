/** Chunks of one byte: their cost is bounded by their content, not by their number. */

import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { once } from 'node:events';
import { suite, test } from 'node:test';
import {
  type ChunkCountingUpstream,
  startChunkCountingUpstream,
} from '../../support/chunk-counting-upstream.ts';
import { oneBackend } from '../../support/design-table.ts';
import { type PointsmanProcess, startPointsman, type TestConfig } from '../../support/pointsman-process.ts';
import { cpuSeconds, MemoryWatch, MIB } from '../../support/process-usage.ts';
import { RawClient } from '../../support/raw-client.ts';
import { send } from '../../support/request.ts';
import { waitFor } from '../../support/wait-for.ts';

const unchecked: Partial<TestConfig> = { health: { enabled: false } };
const HEAD = 'PUT /tiny HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n';
const LAST_CHUNK = '0\r\n\r\n';

function letter(index: number): string {
  return String.fromCharCode(0x61 + (index % 26));
}

/** Returns content with every byte in a separate chunk. */
function tinyChunks(count: number): string {
  let text = '';
  for (let i = 0; i < count; i++) text += `1\r\n${letter(i)}\r\n`;
  return text;
}

function contentHash(count: number): string {
  let text = '';
  for (let i = 0; i < count; i++) text += letter(i);
  return createHash('sha256').update(text).digest('hex');
}

/** Writes `size` bytes at a time, as fast as the proxy takes them. The kernel may still join some writes. */
async function sendInSegments(client: RawClient, bytes: Buffer, size: number): Promise<void> {
  for (let at = 0; at < bytes.length; at += size) {
    const flowing = client.socket.write(bytes.subarray(at, at + size));
    if (flowing) await new Promise((resolve) => setImmediate(resolve));
    else await once(client.socket, 'drain');
  }
}

function assertWhole(upstream: ChunkCountingUpstream, index: number, count: number): void {
  const body = upstream.bodies[index]!;
  assert.equal(body.length, count);
  assert.equal(body.sha256(), contentHash(count));
  assert.deepEqual(upstream.violations, []);
}

suite('an upload in chunks of one byte', () => {
  const COUNT = 300_000;

  test('arrives whole and in few chunks, costs little CPU, and other clients are served meanwhile', async () => {
    const upstream = await startChunkCountingUpstream();
    const proxy = await startPointsman(oneBackend(upstream.url, unchecked));
    await send(proxy.trafficPort, { method: 'PUT', body: 'warm' });
    const client = await RawClient.connect(proxy.trafficPort);
    const before = cpuSeconds(proxy.pid);
    client.send(HEAD + tinyChunks(COUNT) + LAST_CHUNK);
    const beside = send(proxy.trafficPort);
    assert.equal((await client.read({ timeoutMs: 60_000 })).status, 200);
    const spent = cpuSeconds(proxy.pid) - before;
    assert.equal((await beside).status, 200);
    client.destroy();
    const index = upstream.bodies.findIndex(({ length }) => length === COUNT);
    assertWhole(upstream, index, COUNT);
    const { chunks } = upstream.bodies[index]!;
    assert.ok(chunks < 5_000, `the upstream got ${chunks} chunks`);
    assert.ok(spent < 2, `it took ${spent} s of CPU time`);
  });

  test('arrives whole if chunks and segments begin at different bytes', async () => {
    const upstream = await startChunkCountingUpstream();
    const proxy = await startPointsman(oneBackend(upstream.url, unchecked));
    const count = 3_000;
    const bytes = Buffer.from(HEAD + tinyChunks(count) + LAST_CHUNK);
    const sizes = [1, 5, 6, 7, 100];
    for (const [index, size] of sizes.entries()) {
      const client = await RawClient.connect(proxy.trafficPort);
      await sendInSegments(client, bytes, size);
      assert.equal((await client.read()).status, 200);
      client.destroy();
      assertWhole(upstream, index, count);
    }
  });

  test('costs CPU time by the segment, not by the chunk, if it comes in small segments', async () => {
    const upstream = await startChunkCountingUpstream();
    const proxy = await startPointsman(oneBackend(upstream.url, unchecked));
    await send(proxy.trafficPort, { method: 'PUT', body: 'warm' });
    const client = await RawClient.connect(proxy.trafficPort);
    const before = cpuSeconds(proxy.pid);
    // 200 chunks each: 1,500 segments.
    await sendInSegments(client, Buffer.from(HEAD + tinyChunks(COUNT) + LAST_CHUNK), 1_200);
    assert.equal((await client.read({ timeoutMs: 60_000 })).status, 200);
    const spent = cpuSeconds(proxy.pid) - before;
    client.destroy();
    assertWhole(upstream, 1, COUNT);
    const { chunks } = upstream.bodies[1]!;
    assert.ok(chunks < 5_000, `the upstream got ${chunks} chunks`);
    assert.ok(spent < 2, `it took ${spent} s of CPU time`);
  });
});

suite('a body in chunks of one byte that is kept for a retry', () => {
  const CONNECTIONS = 15;
  /** Just below `retries.bufferSize`. */
  const COUNT = 65_000;
  const CONTENT = CONNECTIONS * COUNT;

  /** Sends the bodies of all connections; resolves when the upstream has them all, and holds its answers. */
  async function upload(proxy: PointsmanProcess, upstream: ChunkCountingUpstream): Promise<RawClient[]> {
    const bytes = HEAD + tinyChunks(COUNT) + LAST_CHUNK;
    const clients = await Promise.all(
      Array.from({ length: CONNECTIONS }, () => RawClient.connect(proxy.trafficPort)),
    );
    const before = upstream.bodies.length;
    for (const client of clients) client.send(bytes);
    await proxy.waitFor(
      'all bodies at the upstream',
      () => upstream.bodies.slice(before).filter(({ ended }) => ended).length === CONNECTIONS,
      60_000,
    );
    return clients;
  }

  test('is held at the cost of its content, and accounted at what it costs', async () => {
    const upstream = await startChunkCountingUpstream({ holds: true });
    const proxy = await startPointsman(oneBackend(upstream.url, unchecked), {
      env: { NODE_OPTIONS: '--max-old-space-size=100' },
    });
    const memory = new MemoryWatch(proxy.pid);
    const clients = await upload(proxy, upstream);
    const buffered = await proxy.waitFor('the bodies to be accounted', async () => {
      memory.sample();
      const bytes = await proxy.metric('pointsman_buffered_bytes');
      return bytes >= CONTENT ? bytes : undefined;
    });
    assert.ok(buffered < 4 * CONTENT, `${buffered} bytes for ${CONTENT} of content`);
    assert.ok(memory.growth < 96 * MIB, `grew by ${memory.text}`);
    upstream.release();
    for (const client of clients) {
      assert.equal((await client.read()).status, 200);
      client.destroy();
    }
    for (let i = 0; i < CONNECTIONS; i++) assertWhole(upstream, i, COUNT);
    await waitFor('nothing to be kept', async () => (await proxy.metric('pointsman_buffered_bytes')) === 0);
  });
});
