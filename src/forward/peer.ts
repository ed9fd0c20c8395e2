/** The other end of a client connection, and whether the configuration trusts what it says. */
import { BlockList, isIPv6, type Socket } from 'node:net';
import { endpointLabel } from '../backends/endpoint.ts';

const PEER = Symbol('peer');

export interface Peer {
  readonly address: string;
  readonly port: number;
  /** Both, as the log shows them. */
  readonly label: string;
  /** When the connection was accepted, clock milliseconds. */
  readonly acceptedAt: number;
  /** Requests seen on the connection. */
  requests: number;
  /** The list that `trusted` was looked up in: a reload may bring another. */
  trustList: TrustList | undefined;
  trusted: boolean;
  /** It is one of the connections that its client may hold at once. */
  counted: boolean;
  /** Since when no request is under way, clock milliseconds; Infinity while one is, and before the first. */
  idleSince: number;
  /** The latest request, until its response has ended. */
  latest: RequestInProgress | undefined;
  /** To be called when it has, where something waits for that. */
  next: ((closes: boolean) => void) | undefined;
}

/** A request that its connection may have news for. */
export interface RequestInProgress {
  /** The connection ends with its response: what comes behind it is not served. */
  readonly closes: boolean;
  /** The bytes after its head, or after its end, are no HTTP. */
  onGarbage(): void;
}

interface SocketWithPeer extends Socket {
  [PEER]?: Peer;
}

/** Address ranges, looked up once per connection. */
export class TrustList {
  readonly #list = new BlockList();
  readonly empty: boolean;

  constructor(cidrs: readonly string[]) {
    this.empty = cidrs.length === 0;
    for (const cidr of cidrs) {
      const [address = '', bits] = cidr.split('/');
      const family = isIPv6(address) ? 'ipv6' : 'ipv4';
      if (bits === undefined) this.#list.addAddress(address, family);
      else this.#list.addSubnet(address, Number(bits), family);
    }
  }

  has(address: string): boolean {
    return this.#list.check(address, isIPv6(address) ? 'ipv6' : 'ipv4');
  }
}

export function rememberPeer(socket: Socket, now: number): void {
  const seen = socket.remoteAddress ?? '';
  // A dual-stack listener shows IPv4 peers as ::ffff:10.0.0.1; rules and upstreams expect 10.0.0.1.
  const address = seen.startsWith('::ffff:') ? seen.slice(7) : seen;
  const port = socket.remotePort ?? 0;
  (socket as SocketWithPeer)[PEER] = {
    address,
    port,
    label: endpointLabel(address, port),
    acceptedAt: now,
    requests: 0,
    trustList: undefined,
    trusted: false,
    counted: false,
    idleSince: Number.POSITIVE_INFINITY,
    latest: undefined,
    next: undefined,
  };
}

/** Since when a connection has had nothing to do; Infinity when it has. */
export function idleSince(socket: Socket): number {
  return (socket as SocketWithPeer)[PEER]?.idleSince ?? Number.POSITIVE_INFINITY;
}

/** The peer of a socket that `rememberPeer` has seen. */
export function peerOf(socket: Socket, trust: TrustList): Peer {
  const peer = (socket as SocketWithPeer)[PEER];
  if (peer === undefined) throw new Error('the connection was not announced');
  if (peer.trustList !== trust) {
    peer.trustList = trust;
    peer.trusted = !trust.empty && trust.has(peer.address);
  }
  return peer;
}
