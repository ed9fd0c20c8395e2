/**
 * A client that asks once and then keeps its connection. The proxy ends it, in order, when `timeouts.keepAlive` is over;
 * a reset is a failure.
 */

import { monotonic } from '../clock.ts';
import { smallBody } from '../payload.ts';
import { type Group, mayMeet } from '../tracks.ts';
import type { FailureForm } from './failure.ts';
import { fieldOf, getLines, rawFailure } from './raw-failure.ts';
import type { Tally } from './tally.ts';
import { connectTracked } from './tracked-agent.ts';

const KIND = 'idle';
const PATIENCE_MS = 30_000;
/** More than the time after which the proxy ends an idle connection (75 s). */
const IDLE_MS = 90_000;

const kept = new Set<() => void>();

/** Resolves with the answer; the connection stays. */
export function idleConnection(port: number, nonce: string, group: Group, tally: Tally): Promise<void> {
  const request = { kind: KIND, nonce, method: 'GET', startedAt: monotonic() };
  return new Promise((resolve) => {
    const socket = connectTracked({ host: '127.0.0.1', port });
    const expected = smallBody(nonce);
    let text = '';
    let answered = false;
    let over = false;
    const end = (form?: FailureForm, what = '') => {
      if (over) return;
      over = true;
      clearTimeout(timer);
      kept.delete(end);
      if (form !== undefined) tally.fail(rawFailure(request, form, what, socket, text));
      socket.destroy();
      resolve();
    };
    let timer = setTimeout(() => end('late', 'no whole answer in time'), PATIENCE_MS);
    socket.write(getLines('/small', '1.1', nonce, group));
    socket.on('data', (chunk: Buffer) => {
      text += chunk.toString('latin1');
      if (answered) {
        end('wrong', 'bytes came that nobody asked for');
        return;
      }
      const boundary = text.indexOf('\r\n\r\n');
      if (boundary === -1 || text.length < boundary + 4 + expected.length) return;
      answered = true;
      clearTimeout(timer);
      const head = text.slice(0, boundary);
      if (!head.startsWith('HTTP/1.1 200')) end('status', `answered ${head.slice(0, 12)}`);
      else if (text.slice(boundary + 4) !== expected) end('wrong', 'the body was altered');
      else if (!mayMeet(group, fieldOf(head, 'x-track'))) end('wrong', `group ${group} met another track`);
      else {
        tally.done(KIND);
        kept.add(end);
        timer = setTimeout(() => end('late', 'the idle connection was not ended in time'), IDLE_MS);
        resolve();
      }
    });
    socket.once('error', (error) => end('cut', (error as NodeJS.ErrnoException).code ?? error.message));
    socket.once('end', () => {
      if (answered) end();
      else end('cut', 'the connection ended before the answer');
    });
  });
}

export function endIdleConnections(): void {
  for (const end of [...kept]) end();
}
