import type { BlobStoreCall } from '../adapters/blob/observed-blob-store.ts';
import type { BrokerObserver } from '../adapters/broker/observed-broker.ts';
import type { CallObserver } from '../server/call-observer.ts';
import type { FetchObserver } from '../services/fetch.ts';
import type { LogStreamObserver } from '../services/log-stream-transfers.ts';
import type { ActionCacheObserver } from './observed-action-results.ts';

/** Hears of all that happens in a replica. Must not throw. */
export interface ReplicaObserver
  extends CallObserver,
    ActionCacheObserver,
    BrokerObserver,
    StorageObserver,
    FetchObserver,
    LogStreamObserver {}

/** Hears of what happens to blobs. */
export interface StorageObserver {
  /** A call of the whole store, with all that it is put together from, has ended. */
  blobCalled(call: BlobStoreCall): void;
  /** Blobs made room for others. */
  blobsEvicted(blobs: number, bytes: number): void;
}

/** Tells several of everything. */
export function combineObservers(observers: readonly ReplicaObserver[]): ReplicaObserver {
  return {
    callStarted(path, peer) {
      const ended = observers.map((each) => each.callStarted(path, peer));
      return (outcome) => {
        for (const each of ended) each(outcome);
      };
    },
    actionCacheLookup(hit) {
      for (const each of observers) each.actionCacheLookup(hit);
    },
    jobChanged(event) {
      for (const each of observers) each.jobChanged(event);
    },
    deadLettered(letter) {
      for (const each of observers) each.deadLettered(letter);
    },
    blobCalled(call) {
      for (const each of observers) each.blobCalled(call);
    },
    blobsEvicted(blobs, bytes) {
      for (const each of observers) each.blobsEvicted(blobs, bytes);
    },
    assetFetched(kind, outcome) {
      for (const each of observers) each.assetFetched(kind, outcome);
    },
    logStreamMoved(operation, bytes) {
      for (const each of observers) each.logStreamMoved(operation, bytes);
    },
  };
}
