import type { IncomingMessage } from 'node:http';
import { createGunzip, type Gunzip } from 'node:zlib';
import { createDigest, type Digest, digestKey } from '../../domain/digest.ts';
import { StatusCode } from '../../domain/status-code.ts';
import type { Clock } from '../../lib/clock.ts';
import type { IdGenerator } from '../../lib/ids.ts';
import type { Logger } from '../../lib/log.ts';
import { Semaphore } from '../../lib/semaphore.ts';
import { VERSION } from '../../lib/version.ts';
import type { BlobStore } from '../../ports/blob-store.ts';
import { type ArchiveRequest, type Origin, OriginError, type OriginRequest } from '../../ports/origin.ts';
import { AddressRules } from './address-rules.ts';
import { ArchiveUnpacker } from './archive-unpacker.ts';
import { ContentChecks } from './content-checks.ts';
import { GuardedClient, type GuardedClientOptions } from './guarded-client.ts';
import type { OriginConfiguration } from './origin-configuration.ts';
import { failureOfConnection, failureOfStatus } from './origin-failure.ts';
import { OriginRules } from './origin-rules.ts';
import { SpoolFile } from './spool-file.ts';

export interface HttpOriginOptions
  extends Omit<OriginConfiguration, 'enabled' | 'timeoutSeconds' | 'maximumTimeoutSeconds' | 'maximumWaiting'> {
  readonly ids: IdGenerator;
  readonly clock: Clock;
  readonly logger: Logger;
  /** For tests: finds the addresses of a name. */
  readonly lookup?: GuardedClientOptions['lookup'];
}

/** Redirects that are followed, one after the other. */
const MAX_REDIRECTS = 10;
const REDIRECTS: ReadonlySet<number> = new Set([301, 302, 303, 307, 308]);

/** Content that lies compressed at the origin: servers that call that an encoding mean the file as it is. */
const COMPRESSED_NAME = /\.(gz|tgz)$/i;

/** Content over HTTP and HTTPS. */
export class HttpOrigin implements Origin {
  readonly #options: HttpOriginOptions;
  readonly #rules: OriginRules;
  readonly #client: GuardedClient;
  readonly #room: Semaphore;
  readonly #unpacker: ArchiveUnpacker;

  constructor(options: HttpOriginOptions) {
    const { schemes, allowedHosts, allowedNetworks, idleTimeoutSeconds, maximumConcurrent, lookup } = options;
    this.#options = options;
    this.#rules = new OriginRules(schemes, allowedHosts);
    this.#client = new GuardedClient({
      rules: new AddressRules(allowedNetworks),
      idleTimeout: idleTimeoutSeconds * 1_000,
      ...(lookup === undefined ? {} : { lookup }),
    });
    this.#room = new Semaphore(maximumConcurrent);
    this.#unpacker = new ArchiveUnpacker(options);
  }

  serves(uri: string): boolean {
    return this.#rules.serves(uri);
  }

  download(request: OriginRequest, blobs: BlobStore, signal: AbortSignal): Promise<Digest> {
    const store = async (digest: Digest, spool: SpoolFile) => {
      if ((await blobs.findMissing([digest], signal)).length > 0) await blobs.write(digest, spool.read(), signal);
      return digest;
    };
    return this.#logged(request, () => this.#download(request, store, signal), signal);
  }

  unpack(request: ArchiveRequest, blobs: BlobStore, signal: AbortSignal): Promise<Digest> {
    const store = async (_: Digest, spool: SpoolFile, where: string) => {
      try {
        return await this.#unpacker.unpack(spool, request, blobs, signal);
      } catch (cause) {
        throw cause instanceof OriginError ? new OriginError(cause.code, `${where}: ${cause.message}`) : cause;
      }
    };
    return this.#logged(request, () => this.#download(request, store, signal), signal);
  }

  async #logged(request: OriginRequest, task: () => Promise<Digest>, signal: AbortSignal): Promise<Digest> {
    const { clock, logger } = this.#options;
    const url = shown(new URL(request.uri));
    const begun = clock.monotonic();
    try {
      const digest = await this.#room.run(task, signal);
      const milliseconds = Math.round(clock.monotonic() - begun);
      logger.info({ url, digest: digestKey(digest), milliseconds }, 'downloaded an asset');
      return digest;
    } catch (cause) {
      logger.info({ url, error: cause instanceof Error ? cause.message : String(cause) }, 'a download failed');
      throw cause;
    }
  }

  /** Breaks off what is under way. No other call may follow. */
  async close(): Promise<void> {
    this.#client.close();
  }

  /** @param store what becomes of the content once it is whole and has its checksum. */
  async #download(
    request: OriginRequest,
    store: (digest: Digest, spool: SpoolFile, where: string) => Promise<Digest>,
    signal: AbortSignal,
  ): Promise<Digest> {
    const { url, answer } = await this.#ask(request, signal);
    const where = shown(url);
    const { directory, maximumSizeBytes, ids } = this.#options;
    try {
      const checks = new ContentChecks(request, where, maximumSizeBytes);
      checks.announced(header(answer, 'content-type'), header(answer, 'content-length'));
      await using spool = await SpoolFile.create(directory, ids.uuid());
      for await (const chunk of contentOf(answer, url, signal)) {
        checks.update(chunk);
        await spool.append(chunk);
      }
      const digest = createDigest(request.digestFunction, checks.finish(), spool.sizeBytes);
      return await store(digest, spool, where);
    } finally {
      answer.destroy();
    }
  }

  /** Follows redirects until there is an answer with content. */
  async #ask(request: OriginRequest, signal: AbortSignal): Promise<{ url: URL; answer: IncomingMessage }> {
    let url = new URL(request.uri);
    const { origin } = url;
    for (let redirects = 0; ; redirects++) {
      this.#rules.check(url);
      const headers = {
        'user-agent': `warren/${VERSION}`,
        accept: request.mediaType ?? '*/*',
        // What a client gave for one origin is not for the next.
        ...(url.origin === origin ? Object.fromEntries(request.headers) : {}),
        'accept-encoding': 'identity',
      };
      const answer = await this.#get(url, headers, signal);
      const location = header(answer, 'location');
      if (!REDIRECTS.has(answer.statusCode ?? 0) || location === undefined) {
        const failure = failureOfStatus(answer.statusCode ?? 0, shown(url), header(answer, 'retry-after'));
        if (failure === undefined) return { url, answer };
        answer.destroy();
        throw failure;
      }
      answer.destroy();
      if (redirects >= MAX_REDIRECTS) {
        throw new OriginError(StatusCode.ABORTED, `${shown(url)}: more than ${MAX_REDIRECTS} redirects`);
      }
      if (!URL.canParse(location, url.href)) {
        throw new OriginError(StatusCode.ABORTED, `${shown(url)} leads to what is no URL`);
      }
      url = new URL(location, url.href);
    }
  }

  async #get(url: URL, headers: Record<string, string>, signal: AbortSignal): Promise<IncomingMessage> {
    try {
      return await this.#client.get(url, headers, signal);
    } catch (cause) {
      signal.throwIfAborted();
      throw failureOfConnection(cause, shown(url));
    }
  }
}

function header({ headers }: IncomingMessage, name: string): string | undefined {
  const value = headers[name];
  return Array.isArray(value) ? value[0] : value;
}

/** What comes, with failures of its coming as their statuses. */
async function* contentOf(answer: IncomingMessage, url: URL, signal: AbortSignal): AsyncIterable<Uint8Array> {
  try {
    yield* decoded(answer, url) as AsyncIterable<Buffer>;
  } catch (cause) {
    signal.throwIfAborted();
    throw failureOfConnection(cause, shown(url));
  }
}

/** The content, unpacked where an origin packed it though we asked it not to. */
function decoded(answer: IncomingMessage, url: URL): IncomingMessage | Gunzip {
  const encoding = header(answer, 'content-encoding')?.trim().toLowerCase() ?? 'identity';
  if (encoding === 'identity' || encoding === '') return answer;
  const isGzip = encoding === 'gzip' || encoding === 'x-gzip';
  if (isGzip && COMPRESSED_NAME.test(url.pathname)) return answer;
  if (!isGzip) {
    throw new OriginError(StatusCode.ABORTED, `${shown(url)} is encoded as ${encoding}, though asked not to be`);
  }
  const gunzip = createGunzip();
  answer.on('error', (cause) => gunzip.destroy(cause));
  return answer.pipe(gunzip);
}

/** A URL as it may stand in messages: without credentials, and without a query, which may hold a signature. */
function shown(url: URL): string {
  return `${url.origin}${url.pathname}`.slice(0, 300);
}
