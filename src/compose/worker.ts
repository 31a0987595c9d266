import { mkdirSync, realpathSync } from 'node:fs';
import { GrpcBotsClient } from '../adapters/bots-client/grpc-bots-client.ts';
import type { GrpcChannel } from '../adapters/grpc-client/grpc-channel.ts';
import { GrpcLogStreamClient } from '../adapters/log-stream-client/grpc-log-stream-client.ts';
import { chooseRunner, type SandboxChoice } from '../adapters/runner/choose-runner.ts';
import { GrpcTreeClient } from '../adapters/tree-client/grpc-tree-client.ts';
import type { Clock } from '../lib/clock.ts';
import type { IdGenerator, Random } from '../lib/ids.ts';
import type { Logger } from '../lib/log.ts';
import type { BlobStore } from '../ports/blob-store.ts';
import { machineProperties } from '../worker/machine-properties.ts';
import { Worker, type WorkerOptions } from '../worker/worker.ts';

/** Settings of one worker, as an operator gives them. */
export interface WorkerSettings extends WorkerOptions {
  readonly sandbox: SandboxChoice;
  /** More folders that no action may see, such as the grid's data. Those that don't exist are passed over. */
  readonly hiddenFolders: readonly string[];
}

/** What of the process a worker stands on. */
export interface WorkerDependencies {
  /** The server, for its Bots service and its log streams. */
  readonly channel: GrpcChannel;
  /** The server's content addressable storage. */
  readonly blobs: BlobStore;
  readonly clock: Clock;
  readonly ids: IdGenerator;
  readonly random: Random;
  readonly logger: Logger;
  /** The machine, as Node tells it. */
  readonly machine: { readonly platform: string; readonly architecture: string; readonly path: string };
}

/** A worker that is ready to be started, with what an operator wants to know of it. */
export interface ComposedWorker {
  readonly worker: Worker;
  /** How actions are run: `bubblewrap` or `none`. */
  readonly sandbox: string;
  /** Why, in one sentence. */
  readonly reason: string;
}

/**
 * Builds the object graph of one worker; makes its folders, and tries out its sandbox.
 *
 * @throws FAILED_PRECONDITION when the sandbox that was demanded doesn't work here.
 */
export async function composeWorker(
  settings: WorkerSettings,
  dependencies: WorkerDependencies,
  signal: AbortSignal,
): Promise<ComposedWorker> {
  const { blobs, channel, clock, ids, logger, machine, random } = dependencies;
  for (const folder of [settings.workFolder, settings.cacheFolder]) {
    mkdirSync(folder, { recursive: true, mode: 0o755 });
  }
  const workFolder = realpathSync(settings.workFolder);
  const cacheFolder = realpathSync(settings.cacheFolder);
  const { runner, reason } = await chooseRunner(
    {
      sandbox: settings.sandbox,
      workFolder,
      hiddenFolders: [workFolder, cacheFolder, ...settings.hiddenFolders.flatMap(existing)],
      path: machine.path,
      architecture: machine.architecture,
    },
    clock,
    signal,
  );
  logger.info({ sandbox: runner.name }, reason);
  const worker = new Worker(
    {
      ...settings,
      workFolder,
      cacheFolder,
      properties: machineProperties(machine.platform, machine.architecture, settings.properties),
    },
    {
      bots: new GrpcBotsClient(channel, settings.botId),
      logStreams: new GrpcLogStreamClient(channel),
      blobs,
      trees: new GrpcTreeClient(channel, settings.instanceName),
      runner,
      clock,
      ids,
      random,
      logger,
    },
  );
  return { worker, sandbox: runner.name, reason };
}

function existing(folder: string): string[] {
  try {
    return [realpathSync(folder)];
  } catch {
    return [];
  }
}
