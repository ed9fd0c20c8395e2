/** What another server answered, as far as it may be shown. Pure. */

/** Shown at most. */
const MAX_SAID = 200;

/** Shorter values and parts are words that anybody may say. */
const MIN_VALUE = 3;
const MIN_PART = 6;

/**
 * One line of it, without what it was told in confidence: servers quote the path that they do not know, or the command
 * that they do not understand.
 *
 * @param confidential values that were sent; parts of them between separators are left out as well
 */
export function said(answer: string, confidential: readonly string[]): string {
  let shown = answer.replaceAll(/\s+/g, ' ');
  for (const part of partsOf(confidential)) shown = shown.replaceAll(part, '…');
  return shown.slice(0, MAX_SAID).trim();
}

/** The longest first, so that none is cut in two by another. */
function partsOf(confidential: readonly string[]): string[] {
  const parts = new Set<string>();
  for (const value of confidential) {
    for (const spelling of [value, decoded(value), Buffer.from(value).toString('base64')]) {
      if (value.length >= MIN_VALUE) parts.add(spelling);
      for (const part of spelling.split(/[\s/?&=:,;]+/)) if (part.length >= MIN_PART) parts.add(part);
    }
  }
  return [...parts].sort((a, b) => b.length - a.length);
}

function decoded(value: string): string {
  try {
    return decodeURIComponent(value);
  } catch {
    return value;
  }
}
