/** BLAKE3 as a native library has it. */
export interface Blake3 {
  createHasher(): { update(data: Uint8Array): void; digest(): string };
  /** The hash of 256 bits in lower-case hexadecimal. */
  hash(data: Uint8Array): string;
}

/** Node has no BLAKE3 of its own: a native library, or undefined where it has no build for this machine. */
export async function loadBlake3(): Promise<Blake3 | undefined> {
  try {
    const { blake3, Blake3Hasher } = await import('@napi-rs/blake-hash');
    return {
      createHasher() {
        const hasher = new Blake3Hasher();
        return {
          update(data) {
            hasher.update(data);
          },
          digest: () => hasher.digest('hex'),
        };
      },
      hash: (data) => blake3(data).toString('hex'),
    };
  } catch {
    return undefined;
  }
}
