import { describe, expect, it } from 'vitest';
import { Action, Command, Directory } from '../../src/proto/build/bazel/remote/execution/v2/remote_execution.ts';
import { SHORT_POLL } from '../support/simulated-bot.ts';
import { type ActionOptions, blobOf, freshBlob, prepareAction } from '../support/tenant.ts';
import { failure } from '../support/wire-client.ts';
import { choice, connect, expectNamed, Platform } from './target.ts';

const tenant = connect();
const HASH = 'ab'.repeat(32);

describe('Execute: an Action that cannot be', () => {
  const cases: ReadonlyArray<readonly [what: string, options: ActionOptions, field: string]> = [
    ['a negative timeout', { action: { timeout: { seconds: -1n, nanos: 0 } } }, 'timeout'],
    ['a timeout of negative nanoseconds', { action: { timeout: { seconds: 0n, nanos: -5 } } }, 'timeout'],
    ['a timeout of too many nanoseconds', { action: { timeout: { seconds: 1n, nanos: 2_000_000_000 } } }, 'timeout'],
    ['a timeout of contrary signs', { action: { timeout: { seconds: 5n, nanos: -1 } } }, 'timeout'],
    ['the greatest timeout of int64', { action: { timeout: { seconds: 2n ** 63n - 1n, nanos: 0 } } }, 'timeout'],
    ['the least timeout of int64', { action: { timeout: { seconds: -(2n ** 63n), nanos: 0 } } }, 'timeout'],
    ['no command_digest', { action: { commandDigest: undefined as never } }, 'command_digest'],
    ['no input_root_digest', { action: { inputRootDigest: undefined as never } }, 'input_root_digest'],
    ['no arguments', { command: { arguments: [] } }, 'arguments'],
    ['an absolute output path', { command: { outputPaths: ['/etc/passwd'] } }, 'output_paths'],
    ['an output path that climbs', { command: { outputPaths: ['a/../../b'] } }, 'output_paths'],
    ['an output path of dots', { command: { outputPaths: ['..'] } }, 'output_paths'],
    ['an output path with a trailing slash', { command: { outputPaths: ['out/'] } }, 'output_paths'],
    ['an output path with an empty segment', { command: { outputPaths: ['a//b'] } }, 'output_paths'],
    ['an output path with a NUL', { command: { outputPaths: ['a\u0000b'] } }, 'output_paths'],
    ['an output file that climbs', { command: { outputFiles: ['../x'] } }, 'output_files'],
    ['an absolute output directory', { command: { outputDirectories: ['/tmp'] } }, 'output_directories'],
    ['a working directory that climbs', { command: { workingDirectory: '../..' } }, 'working_directory'],
    ['an absolute working directory', { command: { workingDirectory: '/' } }, 'working_directory'],
    ['a working directory with a NUL', { command: { workingDirectory: 'a\u0000' } }, 'working_directory'],
    ['an argument with a NUL', { command: { arguments: ['/bin/echo', 'a\u0000b'] } }, 'arguments'],
    [
      'an environment variable with an equals sign',
      { command: { environmentVariables: [{ name: 'A=B', value: 'x' }] } },
      'environment_variables',
    ],
    [
      'an environment variable without a name',
      { command: { environmentVariables: [{ name: '', value: 'x' }] } },
      'environment_variables',
    ],
    [
      'an environment variable with a NUL',
      { command: { environmentVariables: [{ name: 'A', value: 'x\u0000y' }] } },
      'environment_variables',
    ],
  ];
  for (const [what, options, field] of cases) {
    choice(`${what} gives INVALID_ARGUMENT that names the field, before or instead of running`, async () => {
      const platform = new Platform(tenant);
      const { action } = await platform.prepare(options);
      const error = await failure(tenant.execute(action.digest, {}, { deadline: 5_000 }).finish());
      expectNamed(error, field);
    });
  }

  it('bytes that are no Command give INVALID_ARGUMENT or FAILED_PRECONDITION', async () => {
    const garbage = freshBlob('\u0007\u00ff');
    const { action } = await tenant.prepare({ action: { commandDigest: garbage.digest }, blobs: [garbage] });
    expect(['INVALID_ARGUMENT', 'FAILED_PRECONDITION']).toContain(
      (await failure(tenant.execute(action.digest).finish())).code,
    );
  });

  choice('an Action too large to be one gives INVALID_ARGUMENT that names the field', async () => {
    const { action: small } = prepareAction();
    const large = blobOf(
      Action.encode({ ...Action.decode(small.data), salt: Buffer.alloc(20 * 1024 * 1024) }).finish(),
    );
    await tenant.writeBlob(large);
    expectNamed(await failure(tenant.execute(large.digest).finish()), 'action_digest');
  });

  choice('a digest that claims to be an Action of an exabyte gives an answer and takes no memory', async () => {
    const digest = { hash: HASH, sizeBytes: 2n ** 52n };
    expect(['INVALID_ARGUMENT', 'FAILED_PRECONDITION']).toContain(
      (await failure(tenant.execute(digest).finish())).code,
    );
  });

  choice('a platform with ten thousand properties gives an answer', async () => {
    const properties = Array.from({ length: 10_000 }, (_, i) => ({ name: `p${i}`, value: 'x' }));
    const { action } = await tenant.prepare({ action: { platform: { properties } } });
    expect(['INVALID_ARGUMENT', 'FAILED_PRECONDITION']).toContain(
      (await failure(tenant.execute(action.digest).finish())).code,
    );
  });

  it('what was refused is no operation', async () => {
    const platform = new Platform(tenant);
    const { action } = await platform.prepare({ command: { arguments: [] } });
    await tenant
      .execute(action.digest)
      .finish()
      .catch(() => {});
    const bot = platform.bot();
    const { leases } = await bot.create({}, SHORT_POLL);
    expect(leases).toEqual([]);
  });
});

describe('a Directory that cannot be', () => {
  const file = freshBlob();
  const cases: ReadonlyArray<readonly [string, Parameters<typeof Directory.create>[0]]> = [
    ['a name with a slash', { files: [{ name: 'a/b', digest: file.digest }] }],
    ['an empty name', { files: [{ name: '', digest: file.digest }] }],
    ['a name of two dots', { directories: [{ name: '..', digest: file.digest }] }],
    ['a symlink without a target', { symlinks: [{ name: 'link', target: '' }] }],
  ];
  for (const [what, content] of cases) {
    it(`${what}: storage takes the bytes as they are, whatever they mean`, async () => {
      const blob = blobOf(Directory.encode(Directory.create(content)).finish());
      await tenant.upload(blob);
      expect(await tenant.has(blob.digest)).toBe(true);
    });
  }

  it('a Command without any field is the empty blob, and is refused by Execute', async () => {
    expect(Command.encode(Command.create()).finish()).toHaveLength(0);
    const { action } = await tenant.prepare({ action: { commandDigest: blobOf('').digest } });
    expect(['INVALID_ARGUMENT', 'FAILED_PRECONDITION']).toContain(
      (await failure(tenant.execute(action.digest).finish())).code,
    );
  });
});
