/** Sends cases of requests through a proxy and judges what came of them. */

import { newNonce, type Origin } from '../support/origin.ts';
import { pause } from '../support/wait-for.ts';
import { NONCE, type RequestCase } from './cases/case.ts';
import { type Judgement, judge, type Outcome } from './judge.ts';
import { cutInPieces } from './pieces.ts';
import { answersIn, play } from './play.ts';

/**
 * How a case is sent. `alone`: in one packet, with a request right behind it. `behind`: also with one in front, so
 * that a connection to the upstream is in use already. `pieces`: cut at places that a seed chooses.
 */
export type Way = 'alone' | 'behind' | 'pieces';

export const WAYS: readonly Way[] = ['alone', 'behind', 'pieces'];

export interface Result {
  readonly theCase: RequestCase;
  readonly way: Way;
  readonly judgement: Judgement;
}

export interface RunOptions {
  readonly way: Way;
  /** Pointsman is judged. */
  readonly ours: boolean;
  /** Cases under way at once. */
  readonly concurrency?: number;
  /** Of `pieces`. */
  readonly seed?: number;
}

/** How long a request that got past the proxy without anybody waiting for it may take to the upstream. */
const SETTLE_MS = 150;

export async function runRequestCases(
  port: number,
  origin: Origin,
  cases: readonly RequestCase[],
  options: RunOptions,
): Promise<Result[]> {
  const { way, ours, concurrency = 24, seed = 1 } = options;
  const outcomes: { theCase: RequestCase; outcome: Outcome }[] = [];
  let next = 0;
  const worker = async () => {
    for (;;) {
      const at = next++;
      const theCase = cases[at];
      if (theCase === undefined) return;
      outcomes[at] = { theCase, outcome: await sendCase(port, origin, theCase, way, seed + at) };
    }
  };
  await Promise.all(Array.from({ length: concurrency }, worker));
  await pause(SETTLE_MS);
  return outcomes.map(({ theCase, outcome }) => ({ theCase, way, judgement: judge(theCase, outcome, ours) }));
}

async function sendCase(
  port: number,
  origin: Origin,
  theCase: RequestCase,
  way: Way,
  seed: number,
): Promise<Outcome> {
  const nonce = newNonce();
  const before = way === 'behind' ? newNonce() : undefined;
  const after = theCase.unfinished ? undefined : newNonce();
  const front = before === undefined ? '' : `GET /before/${before} HTTP/1.1\r\nHost: a\r\n\r\n`;
  const back =
    after === undefined ? '' : `GET /after/${after} HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n`;
  const bytes = front + theCase.bytes.replaceAll(NONCE, nonce) + back;
  const { text, end } = await play(port, way === 'pieces' ? cutInPieces(bytes, seed) : [bytes]);
  const first = before === undefined ? 0 : 1;
  return {
    nonce,
    before,
    after,
    end,
    answers: answersIn(text, (index) => index === first && theCase.isHead === true),
    requests: origin.requests,
    faults: origin.faults,
  };
}

/** One line for each case that failed. */
export function failures(results: readonly Result[]): string[] {
  return results
    .filter(({ judgement }) => judgement.problems.length > 0)
    .map(
      ({ theCase, way, judgement }) =>
        `${theCase.name} (${way}; ${theCase.source}): ${judgement.problems.join('; ')}`,
    );
}
