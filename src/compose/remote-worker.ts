import { createHash } from 'node:crypto';
import { hostname } from 'node:os';
import { join } from 'node:path';
import { RemoteBlobStore } from '../adapters/blob/remote/remote-blob-store.ts';
import { parseEndpoint } from '../adapters/grpc-client/endpoint.ts';
import { GrpcChannel } from '../adapters/grpc-client/grpc-channel.ts';
import { Retrier } from '../adapters/grpc-client/retrier.ts';
import type { WorkerConfiguration } from '../config/worker-schema.ts';
import type { Clock } from '../lib/clock.ts';
import type { IdGenerator, Random } from '../lib/ids.ts';
import type { Service } from '../lib/lifecycle.ts';
import type { Logger } from '../lib/log.ts';
import { readTlsFiles } from '../lib/tls-files.ts';
import { DEFAULT_EXECUTION_LIMITS } from '../worker/worker.ts';
import { composeWorker, type WorkerSettings } from './worker.ts';

/** What of the process a worker stands on. */
export interface RemoteWorkerDependencies {
  readonly clock: Clock;
  readonly ids: IdGenerator;
  readonly random: Random;
  readonly logger: Logger;
  /** The machine, as Node tells it. */
  readonly machine: { readonly platform: string; readonly architecture: string; readonly path: string };
}

/**
 * A worker with its connection to the server that its configuration names.
 *
 * @throws FAILED_PRECONDITION when the sandbox that was demanded does not work here; INVALID_ARGUMENT for a bad address;
 * TlsFilesError.
 */
export async function composeRemoteWorker(
  configuration: WorkerConfiguration,
  dependencies: RemoteWorkerDependencies,
  signal: AbortSignal,
): Promise<Service> {
  const { clock, ids, random } = dependencies;
  const channel = new GrpcChannel({
    endpoint: parseEndpoint(configuration.remote),
    clock,
    tls: await readTlsFiles(configuration.tls ?? {}),
  });
  const blobs = new RemoteBlobStore({
    channel,
    instanceName: configuration.instance,
    retrier: new Retrier({ clock, random }),
    ids,
  });
  const { worker } = await composeWorker(settingsOf(configuration), { ...dependencies, channel, blobs }, signal);
  return {
    name: worker.name,
    start: (signal) => worker.start(signal),
    async stop(force) {
      await worker.stop(force);
      channel.close();
    },
  };
}

function settingsOf(configuration: WorkerConfiguration): WorkerSettings {
  const { directory } = configuration;
  return {
    instanceName: configuration.instance,
    botId: configuration.botId ?? `${hostname()}-${shortHash(directory)}`,
    slots: configuration.slots,
    prefetch: configuration.prefetch,
    properties: configuration.properties,
    workFolder: join(directory, 'work'),
    cacheFolder: join(directory, 'inputs'),
    hiddenFolders: configuration.hiddenFolders,
    sandbox: configuration.sandbox,
    maxCacheBytes: configuration.maxCacheBytes,
    limits: {
      ...DEFAULT_EXECUTION_LIMITS,
      defaultTimeoutMilliseconds: configuration.defaultTimeoutSeconds * 1_000,
      maxTimeoutMilliseconds: configuration.maxTimeoutSeconds * 1_000,
      maxLogBytes: configuration.maxLogBytes,
      maxBytes: configuration.maxOutputBytes,
      maxNodes: configuration.maxOutputNodes,
      network: configuration.network,
    },
  };
}

function shortHash(text: string): string {
  return createHash('sha256').update(text).digest('hex').slice(0, 8);
}
