import type { BlobStore } from '../../src/ports/blob-store.ts';
import type { Instance } from '../../src/services/instances.ts';

const UNUSED = new Proxy(
  {},
  {
    get() {
      throw new Error('this part of the instance is not set up in this test');
    },
  },
) as never;

/** An instance of which a test sets up only what it needs; whatever else is touched fails the test. */
export function testInstance(blobs: BlobStore, parts: Partial<Instance> = {}): Instance {
  return {
    name: 'main',
    blobs,
    pins: { pin() {}, unpin() {} },
    uploads: UNUSED,
    actionResults: UNUSED,
    actionCacheUpdateEnabled: true,
    cacheFailedActions: false,
    executionEnabled: true,
    ...parts,
  };
}
