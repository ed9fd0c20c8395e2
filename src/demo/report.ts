/** The final table and the verdict of `--once`. Pure. */
import type { Check } from './checks.ts';
import { percent } from './frame.ts';
import { TRACKS } from './table.ts';
import { total, type Window } from './tally.ts';
import { type Line, type Style, span, toText } from './text.ts';
import { groupRows } from './view.ts';

const STEP = 10;
const LABEL = 16;
const NUMBER = 10;
const CELL = 14;

/** One row per group and steady step: requests and share by backend. */
export function finalTable(windows: readonly Window[], color: boolean): string {
  const head: Line = [
    span(`${'step'.padEnd(STEP)}${'group'.padEnd(LABEL)}${'requests'.padStart(NUMBER)}`, 'bold'),
    ...TRACKS.map((track) => span(track.padStart(CELL), 'bold')),
  ];
  const rows = windows
    .filter(({ steady }) => steady)
    .flatMap((window) =>
      groupRows(window).map((row, index): Line => {
        const sent = total(row.counts);
        return [
          span((index === 0 ? window.step : '').padEnd(STEP)),
          span((row.nested ? `  ${row.label}` : row.label).padEnd(LABEL)),
          span(String(sent).padStart(NUMBER)),
          ...TRACKS.map((track) => {
            const count = row.counts[track] ?? 0;
            const text = count === 0 ? '·' : `${count} ${percent(count / sent).padStart(7)}`;
            return span(text.padStart(CELL), ...((count === 0 ? ['dim'] : []) as Style[]));
          }),
        ];
      }),
    );
  return [head, ...rows].map((line) => `${toText(line, color)}\n`).join('');
}

export function verdict(checks: readonly Check[], color: boolean): string {
  const lines = checks.map(
    ({ ok, name, detail }): Line => [
      span(ok ? 'ok      ' : 'FAILED  ', ...((ok ? ['green'] : ['red', 'bold']) as Style[])),
      span(`${name}: `),
      span(detail, 'dim'),
    ],
  );
  const failed = checks.filter(({ ok }) => !ok).length;
  const sum: Line =
    failed === 0
      ? [span(`All ${checks.length} checks passed.`, 'bold')]
      : [span(`${failed} of ${checks.length} checks failed.`, 'bold', 'red')];
  return [...lines, sum].map((line) => `${toText(line, color)}\n`).join('');
}
