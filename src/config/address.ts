/** Addresses to listen on. */
import { isIP } from 'node:net';

/** The pattern of an address, for the JSON Schema. */
export const ADDRESS_REGEX_SOURCE = '^(\\[[0-9A-Fa-f:.]+\\]|[^:\\[\\]]*):[0-9]{1,5}$';

/** `host:port`, `[v6]:port` or `:port` → host and port; undefined when `text` is not an address. */
export function parseAddress(text: string): { host: string; port: number } | undefined {
  const match = /^(?:\[([0-9A-Fa-f:.]+)\]|([^:[\]]*)):(\d{1,5})$/.exec(text);
  if (match === null) return undefined;
  const host = match[1] ?? (match[2] || '0.0.0.0');
  const port = Number(match[3]);
  if (port > 65_535 || isIP(host) !== (match[1] === undefined ? 4 : 6)) return undefined;
  return { host, port };
}

/** `0.0.0.0:8080` or `[::]:8080`. */
export function formatAddress({ host, port }: { readonly host: string; readonly port: number }): string {
  return host.includes(':') ? `[${host}]:${port}` : `${host}:${port}`;
}

/** True when both cannot be listened on at once. Port 0 is a free one of the kernel's choice. */
export function addressesClash(
  a: { readonly host: string; readonly port: number },
  b: { readonly host: string; readonly port: number },
): boolean {
  if (a.port !== b.port || a.port === 0) return false;
  return a.host === b.host || isWildcard(a.host) || isWildcard(b.host);
}

function isWildcard(host: string): boolean {
  return host === '0.0.0.0' || /^[0:]+$/.test(host);
}
