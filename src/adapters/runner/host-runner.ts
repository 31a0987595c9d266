import { join } from 'node:path';
import type { Clock } from '../../lib/clock.ts';
import type { Runner, RunReport, RunRequest } from '../../ports/runner.ts';
import { runSupervised } from './supervised-run.ts';
import { supervisorCommandLine } from './supervisor.ts';

/** Kills of the tree that the supervisor is asked for before it is killed itself: 10 seconds. */
const PATIENCE = 200;

/**
 * Runs processes plainly on the host, where there is no sandbox: they see and may change what the worker's user may.
 *
 * The whole tree is killed nonetheless, daemons included: the supervisor adopts what leaves its session.
 */
export class HostRunner implements Runner {
  readonly name = 'none';
  readonly #clock: Clock;
  readonly #perl: string;
  readonly #architecture: string;

  /**
   * @param perl absolute path of Perl.
   * @param architecture as Node names it, such as `x64`.
   */
  constructor(clock: Clock, perl: string, architecture: string) {
    this.#clock = clock;
    this.#perl = perl;
    this.#architecture = architecture;
  }

  run(request: RunRequest, signal: AbortSignal): Promise<RunReport> {
    const run = {
      commandLine: supervisorCommandLine(this.#perl),
      cwd: join(request.inputRoot, request.workingDirectory),
      host: true,
      infoFile: undefined,
      kill(firstProcess: number, attempt: number) {
        tryKill(attempt < PATIENCE ? firstProcess : -firstProcess, attempt < PATIENCE ? 'SIGTERM' : 'SIGKILL');
      },
    };
    return runSupervised(request, run, this.#clock, this.#architecture, signal);
  }
}

/** Sends a signal; a process that is gone already is no failure. */
export function tryKill(process_: number, signal: NodeJS.Signals): void {
  try {
    process.kill(process_, signal);
  } catch {
    // ESRCH: it ended in between.
  }
}
