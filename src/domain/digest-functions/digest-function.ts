/** Takes the bytes of one blob in order and gives its hash. */
export interface Hasher {
  update(data: Uint8Array): void;
  /** The lower-case hexadecimal hash. The hasher must not be used afterwards. */
  digest(): string;
}

/**
 * A digest function of REAPI (DigestFunction.Value).
 *
 * A value that travels with every digest, so that each further function is one more file and no change elsewhere.
 */
export interface DigestFunction {
  /** As in DigestFunction.Value. */
  readonly name: string;
  /** Its number in DigestFunction.Value. */
  readonly wireValue: number;
  /** Length of a hash in hexadecimal characters. */
  readonly hashLength: number;
  /**
   * Its segment in resource names, in lower case, or undefined where the protocol has the function inferred from the
   * hash's length (SHA1, MD5, SHA256, SHA384, SHA512 ...) and the segment is left out.
   */
  readonly resourceNameSegment: string | undefined;
  /** The hash of the empty blob. */
  readonly emptyHash: string;
  createHasher(): Hasher;
  /** The hash of a whole blob. */
  hash(data: Uint8Array): string;
}
