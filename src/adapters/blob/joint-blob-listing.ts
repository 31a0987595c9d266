import type { BlobListing, ListedBlob } from '../../ports/blob-listing.ts';

/** What several stores have, one after the other; for a store whose blobs are spread over them. */
export class JointBlobListing implements BlobListing {
  readonly #listings: readonly BlobListing[];

  private constructor(listings: readonly BlobListing[]) {
    this.#listings = listings;
  }

  /** Undefined where one of them can't tell what it has. */
  static of(listings: ReadonlyArray<BlobListing | undefined>): JointBlobListing | undefined {
    const known = listings.filter((each) => each !== undefined);
    return known.length === listings.length ? new JointBlobListing(known) : undefined;
  }

  async *list(signal: AbortSignal): AsyncGenerator<ListedBlob, void, undefined> {
    for (const listing of this.#listings) yield* listing.list(signal);
  }
}
