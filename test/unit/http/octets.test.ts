import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import { dateField } from '../../../src/http/date-field.ts';
import { fieldLines, fieldList } from '../../../src/http/field-lines.ts';
import { latin1 } from '../../../src/http/latin1.ts';
import {
  CLASS,
  DIGIT,
  decimalAt,
  HEX,
  HOST,
  isWord,
  TARGET,
  TOKEN,
  VALUE,
} from '../../../src/http/octets.ts';

describe('octets', () => {
  it('are classed as RFC 9110 and 9112 do', () => {
    const classes: readonly (readonly [number, RegExp])[] = [
      [TOKEN, /[!#$%&'*+\-.^_`|~0-9A-Za-z]/],
      [VALUE, /[\t\x20-\x7e\x80-\xff]/],
      [TARGET, /[\x21\x22\x24-\x7e]/],
      [HOST, /[A-Za-z0-9._-]/],
      [DIGIT, /[0-9]/],
      [HEX, /[0-9A-Fa-f]/],
    ];
    for (let octet = 0; octet < 256; octet++) {
      for (const [bit, pattern] of classes) {
        const character = String.fromCharCode(octet);
        assert.equal((CLASS[octet]! & bit) !== 0, pattern.test(character), `octet ${octet}, class ${bit}`);
      }
    }
  });

  it('are a word in any case, and letters alone have cases', () => {
    const word = (text: string, wanted: string) => {
      const bytes = Buffer.from(`<${text}>`, 'latin1');
      return isWord(bytes, 1, bytes.length - 1, wanted);
    };
    assert.equal(word('Keep-ALIVE', 'keep-alive'), true);
    assert.equal(word('keep-aliv', 'keep-alive'), false);
    assert.equal(word('keep-alivee', 'keep-alive'), false);
    // CR is "-" without the bit that makes small letters of capitals.
    assert.equal(word('keep\x0dalive', 'keep-alive'), false);
    assert.equal(word('', ''), true);
  });

  it('are a decimal number of 1 to 15 digits, or none', () => {
    const decimal = (text: string) => decimalAt(Buffer.from(`9${text}9`), 1, text.length + 1);
    fc.assert(
      fc.property(fc.stringMatching(/^[0-9]{1,15}$/), (text) => assert.equal(decimal(text), Number(text))),
    );
    for (const text of ['', '1'.repeat(16), ' 1', '1 ', '+1', '-1', '1.0', '1e3', '0x1', 'a']) {
      assert.equal(decimal(text), -1, text);
    }
  });

  it('are Latin-1 text, one character each', () => {
    fc.assert(
      fc.property(fc.uint8Array(), (octets) => {
        const bytes = Buffer.from(octets);
        assert.equal(latin1(bytes, 0, bytes.length), bytes.toString('latin1'));
      }),
    );
  });
});

describe('field lines', () => {
  it('come to a list and back', () => {
    const name = fc.stringMatching(/^[A-Za-z0-9-]{1,8}$/);
    const value = fc.stringMatching(/^([!-~\x80-\xff]([\t -~]{0,8}[!-~:])?)?$/);
    fc.assert(
      fc.property(fc.array(fc.tuple(name, value)), (pairs) => {
        const list = pairs.flat();
        assert.deepEqual(fieldList(`GET / HTTP/1.1\r\n${fieldLines(list)}`), list);
      }),
    );
  });

  it('lose the blanks around values, and no others', () => {
    assert.deepEqual(fieldList('GET / HTTP/1.1\r\nA:\t b\tc \t\r\nB:\r\nC: d:e\xa0\r\n'), [
      'A',
      'b\tc',
      'B',
      '',
      'C',
      'd:e\xa0',
    ]);
  });
});

describe('the date of a response', () => {
  it('is a field line in the preferred form, of this second or the last', () => {
    const match = /^Date: ([A-Z][a-z]{2}, \d{2} [A-Z][a-z]{2} \d{4} \d{2}:\d{2}:\d{2} GMT)\r\n$/.exec(
      dateField(),
    );
    assert.ok(match !== null);
    assert.equal(new Date(match[1]!).toUTCString(), match[1]);
  });

  it('follows the clock, second by second', (t) => {
    t.mock.timers.enable({ apis: ['Date'], now: Date.UTC(2026, 0, 1, 0, 0, 0, 999) });
    assert.equal(dateField(), 'Date: Thu, 01 Jan 2026 00:00:00 GMT\r\n');
    t.mock.timers.setTime(Date.UTC(2026, 0, 1, 0, 0, 1));
    assert.equal(dateField(), 'Date: Thu, 01 Jan 2026 00:00:01 GMT\r\n');
    t.mock.timers.setTime(Date.UTC(2026, 0, 1, 0, 0, 1, 500));
    assert.equal(dateField(), 'Date: Thu, 01 Jan 2026 00:00:01 GMT\r\n');
  });
});
