/** The target of a check, the request it sends and the response it expects. */

export interface TcpProbe {
  readonly kind: 'tcp';
  readonly address: string;
  readonly port: number;
  /** For the whole check, milliseconds. */
  readonly timeout: number;
}

export interface HttpProbe {
  readonly kind: 'http';
  readonly scheme: 'http' | 'https';
  readonly address: string;
  readonly port: number;
  readonly timeout: number;
  readonly method: 'GET' | 'HEAD' | 'OPTIONS';
  readonly path: string;
  /** The Host field. */
  readonly host: string;
  /** Name in the certificate, for https; SNI is sent when it is not an address. */
  readonly serverName: string;
  /** Good codes (`200`) and classes (`2xx`). */
  readonly status: readonly (number | string)[];
  /** Further fields. */
  readonly headers: Readonly<Record<string, string>>;
  /** What the body must hold; undefined: the status alone decides. */
  readonly body: string | undefined;
}

export type Probe = TcpProbe | HttpProbe;
