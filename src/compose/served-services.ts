import type { ReplicaConfiguration, Role } from '../config/replica-configuration.ts';
import type { Compressor } from '../domain/compressor.ts';
import type { Clock } from '../lib/clock.ts';
import type { Compression } from '../lib/compression.ts';
import type { IdGenerator } from '../lib/ids.ts';
import type { Logger } from '../lib/log.ts';
import type { LogStreamStore } from '../ports/log-stream-store.ts';
import type { MaintainedStore } from '../ports/store-maintenance.ts';
import { FetchService, PushService } from '../proto/build/bazel/remote/asset/v1/remote_asset.ts';
import {
  ActionCacheService,
  CapabilitiesService,
  ContentAddressableStorageService,
  ExecutionService,
} from '../proto/build/bazel/remote/execution/v2/remote_execution.ts';
import { LogStreamServiceService } from '../proto/build/bazel/remote/logstream/v1/remote_logstream.ts';
import { BotsService } from '../proto/google/devtools/remoteworkers/v1test2/bots.ts';
import { OperationsService } from '../proto/google/longrunning/operations.ts';
import { AdministrationService } from '../proto/warren/v1/administration.ts';
import { IntrospectionService } from '../proto/warren/v1/introspection.ts';
import { StorageService } from '../proto/warren/v1/storage.ts';
import type { Scheduler } from '../scheduling/scheduler.ts';
import type { ServiceDefinition, ServiceImplementation } from '../server/method-table.ts';
import type { RpcServer } from '../server/rpc-server.ts';
import { ActionCache } from '../services/action-cache.ts';
import { Administration } from '../services/administration.ts';
import { Bots } from '../services/bots.ts';
import { ByteStream } from '../services/byte-stream.ts';
import { Capabilities, type PriorityRange } from '../services/capabilities.ts';
import { ContentAddressableStorage } from '../services/content-addressable-storage.ts';
import { Execution } from '../services/execution.ts';
import { Fetch } from '../services/fetch.ts';
import type { Instances } from '../services/instances.ts';
import { Introspection } from '../services/introspection.ts';
import { LogStream } from '../services/log-stream.ts';
import type { LogStreamNames } from '../services/log-stream-names.ts';
import { LogStreamTransfers } from '../services/log-stream-transfers.ts';
import { Operations } from '../services/operations.ts';
import { PlatformRules } from '../services/platform-rules.ts';
import { Push } from '../services/push.ts';
import { Storage } from '../services/storage.ts';
import { FastByteStreamService } from '../wire/byte-stream-codec.ts';
import { NODE_PROPERTIES } from '../wire/command.ts';
import type { AssetBackend } from './assets.ts';
import type { ReplicaObserver } from './replica-observer.ts';

/** A service with the name under which it is known, ready to be registered. */
export interface ServedService {
  /** As in `grpc.health.v1` and reflection: `google.bytestream.ByteStream`. */
  readonly name: string;
  register(server: RpcServer): void;
}

/** What the services of a replica stand on. */
export interface ServedServicesDependencies {
  readonly instances: Instances;
  /** Undefined where the replica has no part in them. */
  readonly assets: AssetBackend | undefined;
  readonly maintained: readonly MaintainedStore[];
  readonly scheduler: Scheduler;
  readonly compressions: ReadonlyMap<Compressor, Compression>;
  readonly logStreams: LogStreamStore;
  readonly logStreamNames: LogStreamNames;
  readonly observer: ReplicaObserver;
  readonly clock: Clock;
  readonly ids: IdGenerator;
  readonly logger: Logger;
}

/** REAPI priorities are 32-bit; all of them make a difference in process. */
const ALL_PRIORITIES = { lowest: -(2 ** 31), highest: 2 ** 31 - 1 };

/** Priorities that make a difference. Quorum queues run work in order of arrival: clients had better send none. */
export function executionPriorities(rabbitmq: ReplicaConfiguration['rabbitmq']): PriorityRange {
  return rabbitmq?.queueType === 'quorum' ? { lowest: 0, highest: 0 } : ALL_PRIORITIES;
}

/** The services of the roles that a replica has. */
export function servicesOfRoles(
  { roles, advertisedRoles = roles, limits, platform, redis, rabbitmq, logStreams }: ReplicaConfiguration,
  dependencies: ServedServicesDependencies,
): ServedService[] {
  const { instances, assets, scheduler, compressions, clock, ids, logger, logStreamNames, observer } = dependencies;
  const is = (role: Role) => roles.includes(role);
  const isAdvertised = (role: Role) => advertisedRoles.includes(role);
  const capabilities = new Capabilities(instances, {
    ...limits,
    compressors: [...compressions.keys()],
    cacheServed: isAdvertised('cas') || isAdvertised('action-cache'),
    executionServed: isAdvertised('execution'),
    executionPriorities: executionPriorities(rabbitmq),
    nodeProperties: NODE_PROPERTIES,
  });
  const services = [serve(CapabilitiesService, capabilities)];
  if (is('cas')) {
    const storage = new ContentAddressableStorage(instances, logger, { ...limits, compressions });
    services.push(serve(ContentAddressableStorageService, storage));
  }
  const streams = { instances, store: dependencies.logStreams, names: logStreamNames };
  if (is('cas') || is('log-stream')) {
    const byteStream = new ByteStream(instances, {
      ...limits,
      compressions,
      blobsServed: is('cas'),
      logStreams: is('log-stream') ? new LogStreamTransfers({ ...streams, jobs: scheduler.jobs, observer }) : undefined,
    });
    services.push(serve(FastByteStreamService, byteStream));
  }
  if (is('log-stream')) services.push(serve(LogStreamServiceService, new LogStream({ ...streams, ids })));
  if (is('action-cache')) services.push(serve(ActionCacheService, new ActionCache(instances)));
  if (is('cas') || is('action-cache')) services.push(serve(StorageService, new Storage(dependencies.maintained)));
  // Where replicas share their state another one may serve what is named here.
  const areNamed = logStreams.actions && (is('log-stream') || redis !== undefined);
  const options = { instances, scheduler, logger, logStreamNames: areNamed ? logStreamNames : undefined };
  if (is('execution')) {
    services.push(
      serve(ExecutionService, new Execution({ ...options, clock, platformRules: new PlatformRules(platform) })),
    );
  }
  if (is('operations')) {
    services.push(
      serve(OperationsService, new Operations(options)),
      serve(AdministrationService, new Administration(options)),
      serve(IntrospectionService, new Introspection({ instances, sessions: scheduler.sessions })),
    );
  }
  if (is('bots')) services.push(serve(BotsService, new Bots(options)));
  if (assets !== undefined) {
    const { origins, pushesAllowed: allowed } = assets;
    const common = { instances, assets: assets.assets };
    services.push(
      serve(FetchService, new Fetch({ ...common, origins, observer })),
      serve(PushService, new Push({ ...common, clock, allowed })),
    );
  }
  return services;
}

function serve<Definition extends ServiceDefinition>(
  definition: Definition,
  implementation: ServiceImplementation<Definition>,
): ServedService {
  const [path] = Object.values(definition).map((method) => method.path);
  return {
    name: path?.split('/')[1] ?? '',
    register: (server) => server.register(definition, implementation),
  };
}
