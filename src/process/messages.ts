/** What the primary and its workers say to each other over the cluster's channel (structured clone). */
import type { BackendEndpoints } from '../backends/endpoint.ts';
import type { OutlierCause } from '../backends/outlier.ts';
import type { ExposureChange } from '../blast-radius/exposure.ts';
import type { Config } from '../config/schema.ts';
import type { TrafficAddress } from '../forward/listener.ts';
import type { EventLoopReading } from '../observe/event-loop.ts';
import type { FailedRequest } from '../observe/recent-failures.ts';
import type { LedgerTotals } from '../observe/totals.ts';
import type { LinkState } from '../pinning/redis-link.ts';

export type ToWorker =
  | {
      readonly type: 'start';
      readonly config: Config;
      readonly endpoints: readonly BackendEndpoints[];
      readonly listen: TrafficAddress;
    }
  /** Both at once: a backend that is new in the table has its endpoints from the first request on. */
  | {
      readonly type: 'config';
      readonly config: Config;
      readonly endpoints: readonly BackendEndpoints[];
    }
  | { readonly type: 'endpoints'; readonly endpoints: readonly BackendEndpoints[] }
  | { readonly type: 'forgetPin'; readonly pin: string; readonly user: string }
  /** Send the totals now. */
  | { readonly type: 'collect'; readonly id: number }
  | { readonly type: 'retire' }
  | { readonly type: 'drain' }
  /** End what the drain still waits for. */
  | { readonly type: 'cut' };

export type FromWorker =
  | { readonly type: 'listening'; readonly host: string; readonly port: number }
  | { readonly type: 'failed'; readonly message: string }
  | {
      readonly type: 'totals';
      /** Of the question; undefined when sent unasked. */
      readonly id: number | undefined;
      readonly totals: LedgerTotals;
      readonly eventLoop: EventLoopReading;
      /** Of Redis as pins use it; undefined when none does. */
      readonly pinStore: LinkState | undefined;
      /** Since the last message. */
      readonly failures: readonly FailedRequest[];
      readonly exposure: readonly ExposureChange[];
    }
  | {
      readonly type: 'endpointFailure';
      readonly backend: string;
      readonly address: string;
      readonly port: number;
    }
  | {
      readonly type: 'outlier';
      readonly backend: string;
      readonly address: string;
      readonly port: number;
      readonly cause: OutlierCause;
    }
  | { readonly type: 'drained' };
