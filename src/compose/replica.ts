import { logVerbosity, setLogVerbosity } from '@grpc/grpc-js';
import type { ReplicaConfiguration } from '../config/replica-configuration.ts';
import type { ServerConfiguration } from '../config/server-schema.ts';
import { Metrics } from '../console/metrics.ts';
import type { Compressor } from '../domain/compressor.ts';
import { brotli } from '../lib/brotli.ts';
import type { Clock } from '../lib/clock.ts';
import type { Compression } from '../lib/compression.ts';
import { deflate } from '../lib/deflate.ts';
import type { IdGenerator, Random } from '../lib/ids.ts';
import { type Service, ServiceGroup } from '../lib/lifecycle.ts';
import type { Logger } from '../lib/log.ts';
import { loadZstd } from '../lib/zstd.ts';
import type { JobCounts } from '../ports/job-store.ts';
import { HealthService } from '../proto/grpc/health/v1/health.ts';
import { AccessRules } from '../server/access-rules.ts';
import { Health } from '../server/health.ts';
import { addReflection } from '../server/reflection.ts';
import { RpcServer, type RpcServerOptions } from '../server/rpc-server.ts';
import { LogStreamNames } from '../services/log-stream-names.ts';
import { PlatformRules } from '../services/platform-rules.ts';
import { Redelivery, type RedeliveryOptions } from '../services/redelivery.ts';
import { composeConsole } from './console.ts';
import type { MetricsExchange } from './metrics-exchange.ts';
import { combineObservers, type ReplicaObserver } from './replica-observer.ts';
import { composeScheduling } from './scheduling.ts';
import { servicesOfRoles } from './served-services.ts';
import { openServerCertificates } from './server-tls.ts';
import { openStorageBackend } from './storage-backend.ts';

/** What of the process a replica stands on. */
export interface ReplicaDependencies {
  readonly clock: Clock;
  readonly ids: IdGenerator;
  readonly random: Random;
  readonly logger: Logger;
  readonly observer: ReplicaObserver;
  /** Path of a Unix socket to listen on, too, for a worker on this machine. Defaults to none. */
  readonly privateSocket?: string | undefined;
  /** Where several processes share the port. */
  readonly metricsExchange?: MetricsExchange | undefined;
}

/** One server process with the roles of its configuration. Stopping it drains it. */
export interface Replica extends Service {
  /** What it listens on, once started. */
  readonly port: number;
  /** Where the console listens, once started; undefined where there is none. */
  readonly consolePort: number | undefined;
  /** Bytes of blobs stored now on this machine, of at most `maximumBytes`. */
  storedBytes(): number;
  readonly maximumBytes: number;
  countJobs(signal: AbortSignal): Promise<JobCounts>;
}

/** How soon a caller that was turned away by the drain should come again, in milliseconds: another replica is up. */
const DRAIN_RETRY_DELAY_MS = 100;

/**
 * Builds the object graph of one replica, and opens its storage. It listens once it is started; stop it even where the
 * start failed.
 *
 * @throws DirectoryLockedError when another process has one of its folders; ConfigurationError and TlsFilesError for
 * files that it names.
 */
export async function composeReplica(
  configuration: ReplicaConfiguration,
  dependencies: ReplicaDependencies,
  signal: AbortSignal,
): Promise<Replica> {
  const { clock, ids, logger } = dependencies;
  const metrics = configuration.console === undefined ? undefined : new Metrics();
  const observer = metrics === undefined ? dependencies.observer : combineObservers([dependencies.observer, metrics]);
  // What it prints to the console, past any log, is in the errors that it gives us, too.
  setLogVerbosity(logVerbosity.NONE);
  // First: what can't be read keeps nothing else open.
  const certificates = await openServerCertificates(configuration.server, clock, logger);
  const storage = await openStorageBackend(configuration, dependencies, observer, signal);
  const { instances, assets, maintained } = storage;
  const scheduling = await composeScheduling(configuration, dependencies, observer);
  const { scheduler, logStreams } = scheduling;
  const logStreamNames = new LogStreamNames({ store: logStreams, ids, clock, logger });
  const compressions = await loadCompressions();
  const served = servicesOfRoles(configuration, {
    instances,
    assets,
    maintained,
    scheduler,
    compressions,
    logStreams,
    logStreamNames,
    observer,
    clock,
    ids,
    logger,
  });
  const names = served.map(({ name }) => name);
  const health = new Health(names);
  const server = new RpcServer(
    {
      ...serverOptions(configuration.server),
      credentials: certificates?.credentials,
      privateSocket: dependencies.privateSocket,
      access: configuration.server.access === undefined ? undefined : new AccessRules(configuration.server.access),
    },
    clock,
    logger,
    observer,
  );
  for (const each of served) each.register(server);
  server.register(HealthService, health);
  addReflection(server, [...names, 'grpc.health.v1.Health'], logger);
  const console =
    configuration.console === undefined || metrics === undefined
      ? undefined
      : composeConsole(configuration.console, {
          roles: configuration.roles,
          scheduler,
          storage,
          connections: scheduling.connections,
          metrics,
          exchange: dependencies.metricsExchange,
          isReady: () => health.isServing,
          clock,
          logger,
        });
  const group = new ServiceGroup('replica', [
    // From the first to the last moment, so that whoever looks sees it start and drain.
    ...(console === undefined ? [] : [console]),
    ...scheduling.services,
    ...redeliveryOf(configuration, { instances, scheduler, clock, logger }),
    ...(assets?.services ?? []),
    logStreamNames,
    ...(certificates === undefined ? [] : [certificates]),
    server,
    { name: 'health', start: async () => health.serve(), stop: async () => health.drain() },
  ]);
  let closing: Promise<void> | undefined;
  return {
    name: group.name,
    start: (signal) => group.start(signal),
    async stop(force) {
      try {
        await group.stop(force);
      } finally {
        closing ??= storage.close(force);
        await closing;
      }
    },
    get port() {
      return server.port;
    },
    get consolePort() {
      return console?.port;
    },
    storedBytes: () => storage.storedBytes(),
    maximumBytes: storage.maximumBytes,
    countJobs: (signal) => scheduler.jobs.count(signal),
  };
}

/** Executes dead letters again, on replicas that execute. */
function redeliveryOf({ roles, platform }: ReplicaConfiguration, options: RedeliveryOptions): readonly Service[] {
  if (!roles.includes('execution')) return [];
  return [new Redelivery({ ...options, platformRules: new PlatformRules(platform) })];
}

async function loadCompressions(): Promise<ReadonlyMap<Compressor, Compression>> {
  const compressions = new Map<Compressor, Compression>();
  const zstd = await loadZstd();
  if (zstd !== undefined) compressions.set('zstd', zstd);
  return compressions.set('deflate', deflate).set('brotli', brotli);
}

function serverOptions(configuration: ServerConfiguration): RpcServerOptions {
  return {
    address: configuration.listen,
    maxReceiveMessageBytes: configuration.maxReceiveMessageBytes,
    flowControl: {
      streamWindowBytes: configuration.streamWindowBytes,
      connectionWindowBytes: configuration.connectionWindowBytes,
    },
    keepaliveTimeMilliseconds: configuration.keepaliveTimeSeconds * 1_000,
    keepaliveTimeoutMilliseconds: configuration.keepaliveTimeoutSeconds * 1_000,
    maxConnectionAgeMilliseconds:
      configuration.maxConnectionAgeSeconds === undefined ? undefined : configuration.maxConnectionAgeSeconds * 1_000,
    retryDelayMilliseconds: DRAIN_RETRY_DELAY_MS,
  };
}
