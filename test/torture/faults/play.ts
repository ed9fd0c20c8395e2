/** Plays cases and judges what came of them: by what the client heard, and by what the access log says. */

import { NONCE_FIELD, newNonce } from '../../support/origin.ts';
import type { PointsmanProcess } from '../../support/pointsman-process.ts';
import { inTime, waitFor } from '../../support/wait-for.ts';
import { answersIn, fieldOf, statusOf } from '../play.ts';
import type { Ending, FaultCase, Sight } from './case.ts';
import { FaultyClient } from './client.ts';
import { CLIENTS, type ClientBehaviour } from './clients.ts';
import type { FaultyUpstream } from './faulty-upstream.ts';
import { bodyFor, LARGE, UPSTREAMS } from './upstreams.ts';

/** Far longer than the short timeout, and shorter than the others. */
const PATIENCE_MS = 20_000;

export interface Stage {
  readonly proxy: PointsmanProcess;
  readonly upstream: FaultyUpstream;
}

/** @returns what is wrong; nothing: all is well */
export async function playCase(stage: Stage, theCase: FaultCase): Promise<string[]> {
  const { proxy, upstream } = stage;
  const { ends } = theCase;
  const nonce = newNonce();
  const behaviour = CLIENTS[theCase.client];
  const client = new FaultyClient({
    port: proxy.trafficPort,
    nonce,
    target: targetOf(theCase, nonce),
    upstreamHas: (one) => upstream.has(one),
  });
  try {
    const label = await client.label();
    const from = proxy.log().length;
    await inTime('the end of the case', behaviour.run(client), PATIENCE_MS);
    if (!ends.keeps && !behaviour.blind) await inTime('the end of the connection', client.ended, PATIENCE_MS);
    const problems = behaviour.leaves || behaviour.blind ? [] : heardProblems(client, behaviour, ends);
    const wantedLines = (behaviour.before ?? 0) + (ends.log === undefined ? 0 : 1);
    problems.push(...(await logProblems(proxy, label, from, behaviour, ends, wantedLines)));
    if (behaviour.blind) await inTime('the end of the connection', closedFor(client), PATIENCE_MS);
    if (ends.keeps && problems.length === 0) problems.push(...(await askAgain(client)));
    return problems;
  } catch (error) {
    const heard = JSON.stringify(client.text.slice(0, 300));
    return [`${(error as Error).message}; heard ${heard}, ${client.end ?? 'open'}`];
  } finally {
    client.finish();
  }
}

function targetOf({ upstream }: FaultCase, nonce: string): string {
  return `/${UPSTREAMS[upstream].at ?? 'open'}/${upstream}/${nonce}`;
}

/** Who does not read learns of the end when he looks. */
async function closedFor(client: FaultyClient): Promise<void> {
  await client.readSlowly(Number.POSITIVE_INFINITY, 0);
}

function heardProblems(client: FaultyClient, { before = 0 }: ClientBehaviour, ends: Ending): string[] {
  const problems: string[] = [];
  const { text, nonce, heard } = client;
  // Of a large body only the beginning is kept.
  const isLarge = heard > LARGE;
  const isTunnel = text.startsWith('HTTP/1.1 101 ');
  const seen = isLarge || isTunnel ? text.slice(0, text.indexOf('\r\n\r\n') + 4) : text;
  // A head of 101 is what is looked at, and takeMessage counts no interim responses.
  const { responses, rest } = answersIn(
    seen.replace(/^(HTTP\/1\.1) 101 /, '$1 200 '),
    () => isLarge || isTunnel,
  );
  if (rest !== '') problems.push(`what came is no response: ${JSON.stringify(rest.slice(0, 120))}`);
  for (const response of responses) {
    const owner = fieldOf(response, NONCE_FIELD);
    if (owner !== undefined && owner !== nonce)
      problems.push(`an answer to somebody else's request: ${owner}`);
  }
  const own = responses.slice(before);
  if (responses.length < before || own.length > 1) problems.push(`${responses.length} responses`);
  const [response] = own;
  const sees: Sight =
    response === undefined
      ? 'end'
      : fieldOf(response, NONCE_FIELD) === undefined
        ? 'refusal'
        : response.cut || (response.framing === 'close' && client.end === 'reset')
          ? 'cut'
          : 'whole';
  if (sees !== ends.sees) problems.push(`the client saw ${sees} and not ${ends.sees}`);
  if (response === undefined) return problems;
  const status = isTunnel ? 101 : statusOf(response);
  if (status !== ends.status) problems.push(`the status is ${status} and not ${ends.status}`);
  const reason = fieldOf(response, 'X-Pointsman-Reason');
  if (sees === 'refusal' && reason !== ends.reason)
    problems.push(`the reason is ${reason} and not ${ends.reason}`);
  if (sees === 'whole' && status === 200 && !isLarge && response.body !== bodyFor(nonce, client.target))
    problems.push(`the body is ${JSON.stringify(response.body.slice(0, 80))}`);
  return problems;
}

async function logProblems(
  proxy: PointsmanProcess,
  label: string,
  from: number,
  { blind }: ClientBehaviour,
  ends: Ending,
  count: number,
): Promise<string[]> {
  // Ports are used again: not what came before, and not what neighbours asked.
  const lines = () =>
    proxy
      .log()
      .slice(from)
      .filter((line) => line['client'] === label && !String(line['path']).startsWith('/calm/'));
  // Of requests that are answered while nobody reads there may be any number.
  const ending = () => lines().find(({ reason }) => reason !== undefined && reason === ends.reason);
  if (count > 0) {
    await waitFor(
      `${count} lines of the log`,
      () => (blind ? ending() : lines().length >= count),
      PATIENCE_MS,
    );
  }
  const found = lines();
  if (!blind && found.length !== count) return [`${found.length} lines of the log, and not ${count}`];
  const line = blind ? ending() : found.at(-1);
  if (line === undefined || ends.log === undefined) return [];
  const problems: string[] = [];
  const compare = (what: string, got: unknown, wanted: unknown) => {
    if (got !== wanted) problems.push(`${what} in the log is ${got} and not ${wanted}`);
  };
  compare('the status', line['status'], ends.status);
  compare('the reason', line['reason'], ends.reason);
  compare('the end', line['termination'], ends.log);
  if (ends.retries !== undefined) compare('the number of retries', line['retries'], ends.retries);
  return problems;
}

/** The connection takes another request, and it gets its own answer. */
async function askAgain(client: FaultyClient): Promise<string[]> {
  const nonce = newNonce();
  const target = `/calm/answers/${nonce}`;
  client.forget();
  client.send(`GET ${target} HTTP/1.1\r\nHost: a\r\n\r\n`);
  await inTime('the answer to another request', client.responses(), PATIENCE_MS);
  const [response] = answersIn(client.text, () => false).responses;
  if (response === undefined) return ['the connection did not take another request'];
  if (fieldOf(response, NONCE_FIELD) !== nonce || response.body !== bodyFor(nonce, target))
    return [`another request got ${response.startLine}, ${response.body.slice(0, 80)}`];
  return [];
}
