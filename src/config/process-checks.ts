import type { z } from 'zod';
import { type ActionCacheConfiguration, partsOfActionCache } from './action-cache-schema.ts';
import { defaultAssets } from './assets-schema.ts';
import { type BlobStoreConfiguration, partsOf } from './blob-storage-schema.ts';

/** What of a configuration decides whether several processes can serve it together. */
interface ProcessesConfiguration {
  readonly processes: number;
  readonly roles: readonly string[];
  readonly redis?: unknown;
  readonly rabbitmq?: unknown;
  readonly blobs: BlobStoreConfiguration;
  readonly actionCache: ActionCacheConfiguration;
  readonly assets?: { readonly kind: string } | undefined;
  readonly instances: ReadonlyArray<{
    readonly blobs?: BlobStoreConfiguration | undefined;
    readonly actionCache?: ActionCacheConfiguration | undefined;
  }>;
}

interface Unshared {
  readonly path: readonly PropertyKey[];
  readonly kind: string;
}

/** The roles that need nothing but storage. */
const STORAGE_ROLES: readonly string[] = ['cas', 'action-cache', 'asset'];

/** Refuses what only one process can have where there are to be several: each would see a farm of its own. */
export function checkProcesses(context: z.core.ParsePayload<ProcessesConfiguration>): void {
  const { processes, roles, redis, rabbitmq, assets, instances } = context.value;
  if (processes === 1) return;
  const refuse = (path: readonly PropertyKey[], message: string) =>
    context.issues.push({ code: 'custom', input: undefined, path: [...path], message });
  const schedules = roles.some((role) => !STORAGE_ROLES.includes(role));
  if (schedules && (redis === undefined || rabbitmq === undefined)) {
    refuse(
      ['processes'],
      `${processes} processes would each have jobs, bots and queues of their own: name redis and rabbitmq, which they ` +
        'share, or leave processes at 1',
    );
  }
  const unshared = [
    ...unsharedStorage(context.value, []),
    ...instances.flatMap((each, index) => unsharedStorage(each, ['instances', index])),
  ];
  const assetsKind = assets?.kind ?? defaultAssets(redis !== undefined).kind;
  if (roles.includes('asset') && isOfOneProcess(assetsKind)) {
    unshared.push({ path: ['assets', 'kind'], kind: assetsKind });
  }
  for (const { path, kind } of unshared) {
    refuse(
      path,
      `'${kind}' belongs to one process, and there are to be ${processes}: name a store that they share, such as 's3' or ` +
        "'redis', or the 'remote' of a storage server of one process, or leave processes at 1",
    );
  }
}

function isOfOneProcess(kind: string): boolean {
  return kind === 'disk' || kind === 'memory';
}

function unsharedStorage(
  { blobs, actionCache }: ProcessesConfiguration['instances'][number],
  path: readonly PropertyKey[],
): Unshared[] {
  return [
    ...(blobs === undefined ? [] : unsharedStores(blobs, partsOf, [...path, 'blobs'])),
    ...(actionCache === undefined ? [] : unsharedStores(actionCache, partsOfActionCache, [...path, 'actionCache'])),
  ];
}

function unsharedStores<Store extends BlobStoreConfiguration | ActionCacheConfiguration>(
  store: Store,
  parts: (store: Store) => ReadonlyArray<{ readonly path: readonly PropertyKey[]; readonly store: Store }>,
  path: readonly PropertyKey[],
): Unshared[] {
  if (isOfOneProcess(store.kind)) return [{ path: [...path, 'kind'], kind: store.kind }];
  if (store.kind === 'indexed' && isOfOneProcess(store.index.kind)) {
    return [{ path: [...path, 'index', 'kind'], kind: store.index.kind }];
  }
  return parts(store).flatMap((part) => {
    // Memory in front of a store that has everything is each process' own, and may be.
    const isCache =
      store.kind === 'tiered' && part.path[0] === 'fast' && !('mode' in store && store.mode === 'write-back');
    return isCache && part.store.kind === 'memory' ? [] : unsharedStores(part.store, parts, [...path, ...part.path]);
  });
}
