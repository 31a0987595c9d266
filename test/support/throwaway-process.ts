import { type ChildProcess, spawn } from 'node:child_process';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

/** How long a service may take from spawn to ready. */
const READY_WITHIN_MS = 60_000;
const PROBE_EVERY_MS = 100;

export interface ThrowawayProcessOptions {
  readonly name: string;
  readonly command: string;
  readonly args: readonly string[];
  readonly env?: Readonly<Record<string, string>>;
  /**
   * Whether it is in a process group of its own, which a Ctrl-C on the terminal does not reach. Defaults to false.
   */
  readonly ownGroup?: boolean;
  /** Whether it answers by now. A failure counts as no. */
  readonly ready: () => Promise<boolean>;
}

/**
 * A service that a test starts for itself, in the foreground, and ends by its process id.
 *
 * It can be killed, frozen and started again with the same arguments, so that fault tests see the same data folder.
 */
export class ThrowawayProcess {
  readonly #options: ThrowawayProcessOptions;
  #child: ChildProcess | undefined;
  #output = '';

  constructor(options: ThrowawayProcessOptions) {
    this.#options = options;
  }

  get pid(): number | undefined {
    return this.#child?.pid;
  }

  /** What it printed since it was last started, for the message of a failed test. */
  get output(): string {
    return this.#output;
  }

  async start(): Promise<void> {
    const { name, command, args, env, ready, ownGroup = false } = this.#options;
    this.#output = '';
    const child = spawn(command, args, {
      stdio: ['ignore', 'pipe', 'pipe'],
      env: { ...process.env, ...env },
      detached: ownGroup,
    });
    this.#child = child;
    let ended = false;
    const collect = (data: Buffer) => {
      this.#output = (this.#output + data.toString()).slice(-100_000);
    };
    child.stdout.on('data', collect);
    child.stderr.on('data', collect);
    child.once('error', (error) => {
      this.#output += String(error);
      ended = true;
    });
    child.once('exit', () => {
      ended = true;
    });
    const deadline = Date.now() + READY_WITHIN_MS;
    while (!(await ready().catch(() => false))) {
      if (ended) throw new Error(`${name} ended while starting:\n${this.#output}`);
      if (Date.now() > deadline) {
        await this.stop('SIGKILL');
        throw new Error(`${name} was not ready within ${READY_WITHIN_MS} ms:\n${this.#output}`);
      }
      await new Promise((resolve) => setTimeout(resolve, PROBE_EVERY_MS));
    }
  }

  signal(signal: NodeJS.Signals): void {
    this.#child?.kill(signal);
  }

  /** Ends it and waits until it is gone. */
  async stop(signal: NodeJS.Signals = 'SIGTERM'): Promise<void> {
    const child = this.#child;
    if (child === undefined) return;
    if (child.exitCode === null && child.signalCode === null) {
      const gone = new Promise<void>((resolve) => child.once('exit', () => resolve()));
      child.kill('SIGCONT');
      child.kill(signal);
      await gone;
    }
    if (this.#child === child) this.#child = undefined;
  }
}

/** A folder of the test's own below the system's temporary folder. */
export function temporaryFolder(prefix: string): Promise<string> {
  return mkdtemp(join(tmpdir(), `warren-${prefix}-`));
}

export function removeFolder(folder: string): Promise<void> {
  return rm(folder, { recursive: true, force: true, maxRetries: 5 });
}
