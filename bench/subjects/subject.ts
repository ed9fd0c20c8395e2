/** What the bench needs of a proxy under test. */

import type { Launched, Placement } from '../launch.ts';
import type { Track } from '../workload.ts';

export interface SubjectOptions {
  readonly upstreamPorts: Readonly<Record<Track, number>>;
  /** Users keep their backend, by X-User-Id. */
  readonly pinned: boolean;
  /** One line of log per request, to a file. */
  readonly accessLog: boolean;
  /** Without X-Forwarded-*, Via and X-Request-Id, as far as the proxy can leave them out. */
  readonly plain: boolean;
  readonly placement: Placement;
  /** For configurations, logs and output; removed by the caller. */
  readonly folder: string;
  /** Of the Node binary, for those subjects that run on it. */
  readonly nodeArgs?: readonly string[];
}

export interface RunningSubject {
  /** Where the load goes, on 127.0.0.1. */
  readonly port: number;
  /** Undefined for `direct`, which has no process of its own. */
  readonly process: Launched | undefined;
  /** Where the access log goes, when there is one. */
  readonly logFile?: string;
  stop(): Promise<void>;
}

export interface Subject {
  readonly name: string;
  /** Undefined when it can run here; else why it cannot. */
  unavailable(): string | undefined;
  version(): string;
  /** Whether it writes an access log when asked to; subjects that do not are left out of that mode. */
  readonly logsAccess: boolean;
  start(options: SubjectOptions): Promise<RunningSubject>;
}
