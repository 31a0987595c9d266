import { type FileHandle, open, rm } from 'node:fs/promises';
import type { Digest } from '../../../domain/digest.ts';
import { DigestVerifier } from '../../../domain/digest-verifier.ts';
import { syncData, writeAllAt } from '../../../lib/file-io.ts';
import type { BlobWriter } from '../../../ports/blob-writers.ts';
import { BlockChecksums } from './block-checksums.ts';

/** What waits or is being written; beyond it the sender has to wait. */
const PENDING_BYTES = 2 * 1024 * 1024;
/** Pieces that one write call takes. */
const PENDING_PIECES = 512;
/** A file is made only once so much has come: whoever names a large blob and sends nothing costs nothing. */
const FIRST_WRITE_BYTES = 128 * 1024;

/** What a writer needs of its store. */
export interface WriterHost {
  temporaryPath(): string;
  /** Takes room on the disk, as the record store does. */
  reserve(bytes: number): Promise<void> | undefined;
  unreserve(bytes: number): void;
  /** What a failure of the disk means to the caller. */
  failed(cause: unknown): Error;
  /** Stores a blob that came whole and was verified. */
  storeSmall(digest: Digest, data: Uint8Array): Promise<void>;
  /** Takes over a whole and verified file; the room that was reserved goes with it. */
  storeFile(digest: Digest, temporary: string): Promise<void>;
  readonly sync: boolean;
}

/** A small blob on its way: in memory, since it goes into a segment with others. */
export class SmallBlobWriter implements BlobWriter {
  readonly digest: Digest;
  readonly #host: WriterHost;
  readonly #verifier: DigestVerifier;
  #chunks: Uint8Array[] = [];

  constructor(digest: Digest, host: WriterHost) {
    this.digest = digest;
    this.#host = host;
    this.#verifier = new DigestVerifier(digest);
  }

  get receivedBytes(): number {
    return this.#verifier.receivedBytes;
  }

  async append(chunk: Uint8Array): Promise<void> {
    this.#verifier.update(chunk);
    this.#chunks.push(chunk);
  }

  commit(): Promise<void> {
    const [only] = this.#chunks;
    const data = this.#chunks.length === 1 && only !== undefined ? only : Buffer.concat(this.#chunks);
    this.#chunks = [];
    try {
      this.#verifier.finish();
    } catch (cause) {
      return Promise.reject(cause);
    }
    return this.#host.storeSmall(this.digest, data);
  }

  async abandon(): Promise<void> {
    this.#chunks = [];
  }
}

/**
 * A large blob on its way into a file of its own. While one write is under way the next pieces are hashed and gathered,
 * so that small messages make few calls and the disk is never idle.
 */
export class LargeBlobWriter implements BlobWriter {
  readonly digest: Digest;
  readonly #host: WriterHost;
  readonly #verifier: DigestVerifier;
  readonly #checksums: BlockChecksums;
  readonly #path: string;
  #handle: FileHandle | undefined;
  #pending: Uint8Array[] = [];
  #pendingBytes = 0;
  #writtenBytes = 0;
  #reservedBytes = 0;
  #writing: Promise<void> | undefined;
  #failure: { readonly reason: Error } | undefined;
  #done = false;

  constructor(digest: Digest, host: WriterHost) {
    this.digest = digest;
    this.#host = host;
    this.#verifier = new DigestVerifier(digest);
    this.#checksums = new BlockChecksums(digest.sizeBytes);
    this.#path = host.temporaryPath();
  }

  get receivedBytes(): number {
    return this.#verifier.receivedBytes;
  }

  async append(chunk: Uint8Array): Promise<void> {
    this.#verifier.update(chunk);
    this.#checksums.update(chunk);
    await this.#enqueue(chunk);
    const full = this.#pendingBytes >= PENDING_BYTES || this.#pending.length >= PENDING_PIECES;
    if (full || (this.#handle !== undefined && this.#writing === undefined)) this.#write();
    else if (this.#handle === undefined && this.#pendingBytes >= FIRST_WRITE_BYTES) this.#write();
    if (full) await this.#writing;
    this.#throwFailure();
  }

  async commit(): Promise<void> {
    this.#verifier.finish();
    await this.#enqueue(this.#checksums.trailer());
    this.#write();
    await this.#writing;
    this.#throwFailure();
    try {
      if (this.#host.sync && this.#handle !== undefined) await syncData(this.#handle.fd);
      await this.#close();
      await this.#host.storeFile(this.digest, this.#path);
      this.#done = true;
    } catch (cause) {
      throw this.#host.failed(cause);
    }
  }

  async abandon(): Promise<void> {
    if (this.#done) return;
    this.#done = true;
    this.#pending = [];
    await this.#writing;
    await this.#close().catch(() => {});
    await rm(this.#path, { force: true }).catch(() => {});
    this.#host.unreserve(this.#reservedBytes);
  }

  async #enqueue(piece: Uint8Array): Promise<void> {
    const room = this.#host.reserve(piece.byteLength);
    if (room !== undefined) await room;
    this.#reservedBytes += piece.byteLength;
    this.#pending.push(piece);
    this.#pendingBytes += piece.byteLength;
  }

  /** Writes what waits, and what comes meanwhile. */
  #write(): void {
    this.#writing ??= this.#drain()
      .catch((cause: unknown) => {
        this.#failure ??= { reason: this.#host.failed(cause) };
      })
      .finally(() => {
        this.#writing = undefined;
      });
  }

  async #drain(): Promise<void> {
    this.#handle ??= await open(this.#path, 'wx');
    while (this.#pending.length > 0) {
      const pieces = this.#pending.splice(0, 2 * PENDING_PIECES);
      const bytes = pieces.reduce((sum, each) => sum + each.byteLength, 0);
      await writeAllAt(this.#handle.fd, pieces, this.#writtenBytes);
      this.#writtenBytes += bytes;
      this.#pendingBytes -= bytes;
    }
  }

  async #close(): Promise<void> {
    const handle = this.#handle;
    this.#handle = undefined;
    await handle?.close();
  }

  #throwFailure(): void {
    if (this.#failure !== undefined) throw this.#failure.reason;
  }
}
