import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import type { Runner, RunReport, RunRequest } from '../../ports/runner.ts';
import { runSupervised, type SupervisedRun, type SupervisedRunPorts } from './supervised-run.ts';
import { supervisorCommandLine } from './supervisor.ts';

/** Where the input root lies inside the sandbox: the same on every worker, so that paths in outputs are the same. */
const SANDBOX_INPUT_ROOT = '/run/warren/root';

/** Kills of the sandbox's first process that are tried before bubblewrap itself is killed. */
const PATIENCE = 40;

/** How the sandbox is made. */
export interface BubblewrapOptions {
  /** Absolute path of bubblewrap. */
  readonly bubblewrap: string;
  /** Absolute path of Perl. */
  readonly perl: string;
  /** Folders of the host that no action may see: the worker's own, the grid's data. They appear empty. */
  readonly hiddenFolders: readonly string[];
}

/**
 * Runs each action in a sandbox of Linux namespaces.
 *
 * The host's file system is there but read-only; `/tmp` and `/run` are the action's own and vanish with it; `/dev` and
 * `/proc` are new. Only the input root may be changed. Processes have a namespace of their own, which dies as a whole.
 * No capabilities, so that even an action of root obeys file modes. Without `network` there is a loopback only.
 */
export class BubblewrapRunner implements Runner {
  readonly name = 'bubblewrap';
  readonly #ports: SupervisedRunPorts;
  readonly #before: readonly string[];
  readonly #after: readonly string[];

  constructor(ports: SupervisedRunPorts, options: BubblewrapOptions) {
    this.#ports = ports;
    this.#before = [
      [options.bubblewrap, '--unshare-pid', '--unshare-ipc', '--unshare-uts', '--unshare-cgroup-try'],
      ['--die-with-parent', '--new-session', '--as-pid-1', '--cap-drop', 'ALL', '--hostname', 'warren'],
      ['--ro-bind', '/', '/', '--dev', '/dev', '--proc', '/proc', '--tmpfs', '/tmp', '--tmpfs', '/run'],
      options.hiddenFolders.flatMap((folder) => ['--tmpfs', folder]),
      ['--info-fd', '4'],
    ].flat();
    this.#after = ['--', ...supervisorCommandLine(options.perl, false)];
  }

  run(request: RunRequest, signal: AbortSignal): Promise<RunReport> {
    const run: SupervisedRun = {
      commandLine: [
        this.#before,
        request.network ? [] : ['--unshare-net'],
        ['--bind', request.inputRoot, SANDBOX_INPUT_ROOT],
        ['--chdir', join(SANDBOX_INPUT_ROOT, request.workingDirectory)],
        this.#after,
      ].flat(),
      cwd: undefined,
      host: false,
      wantsInfo: true,
      kill({ pid, infoFile }, attempt) {
        // The namespace's first process is killed rather than bubblewrap: bubblewrap then ends only once the kernel
        // has ended every process in it.
        const inner = attempt < PATIENCE ? innerProcess(infoFile) : undefined;
        return { signal: 'SIGKILL', target: inner ?? pid };
      },
    };
    return runSupervised(request, run, this.#ports, signal);
  }
}

function innerProcess(infoFile: string | undefined): number | undefined {
  if (infoFile === undefined) return undefined;
  try {
    const info: unknown = JSON.parse(readFileSync(infoFile, 'utf8'));
    const child = (info as { 'child-pid'?: unknown })['child-pid'];
    return typeof child === 'number' && child > 1 ? child : undefined;
  } catch {
    return undefined;
  }
}
