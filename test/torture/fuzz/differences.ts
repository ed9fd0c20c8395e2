/**
 * Every way in which the readers of the fast lane may differ from llhttp. Whatever is not in here is a finding.
 *
 * What the fast lane does not take of a request's head is no difference: the full lane gets it unread. Of a body and of a
 * response it is, since there is no other lane to ask by then.
 */

/** Where the two part. */
export interface Parting {
  readonly where: 'request body' | 'response head' | 'response body' | 'end of the connection';
  /** The head as it came, Latin-1, without the empty line. */
  readonly head: string;
  /** Of a body: the line that the fast lane stopped in, up to its CR LF or the end of what came, and without it. */
  readonly line: string;
  /** The line in front of that one, where the two are one field line and its end. */
  readonly lineBefore: string;
  /** Of a body: octets of that line in front of the octet that was not taken. */
  readonly at: number;
  /** Names and values in turn, as llhttp has them. */
  readonly fields: readonly string[];
  /** Trailers, as the fast lane has them. */
  readonly trailers: readonly string[];
}

export interface Difference {
  readonly name: string;
  /** Why it is right, by clause. */
  readonly why: string;
  readonly covers: (parting: Parting) => boolean;
}

const isBody = ({ where }: Parting) => where === 'request body' || where === 'response body';
const isResponseHead = ({ where }: Parting) => where === 'response head';

function valuesOf(head: string, name: string): string[] {
  return head
    .split('\r\n')
    .slice(1)
    .flatMap((line) => {
      const colon = line.indexOf(':');
      return line.slice(0, colon).toLowerCase() === name
        ? [line.slice(colon + 1).replace(/^[ \t]+|[ \t]+$/g, '')]
        : [];
    });
}

const STATUS = /^HTTP\/(\d\.\d) (\d{3})/;

export const DIFFERENCES: readonly Difference[] = [
  {
    name: 'a chunk size of more than 12 digits',
    why: 'RFC 9112, 7.1: a recipient bounds sizes; beyond 2^53 a double is not exact, and zeros in front say nothing',
    covers: (parting) => isBody(parting) && /^[0-9A-Fa-f]{12}/.test(parting.line) && parting.at >= 12,
  },
  {
    name: 'a trailer that frames',
    why: 'RFC 9110, 6.5.1: framing must not come as a trailer; llhttp takes Transfer-Encoding there at times',
    covers: (parting) =>
      isBody(parting) &&
      parting.at === 0 &&
      /^(?:content-length|transfer-encoding):/i.test(parting.lineBefore),
  },
  {
    name: 'Proxy-Connection: close',
    why: 'RFC 9112, C.2.2: no standard has it; llhttp takes it for close, so it reads one request less',
    covers: ({ where, fields }) =>
      where === 'end of the connection' &&
      fields.some((name, i) => i % 2 === 0 && name.toLowerCase() === 'proxy-connection'),
  },
  {
    name: 'Connection among the trailers',
    why: 'RFC 9110, 6.5.1: it says nothing there; llhttp goes by it, so it reads one message less',
    covers: ({ where, trailers }) =>
      where === 'end of the connection' && trailers.some((line) => /^(?:proxy-)?connection:/i.test(line)),
  },
  {
    name: 'a length of more than 15 digits',
    why: 'RFC 9110, 8.6: a recipient guards against numbers that it cannot hold, which is beyond 2^53',
    covers: (parting) =>
      isResponseHead(parting) &&
      valuesOf(parting.head, 'content-length').some((value) => /^\d{16,}$/.test(value)),
  },
  {
    name: 'a status code below 100',
    why: 'RFC 9110, 15: a code is within 100 and 599; llhttp takes any three digits',
    covers: (parting) => isResponseHead(parting) && /^HTTP\/1\.[01] 0\d\d/.test(parting.head),
  },
  {
    name: 'a reason phrase with a control',
    why: 'RFC 9112, 4: tabs, blanks, visible octets; llhttp takes all but CR and LF',
    covers: (parting) =>
      isResponseHead(parting) &&
      /^HTTP\/1\.[01] \d{3} [^\r\n]*[^\t\x20-\x7e\x80-\xff\r\n]/.test(parting.head),
  },
  {
    name: 'an empty line in front of a response',
    why: "RFC 9112, 2.2: for requests alone; octets behind a response are nobody's",
    covers: (parting) => isResponseHead(parting) && /^[\r\n]/.test(parting.head),
  },
  {
    name: 'a response of HTTP/0.9 or HTTP/2.0',
    why: 'RFC 9112, 2.3: the status line of HTTP/1.x alone is understood; llhttp takes both versions',
    covers: (parting) => isResponseHead(parting) && /^HTTP\/(?:0\.9|2\.0) /.test(parting.head),
  },
  {
    name: 'a response with a coding besides chunked',
    why: 'RFC 9112, 6.1: it could not be passed on without undoing it; llhttp reads up to the end of the connection',
    covers: (parting) =>
      isResponseHead(parting) &&
      valuesOf(parting.head, 'transfer-encoding').some((value) => value.toLowerCase() !== 'chunked'),
  },
  {
    name: 'a response in chunks with a tab behind the word',
    why: 'RFC 9112, 5.1: it is chunked, which llhttp does not see; one reading alone may be passed on',
    covers: (parting) =>
      isResponseHead(parting) && /^transfer-encoding:[ \t]*chunked *\t[ \t]*$/im.test(parting.head),
  },
  {
    name: 'a response of HTTP/1.0 in chunks',
    why: 'RFC 9112, 6.1: a server must not send it, and clients differ on it',
    covers: (parting) =>
      isResponseHead(parting) &&
      parting.head.startsWith('HTTP/1.0 ') &&
      valuesOf(parting.head, 'transfer-encoding').length > 0,
  },
  {
    name: 'an interim response that ends its connection',
    why: 'RFC 9110, 15.2: a final one must follow, and nothing can',
    covers: (parting) => {
      const [, version, status] = STATUS.exec(parting.head) ?? [];
      if (!isResponseHead(parting) || status === undefined || Number(status) >= 200) return false;
      return (
        version === '1.0' || valuesOf(parting.head, 'connection').some((value) => /\bclose\b/i.test(value))
      );
    },
  },
  {
    name: 'two framings of a response that has no body',
    why: 'RFC 9112, 6.1 and 6.3 (3): contradicting each other is an attack, even where neither counts',
    covers: (parting) =>
      isResponseHead(parting) &&
      valuesOf(parting.head, 'content-length').length + valuesOf(parting.head, 'transfer-encoding').length >
        1,
  },
];

/** @returns the class of a difference; undefined: it has none, and is a finding */
export function explain(parting: Parting): string | undefined {
  return DIFFERENCES.find(({ covers }) => covers(parting))?.name;
}
