/** The last minute of traffic, as the parts of the page ask for it. */
import type { RecentTraffic } from '../admin/recent-traffic.ts';
import type { RequestSums } from '../admin/traffic-sums.ts';

export interface Window {
  /** There is enough of it for rates. */
  readonly known: boolean;
  readonly seconds: number;
  readonly recent: RecentTraffic;
  /** Percent of the row's requests; undefined while it has none. */
  readonly share: (route: string, backend: string) => number | undefined;
  readonly row: (route: string, backend: string) => RequestSums;
}
