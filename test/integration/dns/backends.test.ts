/** Names of backends against dnsmasq, without a process around them. */

import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { BackendSupervisor } from '../../../src/backends/supervisor.ts';
import { type ConfigInput, configSchema } from '../../../src/config/schema.ts';
import { cleanUp } from '../../support/clean-up.ts';
import { QUICK } from '../../support/dns-resolver.ts';
import { startDnsServer } from '../../support/dns-server.ts';
import { waitFor } from '../../support/wait-for.ts';

describe('backends over a real DNS server', () => {
  function supervise(nameserver: string, backends: ConfigInput['backends']) {
    const lines: { message: string; [field: string]: unknown }[] = [];
    const write = (fields: object, message: string) => {
      lines.push({ message, ...fields });
    };
    const supervisor = new BackendSupervisor({
      log: { info: write, warn: write } as never,
      onEndpoints: () => {},
    });
    cleanUp(() => supervisor.close());
    supervisor.apply(
      configSchema.parse({
        backends,
        routes: [{ name: 'all', split: {} }],
        health: { enabled: false },
        resolver: { ...QUICK, nameservers: [nameserver], search: ['shop.test'] },
      }),
    );
    const addresses = () => supervisor.endpoints()[0]!.endpoints.map(({ address }) => address);
    const resolution = () => supervisor.status()[0]!.resolution;
    return { supervisor, lines, addresses, resolution };
  }

  test('addresses that change in DNS change here', async () => {
    const server = await startDnsServer({ 'web.shop.test': ['127.0.0.2', '127.0.0.3'] }, { ttl: 0 });
    const { supervisor, addresses, lines } = supervise(server.address, { web: { url: 'http://web' } });
    await supervisor.whenSettled();
    assert.deepEqual(addresses(), ['127.0.0.2', '127.0.0.3']);
    await server.serve({ 'web.shop.test': ['127.0.0.3', '127.0.0.4'] });
    await waitFor('the new addresses', () => addresses().join() === '127.0.0.3,127.0.0.4');
    assert.ok(lines.some(({ message }) => message === 'addresses changed'));
  });

  for (const [how, stop, resume] of [
    ['hangs', 'stop', 'resume'],
    ['is gone', 'kill', 'start'],
  ] as const) {
    test(`a server that ${how} takes no address away, and the next good answer counts again`, async () => {
      const server = await startDnsServer({ 'web.shop.test': ['127.0.0.2'] }, { ttl: 0 });
      const { supervisor, addresses, resolution, lines } = supervise(server.address, {
        web: { url: 'http://web' },
      });
      await supervisor.whenSettled();
      await server[stop]();
      await waitFor('the name to be stale', () => resolution().state === 'stale');
      assert.deepEqual(addresses(), ['127.0.0.2']);
      assert.match(resolution().reason, how === 'hangs' ? /no answer/ : /no DNS server listens/);
      await server[resume]();
      await waitFor('the name to resolve', () => resolution().state === 'resolved');
      assert.deepEqual(addresses(), ['127.0.0.2']);
      const states = lines
        .filter(({ message }) => message.startsWith('name '))
        .map(({ from, to }) => `${from} ${to}`);
      assert.deepEqual(states, ['pending resolved', 'resolved stale', 'stale resolved']);
    });
  }

  test('a name that is deleted keeps its addresses, since health decides on them', async () => {
    const server = await startDnsServer({ 'web.shop.test': ['127.0.0.2'] }, { ttl: 0 });
    const { supervisor, addresses, resolution } = supervise(server.address, { web: { url: 'http://web' } });
    await supervisor.whenSettled();
    await server.serve({});
    await waitFor('the name to be stale', () => resolution().state === 'stale');
    assert.deepEqual(addresses(), ['127.0.0.2']);
    assert.match(resolution().reason, /NXDOMAIN/);
  });

  test('a name that appears later comes up', async () => {
    const server = await startDnsServer({}, { ttl: 0 });
    const { supervisor, addresses, resolution } = supervise(server.address, { web: { url: 'http://web' } });
    await supervisor.whenSettled();
    assert.equal(resolution().state, 'failed');
    assert.deepEqual(addresses(), []);
    await server.serve({ 'web.shop.test': ['127.0.0.2'] });
    await waitFor('the name to resolve', () => resolution().state === 'resolved');
    assert.deepEqual(addresses(), ['127.0.0.2']);
  });
});
