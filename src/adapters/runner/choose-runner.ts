import { accessSync, constants, mkdirSync, mkdtempSync, rmSync, statSync } from 'node:fs';
import { delimiter, join } from 'node:path';
import { StatusCode } from '../../domain/status-code.ts';
import { StatusError } from '../../domain/status-error.ts';
import type { Clock } from '../../lib/clock.ts';
import type { Runner } from '../../ports/runner.ts';
import { BubblewrapRunner } from './bubblewrap-runner.ts';
import { HostRunner } from './host-runner.ts';
import { Launcher } from './launcher.ts';
import { knowsSystemCalls } from './system-calls.ts';

/** `auto` takes bubblewrap where it works and the host otherwise. */
export type SandboxChoice = 'auto' | 'bubblewrap' | 'none';

/** A runner, and in one sentence why it is this one: for the first line of the log. */
export interface ChosenRunner {
  readonly runner: Runner;
  readonly reason: string;
}

export interface ChooseRunnerOptions {
  readonly sandbox: SandboxChoice;
  /** An existing folder of the worker, in which the probe runs. */
  readonly workFolder: string;
  /** Folders that no action may see; they exist. */
  readonly hiddenFolders: readonly string[];
  /** The PATH in which bubblewrap and Perl are looked for. */
  readonly path: string;
  /** As Node names it, such as `x64`. */
  readonly architecture: string;
}

/**
 * Chooses how actions are run, by trying.
 *
 * @throws FAILED_PRECONDITION when bubblewrap was demanded and doesn't work, this machine lacks Perl, or what is to be
 *   hidden is no folder.
 */
export async function chooseRunner(
  options: ChooseRunnerOptions,
  clock: Clock,
  signal: AbortSignal,
): Promise<ChosenRunner> {
  const { architecture, hiddenFolders, sandbox } = options;
  const perl = findProgram('perl', options.path);
  if (perl === undefined || !knowsSystemCalls(architecture)) {
    const lacks = perl === undefined ? 'has no Perl in PATH (Debian: perl-base)' : `has a ${architecture} processor`;
    throw precondition(`the worker can't watch over actions: this machine ${lacks}`);
  }
  for (const folder of hiddenFolders) {
    if (statSync(folder, { throwIfNoEntry: false })?.isDirectory() !== false) continue;
    // Not left to the trial: a sandbox that fails over it would mean none at all, with everything to be seen.
    throw precondition(`hiddenFolders: ${folder} is no folder; name the one that it lies in`);
  }
  const ports = { launcher: new Launcher(perl, architecture), clock, architecture };
  const host = new HostRunner(ports, perl);
  if (sandbox === 'none') return { runner: host, reason: 'no sandbox, as asked: actions run plainly on the host' };
  const bubblewrap = findProgram('bwrap', options.path);
  const runner =
    bubblewrap === undefined ? undefined : new BubblewrapRunner(ports, { bubblewrap, perl, hiddenFolders });
  const failure =
    runner === undefined ? 'it is not installed (Debian: bubblewrap)' : await probe(runner, options.workFolder, signal);
  if (runner !== undefined && failure === undefined)
    return { runner, reason: `actions run in bubblewrap (${bubblewrap})` };
  if (sandbox === 'bubblewrap') throw precondition(`bubblewrap does not work here: ${failure}`);
  return { runner: host, reason: `no sandbox: bubblewrap does not work here: ${failure}` };
}

/** @returns why the runner doesn't work, or undefined. */
async function probe(runner: Runner, workFolder: string, signal: AbortSignal): Promise<string | undefined> {
  const folder = mkdtempSync(join(workFolder, 'probe-'));
  try {
    mkdirSync(join(folder, 'root'));
    const { outcome } = await runner.run(
      {
        inputRoot: join(folder, 'root'),
        workingDirectory: '',
        arguments: ['true'],
        environment: new Map(),
        stdoutFile: join(folder, 'stdout'),
        stderrFile: join(folder, 'stderr'),
        timeoutMilliseconds: 10_000,
        maxLogBytes: 65_536,
        network: false,
      },
      signal,
    );
    if (outcome.kind === 'exited' && outcome.exitCode === 0) return undefined;
    return `a trial run ended as ${outcome.kind}`;
  } catch (thrown) {
    signal.throwIfAborted();
    return StatusError.from(thrown).message;
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

function findProgram(name: string, path: string): string | undefined {
  for (const folder of path.split(delimiter)) {
    const candidate = join(folder, name);
    try {
      if (folder.startsWith('/')) {
        accessSync(candidate, constants.X_OK);
        return candidate;
      }
    } catch {
      // Not there: the next folder.
    }
  }
  return undefined;
}

function precondition(message: string): StatusError {
  return new StatusError(StatusCode.FAILED_PRECONDITION, message);
}
