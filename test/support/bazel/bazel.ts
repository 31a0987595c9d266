import { type ChildProcess, spawn } from 'node:child_process';
import { access } from 'node:fs/promises';
import { join } from 'node:path';
import { removeFolder, temporaryFolder } from '../throwaway-process.ts';

/** What one run of Bazel ended with. */
export interface BazelResult {
  /** Bazel's own exit code: 0 built, 1 a build failed, 3 tests failed, 8 interrupted. */
  readonly exitCode: number;
  /** All that it printed, standard error first; Bazel reports on standard error. */
  readonly output: string;
  /** How many processes ran in which way, from the build summary: `{ remote: 12, 'remote cache hit': 3 }`. */
  readonly processes: Readonly<Record<string, number>>;
  /** What Bazel calls the elapsed time, in seconds. */
  readonly elapsedSeconds: number;
}

/** A run that has not ended. */
export interface BazelRun {
  readonly ended: Promise<BazelResult>;
  /** What it has printed so far. */
  output(): string;
  /** Sends what the terminal sends for Ctrl-C. */
  interrupt(): void;
}

/**
 * The real Bazel, with a server and output folders of the test's own.
 *
 * The Java machine takes 15 to 25 seconds to start, therefore one is shared by the tests of a suite.
 */
export class Bazel implements AsyncDisposable {
  readonly workspace: string;
  readonly #outputUserRoot: string;

  private constructor(workspace: string, outputUserRoot: string) {
    this.workspace = workspace;
    this.#outputUserRoot = outputUserRoot;
  }

  static async create(workspace: string): Promise<Bazel> {
    await access('/usr/bin/bazel').catch(() => {
      throw new Error("Bazel is not installed: ./dev test installs Debian's bazel-bootstrap, as root");
    });
    return new Bazel(workspace, await temporaryFolder('bazel'));
  }

  /** Runs `bazel ARGS` in the workspace until it ends, however it ends. */
  run(...args: readonly string[]): Promise<BazelResult> {
    return this.start(...args).ended;
  }

  /** Starts `bazel ARGS`, so that it can be interrupted. */
  start(...args: readonly string[]): BazelRun {
    const child = spawn(
      '/usr/bin/bazel',
      [`--output_user_root=${this.#outputUserRoot}`, '--nohome_rc', '--max_idle_secs=600', ...args],
      // In a group of its own, so that a Ctrl-C in the terminal that runs the tests is not Bazel's.
      { cwd: this.workspace, stdio: ['ignore', 'pipe', 'pipe'], detached: true },
    );
    let output = '';
    const collect = (data: Buffer) => {
      output += data.toString();
    };
    child.stdout.on('data', collect);
    child.stderr.on('data', collect);
    return {
      ended: ending(child).then((exitCode) => ({ exitCode, output, ...summary(output) })),
      output: () => output,
      interrupt: () => {
        child.kill('SIGINT');
      },
    };
  }

  /** The path of something that was built, as `bazel-bin` has it. */
  binary(path: string): string {
    return join(this.workspace, 'bazel-bin', path);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.run('shutdown');
    // Bazel makes the folders of its outputs read-only.
    await ending(spawn('chmod', ['-R', 'u+w', this.#outputUserRoot], { stdio: 'ignore' }));
    await removeFolder(this.#outputUserRoot);
  }
}

function ending(child: ChildProcess): Promise<number> {
  return new Promise((resolve, reject) => {
    child.once('error', reject);
    child.once('close', (code, signal) => resolve(code ?? (signal === 'SIGINT' ? 130 : 137)));
  });
}

function summary(output: string): Pick<BazelResult, 'processes' | 'elapsedSeconds'> {
  const processes: Record<string, number> = {};
  const line = /^INFO: \d+ process(?:es)?: (.*)\.$/m.exec(output)?.[1] ?? '';
  for (const part of line.split(', ')) {
    const match = /^(\d+) (.+)$/.exec(part);
    if (match?.[1] !== undefined && match[2] !== undefined) processes[match[2]] = Number(match[1]);
  }
  return { processes, elapsedSeconds: Number(/Elapsed time: ([\d.]+)s/.exec(output)?.[1] ?? 'NaN') };
}
