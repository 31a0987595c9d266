import type * as S3Sdk from '@aws-sdk/client-s3';
import { StatusCode } from '../../domain/status-code.ts';
import { StatusError, unavailable } from '../../domain/status-error.ts';
import { raceSignal } from '../../lib/abort.ts';
import { Semaphore } from '../../lib/semaphore.ts';
import { isBehindEnd, isNotImplemented, isNotThere, isTaken, statusOfS3Error } from './s3-error.ts';
import type { S3ServerConfiguration } from './s3-server-configuration.ts';

/** Where an object is. */
export interface ObjectPlace {
  readonly bucket: string;
  readonly key: string;
}

/** What is known of an object without reading it. */
export interface ListedObject {
  readonly key: string;
  readonly sizeBytes: number;
  /** Milliseconds since the epoch. */
  readonly modifiedAt: number | undefined;
}

/** A part of an object, with the size of the whole. */
export interface ObjectBytes {
  readonly bytes: Buffer;
  readonly totalBytes: number;
}

/** An upload in parts that is neither completed nor dropped. */
export interface UnfinishedUpload {
  readonly key: string;
  readonly uploadId: string;
  /** Milliseconds since the epoch, on the server's clock. */
  readonly begunAt: number;
}

export interface UploadedPart {
  readonly number: number;
  readonly etag: string;
}

/**
 * What became of an object that was to be stored only where there is none. `refused`: the server does not know such
 * writes. `stored` from a server that does not keep to the condition means nothing.
 */
export type FirstWrite = 'stored' | 'taken' | 'refused';

type Sdk = typeof S3Sdk;

const LISTED_AT_ONCE = 1_000;
const RETRY_DELAY_MS = 1_000;

/** The requests of S3 that stores are made of, each bounded in time and tries, its failures turned into StatusErrors. */
export class S3Objects {
  readonly #sdk: Sdk;
  readonly #client: S3Sdk.S3Client;
  readonly #attempts: number;
  /** As many as there are connections, so that waiting for one counts toward no request's time. */
  readonly #gate: Semaphore;
  /** Requests at once. */
  readonly concurrency: number;

  private constructor(sdk: Sdk, client: S3Sdk.S3Client, { attempts, connections }: S3ServerConfiguration) {
    this.#sdk = sdk;
    this.#client = client;
    this.#attempts = attempts;
    this.#gate = new Semaphore(connections);
    this.concurrency = connections;
  }

  /**
   * Loads the SDK, which takes its time, and makes a client; connects with the first request.
   *
   * @param authorities PEM of the authorities that may have signed the server's certificate.
   */
  static async open(configuration: S3ServerConfiguration, authorities?: Buffer): Promise<S3Objects> {
    const sdk = await import('@aws-sdk/client-s3');
    const { endpoint, region, pathStyle, credentials, connections, attempts } = configuration;
    const agent = { keepAlive: true, maxSockets: connections };
    const requestTimeout = configuration.requestTimeoutSeconds * 1_000;
    const client = new sdk.S3Client({
      region,
      ...(endpoint === undefined ? {} : { endpoint }),
      forcePathStyle: pathStyle ?? endpoint !== undefined,
      ...(credentials === undefined
        ? {}
        : {
            credentials: {
              accessKeyId: credentials.accessKeyId,
              secretAccessKey: credentials.secretAccessKey,
              ...(credentials.sessionToken === undefined ? {} : { sessionToken: credentials.sessionToken }),
            },
          }),
      maxAttempts: attempts,
      // Blobs have hashes of their own, and servers other than AWS' do not know the checksums in trailers.
      requestChecksumCalculation: 'WHEN_REQUIRED',
      responseChecksumValidation: 'WHEN_REQUIRED',
      requestHandler: {
        connectionTimeout: configuration.connectTimeoutSeconds * 1_000,
        requestTimeout,
        throwOnRequestTimeout: true,
        socketTimeout: requestTimeout,
        httpAgent: agent,
        httpsAgent: { ...agent, ...(authorities === undefined ? {} : { ca: authorities }) },
      },
    });
    return new S3Objects(sdk, client, configuration);
  }

  close(): void {
    this.#client.destroy();
  }

  /** The size of an object in bytes, or undefined where there is none. */
  async size({ bucket, key }: ObjectPlace, signal: AbortSignal): Promise<number | undefined> {
    const command = new this.#sdk.HeadObjectCommand({ Bucket: bucket, Key: key });
    const found = await this.#unlessMissing(() => this.#client.send(command, { abortSignal: signal }), signal);
    return found?.ContentLength;
  }

  /**
   * The bytes of an object from `begin` up to `end`, in memory, or fewer where it is shorter; undefined where there is
   * none. A body that breaks off is asked for again.
   */
  async get(
    { bucket, key }: ObjectPlace,
    range: { readonly begin: number; readonly end: number } | undefined,
    signal: AbortSignal,
  ): Promise<ObjectBytes | undefined> {
    const header = range === undefined ? {} : { Range: `bytes=${range.begin}-${range.end - 1}` };
    for (let attempt = 1; ; attempt++) {
      const outcome = await this.#unlessMissing(async () => {
        const command = new this.#sdk.GetObjectCommand({ Bucket: bucket, Key: key, ...header });
        try {
          const answer = await this.#client.send(command, { abortSignal: signal });
          const bytes = await collectBody(answer, signal);
          return { bytes, totalBytes: totalOf(answer, bytes.byteLength) };
        } catch (cause) {
          if (isBehindEnd(cause)) return { bytes: Buffer.alloc(0), totalBytes: 0 };
          if (cause instanceof BrokenBodyError && attempt < this.#attempts) return 'again';
          throw cause;
        }
      }, signal);
      if (outcome !== 'again') return outcome;
    }
  }

  /** Stores an object, in the place of one that is there. */
  async put({ bucket, key }: ObjectPlace, bytes: Uint8Array, signal: AbortSignal): Promise<void> {
    const command = new this.#sdk.PutObjectCommand({ Bucket: bucket, Key: key, Body: bytes });
    await this.#run(() => this.#client.send(command, { abortSignal: signal }), signal);
  }

  /** Stores an object where there is none (`If-None-Match: *`). */
  putFirst({ bucket, key }: ObjectPlace, bytes: Uint8Array, signal: AbortSignal): Promise<FirstWrite> {
    const command = new this.#sdk.PutObjectCommand({ Bucket: bucket, Key: key, Body: bytes, IfNoneMatch: '*' });
    return this.#run(
      () =>
        this.#client.send(command, { abortSignal: signal }).then(
          () => 'stored' as const,
          (cause: unknown) => {
            if (isTaken(cause)) return 'taken' as const;
            if (isNotImplemented(cause)) return 'refused' as const;
            throw cause;
          },
        ),
      signal,
    );
  }

  /** Removes an object. One that is not there is ignored. */
  async delete({ bucket, key }: ObjectPlace, signal: AbortSignal): Promise<void> {
    const command = new this.#sdk.DeleteObjectCommand({ Bucket: bucket, Key: key });
    await this.#unlessMissing(() => this.#client.send(command, { abortSignal: signal }), signal);
  }

  /** The objects of a bucket whose keys have a prefix. */
  async *list(bucket: string, prefix: string, signal: AbortSignal): AsyncGenerator<ListedObject> {
    let token: string | undefined;
    do {
      const command = new this.#sdk.ListObjectsV2Command({
        Bucket: bucket,
        Prefix: prefix,
        MaxKeys: LISTED_AT_ONCE,
        ...(token === undefined ? {} : { ContinuationToken: token }),
      });
      const page = await this.#run(() => this.#client.send(command, { abortSignal: signal }), signal);
      for (const { Key, Size, LastModified } of page.Contents ?? []) {
        if (Key !== undefined && Size !== undefined) {
          yield { key: Key, sizeBytes: Size, modifiedAt: LastModified?.getTime() };
        }
      }
      token = page.NextContinuationToken;
    } while (token !== undefined);
  }

  /** @returns the name of an upload in parts, none of which is visible before it is completed. */
  async beginUpload({ bucket, key }: ObjectPlace, signal: AbortSignal): Promise<string> {
    const command = new this.#sdk.CreateMultipartUploadCommand({ Bucket: bucket, Key: key });
    const { UploadId } = await this.#run(() => this.#client.send(command, { abortSignal: signal }), signal);
    if (UploadId === undefined) throw new StatusError(StatusCode.INTERNAL, 'S3 gave an upload no name');
    return UploadId;
  }

  /**
   * @param number 1 to 10 000. All parts but the last must have at least 5 MiB.
   * @throws UNAVAILABLE where the upload was dropped meanwhile.
   */
  async uploadPart(
    { bucket, key }: ObjectPlace,
    uploadId: string,
    number: number,
    bytes: Uint8Array,
    signal: AbortSignal,
  ): Promise<UploadedPart> {
    const command = new this.#sdk.UploadPartCommand({
      Bucket: bucket,
      Key: key,
      UploadId: uploadId,
      PartNumber: number,
      Body: bytes,
    });
    const sent = await this.#unlessMissing(() => this.#client.send(command, { abortSignal: signal }), signal);
    if (sent === undefined) throw unavailable('the upload to S3 was dropped before it was complete', RETRY_DELAY_MS);
    return { number, etag: sent.ETag ?? '' };
  }

  /** Makes an object of its parts, and so visible. */
  async completeUpload(
    place: ObjectPlace,
    uploadId: string,
    parts: readonly UploadedPart[],
    sizeBytes: number,
    signal: AbortSignal,
  ): Promise<void> {
    const command = new this.#sdk.CompleteMultipartUploadCommand({
      Bucket: place.bucket,
      Key: place.key,
      UploadId: uploadId,
      MultipartUpload: { Parts: parts.map(({ number, etag }) => ({ PartNumber: number, ETag: etag })) },
    });
    const done = await this.#unlessMissing(() => this.#client.send(command, { abortSignal: signal }), signal);
    if (done === undefined) {
      // A first try that got no answer may have completed it; then the upload is gone, and the object there.
      if ((await this.size(place, signal)) === sizeBytes) return;
      throw unavailable('the upload to S3 was dropped before it was complete', RETRY_DELAY_MS);
    }
  }

  /** Drops an upload with all its parts. One that is not there is ignored. */
  async abortUpload({ bucket, key }: ObjectPlace, uploadId: string, signal: AbortSignal): Promise<void> {
    const command = new this.#sdk.AbortMultipartUploadCommand({ Bucket: bucket, Key: key, UploadId: uploadId });
    await this.#unlessMissing(() => this.#client.send(command, { abortSignal: signal }), signal);
  }

  /** The unfinished uploads of a bucket whose keys have a prefix. */
  async *listUploads(bucket: string, prefix: string, signal: AbortSignal): AsyncGenerator<UnfinishedUpload> {
    let next: { KeyMarker?: string | undefined; UploadIdMarker?: string | undefined } | undefined = {};
    while (next !== undefined) {
      const command: S3Sdk.ListMultipartUploadsCommand = new this.#sdk.ListMultipartUploadsCommand({
        Bucket: bucket,
        Prefix: prefix,
        MaxUploads: LISTED_AT_ONCE,
        ...next,
      });
      const page = await this.#run(() => this.#client.send(command, { abortSignal: signal }), signal);
      for (const { Key, UploadId, Initiated } of page.Uploads ?? []) {
        if (Key !== undefined && UploadId !== undefined && Initiated !== undefined) {
          yield { key: Key, uploadId: UploadId, begunAt: Initiated.getTime() };
        }
      }
      const goesOn = page.IsTruncated === true && page.NextKeyMarker !== undefined && page.NextKeyMarker !== '';
      next = goesOn ? { KeyMarker: page.NextKeyMarker, UploadIdMarker: page.NextUploadIdMarker } : undefined;
    }
  }

  async #run<T>(request: () => Promise<T>, signal: AbortSignal): Promise<T> {
    try {
      // The SDK does not hear of the signal while it waits between two tries.
      return await raceSignal(this.#gate.run(request, signal), signal);
    } catch (cause) {
      signal.throwIfAborted();
      throw statusOfS3Error(cause);
    }
  }

  #unlessMissing<T>(request: () => Promise<T>, signal: AbortSignal): Promise<T | undefined> {
    return this.#run(
      () =>
        request().catch((cause: unknown) => {
          if (isNotThere(cause)) return undefined;
          throw cause;
        }),
      signal,
    );
  }
}

/** The connection broke while the body of an answer came. */
class BrokenBodyError extends Error {}

/** Reads a body to its end. The SDK no longer follows the signal by then. */
async function collectBody(
  { Body, ContentLength }: S3Sdk.GetObjectCommandOutput,
  signal: AbortSignal,
): Promise<Buffer> {
  const body = Body as unknown as (AsyncIterable<Buffer> & { destroy(error?: Error): void }) | undefined;
  if (body === undefined) return Buffer.alloc(0);
  const stop = () => body.destroy(new Error('nobody waits for it any more'));
  signal.addEventListener('abort', stop, { once: true });
  const chunks: Buffer[] = [];
  try {
    if (signal.aborted) stop();
    for await (const chunk of body) chunks.push(chunk);
  } catch (cause) {
    throw new BrokenBodyError('the answer of S3 broke off', { cause });
  } finally {
    signal.removeEventListener('abort', stop);
  }
  const bytes = Buffer.concat(chunks);
  if (ContentLength === undefined || bytes.byteLength === ContentLength) return bytes;
  throw new BrokenBodyError(`S3 sent ${bytes.byteLength} of ${ContentLength} bytes`);
}

/** The size of the whole object. */
function totalOf({ ContentRange }: S3Sdk.GetObjectCommandOutput, received: number): number {
  const total = ContentRange === undefined ? undefined : /\/(\d+)$/.exec(ContentRange)?.[1];
  return total === undefined ? received : Number(total);
}
