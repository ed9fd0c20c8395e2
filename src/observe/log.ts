/** The log: one JSON object per line on standard output. */

import { type LoggerOptions, type Logger as PinoLogger, pino, stdSerializers, stdTimeFunctions } from 'pino';
import { type LogDestination, LogSink } from './log-sink.ts';
import { RecentFailures } from './recent-failures.ts';

export type Logger = PinoLogger;
export type LogLevel = 'debug' | 'info' | 'warn' | 'error';

export interface Log {
  /** Messages of the process, from the configured level up. */
  readonly logger: Logger;
  /** What the lines are written to; the access log shares it. */
  readonly destination: LogDestination;
  /** As every line names it. */
  readonly service: string;
  /** Failed requests of this process that nobody has taken yet, by the access log. */
  readonly failures: RecentFailures;
  setLevel(level: LogLevel): void;
  /** For the orderly end: resolves when everything is out, or with false after `timeoutMs` (default 1 000). */
  flush(timeoutMs?: number): Promise<boolean>;
  /** For the disorderly one; also runs by itself when the process exits. */
  flushSync(): void;
  /** Lines lost since the start because nobody took them. */
  readonly dropped: number;
}

export interface LogOptions {
  readonly level: LogLevel;
  readonly service: string;
  /** Default: standard output. */
  readonly destination?: LogDestination;
  /** Other processes write to the same standard output. */
  readonly shared?: boolean;
}

/** What says which error of the system it is. */
const ERROR_FACTS = ['code', 'syscall', 'address', 'port'] as const;

/**
 * An error without its other properties: on those, clients hang the command or request that failed, and with it
 * passwords and the fields of users.
 */
function describeError(error: Error): unknown {
  const { type, message, stack, aggregateErrors, ...more } = stdSerializers.err(error);
  const facts = ERROR_FACTS.filter((name) => ['string', 'number'].includes(typeof more[name]));
  return {
    type,
    message,
    stack,
    ...Object.fromEntries(facts.map((name) => [name, more[name]])),
    ...(aggregateErrors === undefined ? {} : { errors: aggregateErrors.map((each: Error) => each.message) }),
  };
}

/** Lines are `{"level":"info","time":"2026-01-31T12:00:00.000Z","service":…,…,"msg":…}`; an error goes under `err`. */
export function createLogger(options: LogOptions): Log {
  const destination = options.destination ?? new LogSink({ shared: options.shared ?? false });
  const shape: LoggerOptions = {
    level: options.level,
    base: { service: options.service },
    timestamp: stdTimeFunctions.isoTime,
    formatters: { level: (label) => ({ level: label }) },
    serializers: { err: describeError },
  };
  const logger = pino(shape, destination);
  if (options.destination === undefined) process.once('exit', () => destination.flushSync());
  return {
    logger,
    destination,
    service: options.service,
    failures: new RecentFailures(),
    setLevel(level) {
      logger.level = level;
    },
    flush: (timeoutMs) => destination.flush(timeoutMs),
    flushSync: () => destination.flushSync(),
    get dropped() {
      return destination.dropped;
    },
  };
}
