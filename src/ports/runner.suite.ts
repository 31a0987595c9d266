import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { SystemClock } from '../lib/clock.ts';
import type { Runner, RunReport, RunRequest } from './runner.ts';

const never = new AbortController().signal;
const clock = new SystemClock();

/** The rules that every runner keeps. @param create makes a runner for executions below this folder. */
export function describeRunner(name: string, create: (folder: string) => Promise<Runner>): void {
  describe(`${name} as a Runner`, () => {
    let folder: string;
    let runner: Runner;

    beforeEach(async () => {
      folder = mkdtempSync(join(tmpdir(), 'warren-runner-'));
      mkdirSync(join(folder, 'root'));
      mkdirSync(join(folder, 'scratch'));
      runner = await create(folder);
    });

    afterEach(() => rmSync(folder, { recursive: true, force: true }));

    function run(args: readonly string[], wishes: Partial<RunRequest> = {}, signal = never): Promise<RunReport> {
      return runner.run(
        {
          inputRoot: join(folder, 'root'),
          workingDirectory: '',
          arguments: args,
          environment: new Map([['PATH', '/usr/bin:/bin']]),
          stdoutFile: join(folder, 'scratch', 'stdout'),
          stderrFile: join(folder, 'scratch', 'stderr'),
          timeoutMilliseconds: 15_000,
          maxLogBytes: 1 << 20,
          network: false,
          ...wishes,
        },
        signal,
      );
    }

    function stdout(): string {
      return readFileSync(join(folder, 'scratch', 'stdout'), 'utf8');
    }

    it.each([0, 1, 126, 127, 137, 255])('gives back exit code %d', async (exitCode) => {
      expect((await run(['sh', '-c', `exit ${exitCode}`])).outcome).toEqual({ kind: 'exited', exitCode });
    });

    it.each([
      ['TERM', 15],
      ['KILL', 9],
      ['ABRT', 6],
    ])('tells the signal %s from an exit code', async (name, signal) => {
      expect((await run(['sh', '-c', `kill -${name} $$`])).outcome).toEqual({ kind: 'signalled', signal });
    });

    it('lets a command signal its own process group, as scripts do that clean up', async () => {
      const { outcome } = await run(['sh', '-c', 'trap "kill 0" EXIT; sleep 75.60494 & echo done']);
      expect(outcome).toEqual({ kind: 'signalled', signal: 15 });
      expect(processes(/^sleep\0+75\.60494/)).toEqual([]);
    });

    it('tells what could not be started from what ended', async () => {
      expect((await run(['./nothing'])).outcome).toMatchObject({ kind: 'not-started', exitCode: 127 });
    });

    it('passes on arguments and environment byte by byte', async () => {
      const odd = 'a b\n"c"\t$d \\ é 🐇 ';
      const environment = new Map([
        ['ODD', odd],
        ['PERL5OPT', '-Mnothing'],
        ['LD_PRELOAD', ''],
      ]);
      await run(['/bin/sh', '-c', 'printf "%s|" "$@" "$ODD" "$PERL5OPT"', 'sh', odd, '', '-x'], { environment });
      expect(stdout()).toBe(`${odd}||-x|${odd}|-Mnothing|`);
    });

    it('gives an empty standard input, and a standard output that can be opened again', async () => {
      const { outcome } = await run(['sh', '-c', 'cat; echo one; echo two >> /dev/stdout; echo three >> /dev/stderr']);
      expect(outcome).toEqual({ kind: 'exited', exitCode: 0 });
      expect(stdout()).toBe('one\ntwo\n');
    });

    it('starts in the working directory', async () => {
      mkdirSync(join(folder, 'root', 'sub'));
      await run(['sh', '-c', 'basename "$(pwd)"; touch here'], { workingDirectory: 'sub' });
      expect(stdout()).toBe('sub\n');
      expect(readdirSync(join(folder, 'root', 'sub'))).toEqual(['here']);
    });

    it('tells what the process used', async () => {
      const { resourceUsage } = await run(['sh', '-c', 'i=0; while [ $i -lt 100000 ]; do i=$((i+1)); done']);
      const { userMilliseconds = 0, systemMilliseconds = 0, maximumResidentSetBytes = 0 } = resourceUsage ?? {};
      expect(userMilliseconds + systemMilliseconds).toBeGreaterThan(5);
      expect(maximumResidentSetBytes).toBeGreaterThan(500_000);
    });

    it('leaves no process behind at the timeout, daemons included', async () => {
      const { outcome } = await run(['sh', '-c', `(setsid sh -c 'setsid sleep 71.60494' &) ; sleep 72.60494`], {
        timeoutMilliseconds: 300,
      });
      expect(outcome).toEqual({ kind: 'timed-out' });
      expect(processes(/^sleep\0+7[12]\.60494/)).toEqual([]);
    });

    it('leaves no process behind when it is aborted, even ones that ignore signals', async () => {
      const controller = new AbortController();
      const running = run(['sh', '-c', `trap '' TERM INT HUP; sleep 73.60494 & sleep 73.60494`], {}, controller.signal);
      clock.setTimer(200, () => controller.abort(new Error('enough')));
      await expect(running).rejects.toThrow('enough');
      expect(processes(/^sleep\0+73\.60494/)).toEqual([]);
    });

    it('is not run at all when it is aborted before', async () => {
      await expect(run(['true'], {}, AbortSignal.abort(new Error('enough')))).rejects.toThrow('enough');
      expect(readdirSync(join(folder, 'scratch'))).toEqual([]);
    });

    it('ends with the command, whatever the command leaves running', async () => {
      const { outcome } = await run(['sh', '-c', 'setsid sleep 74.60494 & sleep 74.60494 & echo done']);
      expect(outcome).toEqual({ kind: 'exited', exitCode: 0 });
      expect(processes(/^sleep\0+74\.60494/)).toEqual([]);
    });

    it('kills processes that go on making others', async () => {
      const bomb =
        'for (1..150) { my $p = fork; next if $p; for (;;) { exit if fork; select undef, undef, undef, 0.01 } }';
      const { outcome } = await run(['perl', '-e', `$0 = 'warren-bomb'; ${bomb} sleep 20`], {
        timeoutMilliseconds: 400,
      });
      expect(outcome).toEqual({ kind: 'timed-out' });
      expect(processes(/^warren-bomb/)).toEqual([]);
    });

    it('kills what prints more than it may, and finds it out where the printing ended first', async () => {
      expect((await run(['yes'], { maxLogBytes: 1_000 })).outcome).toEqual({ kind: 'log-too-large' });
      rmSync(join(folder, 'scratch'), { recursive: true });
      mkdirSync(join(folder, 'scratch'));
      const short = await run(['head', '-c', '2000', '/dev/zero'], { maxLogBytes: 1_000 });
      expect(short.outcome).toEqual({ kind: 'log-too-large' });
    });
  });
}

/** Command lines of live processes that match. */
function processes(pattern: RegExp): string[] {
  return readdirSync('/proc').flatMap((name) => {
    if (!/^\d+$/.test(name)) return [];
    try {
      const commandLine = readFileSync(`/proc/${name}/cmdline`, 'utf8');
      return pattern.test(commandLine) ? [commandLine] : [];
    } catch {
      return [];
    }
  });
}
