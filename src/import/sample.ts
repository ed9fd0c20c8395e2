/** Sample expressions: a fetch and its converters, such as `req.hdr(X-Group),lower,map_str(groups.map,free)`. */

export interface Call {
  /** Lower case: HAProxy compares names as they are, and all of its own are in lower case. */
  readonly name: string;
  readonly args: readonly string[];
}

export interface Sample {
  readonly fetch: Call;
  readonly converters: readonly Call[];
}

/** @returns what is wrong when it is a string */
export function parseSample(text: string): Sample | string {
  const calls: Call[] = [];
  let at = 0;
  for (;;) {
    const name = /^[A-Za-z0-9_.-]+/.exec(text.slice(at))?.[0];
    if (name === undefined) return `'${text}' is no sample expression`;
    at += name.length;
    let args: string[] = [];
    if (text[at] === '(') {
      const parsed = parseArguments(text, at + 1);
      if (parsed === undefined) return `'${text}' has an argument list that does not end`;
      ({ args, end: at } = parsed);
    }
    calls.push({ name, args });
    if (at === text.length) break;
    if (text[at] !== ',') return `'${text}' has '${text.slice(at)}' where ',' or the end was expected`;
    at++;
  }
  const [fetch, ...converters] = calls;
  return { fetch: fetch!, converters };
}

/** Arguments have quotes of their own, after those of the line. */
function parseArguments(text: string, from: number): { args: string[]; end: number } | undefined {
  const args: string[] = [];
  let argument = '';
  for (let at = from; at < text.length; at++) {
    const char = text[at]!;
    if (char === '"' || char === "'") {
      const end = text.indexOf(char, at + 1);
      if (end === -1) return undefined;
      argument += text.slice(at + 1, end);
      at = end;
    } else if (char === '\\' && at + 1 < text.length) argument += text[++at];
    else if (char === ',' || char === ')') {
      args.push(argument.trim());
      argument = '';
      if (char === ')') return { args: args.length === 1 && args[0] === '' ? [] : args, end: at + 1 };
    } else argument += char;
  }
  return undefined;
}
