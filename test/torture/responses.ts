/**
 * Has an upstream send the cases of responses, and judges what clients get: the one that asked, whatever it asks behind
 * that on its connection, and others that use the same connection to the upstream.
 */

import type { Message } from '../support/differential/messages.ts';
import type { Lane } from '../support/lane.ts';
import {
  echo,
  NONCE_FIELD,
  newNonce,
  type Origin,
  type OriginAnswer,
  startOrigin,
} from '../support/origin.ts';
import { pause, waitFor } from '../support/wait-for.ts';
import { NONCE } from './cases/case.ts';
import { BODY, type ResponseCase, type Want } from './cases/response-case.ts';
import { cutInPieces } from './pieces.ts';
import { answersIn, fieldOf, type Heard, play, statusOf } from './play.ts';

/** How the upstream sends a case: as it stands, or cut into packets where a seed says. */
export type SendingWay = 'whole' | 'pieces';

export const SENDING_WAYS: readonly SendingWay[] = ['whole', 'pieces'];

export interface ResponseResult {
  readonly theCase: ResponseCase;
  readonly way: SendingWay;
  /** What the client got; undefined: nothing that has a name. */
  readonly got: Want | undefined;
  readonly problems: readonly string[];
}

export interface ResponseRunOptions {
  readonly way: SendingWay;
  /** The lane of Pointsman that is judged; undefined: it is another proxy. */
  readonly lane: Lane | undefined;
  /** Of `pieces`. */
  readonly seed?: number;
}

/** The upstream of the cases: each backend is used by one case at a time, so that it has one connection. */
export class ResponseOrigin {
  readonly origin: Origin;
  readonly #scripts: Map<string, OriginAnswer>;

  private constructor(origin: Origin, scripts: Map<string, OriginAnswer>) {
    this.origin = origin;
    this.#scripts = scripts;
  }

  static async start(backends: readonly string[]): Promise<ResponseOrigin> {
    const scripts = new Map<string, OriginAnswer>();
    const origin = await startOrigin(
      backends,
      (request, nonce) => scripts.get(nonce) ?? echo(request, nonce),
    );
    return new ResponseOrigin(origin, scripts);
  }

  script(nonce: string, answer: OriginAnswer): void {
    this.#scripts.set(nonce, answer);
  }
}

/** Between parts of a case, milliseconds: long enough for a proxy to have read the one before. */
const PART_PAUSE_MS = 3;

/** How long what comes behind a response may take to a proxy. */
const LATER_MS = 60;

export async function runResponseCases(
  port: number,
  upstream: ResponseOrigin,
  groups: readonly string[],
  cases: readonly ResponseCase[],
  options: ResponseRunOptions,
): Promise<ResponseResult[]> {
  const results: ResponseResult[] = [];
  let next = 0;
  const worker = async (group: string) => {
    for (;;) {
      const at = next++;
      const theCase = cases[at];
      if (theCase === undefined) return;
      results[at] = await runCase(port, upstream, group, theCase, options, at);
    }
  };
  await Promise.all(groups.map(worker));
  return results;
}

async function runCase(
  port: number,
  upstream: ResponseOrigin,
  group: string,
  theCase: ResponseCase,
  { way, lane, seed = 1 }: ResponseRunOptions,
  at: number,
): Promise<ResponseResult> {
  const { bytes, ending, method = 'GET', later } = theCase;
  const nonce = newNonce();
  const parts = [bytes].flat().map((part) => part.replaceAll(NONCE, nonce));
  const cut = way === 'pieces' && theCase.asItIs === undefined;
  upstream.script(nonce, {
    parts: theCase.octetByOctet
      ? [...parts.join('')]
      : cut
        ? parts.flatMap((part) => cutInPieces(part, seed + at))
        : parts,
    pause: PART_PAUSE_MS,
    ...(ending === undefined ? {} : { ending }),
  });
  const request = (path: string, name: string, verb = 'GET', close = true) =>
    `${verb} /${path}/${name} HTTP/1.1\r\nHost: a\r\nX-Traffic-Group: ${group}\r\n` +
    `${verb === 'POST' ? 'Content-Length: 4\r\n' : ''}${close ? 'Connection: close\r\n' : ''}\r\n` +
    (verb === 'POST' ? 'abcd' : '');
  const alone = (name: string) => play(port, [request('other', name)]);

  // So that there is a connection to be used again.
  const warm = newNonce();
  const warmed = await alone(warm);
  const after = later ? undefined : newNonce();
  const [beside, last] = [newNonce(), newNonce()];
  const sent =
    request('case', nonce, method, after === undefined) +
    (after === undefined ? '' : request('after', after));
  const asked = play(port, [sent]);
  let others: Heard[];
  if (later) {
    await asked;
    await pause(LATER_MS);
    others = [await alone(beside)];
  } else {
    await waitFor(
      'the upstream to have the request',
      () => upstream.origin.requests(nonce).length > 0,
      2_000,
    );
    others = await Promise.all([alone(beside)]);
  }
  const heard = await asked;
  others.push(await alone(last));

  const ours = lane !== undefined;
  const isHead = method === 'HEAD';
  const { got, problems } = judgeCase(theCase, heard, nonce, after, isHead, lane);
  for (const [name, other] of [
    [warm, warmed] as const,
    [beside, others[0]!] as const,
    [last, others[1]!] as const,
  ]) {
    problems.push(...strangerIn(other, name, ours).map((problem) => `another client: ${problem}`));
  }
  return { theCase, way, got, problems };
}

function judgeCase(
  theCase: ResponseCase,
  { text, end }: Heard,
  nonce: string,
  after: string | undefined,
  isHead: boolean,
  lane: Lane | undefined,
): { got: Want | undefined; problems: string[] } {
  const problems: string[] = [];
  const right = [theCase.expect].flat();
  const { responses, rest } = answersIn(versioned(text, lane), (index) => index === 0 && isHead);
  const [first, second, ...more] = responses;
  if (end === 'hung') problems.push('the connection neither got an answer nor ended');
  if (rest !== '') problems.push(`what came is no response: ${JSON.stringify(rest.slice(0, 120))}`);
  if (more.length > 0 || (second !== undefined && after === undefined)) {
    problems.push(`${responses.length} responses came`);
  }
  const got = first === undefined ? undefined : wantOf(first, nonce);
  // No answer is none that anybody could mistake, but no good one either.
  const silenceIsRight = lane === undefined && (right.includes('502') || right.includes('cut'));
  if (first === undefined && !silenceIsRight) problems.push('nothing came');
  else if (first !== undefined && got === undefined)
    problems.push(`somebody else's response came: ${first.startLine}`);
  if (first !== undefined && got === 'whole') problems.push(...differences(theCase, first, nonce));
  const wanted = (lane === undefined ? undefined : theCase[lane]) ?? right;
  if (got !== undefined && !right.includes(got))
    problems.push(`the client got: ${got}, and not: ${right.join(', ')}`);
  else if (got !== undefined && ![wanted].flat().includes(got)) {
    problems.push(`the client got: ${got}, and not what is documented: ${[wanted].flat().join(', ')}`);
  }
  if (second !== undefined && after !== undefined)
    problems.push(...strangersAmong([second], after, lane !== undefined));
  return { got, problems };
}

/** HAProxy passes on the version of the upstream, which RFC 9112, 2.3, forbids, and which misleads nobody here. */
function versioned(text: string, lane: Lane | undefined): string {
  return lane === undefined ? text.replace(/^HTTP\/1\.0 /, 'HTTP/1.1 ') : text;
}

function wantOf(response: Message, nonce: string): Want | undefined {
  const owner = fieldOf(response, NONCE_FIELD);
  if (owner === nonce) return response.cut ? 'cut' : 'whole';
  const status = statusOf(response);
  if (owner !== undefined || response.cut) return undefined;
  if (status === 504) return '504';
  return status >= 500 && status < 600 ? '502' : undefined;
}

function differences({ whole = {} }: ResponseCase, response: Message, nonce: string): string[] {
  const { status = 200, body = BODY, fields = {}, absent = [] } = whole;
  const problems: string[] = [];
  const valuesOf = (name: string) =>
    response.fields.filter(([key]) => key.toLowerCase() === name.toLowerCase()).map(([, value]) => value);
  if (statusOf(response) !== status) problems.push(`the status is ${statusOf(response)} and not ${status}`);
  const wanted = body.replaceAll(NONCE, nonce);
  if (response.body !== wanted) {
    problems.push(
      `the body is ${JSON.stringify(response.body.slice(0, 80))} and not ${JSON.stringify(wanted.slice(0, 80))}`,
    );
  }
  for (const [name, value] of Object.entries(fields)) {
    if (valuesOf(name).join('\n') !== [value].flat().join('\n')) {
      problems.push(`${name} is ${JSON.stringify(valuesOf(name))}`);
    }
  }
  for (const name of absent) if (valuesOf(name).length > 0) problems.push(`${name} was passed on`);
  return problems;
}

/** What is wrong with the answer to a request that nothing is wrong with. */
function strangerIn({ text, end }: Heard, nonce: string, ours: boolean): string[] {
  const { responses, rest } = answersIn(text, () => false);
  const problems = strangersAmong(responses, nonce, ours);
  if (end === 'hung') problems.push('the connection did not end');
  if (rest !== '') problems.push(`what came is no response: ${JSON.stringify(rest.slice(0, 120))}`);
  return problems;
}

/** @param ours it must be answered; another proxy may fail, as long as it does not mix up */
function strangersAmong(responses: readonly Message[], nonce: string, ours: boolean): string[] {
  if (responses.length !== 1) return [`${responses.length} responses for ${nonce}`];
  const [response] = responses;
  const { startLine, body, cut } = response!;
  const owner = fieldOf(response!, NONCE_FIELD);
  if (owner === nonce && !cut && body.startsWith(nonce)) return [];
  if (owner === undefined && !ours && statusOf(response!) >= 500) return [];
  return [`${nonce} got ${startLine}, ${owner ?? 'of nobody'}, ${JSON.stringify(body.slice(0, 80))}`];
}

/** One line for each case that failed. */
export function responseFailures(results: readonly ResponseResult[]): string[] {
  return results
    .filter(({ problems }) => problems.length > 0)
    .map(
      ({ theCase, way, problems }) => `${theCase.name} (${way}; ${theCase.source}): ${problems.join('; ')}`,
    );
}
