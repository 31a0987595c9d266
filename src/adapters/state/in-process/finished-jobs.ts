/** Which jobs have finished, oldest first, and how many bytes their answers hold: the bound on what a store remembers. */
export class FinishedJobs {
  readonly #sizes = new Map<string, number>();
  readonly #maxCount: number;
  readonly #maxBytes: number;
  #bytes = 0;

  constructor(maxCount: number, maxBytes: number) {
    this.#maxCount = maxCount;
    this.#maxBytes = maxBytes;
  }

  get count(): number {
    return this.#sizes.size;
  }

  /** The ids of those that ended last, the youngest first. */
  youngest(limit: number): readonly string[] {
    return [...this.#sizes.keys()].slice(-limit).reverse();
  }

  add(jobId: string, bytes: number): void {
    this.delete(jobId);
    this.#sizes.set(jobId, bytes);
    this.#bytes += bytes;
  }

  delete(jobId: string): void {
    const bytes = this.#sizes.get(jobId);
    if (bytes === undefined) return;
    this.#sizes.delete(jobId);
    this.#bytes -= bytes;
  }

  /** Takes out those that are too many, the oldest first. The youngest always stays: someone waits for it. */
  takeSurplus(): string[] {
    const surplus: string[] = [];
    for (const [jobId] of this.#sizes) {
      if (this.#sizes.size <= 1 || (this.#sizes.size <= this.#maxCount && this.#bytes <= this.#maxBytes)) break;
      this.delete(jobId);
      surplus.push(jobId);
    }
    return surplus;
  }
}
