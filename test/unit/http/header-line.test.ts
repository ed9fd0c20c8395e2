import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import { FieldClassifier } from '../../../src/http/fields.ts';
import {
  HEAD_END,
  headerLine,
  LINE_MALFORMED,
  LINE_PARTIAL,
  scanHeaderLine,
} from '../../../src/http/header-line.ts';

const fields = FieldClassifier.forResponses('X-Request-Id');
const scan = (text: string, from = 0) => {
  const bytes = Buffer.from(text, 'latin1');
  return scanHeaderLine(bytes, from, bytes.length, fields);
};

const name = fc.stringMatching(/^[!#$%&'*+.^_`|~0-9A-Za-z-]{1,12}$/);
const value = fc.stringMatching(/^([!-~\x80-\xff]([\t -~\x80-\xff]{0,20}[!-~\x80-\xff])?)?$/);
const whitespace = fc.stringMatching(/^[\t ]{0,3}$/);
const line = fc.tuple(name, whitespace, value, whitespace).map(([lineName, before, lineValue, behind]) => ({
  lineName,
  lineValue,
  text: `${lineName}:${before}${lineValue}${behind}\r\n`,
}));

describe('scanHeaderLine', () => {
  it('yields the name, and the value without the whitespace around it', () => {
    fc.assert(
      fc.property(line, fc.string({ unit: 'binary-ascii', maxLength: 5 }), (input, behind) => {
        assert.equal(scan(`12${input.text}${behind}`, 2), 2 + input.text.length);
        assert.equal(headerLine.name.text, input.lineName);
        assert.equal(headerLine.name.role, fields.roleOf(input.lineName));
        assert.equal(`12${input.text}`.slice(headerLine.start, headerLine.end), input.lineValue);
      }),
    );
  });

  it('waits for the rest of a line that ends early', () => {
    fc.assert(
      fc.property(line, ({ text }) => {
        for (let end = 0; end < text.length; end++) assert.equal(scan(text.slice(0, end)), LINE_PARTIAL);
      }),
    );
  });

  it('finds the empty line that ends a head', () => {
    assert.equal(scan('\r\nA: b\r\n'), HEAD_END);
    assert.equal(scan('\r'), LINE_PARTIAL);
  });

  for (const [what, text] of [
    ['no name', ': a\r\n'],
    ['no colon', 'abc\r\n'],
    ['whitespace in front of the colon', 'A : b\r\n'],
    ['whitespace in front of the name', ' A: b\r\n'],
    ['a byte above 127 in its name', 'X\x80: a\r\n'],
    ['NUL in its value', 'A: \0\r\n'],
    ['DEL in its value', 'A: \x7f\r\n'],
    ['a bare LF', 'A: b\nC: d\r\n'],
    ['a bare CR', 'A: b\rC: d\r\n'],
    ['an empty line with a bare CR', '\rA: b\r\n'],
    ['an empty line with a bare LF', '\n'],
  ] as const) {
    it(`refuses a line with ${what}`, () => assert.equal(scan(text), LINE_MALFORMED));
  }
});
