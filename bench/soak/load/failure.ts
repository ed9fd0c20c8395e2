/** What a client of the soak holds against the proxy. */

/**
 * `cut`: the connection was refused, or ended before the response did; `status`: another one than expected; `wrong`: a
 * response, but not that of this request, or altered; `late`: none in time.
 */
export type FailureForm = 'cut' | 'status' | 'wrong' | 'late';

export interface Failure {
  readonly form: FailureForm;
  /** Of traffic. */
  readonly kind: string;
  readonly nonce: string;
  readonly method: string;
  readonly what: string;
  /** 0: none came. */
  readonly status: number;
  /** X-Pointsman-Reason. */
  readonly reason: string | undefined;
  /** Of the response, if its head came. */
  readonly endpoint: string | undefined;
  /** Bytes of the request body. */
  readonly bodyBytes: number;
  /** Local port of the connection; 0: it was never open. */
  readonly port: number;
  /** When the connection was asked for, and when the request began and ended; clock of all processes. */
  readonly connectingAt: number;
  readonly startedAt: number;
  readonly endedAt: number;
}
