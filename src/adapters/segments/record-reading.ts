import { readAt, readAtOnce } from '../../lib/file-io.ts';
import type { FilePool, PooledFile } from '../../lib/file-pool.ts';
import { PLACE_UNIT } from './record-format.ts';
import type { Segment } from './segment.ts';

/** The longest record that is read without giving up the turn. */
const READ_AT_ONCE_BYTES = 16 * 1024;

/** Fills `record` from a place in a segment. What the file does not have is zeros. @returns what went wrong, if anything. */
export async function readRecord(files: FilePool, segment: Segment, place: number, record: Buffer): Promise<unknown> {
  let file: PooledFile;
  try {
    const opened = files.acquire(segment.path);
    file = opened instanceof Promise ? await opened : opened;
  } catch (cause) {
    return cause;
  }
  try {
    const position = place * PLACE_UNIT;
    // What is still being appended to was written a moment ago: the Action and Command of each Execute among it.
    const atHand = !segment.sealed && record.byteLength <= READ_AT_ONCE_BYTES;
    const bytes = atHand ? readAtOnce(file.fd, record, position) : await readAt(file.fd, record, position);
    if (bytes < record.byteLength) record.fill(0);
    return undefined;
  } catch (cause) {
    return cause;
  } finally {
    files.release(file);
  }
}
