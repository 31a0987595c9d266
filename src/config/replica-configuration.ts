import { resolve } from 'node:path';
import { z } from 'zod';
import { rabbitmqSchema } from '../adapters/broker/rabbitmq/rabbitmq-configuration.ts';
import { logStreamsSchema } from '../adapters/log-stream/log-streams-configuration.ts';
import { redisSchema } from '../adapters/state/redis/redis-configuration.ts';
import { uploadsSchema } from '../adapters/upload/uploads-configuration.ts';
import { problemOfInstanceName } from '../domain/instance-name.ts';
import { type ActionCacheConfiguration, actionCacheSchema, partsOfActionCache } from './action-cache-schema.ts';
import { assetsSchema } from './assets-schema.ts';
import { type BlobStoreConfiguration, blobStoreSchema, partsOf } from './blob-storage-schema.ts';
import { formatPath } from './configuration-error.ts';
import { consoleSchema } from './console-schema.ts';
import { checkProcesses } from './process-checks.ts';
import { platformSchema, schedulingSchema } from './scheduling-schema.ts';
import { serverSchema } from './server-schema.ts';
import { workerShape } from './worker-schema.ts';

/** What a replica may be; it may be several. */
export const ROLES = [
  'execution',
  'operations',
  'bots',
  'cas',
  'action-cache',
  'asset',
  'log-stream',
  'console',
] as const;

export type Role = (typeof ROLES)[number];

const instanceSchema = z.strictObject({
  name: z.string().check(checkName).describe('As clients give it, such as `main` or `teams/compiler`; may be empty.'),
  actionCacheUpdates: z
    .boolean()
    .default(true)
    .describe(
      'Whether clients may write results into the action cache; default true, unless the cache is read-only. Those of ' +
        'bots are kept in any case.',
    ),
  cacheFailedActions: z
    .boolean()
    .default(false)
    .describe(
      'Whether results with an exit code other than 0 that bots bring are kept as well; default false: clients expect a ' +
        'failed action to run again.',
    ),
  execution: z.boolean().default(true).describe('Whether actions are run for this instance; default true.'),
  blobs: blobStoreSchema
    .optional()
    .describe('Where the blobs of this instance are kept, with limits of its own; default where those of all are.'),
  actionCache: actionCacheSchema
    .optional()
    .describe('Where its results of actions are kept; default where those of all are.'),
});

/** A name that resource names can't hold would be served to nobody. */
function checkName(context: z.core.ParsePayload<string>): void {
  const message = problemOfInstanceName(context.value);
  if (message !== undefined) context.issues.push({ code: 'custom', input: context.value, message });
}

const limitsSchema = z
  .strictObject({
    maxBatchTotalBytes: z
      .int()
      .min(64 * 1024)
      .default(4 * 1024 * 1024 - 64 * 1024)
      .describe('Total size of the blobs of one batch, in bytes; advertised to clients; default 4 MiB - 64 KiB.'),
    maxBlobSizeBytes: z
      .int()
      .min(0)
      .default(0)
      .describe('The largest blob that may be uploaded, in bytes; advertised; default 0: no limit but the storage.'),
  })
  .prefault({});

/** More are a slip: a machine has no use for more than cores. */
const MAX_PROCESSES = 512;

const replicaShape = {
  roles: z
    .array(z.enum(ROLES))
    .min(1)
    .default([...ROLES])
    .describe('Which parts of the service this replica is; default all.'),
  advertisedRoles: z
    .array(z.enum(ROLES))
    .min(1)
    .optional()
    .describe(
      'Which parts Capabilities tells clients of; default `roles`. Where a load balancer sends each call to a replica ' +
        'that has the role for it, all replicas name the roles of the farm.',
    ),
  server: serverSchema,
  console: consoleSchema.optional(),
  instances: z
    .array(instanceSchema)
    .min(1)
    .default([{ name: '', actionCacheUpdates: true, cacheFailedActions: false, execution: true }])
    .describe('The name spaces that are served; default one, with the empty name.'),
  limits: limitsSchema,
  platform: platformSchema,
  scheduling: schedulingSchema,
  redis: redisSchema.optional(),
  rabbitmq: rabbitmqSchema.optional(),
  blobs: blobStoreSchema,
  actionCache: actionCacheSchema,
  assets: assetsSchema
    .optional()
    .describe(
      'Which content URIs stand for, for the role asset; default in Redis where that is configured, else in memory.',
    ),
  uploads: uploadsSchema,
  logStreams: logStreamsSchema,
};

/** All that `warren serve` is told. */
export const replicaSchema = z
  .strictObject({
    ...replicaShape,
    processes: z
      .int()
      .min(1)
      .max(MAX_PROCESSES)
      .default(1)
      .describe(
        'How many processes serve the port together, each a replica of its own; default 1. A process uses one core. ' +
          'They share nothing in memory: with more than one, storage, jobs and work must be shared, too.',
      ),
  })
  .check(checkReplica, checkProcesses);

export type ServeConfiguration = z.output<typeof replicaSchema>;

/** What one replica makes of that. */
export type ReplicaConfiguration = Omit<ServeConfiguration, 'processes'>;

/** The embedded grid: one replica with all roles, and a worker beside it. */
export const gridSchema = z
  .strictObject({
    ...replicaShape,
    worker: z.strictObject(workerShape).describe('The worker of the grid; works for `server.listen`.'),
  })
  .check(checkReplica)
  .check((context) => {
    const { worker, instances } = context.value;
    if (worker.slots === 0 || instances.some(({ name }) => name === worker.instance)) return;
    context.issues.push({
      code: 'custom',
      input: worker.instance,
      path: ['worker', 'instance'],
      message: `instance '${worker.instance}' is not among \`instances\``,
    });
  });

export type GridConfiguration = z.output<typeof gridSchema>;

/** Digests and framing of a batch of many small blobs. */
const BATCH_OVERHEAD_BYTES = 64 * 1024;

/** What needs RabbitMQ beside Redis where replicas share it; a replica that only stores does not. */
const SHARING_ROLES: ReadonlySet<Role> = new Set(['execution', 'operations', 'bots', 'log-stream', 'console']);

/** What holds between settings. */
function checkReplica(context: z.core.ParsePayload<z.output<z.ZodObject<typeof replicaShape>>>): void {
  const { roles, server, limits, instances, blobs, actionCache, assets, redis, rabbitmq } = context.value;
  if (context.value.console === undefined && roles.every((role) => role === 'console')) {
    context.issues.push({
      code: 'custom',
      input: undefined,
      path: ['console'],
      message:
        'is needed: with the role console alone nothing would be served; `console: {}` listens on 127.0.0.1:50052',
    });
  }
  const isSharing = roles.some((role) => SHARING_ROLES.has(role));
  if ((redis === undefined) !== (rabbitmq === undefined) && (isSharing || redis === undefined)) {
    const missing = redis === undefined ? 'redis' : 'rabbitmq';
    context.issues.push({
      code: 'custom',
      input: undefined,
      path: [missing],
      message: 'redis and rabbitmq go together: with neither, jobs and queues live in this one process',
    });
  }
  if (assets?.kind === 'redis' && redis === undefined) {
    context.issues.push({
      code: 'custom',
      input: undefined,
      path: ['redis'],
      message: 'is needed where assets are kept in Redis',
    });
  }
  if (server.maxReceiveMessageBytes < limits.maxBatchTotalBytes + BATCH_OVERHEAD_BYTES) {
    context.issues.push({
      code: 'custom',
      input: server.maxReceiveMessageBytes,
      path: ['server', 'maxReceiveMessageBytes'],
      message: `must be at least ${BATCH_OVERHEAD_BYTES} above limits.maxBatchTotalBytes (${limits.maxBatchTotalBytes})`,
    });
  }
  const folders = [
    ...foldersOf(blobs, partsOf, ['blobs']),
    ...foldersOf(actionCache, partsOfActionCache, ['actionCache']),
    ...instances.flatMap((each, index) => [
      ...(each.blobs === undefined ? [] : foldersOf(each.blobs, partsOf, ['instances', index, 'blobs'])),
      ...(each.actionCache === undefined
        ? []
        : foldersOf(each.actionCache, partsOfActionCache, ['instances', index, 'actionCache'])),
    ]),
  ];
  if (assets?.kind === 'disk') folders.push({ path: ['assets', 'directory'], folder: assets.directory });
  for (const [index, { path, folder }] of folders.entries()) {
    const first = folders.findIndex((each) => resolve(each.folder) === resolve(folder));
    if (first === index) continue;
    context.issues.push({
      code: 'custom',
      input: folder,
      path: [...path],
      message: `is the folder of ${formatPath(folders[first]?.path ?? [])}; each store needs its own`,
    });
  }
  const names = new Set<string>();
  for (const [index, { name }] of instances.entries()) {
    if (names.has(name)) {
      context.issues.push({
        code: 'custom',
        input: name,
        path: ['instances', index, 'name'],
        message: `instance '${name}' comes twice`,
      });
    }
    names.add(name);
  }
}

interface Folder {
  readonly path: readonly PropertyKey[];
  readonly folder: string;
}

/** The folders of a store and of all its parts. */
function foldersOf<Store extends BlobStoreConfiguration | ActionCacheConfiguration>(
  store: Store,
  parts: (store: Store) => ReadonlyArray<{ readonly path: readonly PropertyKey[]; readonly store: Store }>,
  path: readonly PropertyKey[],
): Folder[] {
  if (store.kind === 'disk') return [{ path: [...path, 'directory'], folder: store.directory }];
  return parts(store).flatMap((part) => foldersOf(part.store, parts, [...path, ...part.path]));
}
