import { expect, test } from 'vitest';
import { checkInstanceName } from './instance-name.ts';

test.each(['', 'main', 'team/project', 'v1.2/x', 'ünï'])("'%s' is an instance name", (name) => {
  expect(checkInstanceName(name)).toBe(name);
});

test.each([
  ['/main', 'empty segment'],
  ['main/', 'empty segment'],
  ['a//b', 'empty segment'],
  ['a/blobs', 'reserved segment blobs'],
  ['uploads', 'reserved segment uploads'],
  ['a\u0000b', 'control character'],
  ['x'.repeat(201), 'longer than 200'],
])("'%s' is refused", (name, message) => {
  expect(() => checkInstanceName(name, 'parent')).toThrow(new RegExp(`^parent: .*${message}`));
});
