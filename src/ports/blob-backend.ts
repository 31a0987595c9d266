import type { BlobPins } from './blob-pins.ts';
import type { BlobStore } from './blob-store.ts';
import type { BlobWriters } from './blob-writers.ts';

/** All that services ask of storage; what decorators and compositions take and are. */
export interface BlobBackend extends BlobStore, BlobWriters, BlobPins {}
