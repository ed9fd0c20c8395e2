import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import fs from 'node:fs';
import net, { type AddressInfo } from 'node:net';
import os from 'node:os';
import path from 'node:path';
import { type TestContext, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { describeListenError, describePortOwner } from '../../../src/admin/port-owner.ts';

async function listenOn(t: TestContext, host: string): Promise<number> {
  const server = net.createServer();
  t.after(() => server.close());
  await new Promise<void>((resolve, reject) => {
    server.once('error', reject);
    server.listen(0, host, resolve);
  });
  return (server.address() as AddressInfo).port;
}

/** The real error of listening there, as `describeListenError` gets it. */
async function errorOfListening(host: string, port: number): Promise<Error> {
  const server = net.createServer();
  return await new Promise<Error>((resolve, reject) => {
    server.once('error', resolve);
    server.listen(port, host, () => {
      server.close();
      reject(new Error(`port ${port} on ${host} was free`));
    });
  });
}

const SELF = `this process (pid ${process.pid})`;

test('the owner is found on its own address and through either side’s wildcard', async (t) => {
  const loopback = await listenOn(t, '127.0.0.1');
  assert.equal(describePortOwner('127.0.0.1', loopback), SELF);
  assert.equal(describePortOwner('0.0.0.0', loopback), SELF);
  assert.equal(describePortOwner('::', loopback), SELF);
  const everywhere = await listenOn(t, '0.0.0.0');
  assert.equal(describePortOwner('127.0.0.1', everywhere), SELF);
});

test('a listener on another address, or no listener, has no owner to name', async (t) => {
  const port = await listenOn(t, '127.0.0.1');
  assert.equal(describePortOwner('127.0.0.2', port), undefined);
  const server = net.createServer();
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const { port: freed } = server.address() as AddressInfo;
  await new Promise<void>((resolve) => server.close(() => resolve()));
  assert.equal(describePortOwner('127.0.0.1', freed), undefined);
});

test('IPv6 addresses are compared whichever way they are written', async (t) => {
  let port: number;
  try {
    port = await listenOn(t, '::1');
  } catch {
    t.skip('this machine has no IPv6');
    return;
  }
  for (const host of ['::1', '0:0:0:0:0:0:0:1', '::0001', '::'])
    assert.equal(describePortOwner(host, port), SELF);
  assert.equal(describePortOwner('::2', port), undefined);
  assert.equal(describePortOwner('127.0.0.1', port), undefined);
});

test('another process is named by program and script, never by its other arguments', async (t) => {
  const directory = fs.mkdtempSync(path.join(os.tmpdir(), 'pointsman-port-'));
  t.after(() => fs.rmSync(directory, { recursive: true }));
  const script = path.join(directory, 'shop-server.mjs');
  fs.writeFileSync(
    script,
    `import net from 'node:net';
     const server = net.createServer();
     server.listen(0, '127.0.0.1', () => console.log(server.address().port));`,
  );
  const child = spawn(process.execPath, ['--no-warnings', script, '--token=hidden'], {
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  t.after(() => child.kill('SIGKILL'));
  const port = await new Promise<number>((resolve) =>
    child.stdout.once('data', (data) => resolve(Number(data))),
  );
  assert.equal(describePortOwner('127.0.0.1', port), `node shop-server.mjs (pid ${child.pid})`);
  assert.equal(
    describeListenError(await errorOfListening('127.0.0.1', port), '127.0.0.1', port),
    `port ${port} on 127.0.0.1 is in use by node shop-server.mjs (pid ${child.pid})`,
  );
});

test('HAProxy on the port is named', async (t) => {
  const directory = fs.mkdtempSync(path.join(os.tmpdir(), 'pointsman-port-'));
  t.after(() => fs.rmSync(directory, { recursive: true }));
  const port = await listenOnceForANumber();
  const file = path.join(directory, 'haproxy.cfg');
  fs.writeFileSync(
    file,
    `defaults\n mode http\n timeout client 1s\n timeout server 1s\n timeout connect 1s\nfrontend f\n bind 127.0.0.1:${port}\n`,
  );
  const child = spawn('haproxy', ['-db', '-f', file], { stdio: 'ignore' });
  const failed = new Promise<Error>((resolve) => child.once('error', resolve));
  t.after(() => child.kill('SIGKILL'));
  if (child.pid === undefined) {
    t.skip(`HAProxy is not installed: ${(await failed).message}`);
    return;
  }
  const deadline = Date.now() + 10_000;
  const expected = `haproxy (pid ${child.pid})`;
  while (describePortOwner('0.0.0.0', port) !== expected && Date.now() < deadline) await sleep(20);
  assert.equal(describePortOwner('0.0.0.0', port), expected);
});

test('other reasons say what is wrong and where', async () => {
  const port = await listenOnceForANumber();
  const foreign = await errorOfListening('192.0.2.1', port);
  assert.equal(
    describeListenError(foreign, '192.0.2.1', port),
    '192.0.2.1 is not an address of this machine',
  );
  const denied = Object.assign(new Error('listen EACCES'), { code: 'EACCES' });
  assert.match(describeListenError(denied, '0.0.0.0', 80), /^port 80 on 0\.0\.0\.0 needs more rights/);
  const odd = Object.assign(new Error('listen EMFILE: too many open files'), { code: 'EMFILE' });
  assert.match(describeListenError(odd, '0.0.0.0', 80), /port 80 of 0\.0\.0\.0: listen EMFILE/);
});

async function listenOnceForANumber(): Promise<number> {
  const server = net.createServer();
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const { port } = server.address() as AddressInfo;
  await new Promise<void>((resolve) => server.close(() => resolve()));
  return port;
}
