import type { CleaningReport } from '../ports/store-maintenance.ts';

/** Adds up what a cleaning takes. */
export class CleaningTally {
  #entries = 0;
  #bytes = 0;
  #oldestUse: number | undefined;
  #newestUse: number | undefined;

  /** @param usedAt milliseconds since the epoch. */
  add(bytes: number, usedAt: number): void {
    this.#entries += 1;
    this.#bytes += bytes;
    this.#oldestUse = Math.min(this.#oldestUse ?? usedAt, usedAt);
    this.#newestUse = Math.max(this.#newestUse ?? usedAt, usedAt);
  }

  get report(): CleaningReport {
    return {
      entries: this.#entries,
      bytes: this.#bytes,
      oldestUse: this.#oldestUse,
      newestUse: this.#newestUse,
      unfinishedUploads: 0,
    };
  }
}
