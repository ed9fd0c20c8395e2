/**
 * The traffic group. The rule that README states: one value, in any case; equal ones are one, also in a list; several
 * different ones are refused. No case may come to INTERNAL's upstream unless it says INTERNAL and nothing else.
 */

import { family, get, type RequestCase } from './case.ts';

const RULE = 'README, How a request is routed: two different groups are refused';
const LIST = "RFC 9110, 5.3: lines of one name may be joined by commas; HAProxy's hdr() looks at each";

const ENTERPRISE = 'X-Traffic-Group: ENTERPRISE';
const INTERNAL = 'X-Traffic-Group: INTERNAL';

export const GROUPS: readonly RequestCase[] = family('group', [
  ...(
    [
      ['INTERNAL', 'internal'],
      ['internal', 'internal'],
      ['InTeRnAl', 'internal'],
      ['FREE', 'free'],
      ['enterprise', 'enterprise'],
      ['NOBODY', 'other'],
      ['', 'other'],
    ] as const
  ).map(([value, backend]) => ({
    what: JSON.stringify(value),
    source: RULE,
    bytes: get(`X-Traffic-Group: ${value}`),
    expect: 'one' as const,
    forwarded: [{ backend }],
  })),
  {
    what: 'the name in another case',
    source: 'RFC 9110, 5.1',
    bytes: get('x-tRAFFIC-gROUP: INTERNAL'),
    expect: 'one',
    forwarded: [{ backend: 'internal' }],
  },
  {
    what: 'blanks around the value',
    source: 'RFC 9112, 5.1',
    bytes: get('X-Traffic-Group: \t INTERNAL \t'),
    expect: 'one',
    forwarded: [{ backend: 'internal' }],
  },
  {
    what: 'none',
    source: RULE,
    bytes: get(),
    expect: 'one',
    forwarded: [{ backend: 'other' }],
  },
  ...(
    [
      ['two lines', [ENTERPRISE, INTERNAL]],
      ['two lines, the other way round', [INTERNAL, ENTERPRISE]],
      ['two lines, far apart', [ENTERPRISE, 'X-A: 1', 'X-B: 2', INTERNAL]],
      ['two lines, the name in another case', [ENTERPRISE, 'x-traffic-group: INTERNAL']],
      ['three lines', [ENTERPRISE, INTERNAL, ENTERPRISE]],
      ['three lines, two of them equal', [ENTERPRISE, ENTERPRISE, INTERNAL]],
      ['a hundred lines', [...new Array<string>(90).fill(ENTERPRISE), INTERNAL]],
      ['a list', ['X-Traffic-Group: ENTERPRISE, INTERNAL']],
      ['a list, the other way round', ['X-Traffic-Group: INTERNAL, ENTERPRISE']],
      ['a list without blanks', ['X-Traffic-Group: ENTERPRISE,INTERNAL']],
      ['a list with an empty element', ['X-Traffic-Group: ENTERPRISE,,INTERNAL']],
      ['a list with tabs', ['X-Traffic-Group: ENTERPRISE\t,\tINTERNAL']],
      ['a list and a line', ['X-Traffic-Group: ENTERPRISE, FREE', INTERNAL]],
      ['one that nobody knows', ['X-Traffic-Group: NOBODY', INTERNAL]],
    ] as const
  ).map(([what, lines]) => ({
    what: `${what}, different`,
    source: `${RULE}; ${LIST}`,
    bytes: get(...lines),
    expect: 'either' as const,
    ours: 'reject' as const,
    never: ['internal'] as const,
  })),
  ...(
    [
      ['two lines', [ENTERPRISE, ENTERPRISE]],
      ['two lines in different case', [ENTERPRISE, 'X-Traffic-Group: enterprise']],
      ['a list', ['X-Traffic-Group: ENTERPRISE, ENTERPRISE']],
      ['a list in different case', ['X-Traffic-Group: ENTERPRISE, Enterprise']],
      ['with an empty line', ['X-Traffic-Group:', ENTERPRISE]],
      ['with an empty element', ['X-Traffic-Group: ENTERPRISE,']],
      ['with empty elements in front', ['X-Traffic-Group: , ,ENTERPRISE']],
    ] as const
  ).map(([what, lines]) => ({
    what: `${what}, equal`,
    source: `${RULE}: equal ones are one`,
    bytes: get(...lines),
    expect: 'either' as const,
    ours: 'one' as const,
    never: ['internal'] as const,
    forwardedByUs: [{ backend: 'enterprise' as const }],
  })),
  ...(
    [
      ['in quotes', '"INTERNAL"'],
      ['with a parameter', 'INTERNAL;q=1'],
      ['beside another word', 'INTERNAL X'],
      ['with something in front', 'XINTERNAL'],
      ['with something behind', 'INTERNALX'],
      ['with an accent', '\xcdNTERNAL'],
      ['with a non-breaking space', 'INTERNAL\xa0'],
      ['with a dotless i, which capitals make of it', '\xc4\xb1nternal'],
      ['with a capital dotted I', '\xc4\xb0NTERNAL'],
      ['encoded', '%49NTERNAL'],
      ['with a backslash', 'INTERNAL\\'],
      ['with a zero-width space', 'INTERNAL\xe2\x80\x8b'],
      ['in quotes with a comma', '"x,INTERNAL"'],
      ['as a pattern', '*'],
      ['as a regular expression', '.*'],
    ] as const
  ).map(([what, value]) => ({
    what: `INTERNAL ${what}`,
    source: RULE,
    bytes: get(`X-Traffic-Group: ${value}`),
    expect: 'either' as const,
    ours: 'one' as const,
    never: ['internal'] as const,
    forwarded: [{ backend: 'other' as const }],
  })),
  ...(
    [
      ['a blank before the colon', 'X-Traffic-Group : INTERNAL'],
      ['NUL behind the value', 'X-Traffic-Group: INTERNAL\x00'],
      ['CR behind the value', 'X-Traffic-Group: INTERNAL\r'],
      ['a control within', 'X-Traffic-Group: INTER\x01NAL'],
      ['folded', 'X-Traffic-Group: ENTERPRISE,\r\n INTERNAL'],
      ['in a folded line', 'X-A: 1\r\n X-Traffic-Group: INTERNAL'],
      ['behind LF', 'X-A: 1\nX-Traffic-Group: INTERNAL'],
      ['behind CR', 'X-A: 1\rX-Traffic-Group: INTERNAL'],
      ['behind NUL', 'X-A: 1\x00X-Traffic-Group: INTERNAL'],
    ] as const
  ).map(([what, line]) => ({
    what,
    source: `${RULE}; RFC 9112, 5`,
    bytes: get(line),
    expect: 'either' as const,
    ours: 'reject' as const,
    // An LF may be taken for a line end: then it is INTERNAL that stands there.
    ...(what === 'behind LF' || what === 'CR behind the value' ? {} : { never: ['internal'] as const }),
  })),
  ...(
    [
      ['underscores', 'X_Traffic_Group: INTERNAL'],
      ['a dash too much', 'X-Traffic--Group: INTERNAL'],
      ['something behind the name', 'X-Traffic-GroupX: INTERNAL'],
      ['something in front of the name', 'XX-Traffic-Group: INTERNAL'],
      ['a cookie', 'Cookie: X-Traffic-Group=INTERNAL'],
      ['Forwarded', 'Forwarded: for=1.2.3.4;x-traffic-group=INTERNAL'],
    ] as const
  ).map(([what, line]) => ({
    what: `${what} is not the group`,
    source: RULE,
    bytes: get(line),
    expect: 'either' as const,
    ours: 'one' as const,
    never: ['internal'] as const,
    forwarded: [{ backend: 'other' as const }],
  })),
  {
    what: 'beside names with underscores',
    source: 'CGI: dashes and underscores are one',
    bytes: get(ENTERPRISE, 'X_Traffic_Group: INTERNAL'),
    expect: 'either',
    ours: 'one',
    never: ['internal'],
    forwarded: [{ backend: 'enterprise' }],
  },
]);
