import { type Digest, digestKey } from '../../src/domain/digest.ts';
import type { ActionCacheStore } from '../../src/ports/action-cache-store.ts';

/** Results in a map, for tests of what stands on an ActionCacheStore. */
export class MapActionCacheStore implements ActionCacheStore {
  readonly entries = new Map<string, Uint8Array>();

  get(instanceName: string, actionDigest: Digest): Promise<Uint8Array | undefined> {
    return Promise.resolve(this.entries.get(`${instanceName} ${digestKey(actionDigest)}`));
  }

  put(instanceName: string, actionDigest: Digest, actionResult: Uint8Array): Promise<void> {
    this.entries.set(`${instanceName} ${digestKey(actionDigest)}`, actionResult);
    return Promise.resolve();
  }

  putFirst(instanceName: string, actionDigest: Digest, actionResult: Uint8Array): Promise<Uint8Array | undefined> {
    const key = `${instanceName} ${digestKey(actionDigest)}`;
    const before = this.entries.get(key);
    if (before === undefined) this.entries.set(key, actionResult);
    return Promise.resolve(before);
  }

  delete(instanceName: string, actionDigest: Digest): Promise<void> {
    this.entries.delete(`${instanceName} ${digestKey(actionDigest)}`);
    return Promise.resolve();
  }
}
