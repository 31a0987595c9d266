import { createHash } from 'node:crypto';
import type { RedisConnection, ScriptReply } from '../../state/redis/redis-connection.ts';
import type { PartialUploads } from '../partial-uploads.ts';

export interface RedisPartialUploadsOptions {
  readonly connection: RedisConnection;
  /** Begins every key; without braces. */
  readonly keyPrefix: string;
  /** Milliseconds after which an upload that nobody goes on with is dropped. */
  readonly expiryMilliseconds: number;
  /** Bytes of one upload that are kept; of a larger one only the first so many can be passed over when it goes on. */
  readonly maximumUploadBytes: number;
  /** Greatest total of what is kept, in bytes; beyond it the oldest uploads are dropped. */
  readonly maximumBytes: number;
  /** Greatest number of uploads of which something is kept. */
  readonly maximumUploads: number;
  /** For tests: the time, in milliseconds, in place of Redis' own. */
  readonly now?: () => number;
}

/** Longer values keep Redis from serving others for longer. */
const PIECE_BYTES = 1024 * 1024;

/** What broken-off uploads have left, in Redis: each upload in a slot of its own, their sum in another. */
export class RedisPartialUploads implements PartialUploads {
  readonly #options: RedisPartialUploadsOptions;
  readonly #countKeys: readonly string[];

  constructor(options: RedisPartialUploadsOptions) {
    this.#options = options;
    this.#countKeys = ['grew', 'sizes', 'sum'].map((each) => `${options.keyPrefix}{uploads}:${each}`);
  }

  size(upload: string, signal: AbortSignal): Promise<number> {
    return this.#size(nameOf(upload), signal);
  }

  async append(upload: string, offset: number, bytes: Uint8Array, signal: AbortSignal): Promise<number> {
    const { connection, expiryMilliseconds, maximumUploadBytes } = this.#options;
    const name = nameOf(upload);
    let size = 0;
    for (let at = 0; at < bytes.byteLength; at += PIECE_BYTES) {
      const piece = bytes.subarray(at, at + PIECE_BYTES);
      const data = Buffer.from(piece.buffer, piece.byteOffset, piece.byteLength);
      const args = [this.#now, expiryMilliseconds, offset + at, data, maximumUploadBytes];
      size = Number(await connection.run('upload-append', this.#keysOf(name), args, signal));
      if (size < offset + at + piece.byteLength) break;
    }
    if (size > 0) await this.#count(name, size, signal);
    return size;
  }

  async *read(upload: string, signal: AbortSignal): AsyncGenerator<Uint8Array, void, undefined> {
    const keys = this.#keysOf(nameOf(upload));
    for (let number = 0; ; number++) {
      const piece = await this.#options.connection.run('upload-piece', keys, [this.#now, number], signal);
      if (!(piece instanceof Uint8Array)) return;
      yield piece;
    }
  }

  async drop(upload: string, signal: AbortSignal): Promise<void> {
    const name = nameOf(upload);
    const removed = await this.#options.connection.run('upload-drop', this.#keysOf(name), [], signal);
    if (removed !== 0) await this.#count(name, 0, signal);
  }

  /** Tells how much of an upload is kept; what is too much by that goes. */
  async #count(name: string, size: number, signal: AbortSignal): Promise<void> {
    const { connection, expiryMilliseconds, maximumBytes, maximumUploads } = this.#options;
    const args = [this.#now, expiryMilliseconds, name, size, maximumBytes, maximumUploads];
    const dropped = await connection.run('upload-count', this.#countKeys, args, signal);
    // A replica that ends in between leaves them to their expiry.
    await Promise.all(
      (dropped as readonly ScriptReply[]).map((each) =>
        connection.run('upload-drop', this.#keysOf(String(each)), [], signal),
      ),
    );
  }

  async #size(name: string, signal: AbortSignal): Promise<number> {
    return Number(await this.#options.connection.run('upload-size', this.#keysOf(name), [this.#now], signal));
  }

  #keysOf(name: string): readonly string[] {
    return ['meta', 'pieces'].map((each) => `${this.#options.keyPrefix}{upload ${name}}:${each}`);
  }

  get #now(): number | '' {
    return this.#options.now?.() ?? '';
  }
}

/** What clients name an upload may be long, and hold braces. */
function nameOf(upload: string): string {
  return createHash('sha256').update(upload).digest('hex');
}
