import assert from 'node:assert/strict';
import { once } from 'node:events';
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import { type AddressInfo, connect } from 'node:net';
import { describe, it } from 'node:test';
import { FullDownstream, type RequestFeed } from '../../../../src/forward/full/full-downstream.ts';
import type { DownstreamEvents } from '../../../../src/forward/ports.ts';
import { readRequestHead } from '../../../../src/forward/request-head.ts';
import { cleanUp } from '../../../support/clean-up.ts';
import { peerAt, policyOf } from '../../../support/forward-policy.ts';
import { waitFor } from '../../../support/wait-for.ts';

const POST = 'POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 4\r\n\r\n';

/** A request as `node:http` reads it, and an exchange that fails in each event but `onClosed`. */
async function failing(text: string): Promise<{
  readonly downstream: FullDownstream;
  /** Errors that were reported. */
  readonly errors: string[];
  send(more: string): void;
}> {
  const policy = policyOf();
  const server = createServer();
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const client = connect((server.address() as AddressInfo).port, '127.0.0.1');
  client.on('error', () => {});
  cleanUp(() => {
    client.destroy();
    server.close();
  });
  client.write(text);
  const [req, res] = (await once(server, 'request')) as [IncomingMessage, ServerResponse];
  const feed: RequestFeed = {
    block: () => {},
    unblock: () => {},
    expectContent: () => {},
    contentEnds: () => {},
    requestEnds: () => {},
    heldBytes: 0,
  };
  const downstream = new FullDownstream(
    req,
    res,
    readRequestHead(req, policy, peerAt(false)),
    policy,
    feed,
    false,
  );
  const errors: string[] = [];
  const failsIn = (event: string) => () => {
    throw new Error(event);
  };
  const events: DownstreamEvents = {
    onRequestBody: failsIn('onRequestBody'),
    onRequestMalformed: failsIn('onRequestMalformed'),
    onClientDrained: failsIn('onClientDrained'),
    onLingered: failsIn('onLingered'),
    onClosed: () => {},
    onTunnelBytes: failsIn('onTunnelBytes'),
    onInternalError: (error) => errors.push((error as Error).message),
  };
  downstream.attach(events);
  return { downstream, errors, send: (more) => client.write(more) };
}

describe('a request on the full lane whose exchange fails', () => {
  it('reports the error to it if the rest of the body was read and discarded', async () => {
    const { downstream, errors, send } = await failing(POST);
    downstream.response.closeAfter();
    downstream.response.fail({ reason: 'body_too_large', detail: undefined, headers: [] }, true);
    downstream.finish('lingering');
    send('rest');
    await waitFor('the error', () => errors.length > 0);
    assert.deepEqual(errors, ['onLingered']);
  });

  it('reports the error to it if the body cannot be parsed', async () => {
    const { downstream, errors } = await failing(POST);
    downstream.onGarbage();
    assert.deepEqual(errors, ['onRequestMalformed']);
  });
});
