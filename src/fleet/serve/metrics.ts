/** Metrics for Prometheus. Labels are clusters, namespaces, services and kinds: bounded by what reports may hold. */

import { Gauge, Registry } from 'prom-client';
import type { ClusterState } from './clusters.ts';

const SEVERITIES = ['info', 'warning', 'unknown', 'critical'] as const;

export async function fleetMetrics(
  states: readonly ClusterState[],
): Promise<{ readonly contentType: string; readonly body: string }> {
  const registry = new Registry();
  const gauge = <T extends string>(name: string, help: string, labelNames: readonly T[]) =>
    new Gauge({ name, help, labelNames: [...labelNames], registers: [registry] });
  const services = gauge('pointsman_fleet_services', 'Services surveyed.', ['cluster']);
  const pods = gauge('pointsman_fleet_pods', 'Pods surveyed.', ['cluster']);
  const findings = gauge('pointsman_fleet_findings', 'Findings by severity.', ['cluster', 'severity']);
  const problem = gauge('pointsman_fleet_problem', '1 for every kind of finding that a service has.', [
    'cluster',
    'namespace',
    'service',
    'kind',
    'severity',
  ]);
  const ready = gauge('pointsman_fleet_ready', 'Ready pods of proxies, ready endpoints of tracks.', [
    'cluster',
    'namespace',
    'service',
    'track',
  ]);
  const wanted = gauge('pointsman_fleet_wanted', 'Wanted pods of proxies and tracks.', [
    'cluster',
    'namespace',
    'service',
    'track',
  ]);
  const surveyed = gauge(
    'pointsman_fleet_last_survey_timestamp_seconds',
    'When the newest survey was taken.',
    ['cluster'],
  );
  const received = gauge('pointsman_fleet_last_report_timestamp_seconds', 'When the newest report arrived.', [
    'cluster',
  ]);
  const silent = gauge('pointsman_fleet_silent', '1 when no report arrived for too long.', ['cluster']);
  for (const { cluster, report, receivedAt, silent: isSilent } of states) {
    services.set({ cluster }, report.counts.services);
    pods.set({ cluster }, report.counts.pods);
    for (const severity of SEVERITIES) findings.set({ cluster, severity }, report.counts.findings[severity]);
    for (const { namespace, service, kind, severity } of report.findings)
      problem.set({ cluster, namespace, service, kind, severity }, 1);
    for (const { namespace, name, proxy, tracks } of report.services) {
      for (const cell of [...(proxy === null ? [] : [proxy]), ...tracks]) {
        ready.set({ cluster, namespace, service: name, track: cell.track }, cell.ready);
        wanted.set({ cluster, namespace, service: name, track: cell.track }, cell.wanted);
      }
    }
    surveyed.set({ cluster }, Date.parse(report.at) / 1_000);
    received.set({ cluster }, receivedAt / 1_000);
    silent.set({ cluster }, isSilent ? 1 : 0);
  }
  return { contentType: registry.contentType, body: await registry.metrics() };
}
