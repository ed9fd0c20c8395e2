/** The lines of a log of any size, in bounded memory. */

/** In characters. A line of the access log has some hundreds; what is longer is none. */
export const MAX_LINE = 65_536;

/** Yields lines without their ends; one that is too long comes as ''. */
export async function* linesOf(chunks: AsyncIterable<string>): AsyncGenerator<string> {
  let rest = '';
  let skipping = false;
  for await (const chunk of chunks) {
    let from = 0;
    for (let end = chunk.indexOf('\n'); end !== -1; end = chunk.indexOf('\n', from)) {
      yield skipping || rest.length + end - from > MAX_LINE ? '' : rest + chunk.slice(from, end);
      rest = '';
      skipping = false;
      from = end + 1;
    }
    if (skipping) continue;
    rest += chunk.slice(from);
    if (rest.length <= MAX_LINE) continue;
    rest = '';
    skipping = true;
  }
  if (skipping) yield '';
  else if (rest !== '') yield rest;
}
