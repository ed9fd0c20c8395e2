/** Parts of documents that programs write stand between `<!-- NAME:begin -->` and `<!-- NAME:end -->`. */

/** @throws when the text has no such marks */
export function between(text: string, name: string, content: string): string {
  const [begin, end] = [`<!-- ${name}:begin -->`, `<!-- ${name}:end -->`];
  const [before, rest] = text.split(begin);
  const after = rest?.split(end)[1];
  if (before === undefined || after === undefined) throw new Error(`the text lacks ${begin} … ${end}`);
  return `${before}${begin}\n${content}\n${end}${after}`;
}
