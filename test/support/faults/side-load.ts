import type { WireClient } from '../wire-client.ts';
import { Attempts } from './attempts.ts';

export interface SideLoadOptions {
  readonly random: () => number;
  /** Milliseconds that any one thing may take. */
  readonly bound: number;
}

/** What clients do beside executing, one thing after another, each with an answer that is known beforehand. */
export abstract class SideLoad {
  /** What there are so many of, for reports. */
  abstract readonly kind: string;
  protected readonly options: SideLoadOptions;
  readonly #underWay = new Set<Attempts>();
  #finished = 0;
  #retries = 0;

  constructor(options: SideLoadOptions) {
    this.options = options;
  }

  /** Things that have their answer so far. */
  get finished(): number {
    return this.#finished;
  }

  /** Calls that failed and were made again. */
  get retries(): number {
    return this.#retries;
  }

  /** What clients wait for now. */
  get waiting(): string[] {
    return [...this.#underWay].map(({ waiting }) => waiting);
  }

  /** Does one. @throws Error when it takes too long, or its answer is not right. */
  async next(): Promise<void> {
    await this.one();
    this.#finished += 1;
  }

  /** What of the answers that were given does not hold any more. */
  async broken(): Promise<string[]> {
    return [];
  }

  protected abstract one(): Promise<void>;

  /** Makes calls again until they go well, as the rest of the load does. */
  protected async attempt<T>(thing: string, run: (attempts: Attempts) => Promise<T>): Promise<T> {
    const attempts = new Attempts(thing, this.options.bound);
    this.#underWay.add(attempts);
    try {
      return await run(attempts);
    } finally {
      this.#underWay.delete(attempts);
      this.#retries += attempts.retries.length;
    }
  }

  protected any<T>(items: readonly T[]): T {
    return items[Math.floor(this.options.random() * items.length)] as T;
  }

  protected anyNumber(): number {
    return Math.floor(this.options.random() * 1_000_000_000);
  }
}

export interface ReplicaLoadOptions extends SideLoadOptions {
  /** One for each replica: every call goes to one of them at random. */
  readonly replicas: readonly WireClient[];
}

/** What clients ask of replicas, each call of another. */
export abstract class ReplicaLoad extends SideLoad {
  readonly #replicas: ReplicaLoadOptions['replicas'];

  constructor(options: ReplicaLoadOptions) {
    super(options);
    this.#replicas = options.replicas;
  }

  protected replica(): WireClient {
    return this.any(this.#replicas);
  }
}
