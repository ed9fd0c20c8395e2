/**
 * The primary process: reads the configuration, resolves and checks the upstreams, serves the admin port, and keeps
 * whoever forwards up to date. With one worker the forwarding happens in this process too.
 */
import { createServer } from 'node:net';
import os from 'node:os';
import { fileURLToPath } from 'node:url';
import { describeListenError } from '../admin/port-owner.ts';
import { AdminServer } from '../admin/server.ts';
import { buildStatus } from '../admin/status.ts';
import { SteeringMetrics } from '../admin/steering-metrics.ts';
import { descriptorShares, openFilesLimit } from '../admission/descriptors.ts';
import { BackendSupervisor } from '../backends/supervisor.ts';
import { BlastRadius } from '../blast-radius/blast-radius.ts';
import { ExposureMetrics } from '../blast-radius/metrics.ts';
import { describeChanges, restartChanges } from '../config/changes.ts';
import { compareSteps, type InvariantRule, type StepReport } from '../config/invariant-rules.ts';
import { locateViolations, readConfig, rulesOf } from '../config/load.ts';
import { formatProblem, type Problem } from '../config/problems.ts';
import type { Config, ListenAddress } from '../config/schema.ts';
import { isSubPathMount, watchConfig } from '../config/watch.ts';
import { Exposition } from '../observe/exposition.ts';
import { Ledger } from '../observe/ledger.ts';
import { createLogger, type Log } from '../observe/log.ts';
import { ProcessMetrics } from '../observe/process-metrics.ts';
import { type LedgerTotals, mergeTotals } from '../observe/totals.ts';
import { PinCensusTaker } from '../pinning/pin-census.ts';
import { ClusterGroup } from './cluster-group.ts';
import { type ForwardingGroup, InProcessGroup, type TrafficEdges } from './forwarding-group.ts';
import { Guarding } from './guarding.ts';
import { become, decidePrivileges, isPrivileged, type Privileges, SYSTEM } from './privileges.ts';
import { Steering } from './steering.ts';
import { within } from './within.ts';

/** Longest the start, and each reload, waits for new backends to be resolved and checked once. */
const SETTLE_MS = 3_000;

/** How long a traffic port may stay taken at the start, and between two looks. */
const PORT_WAIT_MS = 2_000;
const PORT_RETRY_MS = 50;

/** How long the start waits for Redis to tell what was set by hand. */
const OVERRIDES_SETTLE_MS = 1_000;

/** What is needed to start a worker again. */
const PROGRAM = [process.execPath, fileURLToPath(import.meta.url)];

/** Longest the end waits for Redis to take what is known of users. */
const FLUSH_MS = 1_000;

/** How long requests that are cut have to leave: their last bytes, and their records. */
const CUT_MS = 1_000;

export interface PrimaryOptions {
  readonly configPath: string;
  readonly environment: Readonly<Record<string, string | undefined>>;
  readonly version: string;
  readonly stderr: (text: string) => void;
}

interface ReloadFacts {
  hash: string;
  loadedAt: number;
  ok: number;
  rejected: number;
  lastReload: { at: number; result: 'ok' | 'rejected'; changes: readonly string[] } | undefined;
  lastError: { at: number; problems: readonly Problem[] } | undefined;
  restartNeeded: readonly string[];
}

/** Runs until a signal ends it; resolves to the exit code. Nothing is left open when it resolves. */
export async function runPrimary(options: PrimaryOptions): Promise<number> {
  const { configPath, environment, stderr } = options;
  const first = await readConfig(configPath, environment);
  if (first.config === undefined) {
    for (const problem of first.problems) stderr(`${formatProblem(problem)}\n`);
    return 2;
  }
  const { service, workers } = first.config;
  const log = createLogger({ level: first.config.log.level, service, shared: workers !== 1 });
  const primary = new Primary(options, first.config, first.hash, log);
  try {
    await primary.start(first.problems);
  } catch (error) {
    await primary.abandon();
    stderr(`pointsman: ${(error as Error).message}\n`);
    await log.flush();
    return 2;
  }
  const code = await primary.ended();
  await log.flush();
  return code;
}

class Primary {
  readonly #options: PrimaryOptions;
  readonly #log: Log;
  readonly #ledger = new Ledger();
  readonly #metrics: ProcessMetrics;
  readonly #exposition = new Exposition();
  readonly #supervisor: BackendSupervisor;
  readonly #admin: AdminServer;
  readonly #group: ForwardingGroup;
  readonly #steering: Steering;
  readonly #guarding: Guarding;
  readonly #blastRadius: BlastRadius;
  readonly #pinCensus = new PinCensusTaker({ clock: Date.now, random: Math.random });
  readonly #startedAt = Date.now();
  readonly #initial: Config;
  readonly #reload: ReloadFacts;
  #config: Config;
  #watch: { readNow(): Promise<void>; close(): void } | undefined;
  #reloading: Promise<void> = Promise.resolve();
  #settled = false;
  #forwarding = false;
  #ending = false;
  #onEnded: ((code: number) => void) | undefined;

  constructor(options: PrimaryOptions, config: Config, hash: string, log: Log) {
    this.#options = options;
    this.#initial = config;
    this.#config = config;
    this.#log = log;
    this.#reload = {
      hash,
      loadedAt: this.#startedAt,
      ok: 0,
      rejected: 0,
      lastReload: undefined,
      lastError: undefined,
      restartNeeded: [],
    };
    this.#metrics = new ProcessMetrics(this.#ledger, { version: options.version, node: process.version });
    this.#metrics.configLoaded(hash, this.#startedAt, false);
    this.#blastRadius = new BlastRadius({
      now: () => performance.now(),
      clock: Date.now,
      random: Math.random,
      metrics: new ExposureMetrics(this.#ledger),
    });
    this.#supervisor = new BackendSupervisor({
      log: log.logger,
      onEndpoints: (endpoints) => this.#group.applyEndpoints(endpoints),
      onEvent: (event) => {
        if (event.type === 'check') this.#metrics.healthCheck(event.backend, event.ok);
        else if (event.type === 'change') {
          this.#metrics.stateChanged(event.kind, event.backend, event.to);
          this.#steering.stateChanged(event);
        }
      },
    });
    const trafficEdges: TrafficEdges = {
      onEndpointFailure: (backend, address, port) => this.#supervisor.reportFailure(backend, address, port),
      onOutlier: (backend, address, port, cause) =>
        this.#supervisor.reportOutlier(backend, address, port, cause),
      onExposure: (changes) => this.#blastRadius.update(changes),
    };
    const workers = config.workers === 'auto' ? os.availableParallelism() : config.workers;
    this.#group =
      workers === 1
        ? new InProcessGroup(log, trafficEdges)
        : new ClusterGroup(workers, {
            log: log.logger,
            ...trafficEdges,
            onRestart: () => {
              this.#metrics.workerRestarts.value++;
            },
            onWorkers: (online) => {
              this.#metrics.workers.value = online;
            },
          });
    this.#metrics.workers.value = workers === 1 ? 1 : 0;
    this.#steering = new Steering({
      log: log.logger,
      version: options.version,
      metrics: new SteeringMetrics(this.#ledger),
      supervisor: this.#supervisor,
      group: () => this.#group,
      config: () => this.#config,
      onChange: () => this.#applyEffective(),
      totals: () => this.#totals(),
      status: (totals) => this.#statusOf(totals),
      reload: () => this.#reloadNow(),
    });
    this.#guarding = new Guarding({
      log: log.logger,
      ledger: this.#ledger,
      board: this.#steering.board,
      totals: () => this.#group.totals(),
      exposure: (route, backend) => this.#blastRadius.words(route, backend),
    });
    this.#admin = new AdminServer({
      ...this.#steering.adminOptions(),
      probes: { ready: () => this.#ready() },
      metrics: () => this.#renderMetrics(),
      status: () => this.#status(),
      log: log.logger,
    });
  }

  /** Rejects with one clear message; `abandon` then closes what was opened. */
  async start(warnings: readonly Problem[]): Promise<void> {
    const { configPath } = this.#options;
    const { logger } = this.#log;
    const { admin, listen } = this.#config;
    const privileges = decidePrivileges(this.#config, [configPath, ...PROGRAM], SYSTEM);
    const adminAddress = await this.#admin.listen(admin);
    await assertFree(listen);
    // Workers begin as who the primary is then, and share a port only with workers of the same user.
    const needsRoot = isPrivileged(listen.port, SYSTEM);
    if (!needsRoot) this.#giveUp(privileges);
    for (const warning of warnings) logger.warn(formatProblem(warning));
    if (isSubPathMount(configPath)) {
      logger.warn(
        { file: configPath },
        'the file is mounted by subPath, which Kubernetes never updates: hot reload will not work',
      );
    }
    this.#noteOpenFiles();
    await this.#steering.start(this.#config, OVERRIDES_SETTLE_MS);
    this.#supervisor.apply(this.#steering.effective());
    // Traffic is taken only once there is somewhere to send it, or it is clear that there is not.
    await within(SETTLE_MS, this.#supervisor.whenSettled());
    const traffic = await this.#group
      .start(this.#steering.effective(), this.#supervisor.endpoints(), listen)
      .catch((error: unknown) => {
        throw new Error(
          `cannot open the traffic port: ${describeListenError(error, listen.host, listen.port)}`,
        );
      });
    // In the same turn that has opened the port: nobody was served before.
    if (needsRoot) this.#giveUp(privileges);
    void this.#supervisor.whenSettled().then(() => {
      this.#settled = true;
    });
    this.#forwarding = true;
    this.#steering.join();
    // Only now: what they load would hold up the first checks.
    this.#blastRadius.configure(this.#config);
    this.#pinCensus.configure(this.#config);
    this.#guarding.configure(this.#config);
    this.#watch = watchConfig(configPath, {
      environment: this.#options.environment,
      knownHash: this.#reload.hash,
      onError: (error) => logger.error({ err: error }, 'the configuration could not be reread'),
      onRead: (read) => {
        this.#reloading = this.#reloading.then(() => this.#onRead(read));
        return this.#reloading;
      },
    });
    this.#onSignals();
    logger.info(
      {
        traffic: `${traffic.host}:${traffic.port}`,
        admin: `${adminAddress.host}:${adminAddress.port}`,
        version: this.#options.version,
        node: process.version,
        config: configPath,
        hash: this.#reload.hash.slice(0, 12),
        workers: this.#config.workers,
      },
      'listening',
    );
  }

  #giveUp({ account, warning }: Privileges): void {
    const { logger } = this.#log;
    if (warning !== undefined) logger.warn(warning);
    if (account === undefined) return;
    become(account);
    logger.info(account, 'was started as root, and runs as this user from now on');
  }

  /** With fewer files than connections, it is not `limits.connections` that counts. */
  #noteOpenFiles(): void {
    const openFiles = openFilesLimit();
    const { clients } = descriptorShares(openFiles);
    if (clients >= this.#config.limits.connections) return;
    this.#log.logger.info(
      { openFiles, connections: clients },
      'the limit of open files allows each worker fewer client connections than limits.connections',
    );
  }

  ended(): Promise<number> {
    return new Promise((resolve) => {
      this.#onEnded = resolve;
    });
  }

  async abandon(): Promise<void> {
    this.#watch?.close();
    this.#guarding.close();
    this.#steering.close();
    this.#blastRadius.close();
    this.#pinCensus.close();
    this.#group.destroy();
    this.#supervisor.close();
    await this.#admin.close();
  }

  // ---- reload ----

  async #onRead(read: Awaited<ReturnType<typeof readConfig>>): Promise<void> {
    if (this.#ending) return;
    if (read.config === undefined) {
      this.#reject(read.problems, read.broken ?? [], read.hash);
      return;
    }
    const { violations, forced } = compareSteps(this.#config, read.config);
    if (violations.length > 0) {
      const { configPath, environment } = this.#options;
      const problems = locateViolations(violations, read.text ?? '', { file: configPath, environment });
      this.#reject(problems, rulesOf(violations), read.hash);
      return;
    }
    await this.#accept(read.config, read.hash, read.problems, forced);
  }

  #reject(problems: readonly Problem[], rules: readonly InvariantRule[], hash: string): void {
    const at = Date.now();
    this.#reload.rejected++;
    this.#reload.lastReload = { at, result: 'rejected', changes: [] };
    this.#reload.lastError = { at, problems };
    this.#steering.reloaded({ at, result: 'rejected', hash, problems: problems.map(formatProblem) });
    this.#metrics.configRejected(rules);
    this.#log.logger.error(
      { problems: problems.map(formatProblem), ...(rules.length === 0 ? {} : { rules }) },
      'the configuration has errors and was not taken over; the last good one stays',
    );
  }

  async #accept(
    next: Config,
    hash: string,
    warnings: readonly Problem[],
    forced: StepReport['forced'],
  ): Promise<void> {
    const before = this.#config;
    const changes = describeChanges(before, next).map((change) => change.text);
    const { logger } = this.#log;
    for (const warning of warnings) logger.warn(formatProblem(warning));
    // What is new is resolved and checked before the table names it; what is in use stays as it is until then.
    await within(SETTLE_MS, this.#supervisor.prepare(next));
    this.#config = next;
    this.#steering.configure(next);
    this.#guarding.configure(next);
    this.#blastRadius.configure(next);
    this.#pinCensus.configure(next);
    this.#applyEffective();
    const at = Date.now();
    this.#steering.reloaded({ at, result: 'ok', hash, changes });
    this.#reload.hash = hash;
    this.#reload.loadedAt = at;
    this.#reload.ok++;
    this.#reload.lastReload = { at, result: 'ok', changes };
    this.#reload.lastError = undefined;
    this.#reload.restartNeeded = restartChanges(this.#initial, next);
    this.#metrics.configLoaded(hash, at, true);
    this.#log.setLevel(next.log.level);
    logger.info({ hash: hash.slice(0, 12), changes }, 'configuration reloaded');
    for (const { reason, steps } of forced) {
      logger.warn({ force: reason, steps }, 'a larger step than maxStep allows was forced');
    }
    if (this.#reload.restartNeeded.length > 0) {
      logger.warn({ keys: this.#reload.restartNeeded }, 'these changes take effect at the next start');
    }
  }

  /** The file's configuration with what was set by hand over it. Before the start there is nothing to change yet. */
  #applyEffective(): void {
    if (!this.#forwarding || this.#ending) return;
    const effective = this.#steering.effective();
    this.#supervisor.apply(effective);
    this.#group.applyConfig(effective, this.#supervisor.endpoints());
  }

  async #reloadNow(): Promise<{ ok: boolean; message: string }> {
    if (this.#watch === undefined || this.#ending)
      return { ok: false, message: 'not running yet, or no more' };
    const { ok } = this.#reload;
    await this.#watch.readNow();
    if (this.#reload.ok > ok) {
      const changes = this.#reload.lastReload?.changes ?? [];
      return { ok: true, message: `taken over: ${changes.join('; ') || 'nothing that counts has changed'}` };
    }
    const problems = this.#reload.lastError?.problems.map(formatProblem) ?? [];
    return { ok: false, message: `refused, and the last good one stays: ${problems.slice(0, 5).join('; ')}` };
  }

  // ---- what the admin port asks ----

  #ready(): { ok: boolean; reasons: string[] } {
    const reasons: string[] = [];
    if (this.#ending) reasons.push('shutting down');
    if (!this.#forwarding) reasons.push('the traffic port is not open yet');
    if (!this.#settled) reasons.push('the first health checks have not all ended');
    return { ok: reasons.length === 0, reasons };
  }

  async #totals() {
    this.#metrics.setBackends(this.#supervisor.status());
    this.#metrics.logLinesDropped.value = this.#log.dropped;
    const forwarding = await this.#group.totals();
    this.#blastRadius.showMetrics();
    return mergeTotals([this.#ledger.totals(), forwarding]);
  }

  async #renderMetrics(): Promise<{ contentType: string; body: string }> {
    return this.#exposition.render(await this.#totals());
  }

  async #status() {
    return this.#statusOf(await this.#totals());
  }

  #statusOf(totals: LedgerTotals) {
    const { hash, loadedAt, ok, rejected, lastReload, lastError, restartNeeded } = this.#reload;
    return buildStatus({
      ...this.#steering.statusInput(),
      exposure: { reach: this.#blastRadius.reach, reports: this.#blastRadius.reports() },
      guards: this.#guarding.view(),
      pinCensus: this.#pinCensus.latest,
      backends: this.#supervisor.status(),
      totals,
      facts: {
        version: this.#options.version,
        node: process.version,
        startedAt: this.#startedAt,
        now: Date.now(),
        ready: this.#ready(),
        config: {
          file: this.#options.configPath,
          hash,
          loadedAt,
          reloads: { ok, rejected },
          lastReload,
          lastError:
            lastError === undefined
              ? undefined
              : {
                  at: lastError.at,
                  problems: lastError.problems.map(({ message, keyPath, line, column }) => ({
                    message,
                    path: keyPath,
                    line,
                    column,
                  })),
                },
          restartNeeded,
        },
        workers: this.#group.workers(),
      },
    });
  }

  // ---- signals and the end ----

  #onSignals(): void {
    const end = (signal: NodeJS.Signals) => {
      if (this.#ending) {
        this.#log.logger.warn({ signal }, 'second signal: ending at once');
        this.#group.destroy();
        this.#finish(1);
      } else {
        void this.#shutDown(signal);
      }
    };
    process.on('SIGTERM', end);
    process.on('SIGINT', end);
    process.on('SIGHUP', () => void this.#watch?.readNow());
    process.on('uncaughtException', (error) => {
      this.#log.logger.fatal({ err: error }, 'unexpected error: shutting down');
      this.#log.flushSync();
      if (this.#ending) process.exit(1);
      void this.#shutDown('uncaughtException', 1);
    });
  }

  async #shutDown(cause: string, code = 0): Promise<void> {
    this.#ending = true;
    const { delay, timeout } = this.#config.shutdown;
    const { logger } = this.#log;
    logger.info({ cause, delayMs: delay, timeoutMs: timeout }, 'shutting down: not ready any more');
    this.#watch?.close();
    // Endpoints and load balancers need a moment to learn that this one is going.
    this.#group.retire();
    await new Promise((resolve) => setTimeout(resolve, delay));
    const ended = this.#group.drain();
    if (!(await within(timeout, ended))) {
      logger.warn('shutdown.timeout is over; requests in flight are cut');
      this.#group.cut();
      await within(CUT_MS, ended);
    }
    // Users of the last requests too, for the other replicas.
    await within(
      FLUSH_MS,
      this.#group.totals().then(() => this.#blastRadius.flush()),
    );
    this.#group.destroy();
    this.#finish(code);
  }

  #finish(code: number): void {
    this.#guarding.close();
    this.#steering.close();
    this.#blastRadius.close();
    this.#pinCensus.close();
    this.#supervisor.close();
    void this.#admin.close().then(() => {
      this.#log.logger.info({ code }, 'stopped');
      this.#onEnded?.(code);
    });
  }
}

/**
 * Fails before anything is started when the port is taken: with workers the error would come late and several times.
 * Workers whose primary was killed hold it until they notice, so it is waited for a while.
 */
async function assertFree(address: ListenAddress): Promise<void> {
  if (address.port === 0) return;
  const { host, port } = address;
  const deadline = performance.now() + PORT_WAIT_MS;
  for (;;) {
    const error = await listenError(address);
    if (error === undefined) return;
    if (error.code !== 'EADDRINUSE' || performance.now() >= deadline)
      throw new Error(`cannot open the traffic port: ${describeListenError(error, host, port)}`);
    await new Promise((resolve) => setTimeout(resolve, PORT_RETRY_MS));
  }
}

function listenError({ host, port }: ListenAddress): Promise<NodeJS.ErrnoException | undefined> {
  return new Promise((resolve) => {
    const probe = createServer();
    probe.once('error', resolve);
    probe.listen({ host, port, exclusive: true }, () => probe.close(() => resolve(undefined)));
  });
}
