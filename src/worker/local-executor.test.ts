import { readdirSync, readFileSync, readlinkSync } from 'node:fs';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { buildAction, InputFile, InputSymlink } from '../../test/support/action-builder.ts';
import { ExecutorFixture, SANDBOXES, SLOTS, shell } from '../../test/support/executor-fixture.ts';
import { StatusCode } from '../domain/status-code.ts';
import { SystemClock } from '../lib/clock.ts';
import type { Command } from '../proto/build/bazel/remote/execution/v2/remote_execution.ts';
import { ExecutionProgress } from './execution-progress.ts';

const clock = new SystemClock();
const never = new AbortController().signal;

describe.each(SANDBOXES)('LocalExecutor with sandbox %s', (sandbox) => {
  const sandboxed = [sandbox].filter((name) => name !== 'none');
  let fixture: ExecutorFixture;

  beforeEach(async () => {
    fixture = await ExecutorFixture.open(sandbox);
  });

  afterEach(() => fixture.close());

  it('gives back the exit code, and what was printed inline while it is small', async () => {
    const { result, status } = await fixture.execute(shell('echo out; echo err >&2; exit 7'));
    expect(status).toBeUndefined();
    expect(result.exitCode).toBe(7);
    expect(result.stdoutRaw.toString()).toBe('out\n');
    expect(result.stderrRaw.toString()).toBe('err\n');
    expect(result.stdoutDigest).toBeUndefined();
  });

  it('stores what was printed once it is large', async () => {
    const { result } = await fixture.execute(shell('head -c 20000 /dev/zero'));
    expect(result.stdoutRaw).toHaveLength(0);
    expect((await fixture.read(result.stdoutDigest)).byteLength).toBe(20_000);
  });

  it('tells a signal by exit code 128 + n, and by its name in the resource usage', async () => {
    const { result } = await fixture.execute(shell('kill -SEGV $$'));
    expect(result.exitCode).toBe(139);
    expect(fixture.progress.metadata.auxiliaryMetadata[0]?.value.toString('latin1')).toContain('SEGV');
  });

  it('answers as a shell does when there is no such program', async () => {
    const { result, status } = await fixture.execute({ arguments: ['no-such-program'] });
    expect(status).toBeUndefined();
    expect(result.exitCode).toBe(127);
    expect(result.stderrRaw.toString()).toContain('no-such-program: not found');
  });

  it('answers as a shell does when a file can not be executed', async () => {
    const { result } = await fixture.execute({ arguments: ['./tool'], inputs: { tool: 'not executable' } });
    expect(result.exitCode).toBe(126);
  });

  it('gives the command its environment and nothing else', async () => {
    const { result } = await fixture.execute({
      arguments: ['/usr/bin/env'],
      environment: { A: '1', LD_PRELOAD_X: 'ü' },
    });
    expect(result.stdoutRaw.toString().split('\n').sort()).toEqual(['', 'A=1', 'LD_PRELOAD_X=ü']);
  });

  it('finds a program relative to the working directory, and an unqualified one in the PATH of the command', async () => {
    const tool = new InputFile('#!/bin/sh\necho tool in $(basename $PWD)\n', true);
    const inputs = { sub: { 'tool.sh': tool }, bin: { mytool: tool } };
    const relative = await fixture.execute({ arguments: ['./tool.sh'], inputs, command: { workingDirectory: 'sub' } });
    expect(relative.result.stdoutRaw.toString()).toBe('tool in sub\n');
    const path = await fixture.execute({ arguments: ['mytool'], inputs, environment: { PATH: 'bin:/usr/bin:/bin' } });
    expect(path.result.stdoutRaw.toString()).toContain('tool in ');
  });

  it.each([
    ['output_paths', { outputPaths: ['../x'] }],
    ['output_paths', { outputPaths: ['/etc/x'] }],
    ['output_paths', { outputPaths: ['a/../../b'] }],
    ['output_paths', { workingDirectory: 'deep/link', outputPaths: ['../../x/y'] }],
    ['output_paths', { outputPaths: ['a/'] }],
    ['output_files', { outputFiles: ['../x'] }],
    ['output_directories', { outputDirectories: ['a/../../x'] }],
    ['working_directory', { workingDirectory: '../..' }],
    ['working_directory', { workingDirectory: '/tmp' }],
    ['working_directory', { workingDirectory: 'not-there' }],
    ['working_directory', { workingDirectory: 'escape' }],
    ['output_paths', { outputPaths: ['escape/x'] }],
    ['output_paths', { outputPaths: ['file/x'] }],
    ['output_node_properties', { outputNodeProperties: ['colour'] }],
  ])('refuses a command whose %s is %j', async (field, command: Partial<Command>) => {
    const error = await fixture.failure({
      arguments: ['true'],
      inputs: { escape: new InputSymlink('/etc'), file: 'x', deep: { link: new InputSymlink('../top') }, top: {} },
      command,
    });
    expect(error).toMatchObject({ code: StatusCode.INVALID_ARGUMENT, message: expect.stringContaining(field) });
    await fixture.executor.settled();
    expect(fixture.workFolders()).toEqual([]);
  });

  it('lays out the inputs of one action more while its slots run commands, and runs it only then', async () => {
    const running = Array.from({ length: SLOTS + 1 }, async (_, index) => {
      const own = new ExecutionProgress(clock, 'the-worker');
      const action = await buildAction(fixture.blobs, shell(`sleep 0.5; echo ${index}`));
      await fixture.executor.execute(action, undefined, own, never);
      const at = (time: { seconds: bigint; nanos: number } | undefined) =>
        Number(time?.seconds) * 1_000 + (time?.nanos ?? Number.NaN) / 1e6;
      const { inputFetchCompletedTimestamp, executionStartTimestamp, executionCompletedTimestamp } = own.metadata;
      return {
        laidOut: at(inputFetchCompletedTimestamp),
        started: at(executionStartTimestamp),
        ended: at(executionCompletedTimestamp),
      };
    });
    const all = (await Promise.all(running)).sort((a, b) => a.started - b.started);
    const firstEnd = Math.min(...all.slice(0, SLOTS).map(({ ended }) => ended));
    expect(all[SLOTS]?.started).toBeGreaterThanOrEqual(firstEnd);
    expect(all[SLOTS]?.laidOut).toBeLessThan(firstEnd);
  });

  it('kills the whole tree at the timeout, and keeps what was printed', async () => {
    const { result, status } = await fixture.execute(
      shell('echo before; (setsid sleep 61 &) ; sleep 62', { timeoutMilliseconds: 300 }),
    );
    expect(status?.code).toBe(StatusCode.DEADLINE_EXCEEDED);
    expect(result.stdoutRaw.toString()).toBe('before\n');
    expect(runningSleeps()).toEqual([]);
  });

  it('ends an action that names no timeout at its own', async () => {
    await fixture.reopen({ defaultTimeoutMilliseconds: 300 });
    const { status } = await fixture.execute(shell('sleep 60'));
    expect(status?.code).toBe(StatusCode.DEADLINE_EXCEEDED);
  });

  it('kills daemons that outlive the command', async () => {
    await fixture.execute(shell('setsid sh -c "setsid sleep 61 </dev/null >/dev/null 2>&1 &" & echo done'));
    expect(runningSleeps()).toEqual([]);
  });

  it('kills the tree when the lease is taken back', async () => {
    const controller = new AbortController();
    const running = fixture.execute(shell('sleep 61'), controller.signal);
    clock.setTimer(200, () => controller.abort(new Error('taken back')));
    await expect(running).rejects.toThrow('taken back');
    expect(runningSleeps()).toEqual([]);
  });

  it.each([-1, 1e15])('refuses a timeout of %d ms', async (timeoutMilliseconds) => {
    const error = await fixture.failure({ arguments: ['true'], timeoutMilliseconds });
    expect(error).toMatchObject({ code: StatusCode.INVALID_ARGUMENT, message: expect.stringContaining('timeout') });
  });

  it('kills an action that prints more than the limit', async () => {
    await fixture.reopen({ maxLogBytes: 10_000 });
    const { result, status } = await fixture.execute({ arguments: ['yes'] });
    expect(status?.code).toBe(StatusCode.FAILED_PRECONDITION);
    expect(result.stdoutRaw).toHaveLength(10_000);
  });

  it('does not blame a command that fails while the disk is full', async () => {
    await fixture.reopen({ minFreeBytes: Number.POSITIVE_INFINITY });
    expect(await fixture.failure(shell('exit 1'))).toMatchObject({ code: StatusCode.UNAVAILABLE });
    expect((await fixture.execute(shell('exit 0'))).result.exitCode).toBe(0);
  });

  it('removes its folders, even where the action took its permissions away', async () => {
    await fixture.execute(shell('mkdir -p a/b/c; echo x > a/b/c/f; chmod 0 a/b/c a/b'));
    await fixture.executor.settled();
    expect(fixture.workFolders()).toEqual([]);
  });

  it('reports every timestamp in order, the duration and what was used', async () => {
    const { result } = await fixture.execute(shell('i=0; while [ $i -lt 20000 ]; do i=$((i+1)); done'));
    expect(result.exitCode).toBe(0);
    const { metadata } = fixture.progress;
    const order = [
      metadata.inputFetchStartTimestamp,
      metadata.inputFetchCompletedTimestamp,
      metadata.executionStartTimestamp,
      metadata.executionCompletedTimestamp,
      metadata.outputUploadStartTimestamp,
      metadata.outputUploadCompletedTimestamp,
    ].map((stamp) => Number(stamp?.seconds) * 1e9 + Number(stamp?.nanos));
    expect(order).toEqual([...order].sort((a, b) => a - b));
    expect(order.every((each) => each > 0)).toBe(true);
    expect(metadata.worker).toBe('the-worker');
    expect(metadata.virtualExecutionDuration).toBeDefined();
    expect(metadata.auxiliaryMetadata[0]?.typeUrl).toContain('POSIXResourceUsage');
  });

  it.each(sandboxed)(
    '%s shows the host read-only, hides the folders of the worker, and gives an empty /tmp',
    async () => {
      const { result } = await fixture.execute(shell(`touch /etc/x || echo read-only; ls ${fixture.folder} /tmp; pwd`));
      expect(result.stdoutRaw.toString()).toContain('read-only');
      expect(result.stdoutRaw.toString()).toContain('/run/warren/root');
      expect(result.stdoutRaw.toString()).not.toContain('cache');
    },
  );

  it.each(sandboxed)('%s gives the network to those that ask for it, and to nobody else', async () => {
    const script = 'ls /sys/class/net 2>/dev/null; cat /proc/net/dev | tail -n +3 | wc -l';
    const without = await fixture.execute(shell(script));
    expect(without.result.stdoutRaw.toString().trim().split('\n').pop()).toBe('1');
    const platform = { properties: [{ name: 'network', value: 'on' }] };
    const asked = await fixture.execute(shell('readlink /proc/self/ns/net', { action: { platform } }));
    expect(asked.result.stdoutRaw.toString().trim()).toBe(networkOfHost());
  });
});

function networkOfHost(): string {
  return readlinkSync('/proc/self/ns/net');
}

/** Processes `sleep 61` and `sleep 62` that are alive. */
function runningSleeps(): string[] {
  return readdirSync('/proc')
    .filter((name) => /^\d+$/.test(name))
    .filter((pid) => {
      try {
        return /^sleep\0+6[12]\0/.test(readFileSync(`/proc/${pid}/cmdline`, 'utf8'));
      } catch {
        return false;
      }
    });
}
