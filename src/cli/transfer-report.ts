import { formatByteSize } from '../lib/byte-size.ts';
import type { TransferProgress } from './local-blobs.ts';

/** `12 of 40 blobs, 3.2 MiB of 10 MiB`: for the status line. */
export function transferText({ blobs, bytes, totalBlobs, totalBytes }: TransferProgress): string {
  return `${blobs} of ${totalBlobs} blobs, ${formatByteSize(bytes)} of ${formatByteSize(totalBytes)}`;
}

/** `40 blobs, 10 MiB`. */
export function transferredText({ totalBlobs, totalBytes }: TransferProgress): string {
  return `${totalBlobs} blob${totalBlobs === 1 ? '' : 's'}, ${formatByteSize(totalBytes)}`;
}
