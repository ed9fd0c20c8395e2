/** Which endpoints the configuration takes out of rotation, and why; pure. */

import { isIPv6 } from 'node:net';
import type { BackendConfig, ServerConfig } from '../config/schema.ts';
import { type AdminState, endpointLabel } from './endpoint.ts';

type Drain = BackendConfig['drain'];

/** A server of weight 0 gets no requests and is still checked, which is what draining it means. */
export function adminStateOf(
  drain: Drain,
  server: Pick<ServerConfig, 'weight' | 'drain'>,
  address: string,
  port: number,
): { readonly state: AdminState; readonly reason: string } {
  if (drain === true) return { state: 'drain', reason: 'the backend is drained' };
  if (drain !== false && drain.some((item) => names(item, address, port))) {
    return { state: 'drain', reason: 'listed in drain of the backend' };
  }
  if (server.drain) return { state: 'drain', reason: 'its server is drained' };
  if (server.weight === 0) return { state: 'drain', reason: 'its server has weight 0' };
  return { state: 'ready', reason: 'in service' };
}

/** @param item IP or IP:PORT, an IPv6 address with a port in brackets */
function names(item: string, address: string, port: number): boolean {
  const match = /^\[(.*)\](?::(\d+))?$/.exec(item) ?? /^([0-9.]+)(?::(\d+))?$/.exec(item);
  const ip = canonical(match?.[1] ?? item);
  const itsPort = match?.[2];
  if (itsPort !== undefined && Number(itsPort) !== port) return false;
  return ip === canonical(address);
}

/** The one way of writing an IPv6 address (RFC 5952), so that `FD00:0::1` is `fd00::1`. */
function canonical(address: string): string {
  // A scope (`fe80::1%eth0`) belongs to no URL.
  if (!isIPv6(address) || address.includes('%')) return address;
  return new URL(`http://${endpointLabel(address, 80)}`).hostname.slice(1, -1);
}
