/** `pointsman fleet serve`: the overview for browsers, Prometheus and scripts. */

import { readFile } from 'node:fs/promises';
import { parseArgs } from 'node:util';
import { parseAddress } from '../../config/address.ts';
import { ClusterFailure } from '../../fleet/cluster/failure.ts';
import { Clusters } from '../../fleet/serve/clusters.ts';
import { FleetServer } from '../../fleet/serve/server.ts';
import { readTokens } from '../../fleet/serve/tokens.ts';
import { type CommandIo, UsageError } from '../io.ts';
import { keepSurveying } from './live.ts';
import { CLUSTER_HELP, CLUSTER_OPTIONS, durationOption, openCluster, untilSignal } from './options.ts';

const HELP = `Usage: pointsman fleet serve [OPTIONS]

The overview as a page (/), JSON (/report), metrics (/metrics) and probes (/livez, /readyz), kept up to date by watching
the API. With --agents it also takes the reports that fleet agent sends (POST /agents/report) from clusters that let
nobody in; with --no-survey it shows those alone.

Options:
${CLUSTER_HELP}      --listen IP:PORT      default: 127.0.0.1:9902
      --tls-cert FILE, --tls-key FILE   PEM; default: plain http, for use behind an ingress
      --agents FILE         tokens of agents: a line CLUSTER TOKEN each; read again when it changes
      --silent DURATION     after which a cluster that does not report is called silent; default: 5m
      --no-survey           survey no cluster; needs --agents
      --refresh DURATION    between two looks at ConfigMaps and live tables; default: 30s
  -h, --help                this text

Exit codes: 0 ended in order; 1 the port is taken; 3 there is no usable kubeconfig; 64 wrong usage.
`;

const MAX_CLUSTERS = 200;
const TOKENS_EVERY_MS = 10_000;

export async function serve(args: readonly string[], io: CommandIo): Promise<number> {
  const { values } = parseArgs({
    args: [...args],
    options: {
      ...CLUSTER_OPTIONS,
      listen: { type: 'string', default: '127.0.0.1:9902' },
      'tls-cert': { type: 'string' },
      'tls-key': { type: 'string' },
      agents: { type: 'string' },
      silent: { type: 'string', default: '5m' },
      'no-survey': { type: 'boolean', default: false },
      refresh: { type: 'string', default: '30s' },
    },
  });
  if (values.help) {
    io.stdout(HELP);
    return 0;
  }
  const address = parseAddress(values.listen);
  if (address === undefined)
    throw new UsageError(`--listen is IP:PORT, such as 0.0.0.0:9902, not "${values.listen}"`);
  const { 'tls-cert': certFile, 'tls-key': keyFile, agents, 'no-survey': idle } = values;
  if ((certFile === undefined) !== (keyFile === undefined))
    throw new UsageError('give both --tls-cert and --tls-key');
  if (idle && agents === undefined) throw new UsageError('--no-survey without --agents would show nothing');
  const tls =
    certFile === undefined
      ? undefined
      : { cert: await fileOption('--tls-cert', certFile), key: await fileOption('--tls-key', keyFile!) };
  const refreshMs = durationOption('--refresh', values.refresh, 100);
  const clusters = new Clusters({
    now: Date.now,
    silentMs: durationOption('--silent', values.silent, 1_000),
    most: MAX_CLUSTERS,
  });
  let tokens: ReadonlyMap<string, string> = agents === undefined ? new Map() : await tokensOption(agents);
  const { signal, release } = untilSignal();
  const fail = (message: string) => io.stderr(`pointsman fleet serve: ${message}\n`);
  const rejected = new Set<string>();
  const server = new FleetServer({
    clusters,
    tokens: () => tokens,
    tls,
    version: io.version,
    now: Date.now,
    onReport: (cluster, result) => {
      const note = `${cluster}: ${result}`;
      if (result === 'taken' || result === 'older') rejected.delete(note);
      else if (!rejected.has(note) && rejected.size < 1_000) {
        rejected.add(note);
        fail(`a report of cluster ${note}`);
      }
    },
  });
  const timer =
    agents === undefined
      ? undefined
      : setInterval(() => {
          readTokens(agents).then(
            (fresh) => {
              tokens = fresh;
            },
            (error: Error) => fail(`${error.message}; the tokens of before stay`),
          );
        }, TOKENS_EVERY_MS);
  try {
    const opened = idle ? undefined : await openCluster(values, io);
    const bound = await server
      .listen(address.host, address.port)
      .catch((error: NodeJS.ErrnoException) => error);
    if (bound instanceof Error) {
      fail(
        `cannot listen on ${values.listen}: ${bound.code === 'EADDRINUSE' ? 'the port is taken' : bound.message}`,
      );
      return 1;
    }
    io.stdout(
      `listening on ${tls === undefined ? 'http' : 'https'}://${bound.host.includes(':') ? `[${bound.host}]` : bound.host}:${bound.port}/\n`,
    );
    if (opened === undefined)
      await new Promise<void>((resolve) => signal.addEventListener('abort', () => resolve()));
    else {
      await keepSurveying(opened, {
        refreshMs,
        settleMs: 1_000,
        signal,
        onReport: (report) => clusters.setOwn(report),
      }).ended;
      void opened.connection.close();
    }
    await server.close();
    return 0;
  } catch (error) {
    if (!(error instanceof ClusterFailure)) throw error;
    fail(error.message);
    return 3;
  } finally {
    clearInterval(timer);
    release();
  }
}

async function tokensOption(file: string): Promise<ReadonlyMap<string, string>> {
  try {
    return await readTokens(file);
  } catch (error) {
    throw new UsageError((error as Error).message);
  }
}

export async function fileOption(option: string, file: string): Promise<string> {
  try {
    return await readFile(file, 'utf8');
  } catch (error) {
    throw new UsageError(`${option} ${file} cannot be read (${(error as NodeJS.ErrnoException).code})`);
  }
}
