/** What `watch`, `serve` and `agent` share: a survey that keeps itself up to date, judged and reported. */

import { LiveCluster } from '../../fleet/cluster/live-cluster.ts';
import { judge } from '../../fleet/judge.ts';
import { buildReport, type FleetReport } from '../../fleet/report.ts';
import type { OpenedCluster } from './options.ts';

export interface LiveOptions {
  readonly refreshMs: number;
  readonly settleMs: number;
  readonly signal: AbortSignal;
  readonly onReport: (report: FleetReport) => void;
}

export function keepSurveying(
  { connection, ...opened }: OpenedCluster,
  { refreshMs, settleMs, signal, onReport }: LiveOptions,
): LiveCluster {
  return new LiveCluster(connection, {
    ...opened,
    now: Date.now,
    refreshMs,
    settleMs,
    signal,
    onSurvey: (survey) => onReport(buildReport(judge(survey, opened.settings), opened.settings)),
  });
}
