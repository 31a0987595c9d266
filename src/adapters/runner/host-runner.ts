import { join } from 'node:path';
import type { Runner, RunReport, RunRequest } from '../../ports/runner.ts';
import { runSupervised, type SupervisedRun, type SupervisedRunPorts } from './supervised-run.ts';
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
  readonly #ports: SupervisedRunPorts;
  readonly #perl: string;

  /** @param perl absolute path of Perl. */
  constructor(ports: SupervisedRunPorts, perl: string) {
    this.#ports = ports;
    this.#perl = perl;
  }

  run(request: RunRequest, signal: AbortSignal): Promise<RunReport> {
    const run: SupervisedRun = {
      commandLine: supervisorCommandLine(this.#perl, true),
      cwd: join(request.inputRoot, request.workingDirectory),
      host: true,
      wantsInfo: false,
      kill({ pid }, attempt) {
        return attempt < PATIENCE ? { signal: 'SIGTERM', target: pid } : { signal: 'SIGKILL', target: -pid };
      },
    };
    return runSupervised(request, run, this.#ports, signal);
  }
}
