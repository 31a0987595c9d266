import type { Hasher } from '../../domain/digest-function.ts';
import { StatusCode } from '../../domain/status-code.ts';
import { formatIntegrity } from '../../domain/subresource-integrity.ts';
import { OriginError, type OriginRequest } from '../../ports/origin.ts';

/** Any file at all, to clients and to origins that don't look at what they serve. */
const ANY_FILE = 'application/octet-stream';

/** Holds content against what was asked for, as it comes. */
export class ContentChecks {
  readonly #request: OriginRequest;
  readonly #where: string;
  readonly #maximumBytes: number;
  /** By name of the digest function: one hasher for digest and checksum where they are alike. */
  readonly #hashers = new Map<string, Hasher>();
  #received = 0;

  /** @param where the URL as it may be shown. */
  constructor(request: OriginRequest, where: string, maximumBytes: number) {
    this.#request = request;
    this.#where = where;
    this.#maximumBytes = maximumBytes;
    for (const digestFunction of [
      request.digestFunction,
      ...(request.checksums ?? []).map((each) => each.digestFunction),
    ]) {
      if (!this.#hashers.has(digestFunction.name))
        this.#hashers.set(digestFunction.name, digestFunction.createHasher());
    }
  }

  /**
   * What the origin says before the content comes.
   *
   * @throws OriginError ABORTED for another media type, RESOURCE_EXHAUSTED for too many bytes.
   */
  announced(contentType: string | undefined, contentLength: string | undefined): void {
    const { mediaType } = this.#request;
    const type = contentType?.split(';')[0]?.trim().toLowerCase() ?? ANY_FILE;
    if (mediaType !== undefined && mediaType !== ANY_FILE && type !== ANY_FILE && type !== mediaType) {
      throw this.#aborted(`is ${type}, where resource_type is ${mediaType}`);
    }
    if (Number(contentLength ?? 0) > this.#maximumBytes) throw this.#tooLarge();
  }

  /** @throws OriginError RESOURCE_EXHAUSTED when this makes too many bytes. */
  update(chunk: Uint8Array): void {
    this.#received += chunk.byteLength;
    if (this.#received > this.#maximumBytes) throw this.#tooLarge();
    for (const hasher of this.#hashers.values()) hasher.update(chunk);
  }

  /** All has come. @returns its hash. @throws OriginError ABORTED when it has none of the checksums. */
  finish(): string {
    const { digestFunction, checksums } = this.#request;
    const hashes = new Map([...this.#hashers].map(([name, hasher]) => [name, hasher.digest()]));
    if (checksums !== undefined && !checksums.some((each) => hashes.get(each.digestFunction.name) === each.hash)) {
      const [first] = checksums;
      const algorithm = first?.digestFunction.name.toLowerCase() as Parameters<typeof formatIntegrity>[0];
      const hash = hashes.get(first?.digestFunction.name ?? '') ?? '';
      throw this.#aborted(`has the checksum ${formatIntegrity(algorithm, hash)}, not the one in checksum.sri`);
    }
    return hashes.get(digestFunction.name) ?? '';
  }

  #aborted(what: string): OriginError {
    return new OriginError(StatusCode.ABORTED, `${this.#where}: the content ${what}`);
  }

  #tooLarge(): OriginError {
    const message = `${this.#where}: the content has more than ${this.#maximumBytes} bytes, the most that is fetched`;
    return new OriginError(StatusCode.RESOURCE_EXHAUSTED, message);
  }
}
