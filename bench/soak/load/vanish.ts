/** Clients that go away in the middle: nobody is to notice but the proxy, which must let go of everything. */

import { setTimeout as sleep } from 'node:timers/promises';
import { getLines } from './raw-failure.ts';
import type { Tally } from './tally.ts';
import { connectTracked } from './tracked-agent.ts';

const KIND = 'vanish';

export async function vanish(port: number, turn: number, nonce: string, tally: Tally): Promise<void> {
  const socket = connectTracked({ host: '127.0.0.1', port });
  // Whatever happens is what a client that is gone would not have seen.
  socket.on('error', () => {});
  socket.write(beginning(turn, nonce));
  await sleep((turn * 37) % 200);
  if (turn % 2 === 0) socket.resetAndDestroy();
  else socket.destroy();
  tally.done(KIND);
}

/** Half a head; half a body; a download that nobody reads; a request that is whole; the half of a WebSocket. */
function beginning(turn: number, nonce: string): string {
  const whole = getLines('/small', '1.1', nonce, undefined);
  const lines = `Host: soak.test\r\nX-Request-Id: ${nonce}\r\n`;
  switch (turn % 5) {
    case 0:
      return whole.slice(0, 40);
    case 1:
      return `POST /echo?n=${nonce} HTTP/1.1\r\n${lines}Content-Length: 10000\r\n\r\nnot all of it`;
    case 2:
      return getLines('/large', '1.1', nonce, undefined);
    case 3:
      return whole;
    default:
      return `GET /ws?n=${nonce} HTTP/1.1\r\n${lines}Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n`;
  }
}
