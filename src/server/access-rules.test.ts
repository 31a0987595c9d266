import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { StatusCode } from '../domain/status-code.ts';
import { AccessRules, namesOf } from './access-rules.ts';
import { pathsWithRights, rightOf } from './method-rights.ts';

const EXECUTE = '/build.bazel.remote.execution.v2.Execution/Execute';
const READ = '/google.bytestream.ByteStream/Read';
const DROP = '/warren.v1.Administration/DropDeadLetters';
const HEALTH = '/grpc.health.v1.Health/Check';

const rules = new AccessRules([
  { names: ['*.build.example'], rights: ['read', 'write', 'execute'] },
  { names: ['operator', 'root'], rights: ['operate'] },
  { names: ['*'], rights: ['read'] },
]);

const outcome = (path: string, names: readonly string[] | undefined) => {
  try {
    rules.check(path, { names });
    return 'passes';
  } catch (thrown) {
    return thrown;
  }
};

describe('a call', () => {
  test.each([
    ['with a name that a rule gives the right', EXECUTE, ['one.build.example']],
    ['with several names, by any of them', DROP, ['somebody', 'operator']],
    ['that has its right by another rule than its first', READ, ['operator']],
    ['that needs no right', HEALTH, []],
    ['by the private socket', DROP, undefined],
  ])('%s passes', (_what, path, names) => {
    expect(outcome(path, names)).toBe('passes');
  });

  test('without the right is PERMISSION_DENIED, by the names of right and caller', () => {
    expect(outcome(EXECUTE, ['build.example', 'operator'])).toMatchObject({
      code: StatusCode.PERMISSION_DENIED,
      message:
        "build.bazel.remote.execution.v2.Execution/Execute needs the right 'execute' (server.access), which no rule gives " +
        "to 'build.example', 'operator'",
    });
  });

  test('of a certificate without a name is UNAUTHENTICATED', () => {
    expect(outcome(READ, [])).toMatchObject({ code: StatusCode.UNAUTHENTICATED });
  });

  test('that there is no rule for is for operators', () => {
    expect(outcome('/new.Service/Call', ['one.build.example'])).toMatchObject({ code: StatusCode.PERMISSION_DENIED });
    expect(outcome('/new.Service/Call', ['operator'])).toBe('passes');
  });

  test('of a certificate with very many names gets a message that fits into a header', () => {
    const names = Array.from({ length: 5_000 }, (_, index) => `name-${index}`);
    const { message } = outcome(DROP, names) as Error;
    expect(message).toMatch(/to 'name-0', 'name-1', 'name-2' and 4997 more$/);
  });
});

describe('the names of a certificate', () => {
  test.each([
    ['common name and alternative names', 'cn', 'DNS:a.example, IP Address:10.0.0.1', ['cn', 'a.example', '10.0.0.1']],
    ['one that comes twice', 'a', 'DNS:a', ['a']],
    ['of people and workloads', undefined, 'email:a@b.example, URI:spiffe://b/c', ['a@b.example', 'spiffe://b/c']],
    ['several common names', ['a', 'b'], undefined, ['a', 'b']],
    ['none', undefined, undefined, []],
    [
      'what looks like another name within a name',
      'cn',
      'URI:"http://x, DNS:root, y", DNS:b',
      ['cn', 'http://x, DNS:root, y', 'b'],
    ],
    ['what looks like a name within one of no concern', 'cn', 'othername:"x, DNS:root, y", DNS:b', ['cn', 'b']],
    ['nothing after what is not understood', 'cn', 'strange, DNS:root', ['cn']],
  ])('%s', (_what, CN, subjectaltname, expected) => {
    const certificate = { subject: { CN }, subjectaltname } as unknown as Parameters<typeof namesOf>[0];
    expect(namesOf(certificate)).toEqual(expected);
  });
});

test('there is a right for every method of every service, and for no other', () => {
  const folder = join(import.meta.dirname, '../proto');
  const paths = readdirSync(folder, { recursive: true, encoding: 'utf8' })
    .filter((file) => file.endsWith('.ts'))
    .flatMap((file) => [...readFileSync(join(folder, file), 'utf8').matchAll(/path: "(\/[^"]+)"/g)])
    .map(([, path = '']) => path);
  expect(paths).toContain(EXECUTE);
  expect(new Set(pathsWithRights())).toEqual(new Set(paths));
});

test.each([
  [DROP, 'operate'],
  ['/google.devtools.remoteworkers.v1test2.Bots/UpdateBotSession', 'work'],
  ['/build.bazel.remote.execution.v2.ActionCache/UpdateActionResult', 'update'],
  [HEALTH, 'none'],
])('%s needs %s', (path, right) => {
  expect(rightOf(path)).toBe(right);
});
