/** A judged survey in few words: what outputs show, the page serves and agents send. */

import { z } from 'zod';
import { type Finding, SEVERITIES, type Severity, worstOf } from './finding.ts';
import type { Judgement } from './judge.ts';
import { compare, type ServiceView, type TrackView } from './model.ts';
import { leastEndpoints, readyBehind } from './rules/endpoints.ts';
import { ANNOTATIONS, type FleetSettings, numberAnnotation } from './settings.ts';

// Bounds are for reports that come from agents, which may be anybody who has a token.
const short = z.string().max(512);
const count = z.int().min(0).max(10_000_000);
const severity = z.enum(['info', 'warning', 'unknown', 'critical']);

const cellSchema = z.strictObject({
  track: short,
  /** Name of the Service. */
  service: short,
  ready: count,
  wanted: count,
  /** Tags or digests that run, shortened; several while builds are mixed. */
  builds: z.array(short).max(16),
});

const rowSchema = z.strictObject({
  namespace: short,
  name: short,
  /** Null: nothing is wrong. */
  worst: severity.nullable(),
  /** Null for a Service without tracks. */
  proxy: cellSchema.nullable(),
  tracks: z.array(cellSchema).max(32),
  findings: count,
});

const findingSchema = z.strictObject({
  kind: short,
  severity,
  namespace: short,
  service: short,
  object: short,
  message: z.string().max(4_096),
  since: z.number().min(0).max(8_640_000_000_000_000),
  advice: z.string().max(4_096),
});

export const reportSchema = z.strictObject({
  version: z.literal(1),
  cluster: z.string().min(1).max(63),
  /** Of the survey, ISO 8601 in UTC. */
  at: z.iso.datetime(),
  /** Empty: all. */
  namespaces: z.array(short).max(1_000),
  /** Tracks that are somewhere, in the order of the pipeline. */
  tracks: z.array(short).max(64),
  counts: z.strictObject({
    services: count,
    pods: count,
    fine: count,
    /** Findings by severity. */
    findings: z.strictObject({ info: count, warning: count, unknown: count, critical: count }),
    ignored: count,
  }),
  /** What was not looked at on purpose. */
  notes: z.array(z.string().max(1_024)).max(16),
  services: z.array(rowSchema).max(10_000),
  findings: z.array(findingSchema).max(10_000),
});

export type FleetReport = z.output<typeof reportSchema>;
export type ServiceRow = z.output<typeof rowSchema>;
export type Cell = z.output<typeof cellSchema>;

const MAX_FINDINGS = 10_000;

export function buildReport({ fleet, findings, ignored }: Judgement, settings: FleetSettings): FleetReport {
  const { survey, services } = fleet;
  const byService = new Map<string, Finding[]>();
  for (const finding of findings) {
    const key = `${finding.namespace}/${finding.service}`;
    const group = byService.get(key);
    if (group === undefined) byService.set(key, [finding]);
    else group.push(finding);
  }
  const rows = services.map((service): ServiceRow => {
    const own = byService.get(`${service.namespace}/${service.name}`) ?? [];
    return {
      namespace: service.namespace,
      name: service.name,
      worst: worstOf(own) ?? null,
      proxy: service.plain ? null : proxyCell(service, settings),
      tracks: service.tracks.slice(0, 32).map((track) => trackCell(track, settings)),
      findings: own.length,
    };
  });
  const number = (of: Severity) => findings.filter(({ severity }) => severity === of).length;
  const tracks = [...new Set(services.flatMap((service) => service.tracks.map(({ track }) => track)))].filter(
    (track) => track !== '',
  );
  const order = (track: string) =>
    settings.tracks.includes(track) ? settings.tracks.indexOf(track) : settings.tracks.length;
  return {
    version: 1,
    cluster: survey.cluster,
    at: new Date(survey.at).toISOString(),
    namespaces: [...survey.namespaces],
    tracks: tracks.sort((a, b) => order(a) - order(b) || compare(a, b)).slice(0, 64),
    counts: {
      services: services.length,
      pods: survey.pods.length,
      fine: rows.filter(({ worst }) => worst === null || worst === 'info').length,
      findings: {
        info: number('info'),
        warning: number('warning'),
        unknown: number('unknown'),
        critical: number('critical'),
      },
      ignored,
    },
    notes: survey.proxiesSkipped === '' ? [] : [survey.proxiesSkipped],
    services: rows.slice(0, 10_000),
    findings: findings.slice(0, MAX_FINDINGS).map((finding) => ({
      ...finding,
      object: finding.object.slice(0, 512),
      message: finding.message.slice(0, 4_096),
      advice: finding.advice.slice(0, 4_096),
    })),
  };
}

function proxyCell({ name, proxy }: ServiceView, settings: FleetSettings): Cell {
  const sum = (of: 'ready' | 'replicas') =>
    proxy.deployments.reduce((total, deployment) => total + deployment[of], 0);
  const said = proxy.deployments
    .map(({ annotations }) => numberAnnotation(annotations, ANNOTATIONS.replicas))
    .find((one) => one !== undefined);
  return {
    track: 'proxy',
    service: proxy.service?.name ?? name,
    ready: sum('ready'),
    wanted: Math.max(said ?? settings.proxy.replicas, sum('replicas')),
    builds: builds(proxy.deployments.flatMap(({ images }) => images.slice(0, 1))),
  };
}

function trackCell(track: TrackView, settings: FleetSettings): Cell {
  const asked = track.deployments.reduce((total, { replicas }) => total + replicas, 0);
  return {
    track: track.track,
    service: track.service.name,
    ready: readyBehind(track),
    wanted: Math.max(asked, leastEndpoints(track, settings)),
    builds: builds(
      track.pods.flatMap(({ images, deletedAt }) => (deletedAt === 0 ? images.slice(0, 1) : [])),
    ),
  };
}

function builds(images: readonly string[]): string[] {
  return [...new Set(images)].sort().slice(0, 16).map(shortBuild);
}

/** `registry/app:1.8.2@sha256:…` → `1.8.2`; without a tag, the first characters of the digest. */
export function shortBuild(image: string): string {
  const [name = '', digest] = image.split('@');
  const last = name.slice(name.lastIndexOf('/') + 1);
  const colon = last.indexOf(':');
  if (colon !== -1) return last.slice(colon + 1, 512);
  return digest === undefined ? last.slice(0, 512) : digest.replace(/^sha256:/, '').slice(0, 12);
}

/** Of reports of several clusters. */
export function worstOfReports(reports: readonly FleetReport[]): Severity | undefined {
  return SEVERITIES.toReversed().find((severity) =>
    reports.some(({ counts }) => counts.findings[severity] > 0),
  );
}
