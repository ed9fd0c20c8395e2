/**
 * Internals of Node that Pointsman uses, and a check that they still exist. Only a socket that is made with `onread` reads
 * into a given buffer, and a server makes its sockets without `onread`. So the handle of an accepted socket moves to
 * another socket, as it does between processes.
 */
import { type OnReadOpts, Socket } from 'node:net';

/** A socket as Node makes it: the handle is what it reads and writes with. */
interface WithHandle {
  _handle: object | null;
}

/** Makes a socket around the handle of `accepted`, which is of no use afterwards; undefined if that is closed. */
export function moveHandle(accepted: Socket, onread: OnReadOpts): Socket | undefined {
  const from = accepted as unknown as WithHandle;
  const handle = from._handle;
  if (handle === null) return undefined;
  from._handle = null;
  return new Socket({ handle, onread } as ConstructorParameters<typeof Socket>[0]);
}

/** Returns why `moveHandle` would not work on this release of Node; undefined if it does. */
export function whyHandlesCannotMove(): string | undefined {
  if (!('_handle' in new Socket())) return 'sockets have no _handle';
  return undefined;
}
