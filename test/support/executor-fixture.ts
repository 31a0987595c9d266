import { chmodSync, mkdtempSync, readdirSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { MemoryBlobStore } from '../../src/adapters/blob/memory/memory-blob-store.ts';
import { chooseRunner } from '../../src/adapters/runner/choose-runner.ts';
import { SHA256 } from '../../src/domain/digest-function.ts';
import { StatusError } from '../../src/domain/status-error.ts';
import { SystemClock } from '../../src/lib/clock.ts';
import { RandomIdGenerator } from '../../src/lib/ids.ts';
import { silentLogger } from '../../src/lib/log.ts';
import { Semaphore } from '../../src/lib/semaphore.ts';
import { digestFromWire } from '../../src/wire/digest.ts';
import { DirectoryReader } from '../../src/worker/directory-reader.ts';
import { ExecutionProgress } from '../../src/worker/execution-progress.ts';
import { FileCache } from '../../src/worker/file-cache.ts';
import { InputStager } from '../../src/worker/input-stager.ts';
import { type ExecutionLimits, type ExecutionOutcome, LocalExecutor } from '../../src/worker/local-executor.ts';
import { WorkFolders } from '../../src/worker/work-folders.ts';
import { DEFAULT_EXECUTION_LIMITS } from '../../src/worker/worker.ts';
import { type ActionDescription, buildAction } from './action-builder.ts';

const clock = new SystemClock();
const never = new AbortController().signal;

/** What every rule about an executor is held to. */
export const SANDBOXES = ['bubblewrap', 'none'] as const;

/** Commands that run at once. */
export const SLOTS = 2;

/** A LocalExecutor in a folder of its own, with storage in memory, that runs real commands. */
export class ExecutorFixture {
  readonly folder = mkdtempSync(join(tmpdir(), 'warren-executor-'));
  readonly #sandbox: (typeof SANDBOXES)[number];
  #blobs!: MemoryBlobStore;
  #cache!: FileCache;
  #executor!: LocalExecutor;
  #progress!: ExecutionProgress;

  private constructor(sandbox: (typeof SANDBOXES)[number]) {
    this.#sandbox = sandbox;
    chmodSync(this.folder, 0o755);
  }

  static async open(sandbox: (typeof SANDBOXES)[number]): Promise<ExecutorFixture> {
    const fixture = new ExecutorFixture(sandbox);
    await fixture.reopen({});
    return fixture;
  }

  get blobs(): MemoryBlobStore {
    return this.#blobs;
  }

  get executor(): LocalExecutor {
    return this.#executor;
  }

  /** What the executor has told of all that ran since it was opened. */
  get progress(): ExecutionProgress {
    return this.#progress;
  }

  /** Another executor on the same folder, with an empty storage. @param limits what differs from the defaults. */
  async reopen(limits: Partial<ExecutionLimits>): Promise<void> {
    const { folder } = this;
    this.#blobs = new MemoryBlobStore(1 << 28);
    this.#cache = new FileCache(join(folder, 'cache'), 1 << 28, this.#blobs, silentLogger);
    this.#cache.open();
    const folders = new WorkFolders(join(folder, 'work'), new RandomIdGenerator(), silentLogger);
    await folders.open();
    const { runner } = await chooseRunner(
      {
        sandbox: this.#sandbox,
        workFolder: folder,
        hiddenFolders: [folder],
        path: '/usr/bin:/bin',
        architecture: process.arch,
      },
      clock,
      never,
    );
    const stager = new InputStager(new DirectoryReader(this.#blobs), this.#cache);
    this.#executor = new LocalExecutor(
      this.#blobs,
      stager,
      this.#cache,
      folders,
      runner,
      new Semaphore(SLOTS),
      { ...DEFAULT_EXECUTION_LIMITS, ...limits },
      silentLogger,
    );
    this.#progress = new ExecutionProgress(clock, 'the-worker');
  }

  async close(): Promise<void> {
    await this.#executor.settled();
    this.#cache.close();
    rmSync(this.folder, { recursive: true, force: true });
  }

  async execute(description: ActionDescription, signal = never): Promise<ExecutionOutcome> {
    return this.#executor.execute(await buildAction(this.#blobs, description), undefined, this.#progress, signal);
  }

  /** How an action fails to be executed. @throws an Error when it does not. */
  failure(description: ActionDescription): Promise<StatusError> {
    return this.execute(description).then(
      () => Promise.reject(new Error('it went well')),
      (thrown: unknown) => StatusError.from(thrown),
    );
  }

  async read(wire: { hash: string; sizeBytes: bigint } | undefined): Promise<Buffer> {
    return Buffer.from(await this.#blobs.readWhole(digestFromWire(wire, SHA256, 'test'), never));
  }

  /** Empty directories that wait for an execution. */
  spareDirectories(): string[] {
    return readdirSync(join(this.folder, 'work/directories'));
  }

  /** Names of the folders that actions have, and of the one that is kept for the next. */
  workFolders(): string[] {
    return readdirSync(join(this.folder, 'work')).filter((name) => name !== 'directories');
  }
}

/** An action that runs a script. */
export function shell(script: string, rest: Omit<ActionDescription, 'arguments'> = {}): ActionDescription {
  return { arguments: ['sh', '-c', script], ...rest };
}

/** The part of an action that names its outputs. */
export function outputs(...outputPaths: string[]): Pick<ActionDescription, 'command'> {
  return { command: { outputPaths } };
}
