/** An address that a name resolves to, with the fields of its SRV record. */
import { endpointLabel } from './endpoint.ts';

export interface Target {
  readonly address: string;
  /** Of a SRV record; undefined: the URL's own. */
  readonly port: number | undefined;
  /** Name that a SRV record points to; undefined: the URL's own. */
  readonly host: string | undefined;
  /**
   * Of a SRV record, from 0 (as little as there is, RFC 2782) to 65535, shared among the addresses of its host; 1
   * without one.
   */
  readonly weight: number;
  /** Of a SRV record; lower ones come first. 0 without one. */
  readonly priority: number;
}

/** Addresses without a SRV record. */
export function plainTargets(addresses: readonly string[]): Target[] {
  return addresses.map((address) => ({ address, port: undefined, host: undefined, weight: 1, priority: 0 }));
}

/** `10.1.2.3`, or `10.1.2.3:8080` where DNS told the port. */
export function targetLabel({ address, port }: Target): string {
  return port === undefined ? address : endpointLabel(address, port);
}
