/** What the terminal shows, gathered from the tallies and the proxy's own status. Pure. */
import type { StatusDocument } from '../admin/status.ts';
import { BUCKETS, layOut } from '../routing/bucket.ts';
import type { DemoEvent } from './events.ts';
import type { GroupRow, UpstreamRow, UsersRow, View } from './frame.ts';
import { heaviest, type Split } from './placement.ts';
import { ROUTES, type RouteName, TRACKS, type Track } from './table.ts';
import { type Counts, total, type Window } from './tally.ts';
import { captionOf, type Position, TOUR } from './tour.ts';

export const GROUP_LABELS: Readonly<Record<RouteName, string>> = {
  internal: 'INTERNAL',
  free: 'FREE',
  enterprise: 'ENTERPRISE',
  paid: 'no group',
};

export interface ViewInput {
  readonly now: number;
  readonly position: Position;
  /** A person changed the file. */
  readonly fileIsTheirs: boolean;
  readonly window: Window;
  readonly answered: number;
  readonly failed: number;
  /** Users by the backend they belong to, by route. */
  readonly users: Readonly<Record<string, Counts>>;
  readonly status: StatusDocument | undefined;
  readonly ports: Readonly<Record<Track, number>>;
  readonly trafficPort: number;
  readonly adminPort: number;
  readonly configPath: string;
  readonly events: readonly DemoEvent[];
}

export function viewOf(input: ViewInput): View {
  const { now, position, window, answered, failed, events, trafficPort, adminPort, configPath } = input;
  return {
    now,
    caption: captionOf(position, input.fileIsTheirs),
    steady: position.state === 'holding',
    step: position.step + 1,
    steps: TOUR.length,
    answered,
    failed,
    rows: groupRows(window),
    upstreams: TRACKS.map((track) => upstreamRow(track, input)),
    users: usersRows(input.users, window.splits),
    events,
    trafficPort,
    adminPort,
    configPath,
  };
}

/** Rows that draw by weight come twice: what has no user id follows the weights, what has one the bucket. */
export function groupRows(window: Pick<Window, 'anonymous' | 'pinned' | 'splits'>): GroupRow[] {
  return ROUTES.flatMap((route): GroupRow[] => {
    const row: GroupRow = {
      label: GROUP_LABELS[route],
      nested: false,
      counts: window.anonymous[route] ?? {},
      rule: ruleOf(window.splits[route]),
    };
    const pinned = window.pinned[route];
    if (pinned === undefined && route !== 'free' && route !== 'paid') return [row];
    return [row, { label: 'with user id', nested: true, counts: pinned ?? {}, rule: 'by bucket' }];
  });
}

/** `5 : 95`; a split of one backend is all of it. */
export function ruleOf(split: Split | undefined): string {
  const weights = Object.values(split ?? {});
  if (weights.length === 0) return '';
  return weights.length === 1 ? 'all' : weights.join(' : ');
}

/** The buckets of each backend of a split, as `0–499`. */
export function bucketRanges(split: Split): Record<string, string> {
  const names = Object.keys(split);
  const weights = Object.values(split);
  if (!weights.some((weight) => weight > 0)) return {};
  const layout = layOut(names, weights, heaviest(names, weights));
  if (layout.kind !== 'ranges') return {};
  return Object.fromEntries(
    layout.ranges
      .filter(({ from, to }) => to > from)
      .map(({ index, from, to }) => [names[index]!, `${from}–${Math.min(to, BUCKETS) - 1}`]),
  );
}

function usersRows(
  users: Readonly<Record<string, Counts>>,
  splits: Readonly<Record<string, Split>>,
): UsersRow[] {
  return (['free', 'paid'] as const).map((route): UsersRow => {
    const split = splits[route] ?? {};
    const ranges = bucketRanges(split);
    return {
      label: route === 'free' ? 'FREE users' : 'other users',
      backends: Object.keys(split).map((track) => ({
        track,
        users: users[route]?.[track] ?? 0,
        buckets: ranges[track] ?? '–',
      })),
    };
  });
}

function upstreamRow(track: Track, { status, ports, window }: ViewInput): UpstreamRow {
  const endpoint = status?.backends.find(({ name }) => name === track)?.endpoints[0];
  const requests = [window.anonymous, window.pinned]
    .flatMap((table) => Object.values(table))
    .reduce((sum, counts) => sum + (counts[track] ?? 0), 0);
  return {
    track,
    health: endpoint?.health ?? 'unknown',
    reason: endpoint?.reason ?? '',
    since: endpoint === undefined ? undefined : Date.parse(endpoint.since),
    port: ports[track],
    requests,
  };
}

/** One line for where there is no terminal to draw in: `steady · FREE canary 5.0 % production 95.0 % of 120 · …`. */
export function lineOf(view: View): string {
  const groups = view.rows
    .filter(({ nested, rule }) => !nested && rule.includes(':'))
    .map(({ label, counts }) => {
      const sent = total(counts);
      const shares = TRACKS.filter((track) => (counts[track] ?? 0) > 0).map(
        (track) => `${track} ${(((counts[track] ?? 0) / sent) * 100).toFixed(1)} %`,
      );
      return `${label} ${sent}${shares.length === 0 ? '' : `: ${shares.join(', ')}`}`;
    });
  const down = view.upstreams
    .filter(({ health }) => health !== 'up')
    .map(({ track, health }) => `${track} ${health}`);
  return [...groups, down.length === 0 ? 'all upstreams up' : down.join(', '), `${view.failed} failed`].join(
    ' | ',
  );
}
