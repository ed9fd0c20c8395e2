/** The YAML parser's errors in the words of somebody who edits a configuration. */
import type { Fault } from './problems.ts';

const MESSAGES: Readonly<Record<string, string>> = {
  ALIAS_PROPS: 'an alias can have neither an anchor nor a tag',
  BAD_ALIAS: 'an alias or anchor is malformed',
  BAD_DQ_ESCAPE:
    'this escape is not known between double quotes; write \\\\ for a backslash, or use single quotes',
  BAD_INDENT: 'the indentation does not fit the lines above; indent the keys of one map equally',
  BAD_SCALAR_START: 'a value cannot begin with this character; put the value in quotes',
  BLOCK_AS_IMPLICIT_KEY:
    'a second "key:" stands on one line; move it to its own line, indented, or put a text that holds ": " in quotes',
  BLOCK_IN_FLOW: 'an indented block cannot stand between { } or [ ]; is a closing bracket missing above?',
  KEY_OVER_1024_CHARS: 'a key is longer than 1024 characters; is a quote or line break missing?',
  MULTILINE_IMPLICIT_KEY: 'a key runs over several lines; is a colon or a closing bracket missing above?',
  MULTIPLE_ANCHORS: 'a value can have one anchor only',
  MULTIPLE_DOCS: 'a second document begins here (---); a configuration is one document, so remove the rest',
  MULTIPLE_TAGS: 'a value can have one tag only',
  RESOURCE_EXHAUSTION: 'is nested too deeply; a configuration needs about ten levels',
  TAB_AS_INDENT: 'a tab cannot indent; use spaces',
};

export function syntaxFault(code: string, message: string, offset: number): Fault {
  const words =
    specificWords(message) ??
    MESSAGES[code] ??
    // What follows a colon is text of the file, which may be a secret.
    `is not valid YAML: ${message.charAt(0).toLowerCase()}${message.slice(1).replace(/: .*$/s, '')}`;
  return { offset, path: [], message: words };
}

/** Where one code of the parser stands for several mistakes. */
function specificWords(message: string): string | undefined {
  const missing = /^Missing closing (.)?quote/i.exec(message);
  if (missing !== null) return 'a closing quote is missing';
  if (/flow-(map|seq)-end/.test(message) || /^Unexpected flow-/.test(message)) {
    return 'a bracket does not belong here; is a quote, comma or opening bracket missing before it?';
  }
  if (/^Flow (map|sequence) in block collection must be/.test(message) || /end with [}\]]/.test(message)) {
    return /map/.test(message)
      ? 'the map that begins with { is not closed; add a }, and indent it more than the key it belongs to'
      : 'the list that begins with [ is not closed; add a ], and indent it more than the key it belongs to';
  }
  if (/^Missing , /.test(message)) return 'a comma or a colon is missing before this';
  if (/^Implicit keys need to be on a single line/.test(message)) return MESSAGES['MULTILINE_IMPLICIT_KEY']!;
  if (/^Implicit map keys need to be followed by map values/.test(message)) {
    return 'a colon and a value are missing after this key';
  }
  return undefined;
}
