/** `pointsman fleet agent`: reports outwards, for clusters that let nobody in. */

import { readFile } from 'node:fs/promises';
import { parseArgs } from 'node:util';
import { Pusher } from '../../fleet/agent/pusher.ts';
import { ClusterFailure } from '../../fleet/cluster/failure.ts';
import type { FleetReport } from '../../fleet/report.ts';
import { type CommandIo, UsageError } from '../io.ts';
import { keepSurveying } from './live.ts';
import { CLUSTER_HELP, CLUSTER_OPTIONS, durationOption, openCluster, untilSignal } from './options.ts';
import { fileOption } from './serve.ts';

const HELP = `Usage: pointsman fleet agent --to URL --token-file FILE [OPTIONS]

Surveys this cluster by watching the API and sends the report to a fleet serve elsewhere: when something changed, and
every --every as a sign of life. No port is opened. While the other side is away, the newest reports are kept.

Options:
${CLUSTER_HELP}      --to URL              https://HOST[:PORT] of fleet serve; http:// only with --insecure
      --token-file FILE     the token that fleet serve knows for this cluster; read again for every report
      --ca-file FILE        PEM of the authority that signed the server's certificate
      --every DURATION      default: 1m
      --buffer N            reports kept while offline; default: 20
      --refresh DURATION    between two looks at ConfigMaps and live tables; default: 30s
      --insecure            allow http://
  -h, --help                this text

Exit codes: 0 ended in order; 3 there is no usable kubeconfig; 64 wrong usage.
`;

export async function agent(args: readonly string[], io: CommandIo): Promise<number> {
  const { values } = parseArgs({
    args: [...args],
    options: {
      ...CLUSTER_OPTIONS,
      to: { type: 'string' },
      'token-file': { type: 'string' },
      'ca-file': { type: 'string' },
      every: { type: 'string', default: '1m' },
      buffer: { type: 'string', default: '20' },
      refresh: { type: 'string', default: '30s' },
      insecure: { type: 'boolean', default: false },
    },
  });
  if (values.help) {
    io.stdout(HELP);
    return 0;
  }
  const { to, 'token-file': tokenFile, 'ca-file': caFile } = values;
  if (to === undefined || tokenFile === undefined)
    throw new UsageError('--to URL and --token-file FILE are needed');
  const url = URL.canParse(to) ? new URL(to) : undefined;
  if (url === undefined || (url.protocol !== 'https:' && url.protocol !== 'http:'))
    throw new UsageError(`--to is a URL such as https://fleet.example.org, not "${to}"`);
  if (url.protocol === 'http:' && !values.insecure)
    throw new UsageError(
      '--to is plain http, which shows the token to everybody on the way; use https, or --insecure on a network of your own',
    );
  const buffer = /^\d{1,4}$/.test(values.buffer) ? Number(values.buffer) : 0;
  if (buffer < 1 || buffer > 1_000) throw new UsageError('--buffer is a whole number from 1 to 1000');
  const everyMs = durationOption('--every', values.every, 100);
  const refreshMs = durationOption('--refresh', values.refresh, 100);
  const ca = caFile === undefined ? undefined : await fileOption('--ca-file', caFile);
  await fileOption('--token-file', tokenFile);
  const { signal, release } = untilSignal();
  const say = (message: string) => io.stderr(`pointsman fleet agent: ${message}\n`);
  try {
    const opened = await openCluster(values, io);
    const pusher = new Pusher({
      url: `${url.href.replace(/\/+$/, '')}/agents/report`,
      cluster: opened.cluster,
      token: async () => (await readFile(tokenFile, 'utf8')).trim(),
      ca,
      most: buffer,
      timeoutMs: 30_000,
      signal,
      say,
    });
    io.stdout(`reporting cluster ${opened.cluster} to ${url.host}\n`);
    let sentAt = 0;
    let sent = '';
    let last: FleetReport | undefined;
    const push = (report: FleetReport) => {
      sentAt = Date.now();
      sent = wordsOf(report);
      pusher.push(report);
    };
    const timer = setInterval(
      () => {
        // The watches may have been quiet: that the last survey still holds is news as well.
        if (last !== undefined && Date.now() - sentAt >= everyMs)
          push({ ...last, at: new Date().toISOString() });
      },
      Math.max(50, everyMs / 4),
    );
    const live = keepSurveying(opened, {
      refreshMs,
      settleMs: 1_000,
      signal,
      onReport: (report) => {
        last = report;
        if (wordsOf(report) !== sent) push(report);
      },
    });
    await live.ended;
    clearInterval(timer);
    await pusher.ended;
    void opened.connection.close();
    return 0;
  } catch (error) {
    if (!(error instanceof ClusterFailure)) throw error;
    say(error.message);
    return 3;
  } finally {
    release();
  }
}

function wordsOf(report: FleetReport): string {
  return JSON.stringify({ ...report, at: '' });
}
