import { type Entry, type Extract, extract } from 'tar-stream';
import { OriginError } from '../../ports/origin.ts';
import { aborted, exhausted } from './archive-tree.ts';

/** What of a header counts here; the content must be read, or what is unpacked stands still. */
export interface TarEntry {
  readonly path: string;
  /** As the parser calls it: `file`, `contiguous-file`, `directory`, `link`, `symlink` or another, or what stands for none. */
  readonly type: string;
  readonly sizeBytes: number;
  readonly mode: number;
  /** Of links; empty for others. */
  readonly target: string;
  /** For entries of `sizeBytes` above 0 alone. */
  readonly content: AsyncIterable<Uint8Array>;
}

/** So much is given to the parser at once. */
const PIECE_BYTES = 16 * 1024;

/** Between two entries: long names and pax records, which the parser holds in memory, and the zeros at the end. */
const MAX_HEADER_BYTES = 256 * 1024;

/**
 * The entries of a tar archive, in order.
 *
 * @param maximumBytes of the unpacked archive.
 * @throws OriginError ABORTED for what is no tar archive or a damaged one; RESOURCE_EXHAUSTED; what the source throws.
 */
export async function* tarEntries(source: AsyncIterable<Uint8Array>, maximumBytes: number): AsyncIterable<TarEntry> {
  const parser = extract({ allowUnknownFormat: true });
  const feed = new Feed(parser, maximumBytes);
  /** What a failure means that comes out of the parser. */
  const reasonOf = (thrown: unknown) => {
    if (feed.failure !== undefined) return feed.failure;
    if (thrown instanceof OriginError) return thrown;
    return aborted(`it is no tar, or a damaged one: ${thrown instanceof Error ? thrown.message : String(thrown)}`);
  };
  const fed = feed.run(source);
  try {
    for await (const entry of parser) {
      feed.isWithinEntry = true;
      yield read(entry, reasonOf);
      feed.isWithinEntry = false;
    }
    await fed;
    if (feed.failure !== undefined) throw feed.failure;
  } catch (thrown) {
    throw reasonOf(thrown);
  } finally {
    parser.destroy();
    await fed;
  }
}

function read(entry: Entry, reasonOf: (thrown: unknown) => unknown): TarEntry {
  const { name, type, size = 0, mode = 0, linkname } = entry.header;
  // The parser would wait for ever for the end of what has such a size.
  if (!Number.isSafeInteger(size) || size < 0) throw aborted(`an entry in it has the size ${size}`);
  const { pax } = entry.header as { readonly pax?: Readonly<Record<string, string>> | null };
  if (Object.keys(pax ?? {}).some((key) => key.startsWith('GNU.sparse.'))) {
    throw aborted(`${JSON.stringify(name.slice(0, 200))} is a sparse file, which is not unpacked here`);
  }
  // Before POSIX the name alone told a folder.
  const isFolder = type === 'file' && size === 0 && name.endsWith('/');
  return {
    path: name,
    type: isFolder ? 'directory' : (type ?? 'an entry of unknown kind'),
    sizeBytes: size,
    mode,
    target: linkname ?? '',
    content: contentOf(entry, reasonOf),
  };
}

async function* contentOf(entry: Entry, reasonOf: (thrown: unknown) => unknown): AsyncIterable<Uint8Array> {
  try {
    yield* entry;
  } catch (thrown) {
    throw reasonOf(thrown);
  }
}

/** Gives the parser what it can take, and no more. */
class Feed {
  readonly #parser: Extract;
  readonly #maximumBytes: number;
  #headerBytes = 0;
  #isWithinEntry = false;
  #isClosed = false;
  #wake = () => {};
  /** Why it ended early. */
  failure: unknown;

  constructor(parser: Extract, maximumBytes: number) {
    this.#parser = parser;
    this.#maximumBytes = maximumBytes;
    parser.on('drain', () => this.#wake());
    parser.on('close', () => {
      this.#isClosed = true;
      this.#wake();
    });
  }

  /** Whether bytes that come now may be an entry's content. */
  set isWithinEntry(value: boolean) {
    this.#isWithinEntry = value;
    this.#headerBytes = 0;
  }

  /** Never throws: `failure` tells. */
  async run(source: AsyncIterable<Uint8Array>): Promise<void> {
    try {
      let total = 0;
      for await (const chunk of source) {
        total += chunk.byteLength;
        if (total > this.#maximumBytes) {
          throw exhausted(`it unpacks to more than ${this.#maximumBytes} bytes: assets.fetch.maximumUnpackedBytes`);
        }
        for (let from = 0; from < chunk.byteLength; from += PIECE_BYTES) {
          if (this.#isClosed) return;
          await this.#write(chunk.subarray(from, from + PIECE_BYTES));
        }
      }
      this.#parser.end();
    } catch (thrown) {
      this.failure = thrown;
      this.#parser.destroy(thrown instanceof Error ? thrown : new Error(String(thrown)));
    }
  }

  async #write(piece: Uint8Array): Promise<void> {
    if (!this.#isWithinEntry) {
      this.#headerBytes += piece.byteLength;
      if (this.#headerBytes > MAX_HEADER_BYTES) {
        throw exhausted(`more than ${MAX_HEADER_BYTES} bytes in it belong to no file`);
      }
    }
    if (this.#parser.write(piece) || this.#isClosed) return;
    await new Promise<void>((resolve) => {
      this.#wake = resolve;
    });
  }
}
