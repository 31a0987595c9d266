import type { ReplicaConfiguration } from '../config/replica-configuration.ts';
import type { MaintainedStore } from '../ports/store-maintenance.ts';
import { Activity } from './activity.ts';
import type { StorageDependencies } from './blob-storage.ts';
import { openStorageBackend } from './storage-backend.ts';

/** The stores of a configuration, opened by a process that serves nobody. */
export interface OfflineStores {
  readonly maintained: readonly MaintainedStore[];
  close(): Promise<void>;
}

/** @throws DirectoryLockedError when a server has one of the folders; nothing is open then. */
export async function openOfflineStores(
  configuration: ReplicaConfiguration,
  dependencies: StorageDependencies,
  signal: AbortSignal,
): Promise<OfflineStores> {
  const observer = new Activity();
  const storesAlone = { ...configuration, roles: [] };
  const storage = await openStorageBackend(storesAlone, dependencies, observer, signal);
  return { maintained: storage.maintained, close: () => storage.close(AbortSignal.abort()) };
}
