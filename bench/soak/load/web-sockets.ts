/** WebSockets that stay open and in use; each message comes back to the socket that sent it, or is a failure. */

import { setTimeout as sleep } from 'node:timers/promises';
import { WebSocket } from 'ws';
import { monotonic } from '../clock.ts';
import { NOISE } from '../payload.ts';
import { GROUPS, mayMeet } from '../tracks.ts';
import type { FailureForm } from './failure.ts';
import type { Tally } from './tally.ts';
import { connectTracked, type Origin, originOf } from './tracked-agent.ts';

const KIND = 'websocket';
const PATIENCE_MS = 30_000;
/** The upstream ends, in order. */
const GOING_AWAY = 1001;

export interface WebSocketClients {
  stop(): Promise<void>;
}

export function startWebSockets(port: number, count: number, name: string, tally: Tally): WebSocketClients {
  let stopping = false;
  const clients = Array.from({ length: count }, async (_, index) => {
    for (let life = 0; !stopping; life += 1) {
      await live(index, life);
      await sleep(100);
    }
  });
  return {
    async stop() {
      stopping = true;
      await Promise.all(clients);
    },
  };

  /** Until the upstream goes, something fails, or, for every other one, some messages have been echoed. */
  async function live(index: number, life: number): Promise<void> {
    const nonce = `${name}-ws-${index}-${life}`;
    const group = GROUPS[(index + life) % GROUPS.length];
    const startedAt = monotonic();
    let origin: Origin = { port: 0, connectingAt: startedAt };
    let endpoint: string | undefined;
    let status = 0;
    let reason: string | undefined;
    const fail = (form: FailureForm, what: string) => {
      const times = { connectingAt: origin.connectingAt, startedAt, endedAt: monotonic() };
      tally.fail({
        form,
        kind: KIND,
        nonce,
        method: 'GET',
        what,
        status,
        reason,
        endpoint,
        bodyBytes: 0,
        port: origin.port,
        ...times,
      });
    };
    const socket = new WebSocket(`ws://127.0.0.1:${port}/ws?n=${nonce}`, {
      headers: { 'X-Request-Id': nonce, ...(group === undefined ? {} : { 'X-Traffic-Group': group }) },
      handshakeTimeout: PATIENCE_MS,
      createConnection: (options: unknown) => {
        const connection = connectTracked(options as Parameters<typeof connectTracked>[0]);
        origin = originOf(connection);
        return connection;
      },
    });
    socket.once('upgrade', (response) => {
      endpoint = String(response.headers['x-endpoint']);
      status = 101;
      if (response.headers['x-nonce'] !== nonce) fail('wrong', 'the upgrade belongs to another request');
      else if (!mayMeet(group, String(response.headers['x-track'])))
        fail('wrong', `group ${group} met another track`);
    });
    socket.once('unexpected-response', (_, response) => {
      status = response.statusCode ?? 0;
      reason = String(response.headers['x-pointsman-reason']);
      fail('status', `the upgrade was answered ${status}`);
      socket.terminate();
    });
    const closed = new Promise<string>((resolve) => {
      let error = '';
      socket.on('error', (problem) => {
        error = (problem as NodeJS.ErrnoException).code ?? problem.message;
      });
      socket.once('close', (code) => resolve(code === GOING_AWAY ? '' : `closed with ${code} ${error}`));
    });
    let over = false;
    const gone = closed.then((how) => {
      // An answer that refuses the upgrade was told already.
      if (!over && how !== '' && (status === 0 || status === 101)) fail('cut', how);
      over = true;
      return undefined;
    });
    await Promise.race([new Promise((resolve) => socket.once('open', resolve)), gone]);
    const messages = index % 2 === 0 ? 40 : Number.POSITIVE_INFINITY;
    for (let turn = 0; !over && !stopping && turn < messages; turn += 1) {
      const message = `${nonce} ${turn} ${NOISE.toString('latin1', 0, (turn * 131) % 2_000)}`;
      const echo = await Promise.race([echoOf(socket, message), gone]);
      if (over) break;
      if (echo !== message) {
        fail(
          echo === undefined ? 'late' : 'wrong',
          echo === undefined ? 'no echo in time' : 'the echo was altered',
        );
        break;
      }
      tally.done(KIND);
      await Promise.race([sleep(250 + (index % 50) * 5), gone]);
    }
    over = true;
    if (socket.readyState === WebSocket.OPEN) socket.close();
    else socket.terminate();
    await closed;
  }
}

function echoOf(socket: WebSocket, message: string): Promise<string | undefined> {
  return new Promise((resolve) => {
    const onMessage = (data: Buffer) => {
      clearTimeout(timer);
      resolve(data.toString());
    };
    const timer = setTimeout(() => {
      socket.off('message', onMessage);
      resolve(undefined);
    }, PATIENCE_MS);
    socket.once('message', onMessage);
    socket.send(message);
  });
}
