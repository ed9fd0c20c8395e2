/** What is wrong with what came of a case: over plain data, so that the judge itself can be tested. */

import type { Message } from '../support/differential/messages.ts';
import { NONCE_FIELD, type OriginRequest } from '../support/origin.ts';
import { type Forwarded, NONCE, type RequestCase, type Verdict } from './cases/case.ts';
import { type Answers, fieldOf, type Heard, statusOf } from './play.ts';

/** What a client heard, and what the upstreams got. */
export interface Outcome {
  readonly nonce: string;
  /** Nonce of the request in front, on the same connection; undefined when there was none. */
  readonly before: string | undefined;
  /** Nonce of the request that followed at once; undefined when there was none. */
  readonly after: string | undefined;
  readonly end: Heard['end'];
  readonly answers: Answers;
  readonly requests: (nonce: string) => readonly OriginRequest[];
  readonly faults: (nonce: string) => readonly string[];
}

export type Judged = 'rejected' | 'forwarded' | 'local' | 'dropped';

export interface Judgement {
  readonly verdict: Judged;
  /** Nothing: all is well. */
  readonly problems: readonly string[];
}

/** @param ours Pointsman is judged: it is held to its own rule where a clause leaves a choice */
export function judge(theCase: RequestCase, outcome: Outcome, ours: boolean): Judgement {
  const { nonce, before, after, end, answers, requests, faults } = outcome;
  if (!ours && theCase.isOtherProtocol && answers.rest !== '') return { verdict: 'local', problems: [] };
  const problems: string[] = [];
  const seen = requests(nonce);
  const followed = after === undefined ? [] : requests(after);
  for (const one of [nonce, before, after]) {
    if (one === undefined) continue;
    for (const fault of faults(one)) problems.push(`the upstream got what has no single reading: ${fault}`);
  }
  if (end === 'hung') problems.push('the connection neither got an answer nor ended');
  for (const { backend } of seen) {
    if (theCase.never?.includes(backend as never)) problems.push(`it came to ${backend}`);
  }
  problems.push(...strangers(outcome));

  const responses = [...answers.responses];
  if (before !== undefined) {
    const first = responses.shift();
    if (first === undefined || nonceIn(first) !== before)
      problems.push('the request in front was not answered');
    if (requests(before).length !== 1)
      problems.push(`the request in front came ${requests(before).length} times`);
  }
  const own = responses.filter((response) => nonceIn(response) === nonce);
  const verdict = verdictOf(theCase, seen, responses);
  const wanted: Verdict | 'either' = ours ? (theCase.ours ?? theCase.expect) : theCase.expect;

  if (verdict === 'forwarded') {
    const forwarded = (ours ? theCase.forwardedByUs : undefined) ?? theCase.forwarded ?? [{}];
    problems.push(...mismatches(seen, forwarded, nonce));
    if (own.length !== seen.length) {
      problems.push(`${seen.length} requests came to the upstream, and ${own.length} were answered`);
    }
    problems.push(...disorder(own, forwarded, nonce));
    if (wanted === 'reject') problems.push('it was forwarded');
  } else if (wanted === 'one' && verdict !== 'local') {
    const first = responses[0];
    problems.push(`it was not forwarded: ${first === undefined ? 'no answer' : first.startLine}`);
  }
  // An end without a word is a refusal, too, but no good one.
  if (ours && verdict === 'dropped' && theCase.unfinished === undefined && before === undefined)
    problems.push('the connection ended without an answer');

  if (followed.length > 1) problems.push(`the request behind came ${followed.length} times`);
  const refusedFor = verdict === 'rejected' && wanted === 'reject' && theCase.mayGoOn === undefined;
  if ((refusedFor || (theCase.closes && verdict !== 'rejected')) && followed.length > 0) {
    problems.push('the connection went on');
  }
  const { mayEnd: allowed } = theCase;
  const endsRightly =
    theCase.closes === true || allowed === true || (allowed === 'behind' && before !== undefined);
  const mayEnd = endsRightly || verdict !== 'forwarded' || after === undefined;
  if (ours && !mayEnd && followed.length === 0) problems.push('the request behind was lost');
  return { verdict, problems };
}

function verdictOf(
  theCase: RequestCase,
  seen: readonly OriginRequest[],
  responses: readonly Message[],
): Judged {
  if (seen.length > 0) return 'forwarded';
  const first = responses[0];
  if (first === undefined) return 'dropped';
  const status = statusOf(first);
  if (status >= 400) return 'rejected';
  return theCase.local && status >= 200 && status < 300 ? 'local' : 'dropped';
}

/** Answers that are nobody's, or somebody else's. */
function strangers({ nonce, before, after, answers, requests }: Outcome): string[] {
  const problems: string[] = [];
  const expected = new Set([nonce, before, after]);
  let errors = 0;
  for (const response of answers.responses) {
    const found = nonceIn(response);
    if (found !== undefined) {
      if (!expected.has(found)) problems.push(`an answer to somebody else's request: ${found}`);
      else if (requests(found).length === 0) problems.push(`an answer to ${found}, which never came`);
      if (response.cut) problems.push('an answer was cut');
    } else if (statusOf(response) >= 400) errors++;
  }
  const last = answers.responses.at(-1);
  if (errors > 1) problems.push(`${errors} refusals on one connection`);
  else if (errors === 1 && last !== undefined && nonceIn(last) !== undefined && nonceIn(last) !== after) {
    problems.push('something was answered behind a refusal');
  }
  if (answers.rest !== '') {
    problems.push(`what came back is no response: ${JSON.stringify(answers.rest.slice(0, 120))}`);
  }
  return problems;
}

/** What the upstream got against what it must have got, in any order: a proxy may use several connections. */
function mismatches(
  seen: readonly OriginRequest[],
  forwarded: readonly Forwarded[],
  nonce: string,
): string[] {
  const problems: string[] = [];
  const left = [...forwarded];
  for (const request of seen) {
    let nearest: string[] | undefined;
    const at = left.findIndex((wanted) => {
      const differences = differencesOf(request, wanted, nonce);
      if (nearest === undefined || differences.length < nearest.length) nearest = differences;
      return differences.length === 0;
    });
    if (at !== -1) left.splice(at, 1);
    else problems.push(...(nearest ?? [`the upstream got one more: ${request.message.startLine}`]));
  }
  if (seen.length < forwarded.length) {
    problems.push(`the upstream got ${seen.length} of ${forwarded.length} requests`);
  }
  return problems;
}

function differencesOf(request: OriginRequest, wanted: Forwarded, nonce: string): string[] {
  const { message, method, target, backend } = request;
  const differences: string[] = [];
  const differs = (what: string, got: unknown, want: unknown) =>
    differences.push(`${what} is ${JSON.stringify(got)} and not ${JSON.stringify(want)}`);
  const filled = (text: string) => text.replaceAll(NONCE, nonce);
  const wantedMethod = wanted.method ?? 'GET';
  if (method !== wantedMethod) differs('the method', method, wantedMethod);
  const targets = [wanted.target ?? `/c/${NONCE}`].flat().map(filled);
  if (!targets.includes(target)) differs('the target', target, targets);
  const body = filled(wanted.body ?? '');
  if (message.body !== body) differs('the body', message.body.slice(0, 200), body.slice(0, 200));
  if (wanted.host !== undefined && fieldOf(message, 'host') !== wanted.host)
    differs('Host', fieldOf(message, 'host'), wanted.host);
  if (wanted.backend !== undefined && backend !== wanted.backend)
    differs('the backend', backend, wanted.backend);
  for (const [name, value] of Object.entries(wanted.fields ?? {})) {
    const got = valuesOf(message, name);
    if (got.join('\n') !== [value].flat().join('\n')) differs(name, got, value);
  }
  for (const name of wanted.absent ?? []) {
    if (valuesOf(message, name).length > 0) differences.push(`${name} was passed on`);
  }
  return differences;
}

/** Answers must come in the order of the requests. */
function disorder(own: readonly Message[], forwarded: readonly Forwarded[], nonce: string): string[] {
  if (own.length !== forwarded.length || own.length < 2) return [];
  return own.flatMap((response, i) => {
    if (response.body === '') return [];
    const targets = [forwarded[i]!.target ?? `/c/${NONCE}`].flat();
    const expected = targets.map((target) => `${nonce} ${target.replaceAll(NONCE, nonce)}`);
    return expected.includes(response.body)
      ? []
      : [`answer ${i} belongs to another request: ${response.body}`];
  });
}

function nonceIn(message: Message): string | undefined {
  return fieldOf(message, NONCE_FIELD);
}

function valuesOf({ fields }: Message, name: string): string[] {
  return fields.filter(([key]) => key.toLowerCase() === name.toLowerCase()).map(([, value]) => value);
}
