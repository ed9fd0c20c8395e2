/** A strict reader of messages out of what has come so far; texts are Latin-1. */

export interface Message {
  readonly startLine: string;
  readonly head: string;
  /** As they stand, names in their case. */
  readonly fields: readonly (readonly [string, string])[];
  readonly framing: 'none' | 'length' | 'chunked' | 'close';
  readonly body: string;
  readonly trailers: readonly string[];
  /** The connection ended in the middle of it. */
  readonly cut: boolean;
}

export interface Taken {
  readonly message: Message;
  /** Octets. */
  readonly length: number;
}

const FIELD = /^([!#$%&'*+.^_`|~0-9A-Za-z-]+):[ \t]*([\t\x20-\x7e\x80-\xff]*)$/;

/**
 * @param kind   a response to HEAD has no body
 * @param closed nothing more will come
 * @returns `more`: it is not all there; any other string: what is wrong with it
 */
export function takeMessage(
  text: string,
  kind: 'request' | 'response' | 'headResponse',
  closed: boolean,
): Taken | string {
  const headEnd = text.indexOf('\r\n\r\n');
  if (headEnd === -1) return closed ? 'the connection ended in a head' : 'more';
  const head = text.slice(0, headEnd);
  const [startLine = '', ...lines] = head.split('\r\n');
  if (/[\r\n]/.test(startLine)) return 'a bare CR or LF in the start line';
  const fields: (readonly [string, string])[] = [];
  let length: number | undefined;
  let chunked = false;
  for (const line of lines) {
    const match = FIELD.exec(line);
    if (match === null) return `no field line: ${JSON.stringify(line)}`;
    const [name, value] = [match[1]!, match[2]!.replace(/[ \t]+$/, '')];
    fields.push([name, value]);
    const lower = name.toLowerCase();
    if (lower === 'content-length') {
      if (length !== undefined || !/^\d{1,15}$/.test(value)) return 'bad Content-Length';
      length = Number(value);
    } else if (lower === 'transfer-encoding') {
      if (chunked || value.toLowerCase() !== 'chunked') return 'bad Transfer-Encoding';
      chunked = true;
    }
  }
  if (chunked && length !== undefined) return 'both Content-Length and Transfer-Encoding';
  const from = headEnd + 4;
  const whole = (
    framing: Message['framing'],
    body: string,
    end: number,
    trailers: string[] = [],
    cut = false,
  ): Taken => ({
    message: { startLine, head, fields, framing, body, trailers, cut },
    length: end,
  });
  const status = kind === 'request' ? 0 : Number(/^HTTP\/1\.1 (\d{3})/.exec(startLine)?.[1]);
  if (Number.isNaN(status)) return `no status line: ${JSON.stringify(startLine)}`;
  if (
    kind === 'headResponse' ||
    (kind === 'response' && (status < 200 || status === 204 || status === 304))
  ) {
    return whole('none', '', from);
  }
  if (chunked) {
    let body = '';
    let at = from;
    for (;;) {
      const lineEnd = text.indexOf('\r\n', at);
      if (lineEnd === -1) return closed ? whole('chunked', body, text.length, [], true) : 'more';
      const line = text.slice(at, lineEnd);
      if (!/^[0-9A-Fa-f]{1,12}$/.test(line)) return `bad chunk size: ${JSON.stringify(line.slice(0, 40))}`;
      const size = Number.parseInt(line, 16);
      at = lineEnd + 2;
      if (size === 0) break;
      body += text.slice(at, at + size);
      if (text.length < at + size + 2) return closed ? whole('chunked', body, text.length, [], true) : 'more';
      if (!text.startsWith('\r\n', at + size)) return 'a chunk is longer than it says';
      at += size + 2;
    }
    const trailers: string[] = [];
    for (;;) {
      const lineEnd = text.indexOf('\r\n', at);
      if (lineEnd === -1) return closed ? whole('chunked', body, text.length, trailers, true) : 'more';
      const line = text.slice(at, lineEnd);
      at = lineEnd + 2;
      if (line === '') return whole('chunked', body, at, trailers);
      if (!FIELD.test(line)) return `no trailer: ${JSON.stringify(line)}`;
      trailers.push(line);
    }
  }
  if (length !== undefined) {
    const body = text.slice(from, from + length);
    if (body.length < length) return closed ? whole('length', body, text.length, [], true) : 'more';
    return whole('length', body, from + length);
  }
  if (kind === 'request') return whole('none', '', from);
  return closed ? whole('close', text.slice(from), text.length) : 'more';
}
