import assert from 'node:assert/strict';
import { suite, test } from 'node:test';
import fc from 'fast-check';
import { lexLine } from '../../../src/import/lexer.ts';

const VARIABLES = new Map([
  ['NAME', 'value'],
  ['SPACED', 'two words'],
  ['EMPTY', ''],
]);
const lex = (line: string) => lexLine(line, (name) => VARIABLES.get(name));
const words = (line: string) => lex(line).words.map(({ text }) => text);

/** A word, and ways to write it that all mean it. */
const plain = fc.stringMatching(/^[A-Za-z0-9(),:/!{}%[\].=-]{1,12}$/);
const any = fc.string({
  unit: fc.integer({ min: 0x20, max: 0x7e }).map((code) => String.fromCharCode(code)),
  minLength: 1,
  maxLength: 12,
});

function escaped(text: string): string {
  return text.replace(/[ #\\'"]/g, (char) => `\\${char}`);
}

function doubled(text: string): string {
  return `"${text.replace(/[\\"$]/g, (char) => `\\${char}`)}"`;
}

const written = fc.oneof(
  plain.map((text) => ({ text, source: text })),
  any.map((text) => ({ text, source: escaped(text) })),
  any.map((text) => ({ text, source: doubled(text) })),
  any.filter((text) => !text.includes("'")).map((text) => ({ text, source: `'${text}'` })),
  fc.tuple(plain, any).map(([a, b]) => ({ text: a + b + a, source: `${a}${doubled(b)}${escaped(a)}` })),
);
const blanks = fc.stringMatching(/^[ \t]{1,3}$/);

suite('the lexer', () => {
  test('reads back every word, however it is quoted, with its column', () => {
    fc.assert(
      fc.property(
        fc.array(fc.tuple(blanks, written), { minLength: 1, maxLength: 8 }),
        fc.constantFrom('', ' # a comment "with quotes', '\t#x', '\r', '#glued'),
        (parts, end) => {
          const line = parts.map(([space, { source }]) => space + source).join('') + end;
          const { words: read, fault } = lex(line);
          assert.equal(fault, undefined);
          assert.deepEqual(
            read.map(({ text }) => text),
            parts.map(([, { text }]) => text),
          );
          let column = 1;
          for (const [i, [space, { source }]] of parts.entries()) {
            column += space.length;
            assert.equal(read[i]!.column, column);
            column += source.length;
          }
        },
      ),
      { numRuns: 2_000 },
    );
  });

  test('never throws, and says of every line it cannot read where the fault is', () => {
    fc.assert(
      fc.property(
        fc.string({ unit: fc.constantFrom(...' \t#\\\'"$${}abNAMEx4-[*]'), maxLength: 30 }),
        (line) => {
          const { words: read, fault } = lex(line);
          if (fault !== undefined) assert.ok(fault.column >= 1 && fault.column <= line.length);
          for (const { column } of read) assert.ok(column >= 1 && column <= line.length);
        },
      ),
      { numRuns: 5_000 },
    );
  });

  test('ends at a comment, even one that is glued to a word, but not at one that is quoted', () => {
    assert.deepEqual(words('global#x'), ['global']);
    assert.deepEqual(words('a "b # c" \'d # e\' f\\#g # h'), ['a', 'b # c', 'd # e', 'f#g']);
    assert.deepEqual(words('  # only a comment'), []);
    assert.deepEqual(words(' \t \r'), []);
  });

  test('knows \\n, \\r, \\t and \\xNN, and leaves other backslashes alone', () => {
    assert.deepEqual(words('HTTP/1.1\\r\\nHost:\\ x \\x41\\x20 \\d+ "\\x42" \'\\n\''), [
      'HTTP/1.1\r\nHost: x',
      'A ',
      '\\d+',
      'B',
      '\\n',
    ]);
    assert.match(lex('a \\x4').fault!.message, /hexadecimal/);
    assert.deepEqual(words('a \\'), ['a', '\\']);
  });

  test('fills in variables within double quotes alone', () => {
    assert.deepEqual(words('$NAME "$NAME" "${NAME}s" \'$NAME\' "${SPACED}" "\\$NAME"'), [
      '$NAME',
      'value',
      'values',
      '$NAME',
      'two words',
      '$NAME',
    ]);
    assert.deepEqual(words('"${NONE-default}" "${EMPTY-default}"'), ['default', '']);
    assert.deepEqual(lex('"$NONE" "${OTHER}"').unset, ['NONE', 'OTHER']);
    assert.match(lex('"${9}"').fault!.message, /begins no variable/);
  });

  test('points at the quote that does not end', () => {
    assert.deepEqual(lex('acl a "b c').fault, { column: 7, message: 'has an unmatched quote (")' });
    assert.deepEqual(lex("acl a 'b c").fault, { column: 7, message: "has an unmatched quote (')" });
  });

  test('refuses more words than HAProxy takes', () => {
    assert.equal(words('w '.repeat(64)).length, 64);
    assert.match(lex('w '.repeat(65)).fault!.message, /more than 64 words/);
  });
});
