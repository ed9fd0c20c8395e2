/** Ends a connection so that the client can read what it was sent, also while it sends itself. */
import type { Socket } from 'node:net';

/** How long bytes are read and thrown away at most; the client's end comes first, as a rule. */
export const LINGER_MS = 1_000;

/** @param last  written before the end */
export function endAndLinger(socket: Socket, last?: Buffer): void {
  socket.on('error', () => {});
  if (last === undefined) socket.end();
  else socket.end(last);
  // Closing at once, with bytes unread, would reset the connection under the answer.
  socket.resume();
  const timer = setTimeout(() => socket.destroy(), LINGER_MS).unref();
  // Else the timer would keep every socket that ended in order for the rest of that time.
  socket.once('close', () => clearTimeout(timer));
}
