/** `pointsman fleet watch`: the table, live. */

import { parseArgs } from 'node:util';
import { ClusterFailure } from '../../fleet/cluster/failure.ts';
import { renderTable } from '../../fleet/output/table.ts';
import type { FleetReport } from '../../fleet/report.ts';
import type { CommandIo } from '../io.ts';
import { keepSurveying } from './live.ts';
import { CLUSTER_HELP, CLUSTER_OPTIONS, durationOption, openCluster, untilSignal } from './options.ts';
import { wantsColor } from './status.ts';

const HELP = `Usage: pointsman fleet watch [OPTIONS]

The table of fleet status, kept up to date by watching the API, until Ctrl-C. Where standard output is no terminal, the
table is printed again whenever something changed.

Options:
${CLUSTER_HELP}      --refresh DURATION    between two looks at ConfigMaps and live tables, which cannot be watched; default: 15s
  -h, --help                this text

Exit codes: 0 ended by Ctrl-C; 3 there is no usable kubeconfig; 64 wrong usage.
`;

const ENTER = '\x1b[?1049h\x1b[?25l';
const LEAVE = '\x1b[?25h\x1b[?1049l';

export async function watch(args: readonly string[], io: CommandIo): Promise<number> {
  const { values } = parseArgs({
    args: [...args],
    options: { ...CLUSTER_OPTIONS, refresh: { type: 'string', default: '15s' } },
  });
  if (values.help) {
    io.stdout(HELP);
    return 0;
  }
  const refreshMs = durationOption('--refresh', values.refresh, 100);
  const { signal, release } = untilSignal();
  const { stdout } = process;
  const terminal = stdout.isTTY === true && io.environment['TERM'] !== 'dumb';
  try {
    const opened = await openCluster(values, io);
    let last: FleetReport | undefined;
    let shown = '';
    const draw = () => {
      if (last === undefined) return;
      const columns = stdout.columns ?? (Number(io.environment['COLUMNS']) || 120);
      const lines = renderTable(last, { color: wantsColor(io), columns, wide: false });
      if (terminal) {
        const rows = stdout.rows ?? 24;
        const fitting =
          lines.length <= rows
            ? lines
            : [
                ...lines.slice(0, rows - 1),
                `… ${lines.length - rows + 1} more lines; a larger window shows them`,
              ];
        stdout.write(`\x1b[H${fitting.map((line) => `${line}\x1b[K`).join('\r\n')}\x1b[J`);
        return;
      }
      const text = lines.slice(1).join('\n');
      // The time alone is no news.
      if (text === shown) return;
      shown = text;
      io.stdout(`${lines.join('\n')}\n\n`);
    };
    const leave = () => void stdout.write(LEAVE);
    if (terminal) {
      stdout.write(ENTER);
      process.once('exit', leave);
      stdout.on('resize', draw);
    }
    try {
      const live = keepSurveying(opened, {
        refreshMs,
        settleMs: 500,
        signal,
        onReport: (report) => {
          last = report;
          draw();
        },
      });
      await live.ended;
    } finally {
      if (terminal) {
        stdout.off('resize', draw);
        process.off('exit', leave);
        leave();
      }
      void opened.connection.close();
    }
    return 0;
  } catch (error) {
    if (!(error instanceof ClusterFailure)) throw error;
    io.stderr(`pointsman fleet watch: ${error.message}\n`);
    return 3;
  } finally {
    release();
  }
}
