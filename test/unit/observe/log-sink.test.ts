import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import fs from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { type TestContext, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { LogSink } from '../../../src/observe/log-sink.ts';
import { fillUp, mountSmallDisk } from '../../torture/faults/scenarios/full-disk.ts';
import { Fifo } from './fixtures/fifo.ts';

const WRITER = path.join(import.meta.dirname, 'fixtures/log-writer.ts');

function fifoFor(t: TestContext): Fifo {
  const fifo = new Fifo();
  t.after(() => fifo.close());
  return fifo;
}

/** Runs the writer with the pipe as its standard output; the result is its exit code and what it told. */
function runWriter(args: readonly string[], stdout: number | 'pipe') {
  const child = spawn(process.execPath, [WRITER, ...args], { stdio: ['ignore', stdout, 'pipe'] });
  let out = '';
  let told = '';
  child.stdout?.on('data', (data) => {
    out += data;
  });
  child.stderr!.on('data', (data) => {
    told += data;
  });
  const ended = new Promise<{ code: number | null; out: string; told: string }>((resolve) => {
    child.on('close', (code) => resolve({ code, out, told }));
  });
  return { ended, stop: () => child.kill('SIGKILL') };
}

function numbers(text: string): number[] {
  return text
    .split('\n')
    .filter((line) => line !== '')
    .map((line) => (JSON.parse(line) as { n: number }).n);
}

test('a line appears by itself, without a flush', async (t) => {
  const fifo = fifoFor(t);
  const sink = new LogSink({ fd: fifo.writeEnd });
  sink.write('{"n":0}\n');
  let seen = '';
  const deadline = Date.now() + 5_000;
  while (seen === '' && Date.now() < deadline) {
    await sleep(5);
    seen += fifo.read();
  }
  assert.equal(seen, '{"n":0}\n');
});

test('lines come out whole, in order and once, however slowly they are read', async (t) => {
  const fifo = fifoFor(t);
  const sink = new LogSink({ fd: fifo.writeEnd });
  const sent: string[] = [];
  for (let n = 0; n < 5_000; n++) {
    const line = `${JSON.stringify({ n, text: 'ä€😀"\\'.repeat(n % 40) })}\n`;
    sent.push(line);
    sink.write(line);
  }
  const flushed = sink.flush(20_000);
  let received = '';
  while (sink.queuedBytes > 0) {
    received += fifo.read();
    await sleep(1);
  }
  assert.equal(await flushed, true);
  received += fifo.read();
  assert.equal(received, sent.join(''));
  assert.equal(sink.dropped, 0);
});

test('a line longer than a pipe takes at once comes out whole', async (t) => {
  const fifo = fifoFor(t);
  const sink = new LogSink({ fd: fifo.writeEnd });
  const line = `${'y'.repeat(300_000)}\n`;
  sink.write(line);
  const flushed = sink.flush(20_000);
  let received = '';
  while (sink.queuedBytes > 0) {
    received += fifo.read();
    await sleep(1);
  }
  assert.equal(await flushed, true);
  assert.equal(received + fifo.read(), line);
});

test('with a reader that stopped, memory stays bounded, drops are counted and writing never blocks', async (t) => {
  const fifo = fifoFor(t);
  const sink = new LogSink({ fd: fifo.writeEnd, maxQueuedBytes: 100_000 });
  const line = `${'z'.repeat(99)}\n`;
  for (let n = 0; n < 10_000; n++) sink.write(line);
  assert.ok(sink.queuedBytes <= 100_000);
  assert.equal(await sink.flush(50), false);
  const lost = sink.dropped;
  assert.ok(lost > 7_000 && lost < 10_000, `${lost} dropped`);
  let received = '';
  while (sink.queuedBytes > 0) {
    received += fifo.read();
    await sleep(1);
  }
  received += fifo.read();
  assert.equal(received.length / line.length, 10_000 - lost);
  sink.write('again\n');
  assert.equal(await sink.flush(), true);
  assert.equal(fifo.read(), 'again\n');
});

test('a reader that has gone ends neither the process nor a flush, and its lines count as dropped', async (t) => {
  const fifo = fifoFor(t);
  const sink = new LogSink({ fd: fifo.writeEnd });
  fifo.closeEnd(fifo.readEnd);
  for (let n = 0; n < 100; n++) sink.write('{"n":1}\n');
  assert.equal(await sink.flush(), true);
  sink.write('{"n":2}\n');
  sink.flushSync();
  assert.equal(sink.dropped, 101);
  assert.equal(sink.queuedBytes, 0);
});

test('a full disk is waited for, within the bound', async () => {
  const fd = fs.openSync('/dev/full', 'w');
  try {
    const sink = new LogSink({ fd, maxQueuedBytes: 10_000 });
    for (let n = 0; n < 1_000; n++) sink.write(`${'f'.repeat(99)}\n`);
    assert.equal(await sink.flush(50), false);
    sink.flushSync();
    assert.equal(sink.dropped, 900);
    assert.equal(sink.queuedBytes, 10_000);
  } finally {
    fs.closeSync(fd);
  }
});

test('a line of one of several writers is whole, and stands alone, when the disk was full in the middle of it', async (t) => {
  const folder = mountSmallDisk();
  if (folder === undefined) {
    t.skip('no file system may be mounted here');
    return;
  }
  const file = path.join(folder, 'log');
  const ballast = path.join(folder, 'ballast');
  const writers = ['a', 'b', 'c'].map(() => {
    const fd = fs.openSync(file, 'a');
    return { fd, sink: new LogSink({ fd, shared: true }) };
  });
  fillUp(ballast);
  // Room for some lines and a part of one.
  fs.truncateSync(ballast, fs.statSync(ballast).size - 4096);
  const count = 300;
  for (let n = 0; n < count; n++) {
    writers[n % writers.length]!.sink.write(`${JSON.stringify({ n, fill: 'f'.repeat(150) })}\n`);
    if (n % 30 === 29) await sleep(25);
  }
  fs.rmSync(ballast);
  for (const { fd, sink } of writers) {
    assert.equal(await sink.flush(5_000), true);
    assert.equal(sink.dropped, 0);
    fs.closeSync(fd);
  }
  const lines = fs.readFileSync(file, 'utf8').split('\n');
  const whole = lines.filter((line) => line.endsWith('}'));
  assert.deepEqual(
    numbers(whole.join('\n')).toSorted((a, b) => a - b),
    Array.from({ length: count }, (_, n) => n),
  );
  assert.ok(
    lines.some((line) => line !== '' && !line.endsWith('}')),
    'the disk took a part of a line',
  );
});

test('a file gets every line, in order, also what flushSync has to finish', async (t) => {
  const directory = fs.mkdtempSync(path.join(os.tmpdir(), 'pointsman-log-'));
  t.after(() => fs.rmSync(directory, { recursive: true }));
  const file = path.join(directory, 'log');
  const fd = fs.openSync(file, 'a');
  const sink = new LogSink({ fd });
  for (let n = 0; n < 2_000; n++) sink.write(`{"n":${n}}\n`);
  assert.equal(await sink.flush(), true);
  for (let n = 2_000; n < 2_010; n++) sink.write(`{"n":${n}}\n`);
  sink.flushSync();
  fs.closeSync(fd);
  assert.deepEqual(
    numbers(fs.readFileSync(file, 'utf8')),
    Array.from({ length: 2_010 }, (_, n) => n),
  );
});

test('a process whose standard output nobody reads still exits, in time and with its own code', async (t) => {
  const fifo = fifoFor(t);
  const writer = runWriter(['20000', 'stuck', 'stuck'], fifo.writeEnd);
  t.after(writer.stop);
  const { code, told } = await writer.ended;
  assert.equal(code, 0);
  assert.equal(JSON.parse(told).flushed, false);
});

test('a process that exits at once has written its last lines', async (t) => {
  const fifo = fifoFor(t);
  const toPipe = await runWriter(['100', 'a', 'die'], fifo.writeEnd).ended;
  assert.equal(toPipe.code, 0);
  assert.equal(numbers(fifo.read()).length, 100);
  const toSocket = await runWriter(['100', 'a', 'die'], 'pipe').ended;
  assert.equal(numbers(toSocket.out).length, 100);
});

test('a socket as standard output gets every line in order', async () => {
  const { code, out, told } = await runWriter(['5000', 'a'], 'pipe').ended;
  assert.equal(code, 0);
  assert.deepEqual(JSON.parse(told), { flushed: true, dropped: 0 });
  assert.deepEqual(
    numbers(out),
    Array.from({ length: 5_000 }, (_, n) => n),
  );
});

test('lines of two processes that share a full pipe never mix', async (t) => {
  const fifo = fifoFor(t);
  const writers = ['a', 'b'].map((name) => runWriter(['4000', name, 'shared'], fifo.writeEnd));
  for (const { stop } of writers) t.after(stop);
  let running = true;
  const ended = Promise.all(writers.map((writer) => writer.ended)).finally(() => {
    running = false;
  });
  let received = '';
  while (running) {
    // Never all of it: a pipe that is emptied in one go takes the next piece whole, whatever its size.
    received += fifo.read(7_001);
    await sleep(1);
  }
  for (const { code, told } of await ended) {
    assert.equal(code, 0);
    assert.deepEqual(JSON.parse(told), { flushed: true, dropped: 0 });
  }
  received += fifo.read();
  const perService = new Map<string, number[]>();
  for (const line of received.split('\n').slice(0, -1)) {
    const { service, n } = JSON.parse(line) as { service: string; n: number };
    perService.set(service, [...(perService.get(service) ?? []), n]);
  }
  const expected = Array.from({ length: 4_000 }, (_, n) => n);
  assert.deepEqual(perService.get('a'), expected);
  assert.deepEqual(perService.get('b'), expected);
});
