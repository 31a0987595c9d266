import { z } from 'zod';
import { diskActionCacheSchema } from '../adapters/action-cache/disk/disk-configuration.ts';
import {
  type ExpiringActionCacheConfiguration,
  expiringActionCacheSchema,
} from '../adapters/action-cache/expiring-configuration.ts';
import { memoryActionCacheSchema } from '../adapters/action-cache/memory/memory-configuration.ts';
import {
  type ReadOnlyActionCacheConfiguration,
  readOnlyActionCacheSchema,
} from '../adapters/action-cache/read-only-configuration.ts';
import { redisActionCacheSchema } from '../adapters/action-cache/redis/redis-configuration.ts';
import { remoteActionCacheSchema } from '../adapters/action-cache/remote/remote-configuration.ts';
import { s3ActionCacheSchema } from '../adapters/action-cache/s3/s3-configuration.ts';
import {
  type TieredActionCacheConfiguration,
  tieredActionCacheSchema,
} from '../adapters/action-cache/tiered-configuration.ts';
import {
  type WriteOnceActionCacheConfiguration,
  writeOnceActionCacheSchema,
} from '../adapters/action-cache/write-once-configuration.ts';

/** Where results of actions are kept: a store, or stores put together, to any depth. */
export type ActionCacheConfiguration =
  | z.output<typeof diskActionCacheSchema>
  | z.output<typeof memoryActionCacheSchema>
  | z.output<typeof redisActionCacheSchema>
  | z.output<typeof s3ActionCacheSchema>
  | z.output<typeof remoteActionCacheSchema>
  | TieredActionCacheConfiguration<ActionCacheConfiguration>
  | ReadOnlyActionCacheConfiguration<ActionCacheConfiguration>
  | WriteOnceActionCacheConfiguration<ActionCacheConfiguration>
  | ExpiringActionCacheConfiguration<ActionCacheConfiguration>;

const anyActionCache: z.ZodType<ActionCacheConfiguration> = z.lazy(() => actionCacheSchema);

/** Each adapter, composition and decorator brings its own piece. */
export const actionCacheSchema: z.ZodType<ActionCacheConfiguration> = z.discriminatedUnion('kind', [
  diskActionCacheSchema,
  memoryActionCacheSchema,
  redisActionCacheSchema,
  s3ActionCacheSchema,
  remoteActionCacheSchema,
  tieredActionCacheSchema(anyActionCache),
  readOnlyActionCacheSchema(anyActionCache),
  writeOnceActionCacheSchema(anyActionCache),
  expiringActionCacheSchema(anyActionCache).check(checkAgeIsKept),
]);

/** The action caches that another is put together from, each with its path in that one's configuration. */
export function partsOfActionCache(
  configuration: ActionCacheConfiguration,
): ReadonlyArray<{ readonly path: readonly PropertyKey[]; readonly store: ActionCacheConfiguration }> {
  switch (configuration.kind) {
    case 'disk':
    case 'memory':
    case 'redis':
    case 's3':
    case 'remote':
      return [];
    case 'tiered':
      return [
        { path: ['fast'], store: configuration.fast },
        { path: ['slow'], store: configuration.slow },
      ];
    case 'read-only':
    case 'write-once':
    case 'expiring':
      return [{ path: ['store'], store: configuration.store }];
  }
}

/** Whether an action cache keeps what it is given. */
export function keepsResults(configuration: ActionCacheConfiguration): boolean {
  if (configuration.kind === 'read-only') return false;
  // What the slow one does not take is not put into the fast one either.
  if (configuration.kind === 'tiered') return keepsResults(configuration.slow);
  return partsOfActionCache(configuration).every(({ store }) => keepsResults(store));
}

/** Another server decodes what it is given, and drops what it does not know. */
function checkAgeIsKept(
  context: z.core.ParsePayload<ExpiringActionCacheConfiguration<ActionCacheConfiguration>>,
): void {
  const hasRemote = (each: ActionCacheConfiguration): boolean =>
    each.kind === 'remote' || partsOfActionCache(each).some(({ store }) => hasRemote(store));
  if (!hasRemote(context.value.store)) return;
  context.issues.push({
    code: 'custom',
    input: context.value.store,
    path: ['store'],
    message: 'must not be on another server, which drops the age of a result; let that server forget what is old',
  });
}
