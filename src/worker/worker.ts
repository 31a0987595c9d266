import { mkdirSync } from 'node:fs';
import type { Property } from '../domain/platform.ts';
import type { Clock } from '../lib/clock.ts';
import type { IdGenerator, Random } from '../lib/ids.ts';
import type { Service } from '../lib/lifecycle.ts';
import type { Logger } from '../lib/log.ts';
import { Semaphore } from '../lib/semaphore.ts';
import { VERSION } from '../lib/version.ts';
import type { BlobStore } from '../ports/blob-store.ts';
import type { BotsClient } from '../ports/bots-client.ts';
import type { LogStreamClient } from '../ports/log-stream-client.ts';
import type { Runner } from '../ports/runner.ts';
import type { TreeClient } from '../ports/tree-client.ts';
import { BotSession } from './bot-session.ts';
import { DirectoryReader } from './directory-reader.ts';
import { FileCache } from './file-cache.ts';
import { HeldLeases } from './held-leases.ts';
import { InputStager } from './input-stager.ts';
import { LeaseRunner } from './lease-runner.ts';
import { LiveLogs } from './live-log.ts';
import { type ExecutionLimits, LocalExecutor } from './local-executor.ts';
import { WorkFolders } from './work-folders.ts';

/** Settings of one worker. */
export interface WorkerOptions {
  /** The instance that it works for. */
  readonly instanceName: string;
  /** Names the bot; the same after each restart, so that a session that a crash left behind ends at once. */
  readonly botId: string;
  /** Commands that run at once. */
  readonly slots: number;
  /** Leases beyond the slots, whose inputs are fetched while all slots run, so that none stands idle in between. */
  readonly prefetch: number;
  /** What it offers: `machineProperties`, and what the operator adds. */
  readonly properties: readonly Property[];
  /** Folder of executions. Its own, and on one file system with `cacheFolder`, so that inputs need not be copied. */
  readonly workFolder: string;
  /** Folder of the file cache. Its own. */
  readonly cacheFolder: string;
  /** Bytes that the file cache keeps. */
  readonly maxCacheBytes: number;
  readonly limits: ExecutionLimits;
}

/** What holds where the operator says nothing. */
export const DEFAULT_EXECUTION_LIMITS: ExecutionLimits = {
  defaultTimeoutMilliseconds: 3_600_000,
  maxTimeoutMilliseconds: 24 * 3_600_000,
  maxLogBytes: 64 * 1024 * 1024,
  maxInlineLogBytes: 16 * 1024,
  maxBytes: 16 * 1024 ** 3,
  maxNodes: 1_000_000,
  minFreeBytes: 64 * 1024 * 1024,
  network: false,
};

/** What a worker stands on. */
export interface WorkerPorts {
  readonly bots: BotsClient;
  readonly blobs: BlobStore;
  readonly trees: TreeClient;
  /** Takes what actions print while they run. */
  readonly logStreams: LogStreamClient;
  readonly runner: Runner;
  readonly clock: Clock;
  readonly ids: IdGenerator;
  readonly random: Random;
  readonly logger: Logger;
}

/**
 * A worker: a bot that takes leases from one server and runs their actions on this machine.
 *
 * `stop` drains it: what runs is finished and reported, nothing new is taken; forced, it kills what runs, and the
 * server gives it to others.
 */
export class Worker implements Service {
  readonly name = 'worker';
  readonly #options: WorkerOptions;
  readonly #logger: Logger;
  readonly #cache: FileCache;
  readonly #folders: WorkFolders;
  readonly #liveLogs: LiveLogs;
  readonly #executor: LocalExecutor;
  readonly #leases: HeldLeases;
  readonly #session: BotSession;
  readonly #kill = new AbortController();
  #running: Promise<void> = Promise.resolve();

  constructor(options: WorkerOptions, ports: WorkerPorts) {
    const { blobs, clock, ids, logger, runner } = ports;
    this.#options = options;
    this.#logger = logger;
    this.#cache = new FileCache(options.cacheFolder, options.maxCacheBytes, blobs, logger);
    this.#folders = new WorkFolders(options.workFolder, ids, logger);
    const capacity = options.slots + options.prefetch;
    const slots = new Semaphore(options.slots);
    const stager = new InputStager(new DirectoryReader(blobs, ports.trees), this.#cache);
    this.#liveLogs = new LiveLogs(ports.logStreams, clock, logger);
    this.#executor = new LocalExecutor(
      blobs,
      stager,
      this.#cache,
      this.#folders,
      runner,
      slots,
      options.limits,
      logger,
      this.#liveLogs,
    );
    const leaseRunner = new LeaseRunner(this.#executor, blobs, clock, options.botId, logger);
    this.#leases = new HeldLeases(leaseRunner, capacity, clock, logger);
    const identity = {
      parent: options.instanceName,
      botId: options.botId,
      properties: options.properties,
      capacity,
      version: `warren/${VERSION}`,
      healthy: () => this.#hasRoom(),
    };
    this.#session = new BotSession(ports.bots, identity, this.#leases, clock, ports.random, logger);
  }

  /** Leases that it has right now. */
  get leases(): number {
    return this.#leases.size;
  }

  /** Takes stock of its folders, and begins to ask for work. Does not wait for the server to be there. */
  async start(_signal: AbortSignal): Promise<void> {
    mkdirSync(this.#options.cacheFolder, { recursive: true, mode: 0o755 });
    this.#cache.open();
    await this.#folders.open();
    this.#running = this.#session.run(this.#kill.signal).catch((thrown: unknown) => {
      this.#logger.error({ err: thrown }, 'the bot session has failed');
    });
  }

  /** A cache that has filled the disk gives way first. */
  #hasRoom(): boolean {
    const { minFreeBytes } = this.#options.limits;
    const lack = minFreeBytes - this.#folders.freeBytes();
    if (lack <= 0) return true;
    this.#cache.shed(lack + minFreeBytes);
    return this.#folders.freeBytes() >= minFreeBytes;
  }

  async stop(force: AbortSignal): Promise<void> {
    this.#session.drain();
    const kill = () => {
      this.#kill.abort(force.reason);
      this.#liveLogs.close();
    };
    if (force.aborted) kill();
    else force.addEventListener('abort', kill, { once: true });
    try {
      await this.#running;
      await this.#executor.settled();
    } finally {
      force.removeEventListener('abort', kill);
      this.#cache.close();
    }
  }
}
