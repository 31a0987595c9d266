import type { Digest } from '../../domain/digest.ts';
import type { Clock } from '../../lib/clock.ts';
import type { ActionCacheStore } from '../../ports/action-cache-store.ts';

/**
 * How a stored result ends: the tag of a field with the highest number there is, which ActionResult will never have, as a
 * fixed64, and the milliseconds since the epoch in it. Whoever decodes the message skips it.
 */
const TAG = Buffer.from([0xf9, 0xff, 0xff, 0xff, 0x0f]);
const STAMP_BYTES = TAG.byteLength + 8;

/**
 * An action cache whose results count as missing once they are old, however often they are used: for toolchains that
 * are not wholly described by their inputs.
 *
 * When a result was stored stands in it. One without that, from before this was configured, counts as old.
 */
export class ExpiringActionCacheStore implements ActionCacheStore {
  readonly #inner: ActionCacheStore;
  readonly #clock: Clock;
  readonly #maximumAge: number;

  /** @param maximumAge milliseconds. */
  constructor(inner: ActionCacheStore, clock: Clock, maximumAge: number) {
    this.#inner = inner;
    this.#clock = clock;
    this.#maximumAge = maximumAge;
  }

  async get(instanceName: string, actionDigest: Digest, signal: AbortSignal): Promise<Uint8Array | undefined> {
    return this.#fresh(await this.#inner.get(instanceName, actionDigest, signal));
  }

  put(instanceName: string, actionDigest: Digest, actionResult: Uint8Array, signal: AbortSignal): Promise<void> {
    return this.#inner.put(instanceName, actionDigest, this.#stamp(actionResult), signal);
  }

  /** Of callers who find the same old result at once, the last one's stands. */
  async putFirst(
    instanceName: string,
    actionDigest: Digest,
    actionResult: Uint8Array,
    signal: AbortSignal,
  ): Promise<Uint8Array | undefined> {
    const stamped = this.#stamp(actionResult);
    const before = await this.#inner.putFirst(instanceName, actionDigest, stamped, signal);
    const fresh = this.#fresh(before);
    if (before !== undefined && fresh === undefined) await this.#inner.put(instanceName, actionDigest, stamped, signal);
    return fresh;
  }

  delete(instanceName: string, actionDigest: Digest, signal: AbortSignal): Promise<void> {
    return this.#inner.delete(instanceName, actionDigest, signal);
  }

  #stamp(actionResult: Uint8Array): Uint8Array {
    const stamp = Buffer.alloc(STAMP_BYTES);
    TAG.copy(stamp);
    stamp.writeBigUInt64LE(BigInt(Math.floor(this.#clock.now())), TAG.byteLength);
    return Buffer.concat([actionResult, stamp]);
  }

  /** A result without its stamp; undefined where it is old, or there is none. */
  #fresh(stamped: Uint8Array | undefined): Uint8Array | undefined {
    const storedAt = stamped === undefined ? undefined : readStamp(stamped);
    if (storedAt === undefined || this.#clock.now() - storedAt >= this.#maximumAge) return undefined;
    return stamped?.subarray(0, stamped.byteLength - STAMP_BYTES);
  }
}

function readStamp(stamped: Uint8Array): number | undefined {
  const stamp = Buffer.from(stamped.buffer, stamped.byteOffset, stamped.byteLength).subarray(-STAMP_BYTES);
  if (stamp.byteLength < STAMP_BYTES || !stamp.subarray(0, TAG.byteLength).equals(TAG)) return undefined;
  return Number(stamp.readBigUInt64LE(TAG.byteLength));
}
