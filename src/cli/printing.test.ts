import { expect, test } from 'vitest';
import { fieldLines, printable, tableLines } from './printing.ts';
import { styleFor } from './style.ts';

const terminal = { write: (): unknown => true, isTTY: true };

test('columns are as wide as their widest cell, colours not counted', () => {
  const style = styleFor(terminal, {});
  expect(
    tableLines([
      ['a', style.red('bb'), 'c'],
      ['aaa', 'b', ''],
    ]),
  ).toEqual(['a    \u001b[31mbb\u001b[39m  c', 'aaa  b']);
});

test('fields without value are left out', () => {
  expect(
    fieldLines([
      ['name', 'x'],
      ['none', undefined],
      ['empty', ''],
    ]),
  ).toEqual(['name  x']);
});

test('text from elsewhere cannot steer the terminal', () => {
  expect(printable('a\u001b[2Jb\r\nc\td')).toBe('a\ufffd[2Jb\ufffd\nc\td');
});

test.each([
  [{ write: (): unknown => true }, {}],
  [terminal, { NO_COLOR: '1' }],
  [terminal, { TERM: 'dumb' }],
])('no colour goes where none is wanted', (output, environment) => {
  expect(styleFor(output, environment).red('x')).toBe('x');
});
