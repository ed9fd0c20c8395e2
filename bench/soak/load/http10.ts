/** A client of the old kind: HTTP/1.0, and the end of the connection is the end of the response. */

import { monotonic } from '../clock.ts';
import { smallBody } from '../payload.ts';
import { type Group, mayMeet } from '../tracks.ts';
import type { FailureForm } from './failure.ts';
import { fieldOf, getLines, rawFailure } from './raw-failure.ts';
import type { Tally } from './tally.ts';
import { connectTracked } from './tracked-agent.ts';

const KIND = 'http10';
const PATIENCE_MS = 30_000;

export function http10(port: number, nonce: string, group: Group, tally: Tally): Promise<void> {
  const request = { kind: KIND, nonce, method: 'GET', startedAt: monotonic() };
  return new Promise((resolve) => {
    const socket = connectTracked({ host: '127.0.0.1', port });
    let text = '';
    let ended = false;
    const end = (problem?: readonly [FailureForm, string]) => {
      if (ended) return;
      ended = true;
      clearTimeout(timer);
      if (problem === undefined) tally.done(KIND);
      else tally.fail(rawFailure(request, ...problem, socket, text));
      socket.destroy();
      resolve();
    };
    const timer = setTimeout(() => end(['late', 'no whole answer in time']), PATIENCE_MS);
    socket.write(getLines('/small', '1.0', nonce, group));
    socket.on('data', (chunk: Buffer) => {
      text += chunk.toString('latin1');
    });
    socket.once('error', (error) => end(['cut', (error as NodeJS.ErrnoException).code ?? error.message]));
    socket.once('end', () => end(problemOf(text, nonce, group)));
  });
}

function problemOf(text: string, nonce: string, group: Group): readonly [FailureForm, string] | undefined {
  const boundary = text.indexOf('\r\n\r\n');
  if (boundary === -1) return ['cut', 'the connection ended before the head'];
  const head = text.slice(0, boundary);
  const body = text.slice(boundary + 4);
  if (!/^HTTP\/1\.[01] 200/.test(head)) return ['status', `answered ${head.slice(0, 12)}`];
  if (fieldOf(head, 'x-nonce') !== nonce) return ['wrong', 'it belongs to another request'];
  if (!mayMeet(group, fieldOf(head, 'x-track')))
    return ['wrong', `group ${group} met ${fieldOf(head, 'x-track')}`];
  const expected = smallBody(nonce);
  if (body === expected) return undefined;
  return expected.startsWith(body) ? ['cut', 'the body was cut'] : ['wrong', 'the body was altered'];
}
