/** `pointsman fleet status`: one survey. */

import { parseArgs } from 'node:util';
import { stringify } from 'yaml';
import { ClusterFailure } from '../../fleet/cluster/failure.ts';
import { takeSurvey } from '../../fleet/cluster/survey.ts';
import { exitCodeOf } from '../../fleet/finding.ts';
import { judge } from '../../fleet/judge.ts';
import { renderMarkdown } from '../../fleet/output/markdown.ts';
import { renderTable } from '../../fleet/output/table.ts';
import { buildReport, type FleetReport } from '../../fleet/report.ts';
import { type CommandIo, UsageError } from '../io.ts';
import { CLUSTER_HELP, CLUSTER_OPTIONS, openCluster, untilSignal } from './options.ts';

const HELP = `Usage: pointsman fleet status [OPTIONS] [SERVICE …]

Surveys once and prints a line per service, then what is wrong, since when, and what to do.

Options:
${CLUSTER_HELP}  -o, --output FORMAT       table, wide, json, yaml or markdown; default: table
      --exit-zero           exit 0 whatever is found, for CronJobs; what cannot be surveyed at all still exits 3
  -h, --help                this text

Exit codes: 0 fine; 1 warnings; 2 something critical; 3 something, or everything, could not be looked at; 64 wrong
usage. The worst counts: critical before unknown before warnings.
`;

const FORMATS = ['table', 'wide', 'json', 'yaml', 'markdown'];

export async function status(args: readonly string[], io: CommandIo): Promise<number> {
  const { values, positionals } = parseArgs({
    args: [...args],
    allowPositionals: true,
    options: {
      ...CLUSTER_OPTIONS,
      output: { type: 'string', short: 'o', default: 'table' },
      'exit-zero': { type: 'boolean', default: false },
    },
  });
  if (values.help) {
    io.stdout(HELP);
    return 0;
  }
  const format = values.output;
  if (!FORMATS.includes(format)) throw new UsageError(`--output is ${FORMATS.join(', ')}; not "${format}"`);
  const { signal, release } = untilSignal();
  const started = performance.now();
  try {
    const opened = await openCluster(values, io);
    const { connection, settings, cluster, namespaces, proxies, repository } = opened;
    const survey = await takeSurvey(connection, {
      cluster,
      namespaces,
      settings,
      proxies,
      repository,
      now: Date.now,
      signal,
    });
    const report = only(buildReport(judge(survey, settings), settings), positionals);
    void connection.close();
    io.stdout(rendered(report, format, performance.now() - started, io));
    return values['exit-zero'] ? 0 : exitCodeOf(report.findings);
  } catch (error) {
    if (!(error instanceof ClusterFailure)) throw error;
    io.stderr(
      `pointsman fleet status: ${signal.aborted ? 'ended before the survey was done' : error.message}\n`,
    );
    return 3;
  } finally {
    release();
  }
}

/** Of some services alone; what is about the whole cluster stays. */
function only(report: FleetReport, names: readonly string[]): FleetReport {
  if (names.length === 0) return report;
  const unknown = names.filter((name) => !report.services.some((service) => service.name === name));
  if (unknown.length > 0)
    throw new UsageError(
      `there is no service ${unknown.map((name) => `"${name}"`).join(', ')} in this survey`,
    );
  const services = report.services.filter(({ name }) => names.includes(name));
  const findings = report.findings.filter(({ service }) => service === '' || names.includes(service));
  const count = (severity: string) => findings.filter((finding) => finding.severity === severity).length;
  return {
    ...report,
    services,
    findings,
    tracks: report.tracks.filter((track) =>
      services.some((service) => service.tracks.some((cell) => cell.track === track)),
    ),
    counts: {
      ...report.counts,
      services: services.length,
      pods: services.reduce(
        (sum, { tracks, proxy }) => sum + tracks.reduce((all, { ready }) => all + ready, proxy?.ready ?? 0),
        0,
      ),
      fine: services.filter(({ worst }) => worst === null || worst === 'info').length,
      findings: {
        info: count('info'),
        warning: count('warning'),
        unknown: count('unknown'),
        critical: count('critical'),
      },
    },
  };
}

export function wantsColor(io: CommandIo): boolean {
  return process.stdout.isTTY === true && !io.environment['NO_COLOR'] && io.environment['TERM'] !== 'dumb';
}

function rendered(report: FleetReport, format: string, tookMs: number, io: CommandIo): string {
  switch (format) {
    case 'json':
      return `${JSON.stringify(report, null, 2)}\n`;
    case 'yaml':
      return stringify(report);
    case 'markdown':
      return renderMarkdown(report);
    default: {
      const columns = process.stdout.columns ?? (Number(io.environment['COLUMNS']) || 120);
      return `${renderTable(report, { color: wantsColor(io), columns, wide: format === 'wide', tookMs }).join('\n')}\n`;
    }
  }
}
