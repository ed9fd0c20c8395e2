/** The status of a proxy in a few lines: what holds by hand, then each route. Pure. */
import type { StatusDocument } from '../../admin/status.ts';

/** @param body as `/status` answers it @param now epoch milliseconds */
export function statusText(body: unknown, now: number): string {
  const status = body as StatusDocument;
  const { ready, overrides, routes, backends } = status;
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
  lines.push('', 'routes: weights that count now, share of the requests since the start');
  for (const { name, sharesNow, requests, requestsByBackend, override } of routes) {
    lines.push(`  ${name}${override === null ? '' : '  (set by hand)'}`);
    for (const [backend, share] of Object.entries(sharesNow)) {
      const real =
        requests === 0 ? '–' : `${((100 * (requestsByBackend[backend] ?? 0)) / requests).toFixed(2)} %`;
      lines.push(`    ${backend.padEnd(20)} ${`${share} %`.padStart(9)} ${real.padStart(9)}`);
    }
  }
  lines.push('', 'backends');
  for (const { name, circuit, usableEndpoints, endpoints, inFlight } of backends) {
    lines.push(
      `  ${name.padEnd(20)} ${circuit.state.padEnd(9)} ${usableEndpoints} of ${endpoints.length} endpoints, ${inFlight} in flight`,
    );
  }
  return `${lines.join('\n')}\n`;
}

function minutes(ms: number): string {
  const seconds = Math.max(0, Math.round(ms / 1_000));
  if (seconds < 90) return `${seconds} s`;
  const whole = Math.round(seconds / 60);
  return whole < 90 ? `${whole} min` : `${Math.floor(whole / 60)} h ${whole % 60} min`;
}
