/** The status of a proxy in a few lines: what holds by hand, then each route. Pure. */
import type { StatusDocument } from '../../admin/status.ts';

/** @param body as `/status` answers it @param now epoch milliseconds */
export function statusText(body: unknown, now: number): string {
  const status = body as StatusDocument;
  const { ready, overrides, routes, backends } = status;
  // One of an older version has none of these.
  const { sets = [], guards = [], exposure, pins = [] } = status as Partial<StatusDocument>;
  const lines = [
    `${status.service}  ${ready.ok ? 'ready' : `not ready: ${ready.reasons.join('; ')}`}, configuration ${status.config.hash.slice(0, 12)}`,
  ];
  if (overrides.length > 0) lines.push('', 'set by hand');
  for (const { id, text, reason, by, until, state, why } of overrides) {
    lines.push(
      `  ${id}  ${text}  ${minutes(Date.parse(until) - now)} left${state === 'void' ? `, does nothing: ${why}` : ''}`,
    );
    lines.push(`    ${by}: ${reason}`);
  }
  lines.push(...setLines(sets));
  lines.push('', 'routes: weights that count now, share of the requests since the start');
  for (const { name, sharesNow, requests, requestsByBackend, override } of routes) {
    lines.push(`  ${name}${override === null ? '' : `  (held by ${override.by}: ${override.reason})`}`);
    for (const guard of guards.filter(({ route }) => route === name)) {
      lines.push(
        `    guard of ${guard.backend}: ${guard.phase}${guard.mode === 'warn' ? ', only warns' : ''}${guard.verdict === null ? '' : `; last verdict: ${guard.verdict}`}`,
      );
    }
    for (const [backend, share] of Object.entries(sharesNow)) {
      const real =
        requests === 0 ? '–' : `${((100 * (requestsByBackend[backend] ?? 0)) / requests).toFixed(2)} %`;
      lines.push(`    ${backend.padEnd(20)} ${`${share} %`.padStart(9)} ${real.padStart(9)}`);
    }
  }
  lines.push(...userLines(exposure), ...pinLines(pins), '', 'backends');
  for (const { name, build, circuit, usableEndpoints, endpoints, inFlight } of backends) {
    lines.push(
      `  ${name.padEnd(20)} ${build ? `${build}  ` : ''}${circuit.state.padEnd(9)} ${usableEndpoints} of ${endpoints.length} endpoints, ${inFlight} in flight`,
    );
  }
  return `${lines.join('\n')}\n`;
}

function setLines(sets: StatusDocument['sets']): string[] {
  const lines: string[] = [];
  for (const { name, here, elsewhere } of sets) {
    for (const { service, fallen, lost } of [{ service: '', ...here }, ...elsewhere]) {
      const of = service === '' ? '' : ` of ${service}`;
      if (fallen !== undefined) {
        const share = `${Math.round(100 * fallen.ratio)} % of its share`;
        lines.push(`  set ${name}: ${fallen.backend}${of} has ${share}, ${fallen.by}: ${fallen.reason}`);
      }
      if (lost !== undefined) {
        lines.push(`  set ${name}: ${lost.backend}${of} takes no requests: ${lost.reason}`);
      }
    }
  }
  return lines.length === 0 ? [] : ['', 'release sets that lost a member', ...lines];
}

function userLines(exposure: StatusDocument['exposure'] | undefined): string[] {
  if (exposure === undefined || exposure.rows.length === 0) return [];
  const { of, asOf, why, rows } = exposure;
  const whose =
    of === 'all'
      ? 'all replicas'
      : of === 'partly'
        ? `all replicas until ${asOf}, then this one alone: ${why}`
        : `this replica alone: ${why}`;
  return [
    '',
    `users who met a build in the last 24 h, and an error there (${whose})`,
    ...rows.map(
      ({ route, backend, build, exposed, hurt }) =>
        `  ${`${route} → ${backend}`.padEnd(28)} ${String(exposed).padStart(9)} ${String(hurt).padStart(9)}${build === null ? '' : `  ${build}`}`,
    ),
  ];
}

function pinLines(pins: StatusDocument['pins']): string[] {
  const known = pins.filter(({ remembered }) => remembered !== null);
  if (known.length === 0) return [];
  return [
    '',
    'users remembered',
    ...known.map(({ name, store, remembered }) => {
      const { byBackend, at, exact } = remembered!;
      const users = Object.entries(byBackend).map(
        ([backend, count]) => `${backend} ${exact ? '' : 'about '}${count}`,
      );
      const where = store === 'memory' ? 'in this replica' : `in Redis at ${at}`;
      return `  ${name}: ${users.join(', ') || 'none'}  (${where})`;
    }),
  ];
}

function minutes(ms: number): string {
  const seconds = Math.max(0, Math.round(ms / 1_000));
  if (seconds < 90) return `${seconds} s`;
  const whole = Math.round(seconds / 60);
  return whole < 90 ? `${whole} min` : `${Math.floor(whole / 60)} h ${whole % 60} min`;
}
