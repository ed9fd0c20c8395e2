/**
 * What of an exchange must be the same in both lanes. Each thing that is not compared as it stands is listed here, with
 * the reason; there is no other place.
 */

import { createHash } from 'node:crypto';
import { isInterim, type Received } from './client.ts';
import type { Message } from './messages.ts';
import type { Seen } from './origin.ts';
import { type ClientScript, markOf, switchingParts, UPSTREAM_DATE, upstreamScript } from './traffic.ts';

/** Of a connection of each stack's own: who closes it, and how it is kept, is told by what happens next on it. */
const OF_THE_CONNECTION = new Set(['connection', 'keep-alive', 'transfer-encoding']);

/** Ids are drawn by each process; the one that a trusted client gave is compared. */
const DRAWN_ID = /[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[0-9a-f]{4}-[0-9a-f]{12}/g;

const CHUNKS_DETAIL = ' The chunks of its body are malformed.';

/** An issued cookie has an id that was drawn, and the second in which it ends. */
const ISSUED = /pointsman-differential=[^;]*/;

export interface Outcome {
  readonly script: ClientScript;
  readonly received: Received;
  readonly seen: ReadonlyMap<string, readonly Seen[]>;
}

/** One answer, with what the upstream had got for it. */
interface Answer {
  readonly lines: readonly string[];
  readonly status: number;
  readonly cut: boolean;
}

/** @returns what differs, one line per thing; nothing when nothing does */
export function differences(fast: Outcome, full: Outcome): string[] {
  const a = answersOf(fast);
  const b = answersOf(full);
  for (let i = 0; i < Math.max(a.length, b.length); i++) {
    const verdict = isAlike(a[i], b[i], fast.script, i);
    if (verdict === 'end') return [];
    if (verdict === 'differs') {
      return [
        ...(a[i]?.lines ?? ['no answer'])
          .filter((line) => !b[i]?.lines.includes(line))
          .map((line) => `fast ${i}: ${line}`),
        ...(b[i]?.lines ?? ['no answer'])
          .filter((line) => !a[i]?.lines.includes(line))
          .map((line) => `full ${i}: ${line}`),
      ];
    }
  }
  const [x, y] = [endOf(fast), endOf(full)];
  return x === y ? [] : [`fast: ${x}`, `full: ${y}`];
}

/** Returns what is missing or wrong in the tunnel of a connection; undefined if there was none, or all came back. */
export function tunnelFault({ requests }: ClientScript, { tunnel }: Received): string | undefined {
  if (tunnel === undefined) return undefined;
  const script = requests.find((request) => request.tunnel !== undefined)!.tunnel!;
  const whole = script.greeting + script.eager + script.messages.join('');
  return tunnel === whole ? undefined : `tunnel ${bytesOf(tunnel)} instead of ${bytesOf(whole)}`;
}

/** `end`: nothing behind it can be compared. */
function isAlike(
  fast: Answer | undefined,
  full: Answer | undefined,
  script: ClientScript,
  index: number,
): 'alike' | 'differs' | 'end' {
  if (fast !== undefined && full !== undefined && fast.lines.join('\n') === full.lines.join('\n'))
    return 'alike';
  // Bytes behind a request that are no HTTP: the full lane reads ahead, and when that request is still under way it ends
  // the connection with its answer; otherwise they are refused by an answer of their own. The fast lane hands them over
  // when the answer is out; a request that it hands over itself comes to the full lane with what is behind it.
  const hasOdd = script.requests.some(({ odd }) => odd);
  if (hasOdd && index > 0 && fast === undefined && isRefusedLine(full)) return 'end';
  if (hasOdd && full === undefined && isRefusedLine(fast)) return 'end';
  // llhttp stops at the first byte of an unknown method. Whether the rest of the line is valid is known only if the line
  // came in the same packet.
  const isRefusedInBoth = isRefusedLine(fast) && isRefusedLine(full);
  if (hasOdd && isRefusedInBoth && fast?.status !== full?.status) return 'end';
  if (fast === undefined || full === undefined || !isBroken(script, index)) return 'differs';
  // The upstream sent no valid response. The fast lane has the stricter reader, and one that sees the body that came
  // with the head before the head goes on: it says 502 where the full lane passes on what it can, and then breaks off.
  if (fast.status === 502 && full.status !== 502) return full.cut ? 'end' : 'alike';
  // How it failed depends on whether the end of the connection was read with what was in front of it.
  if (fast.status === 502 && full.status === 502) return 'alike';
  return fast.cut && full.cut ? 'end' : 'differs';
}

/** True for a response to bytes that are not a request line of a known method. */
function isRefusedLine(response: Answer | undefined): boolean {
  return response?.status === 400 || response?.status === 501;
}

function isBroken(script: ClientScript, index: number): boolean {
  const { bytes, isHead, tunnel } = script.requests[index]!;
  const number = scriptNumber(bytes);
  // The script of an upgrade that is accepted is another one, and whole.
  return tunnel === undefined && number !== 0 && upstreamScript(number, isHead).broken;
}

function endOf({ received }: Outcome): string {
  const { end, rest, tunnel } = received;
  const over = tunnel === undefined ? 'no tunnel' : `tunnel ${bytesOf(tunnel)}`;
  return `${end}, ${over}, behind the last answer: ${JSON.stringify(rest.replace(DRAWN_ID, '<id>'))}`;
}

/** Length, hash and beginning. */
function bytesOf(text: string): string {
  const hash = createHash('sha256').update(text, 'latin1').digest('hex').slice(0, 16);
  return `of ${text.length} (${hash}): ${JSON.stringify(text.slice(0, 60))}`;
}

function answersOf({ script, received, seen }: Outcome): Answer[] {
  const answers: Answer[] = [];
  let lines: string[] = [];
  const interims: Message[] = [];
  for (const response of received.responses) {
    if (isInterim(response)) {
      interims.push(response);
      continue;
    }
    for (const interim of interims.splice(0)) {
      // Whether a client was told to go on with what is refused then depends on whether it had come with the head.
      if (!isContinue(interim) || !isOwnRefusal(response)) lines.push(...responseLines(interim));
    }
    lines.push(...responseLines(response));
    // A request that was never answered may have come to the upstream or not: in a pipeline the full lane reads ahead.
    for (const line of upstreamLines(seen.get(markOf(script.id, answers.length)) ?? []))
      lines.push(`upstream: ${line}`);
    answers.push({
      lines,
      status: Number(response.startLine.slice(9, 12)),
      cut: response.cut,
    });
    lines = [];
  }
  return answers;
}

function isContinue({ startLine }: Message): boolean {
  return startLine.startsWith('HTTP/1.1 100 ');
}

function isOwnRefusal({ fields }: Message): boolean {
  return fields.some(([name, value]) => name === 'X-Pointsman-Reason' && value === 'bad_request');
}

function responseLines(message: Message): string[] {
  const fields: string[] = [];
  let length: string | undefined;
  let announced: string | undefined;
  for (const [name, value] of message.fields) {
    const lower = name.toLowerCase();
    if (OF_THE_CONNECTION.has(lower)) continue;
    // Each stack adds one when the upstream has sent none.
    if (lower === 'date' && value !== UPSTREAM_DATE) continue;
    // The full lane puts these last: Node takes the bytes of Content-Disposition for UTF-8 behind Content-Length.
    if (lower === 'content-length') length = value;
    else if (lower === 'trailer') announced = value;
    else fields.push(`${name}: ${value.replace(DRAWN_ID, '<id>').replace(ISSUED, '<issued>')}`);
  }
  // The fast lane says what is wrong with the chunks of a request.
  const body = message.body.replace(DRAWN_ID, '<id>').replace(CHUNKS_DETAIL, '');
  if (message.fields.some(([name]) => name === 'X-Pointsman-Reason')) length = 'of a failure';
  const lines = [message.startLine, ...fields.map((field) => `field: ${field}`)];
  lines.push(`length ${length}, trailer ${announced}`);
  // How much of a response that breaks off was passed on before is a matter of packets.
  if (message.cut) lines.push('cut');
  else lines.push(`body of ${body.length}: ${body.slice(0, 300)}`, `trailers: ${message.trailers}`);
  return lines;
}

/** Of a user whose id was drawn for the request. */
function withoutBucket(line: string): string {
  return line.replace(/(?<=^X-Pointsman-Bucket: |pointsman\.bucket=)\d+/, '<drawn>');
}

/** What came for one mark: a request that was sent again, since its connection broke, counts once. */
function upstreamLines(seen: readonly Seen[]): string[] {
  const all = seen.map(({ backend, message, tunnel }) => {
    const fields: string[] = [];
    let host: string | undefined;
    let framing: string | undefined;
    for (const [name, value] of message.fields) {
      const lower = name.toLowerCase();
      // Where Host stands, and how it is written, is each stack's own; and so is the place of what frames the body.
      // A request without one gets the upstream's own, and there are two of them.
      if (lower === 'host') host = value.replace(/^127\.0\.0\.1:\d+$/, '<upstream>');
      else if (lower === 'content-length') framing = value;
      else if (!OF_THE_CONNECTION.has(lower)) fields.push(`${name}: ${value.replace(DRAWN_ID, '<id>')}`);
    }
    return [
      `${backend} ${message.startLine}, Host ${host}`,
      ...(fields.includes('X-Pointsman-Route: issued') ? fields.map(withoutBucket) : fields),
      // undici sends no chunks where there is no content, and no length of none with methods that need not say so.
      message.body === ''
        ? 'no body'
        : `${message.framing} ${framing} of ${message.body.length}: ${message.body.slice(0, 300)}`,
      `trailers ${message.trailers}`,
      ...(tunnel === undefined ? [] : [`tunnel ${bytesOf(tunnel)}`]),
    ].join('\n    ');
  });
  return [...new Set(all)];
}

/** Numbers of the scripts of a connection, for whoever looks into a difference. */
export function describeScript(script: ClientScript): string {
  return script.requests
    .map(({ bytes, isHead, tunnel }) => {
      const number = scriptNumber(bytes);
      const { parts, ending } =
        tunnel !== undefined
          ? { parts: switchingParts(number), ending: `tunnel ended by the ${tunnel.endedBy}` }
          : number === 0
            ? { parts: [], ending: 'keep' }
            : upstreamScript(number, isHead);
      return `>> ${JSON.stringify(bytes.slice(0, 900))}\n<< ${JSON.stringify(parts.map((part) => part.slice(0, 400)))} ${ending}`;
    })
    .join('\n');
}

function scriptNumber(bytes: string): number {
  return Number(/[?&][su]=(\d{1,10})/.exec(bytes)?.[1] ?? 0);
}
