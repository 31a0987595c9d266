import type { Digest } from '../../domain/digest.ts';
import type { BlobWriter } from '../../ports/blob-writers.ts';

/** One of the stores that get the blob. */
export interface FanOutTarget {
  readonly writer: BlobWriter;
  /** Whether the whole upload fails when this one does. */
  readonly required: boolean;
}

/** Writes one blob into several stores at once, at the pace of the slowest. A target that fails is left out. */
export class FanOutWriter implements BlobWriter {
  readonly digest: Digest;
  readonly #minimum: number;
  readonly #onDropped: (cause: unknown) => void;
  #targets: readonly FanOutTarget[];
  #received = 0;

  /**
   * @param minimum how many targets have to take the blob.
   * @param onDropped is told why a target was left out.
   */
  constructor(
    digest: Digest,
    targets: readonly FanOutTarget[],
    minimum: number,
    onDropped: (cause: unknown) => void = () => {},
  ) {
    this.digest = digest;
    this.#targets = targets;
    this.#minimum = minimum;
    this.#onDropped = onDropped;
  }

  get receivedBytes(): number {
    return this.#received;
  }

  async append(chunk: Uint8Array): Promise<void> {
    await this.#each((writer) => writer.append(chunk));
    this.#received += chunk.byteLength;
  }

  /** Those that have to take it commit first, so that no other has it when they fail. */
  async commit(): Promise<void> {
    const optional = this.#targets.filter(({ required }) => !required);
    if (optional.length < this.#targets.length) {
      for (const { writer, required } of this.#targets) if (required) await writer.commit();
      this.#targets = optional;
      await Promise.all(optional.map(({ writer }) => writer.commit().catch(this.#onDropped)));
      return;
    }
    await this.#each((writer) => writer.commit());
  }

  async abandon(): Promise<void> {
    await Promise.all(this.#targets.map(({ writer }) => writer.abandon()));
  }

  async #each(act: (writer: BlobWriter) => Promise<void>): Promise<void> {
    const outcomes = await Promise.allSettled(this.#targets.map(({ writer }) => act(writer)));
    const failed = outcomes.flatMap((outcome, i) => {
      const target = this.#targets[i];
      return outcome.status === 'rejected' && target !== undefined
        ? [{ target, cause: outcome.reason as unknown }]
        : [];
    });
    const [first] = failed;
    if (first === undefined) return;
    const fatal = failed.find(({ target }) => target.required) ?? first;
    if (fatal.target.required || this.#targets.length - failed.length < this.#minimum) throw fatal.cause;
    const dropped = new Set(failed.map(({ target }) => target));
    this.#targets = this.#targets.filter((target) => !dropped.has(target));
    for (const { target, cause } of failed) {
      this.#onDropped(cause);
      await target.writer.abandon();
    }
  }
}
