import { expect, test } from 'vitest';
import { workMessage } from '../../../../test/support/rabbitmq-farm.ts';
import { createRequirement } from '../../../domain/platform.ts';
import { workHeaders } from './work-headers.ts';

const WORK = workMessage('main', 'ab-00000000-0000-4000-8000-000000000001', { OSFamily: 'linux' }, { attempt: 2 });

test('tell what the body does', () => {
  expect(workHeaders(WORK)).toEqual({
    instance: 'main',
    requirement: 'OSFamily=linux',
    tool: 'bazel',
    target: '//a:b',
    mnemonic: 'CppCompile',
    invocation: 'i',
    attempt: 2,
  });
});

test('are few, whatever a client asks for: the library takes 64 KiB of them', () => {
  const long = '\u20ac'.repeat(1_024);
  const properties = Array.from({ length: 100 }, (_, i) => ({ name: `${i}`, value: long }));
  const names = { tool: long, target: long, mnemonic: long, invocation: long };
  const headers = workHeaders({ ...WORK, ...names, requirement: createRequirement(properties) });
  expect(Buffer.byteLength(JSON.stringify(headers))).toBeLessThan(32 * 1024);
});
