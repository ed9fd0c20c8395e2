/** `pointsman demo`: the proxy at work between upstreams and traffic of its own, live in the terminal. */
import { parseArgs } from 'node:util';
import { type Check, ENOUGH, judge } from '../demo/checks.ts';
import { clockTime } from '../demo/events.ts';
import { renderFrame } from '../demo/frame.ts';
import { anonymousShare } from '../demo/mix.ts';
import { finalTable, verdict } from '../demo/report.ts';
import { Screen } from '../demo/screen.ts';
import { Session } from '../demo/session.ts';
import type { Pace } from '../demo/tour.ts';
import { lineOf } from '../demo/view.ts';
import { type CommandIo, UsageError } from './io.ts';

const HELP = `Usage: pointsman demo [OPTIONS]

Starts four real upstreams (internal, canary, paid, production), the proxy with the table of the README in front of
them, and a trickle of mixed traffic, and shows where each group goes. A tour goes round: 5 % to the canary; the
canary is killed and comes back; its weight in the file is changed and changed back. Ctrl-C ends everything.

Options:
      --once        go round once, print the final table, and judge the shares
      --seconds N   with --once: about how long (6 to 600; default: 12)
      --rate N      requests per second (10 to 2000; default: 100, with --once 300)
  -h, --help        this text

NO_COLOR=1 leaves out the colours. Where standard output is no terminal, plain lines are printed instead.

Exit codes: 0 ended in order, and with --once all shares were right; 1 they were not, or something failed;
2 wrong usage.
`;

const REDRAW_MS = 200;
const PLAIN_LINE_MS = 2_000;

/** Of a run with `--once`, what is not spent on holding the four steps still: starting, noticing, reloading, ending. */
const OVERHEAD_MS = 3_000;

const LIVE_PACE: Pace = { holdMs: 12_000, maxHoldMs: 12_000, waitMs: 15_000 };

export async function demo(args: readonly string[], io: CommandIo): Promise<number> {
  const { values } = parseArgs({
    args: [...args],
    options: {
      once: { type: 'boolean', default: false },
      seconds: { type: 'string' },
      rate: { type: 'string' },
      help: { type: 'boolean', short: 'h', default: false },
    },
  });
  if (values.help) {
    io.stdout(HELP);
    return 0;
  }
  const { once } = values;
  if (values.seconds !== undefined && !once) throw new UsageError('--seconds goes with --once');
  const seconds = wholeNumber('--seconds', values.seconds ?? '12', 6, 600);
  const rate = wholeNumber('--rate', values.rate ?? (once ? '300' : '100'), 10, 2_000);
  const pace = once ? paceOf(seconds) : LIVE_PACE;
  if (once && rate < leastRate(pace)) {
    throw new UsageError(
      `--rate ${rate} is too low to judge the shares of ${seconds} s by; give at least ${leastRate(pace)}, or more --seconds`,
    );
  }
  return await runDemo({ once, rate, pace }, io);
}

function wholeNumber(option: string, text: string, min: number, max: number): number {
  const value = /^\d{1,6}$/.test(text) ? Number(text) : Number.NaN;
  if (value >= min && value <= max) return value;
  throw new UsageError(`${option} is a whole number from ${min} to ${max}, not "${text}"`);
}

/** Four steps share what is left of the time. */
function paceOf(seconds: number): Pace {
  const holdMs = Math.max(500, (seconds * 1_000 - OVERHEAD_MS) / 4);
  return { holdMs, maxHoldMs: holdMs + 2_000, waitMs: 5_000 };
}

/** Requests per second at which every step has enough of them before it must end. */
function leastRate(pace: Pace): number {
  const share = Math.min(anonymousShare('free'), anonymousShare('paid'));
  return Math.ceil(ENOUGH / share / (pace.maxHoldMs / 1_000));
}

async function runDemo(
  options: { readonly once: boolean; readonly rate: number; readonly pace: Pace },
  io: CommandIo,
): Promise<number> {
  const { once, rate, pace } = options;
  const isTerminal = process.stdout.isTTY === true && io.environment['TERM'] !== 'dumb';
  const color = isTerminal && !io.environment['NO_COLOR'];
  const session = new Session({
    rate,
    pace,
    once,
    pollMs: once ? 100 : 250,
    onEvent: ({ at, text }) => {
      if (!isTerminal) io.stdout(`${clockTime(at)}  ${text}\n`);
    },
  });

  let interrupted = false;
  const quit = () => {
    interrupted = true;
    session.stop();
  };
  // npm passes on a Ctrl-C that the terminal has sent here already: the second of a pair must do no more than the first.
  const signals = ['SIGINT', 'SIGTERM', 'SIGHUP'] as const;
  for (const signal of signals) process.on(signal, quit);
  // The reader of a pipe, or the terminal, may go first; all the same nothing is left behind.
  process.stdout.on('error', quit);

  const draw = () => screen.draw(renderFrame(session.view(), screen.size, color));
  const screen = new Screen({ input: process.stdin, output: process.stdout, onQuit: quit, onResize: draw });
  let timer: NodeJS.Timeout | undefined;
  let checks: Check[] | undefined;
  let table = '';
  let problem: string | undefined;
  try {
    io.stdout('Starting four upstreams and the proxy …\n');
    await session.start();
    if (!interrupted) {
      if (isTerminal) screen.open();
      else io.stdout(`${startText(session)}\n`);
      const show = isTerminal
        ? draw
        : () => io.stdout(`${clockTime(Date.now())}  ${lineOf(session.view())}\n`);
      timer = setInterval(show, isTerminal ? REDRAW_MS : PLAIN_LINE_MS);
      if (isTerminal) draw();
      const evidence = await session.run();
      if (once && !interrupted) {
        checks = judge(evidence);
        table = finalTable(evidence.windows, color);
      }
    }
  } catch (error) {
    if (!interrupted) problem = (error as Error).message;
  } finally {
    clearInterval(timer);
    screen.close();
    await session.close();
    for (const signal of signals) process.off(signal, quit);
  }

  if (problem !== undefined) {
    io.stderr(`pointsman demo: ${problem}\n`);
    return 1;
  }
  if (checks !== undefined) {
    io.stdout(`\n${table}\n${verdict(checks, color)}`);
    return checks.every(({ ok }) => ok) ? 0 : 1;
  }
  const { answered, failed } = session.totals;
  io.stdout(`The demo has ended: ${answered} requests, ${failed} failed. Nothing of it is left behind.\n`);
  // A run with --once that was cut short has shown nothing.
  return once ? 1 : 0;
}

function startText(session: Session): string {
  const { trafficPort, adminPort, configPath } = session.view();
  return [
    `try   curl -H 'X-Traffic-Group: free' http://127.0.0.1:${trafficPort}/`,
    `      curl http://127.0.0.1:${adminPort}/status`,
    `edit  ${configPath}`,
  ].join('\n');
}
