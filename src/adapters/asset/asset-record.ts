import { z } from 'zod';
import type { Asset } from '../../domain/asset.ts';
import { createDigest, type Digest } from '../../domain/digest.ts';
import { DIGEST_FUNCTIONS, type DigestFunction } from '../../domain/digest-function.ts';

const digest = z.tuple([z.string(), z.number()]);

const record = z.object({
  digestFunction: z.string(),
  digest,
  qualifiers: z.array(z.tuple([z.string(), z.string()])),
  storedAt: z.number(),
  expiresAt: z.number().optional(),
  blobs: z.array(digest),
  directories: z.array(digest),
});

/** An asset as stores keep it. */
export function encodeAsset(asset: Asset): Buffer {
  const pair = ({ hash, sizeBytes }: Digest): z.input<typeof digest> => [hash, sizeBytes];
  const value: z.input<typeof record> = {
    digestFunction: asset.digest.digestFunction.name,
    digest: pair(asset.digest),
    qualifiers: asset.qualifiers.map(({ name, value }) => [name, value]),
    storedAt: asset.storedAt,
    expiresAt: asset.expiresAt,
    blobs: asset.blobs.map(pair),
    directories: asset.directories.map(pair),
  };
  return Buffer.from(JSON.stringify(value));
}

/** The asset, or undefined where the bytes are none that this version understands: it counts as not stored. */
export function decodeAsset(encoded: Uint8Array): Asset | undefined {
  try {
    const value = record.parse(JSON.parse(Buffer.from(encoded).toString()));
    const digestFunction = DIGEST_FUNCTIONS.find(({ name }) => name === value.digestFunction);
    if (digestFunction === undefined) return undefined;
    return {
      digest: digestOfPair(value.digest, digestFunction),
      qualifiers: value.qualifiers.map(([name, text]) => ({ name, value: text })),
      storedAt: value.storedAt,
      expiresAt: value.expiresAt,
      blobs: value.blobs.map((each) => digestOfPair(each, digestFunction)),
      directories: value.directories.map((each) => digestOfPair(each, digestFunction)),
    };
  } catch {
    return undefined;
  }
}

function digestOfPair([hash, sizeBytes]: z.output<typeof digest>, digestFunction: DigestFunction): Digest {
  return createDigest(digestFunction, hash, sizeBytes);
}

/** Whether its time has passed. @param now milliseconds since the Unix epoch. */
export function hasExpired({ expiresAt }: Asset, now: number): boolean {
  return expiresAt !== undefined && expiresAt <= now;
}
