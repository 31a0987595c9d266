import { setMaxListeners } from 'node:events';
import { raceSignal } from '../../lib/abort.ts';
import type { IdGenerator } from '../../lib/ids.ts';
import type { Logger } from '../../lib/log.ts';
import type { ObjectPlace, S3Objects } from './s3-objects.ts';

export interface ConditionalWritesDependencies {
  readonly ids: IdGenerator;
  readonly logger: Logger;
}

/** Writes that are tried against each other: some servers look first and write later, which one write alone never shows. */
const RIVALS = 8;
/** For requests that are bounded by their own time limit and tries alone. */
const UNENDING = new AbortController().signal;
setMaxListeners(0, UNENDING);

/**
 * Whether a server stores an object only where there is none, when it is asked to (`If-None-Match: *`): AWS and MinIO do,
 * others ignore it, refuse it, or keep to it only as long as nobody else writes.
 *
 * It is tried out at the first use, with an object of no other name and use, once for the life of the process.
 */
export class ConditionalWrites {
  readonly #objects: S3Objects;
  readonly #keyPrefix: string;
  readonly #dependencies: ConditionalWritesDependencies;
  #kept: Promise<boolean> | undefined;

  constructor(objects: S3Objects, keyPrefix: string, dependencies: ConditionalWritesDependencies) {
    this.#objects = objects;
    this.#keyPrefix = keyPrefix;
    this.#dependencies = dependencies;
  }

  /**
   * @param bucket where it is tried out, if it has not been.
   * @throws UNAVAILABLE when S3 can't be asked; then the next call tries anew.
   */
  areKept(bucket: string, signal: AbortSignal): Promise<boolean> {
    if (this.#kept === undefined) {
      const kept = this.#tryOut(bucket);
      kept.catch(() => {
        this.#kept = undefined;
      });
      this.#kept = kept;
    }
    return raceSignal(this.#kept, signal);
  }

  async #tryOut(bucket: string): Promise<boolean> {
    const { ids, logger } = this.#dependencies;
    const place = { bucket, key: `${this.#keyPrefix}conditional-writes/${ids.uuid()}` };
    const race = this.#race(place);
    await race.catch(() => {});
    await this.#remove(place);
    const outcomes = await race;
    const kept =
      outcomes.every((each) => each !== 'refused') && outcomes.filter((each) => each === 'stored').length === 1;
    if (kept)
      logger.info(
        {},
        'the S3 server keeps to conditional writes: the first result of an action stands for all replicas',
      );
    else {
      logger.warn(
        { outcomes },
        'the S3 server does not keep to conditional writes: of first results that two replicas put at once, the last stands',
      );
    }
    return kept;
  }

  async #race(place: ObjectPlace): Promise<string[]> {
    const write = (i: number) => this.#objects.putFirst(place, Buffer.from(`${i}`), UNENDING);
    const rivals = await Promise.all(Array.from({ length: RIVALS }, (_, i) => write(i)));
    return [...rivals, await write(RIVALS)];
  }

  async #remove(place: ObjectPlace): Promise<void> {
    try {
      await this.#objects.delete(place, UNENDING);
    } catch (cause) {
      this.#dependencies.logger.debug({ err: cause, key: place.key }, 'an object that was a test stays on S3');
    }
  }
}
