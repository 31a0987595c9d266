import { randomUUID } from 'node:crypto';

/** Makes names that nobody else has made. Injected, so that tests see the same names in every run. */
export interface IdGenerator {
  /** A random UUID, version 4, in lower case. */
  uuid(): string;
}

/** The operating system's randomness. */
export class RandomIdGenerator implements IdGenerator {
  uuid(): string {
    return randomUUID();
  }
}

/** Numbered UUIDs for tests: 00000000-0000-4000-8000-000000000001 and up. */
export class SequentialIdGenerator implements IdGenerator {
  #last = 0;

  uuid(): string {
    this.#last += 1;
    return `00000000-0000-4000-8000-${this.#last.toString(16).padStart(12, '0')}`;
  }
}

/** A source of numbers in [0, 1). Injected where jitter or sampling is wanted. */
export type Random = () => number;
