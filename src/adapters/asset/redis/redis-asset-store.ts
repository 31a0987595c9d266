import type { Asset, AssetKey } from '../../../domain/asset.ts';
import { SHARDS, shardOfHash } from '../../../domain/shard.ts';
import type { AssetStore } from '../../../ports/asset-store.ts';
import type { RedisConnection, ScriptArgument } from '../../state/redis/redis-connection.ts';
import { decodeAsset, encodeAsset } from '../asset-record.ts';

export interface RedisAssetStoreOptions {
  readonly connection: RedisConnection;
  /** Begins every key; without braces. */
  readonly keyPrefix: string;
  /** How many there may be in all; kept for each shard. */
  readonly maximumAssets: number;
  /** Milliseconds for which one is kept that nobody asks for. */
  readonly retention: number;
  /** For tests: the time, in milliseconds, in place of Redis' own. */
  readonly now?: () => number;
}

/** Assets in Redis: what one replica pushed, every other knows. Each key expires, and there is a bound on how many. */
export class RedisAssetStore implements AssetStore {
  readonly #options: RedisAssetStoreOptions;
  readonly #maximumOfShard: number;

  constructor(options: RedisAssetStoreOptions) {
    this.#options = options;
    this.#maximumOfShard = Math.max(1, Math.floor(options.maximumAssets / SHARDS.length));
  }

  async get(key: AssetKey, signal: AbortSignal): Promise<Asset | undefined> {
    const reply = await this.#run('asset-get', key, [], signal);
    return Buffer.isBuffer(reply) ? decodeAsset(reply) : undefined;
  }

  async put(key: AssetKey, asset: Asset, signal: AbortSignal): Promise<void> {
    const args = [encodeAsset(asset), asset.expiresAt ?? '', this.#maximumOfShard];
    await this.#run('asset-put', key, args, signal);
  }

  async delete(key: AssetKey, signal: AbortSignal): Promise<void> {
    await this.#run('asset-delete', key, [], signal);
  }

  #run(
    script: 'asset-get' | 'asset-put' | 'asset-delete',
    key: AssetKey,
    args: readonly ScriptArgument[],
    signal: AbortSignal,
  ) {
    const { connection, keyPrefix, retention, now } = this.#options;
    const stem = `${keyPrefix}{${shardOfHash(key)}}:`;
    const keys = [`${stem}asset:${key}`, `${stem}assets`];
    return connection.run(script, keys, [now?.() ?? '', Math.ceil(retention), ...args], signal);
  }
}
