import { appendFile, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { FaultyBlobStore } from '../../../test/support/faulty-blob-store.ts';
import { removeFolder, temporaryFolder } from '../../../test/support/throwaway-process.ts';
import { type Digest, digestOf } from '../../domain/digest.ts';
import { DIGEST_FUNCTIONS } from '../../domain/digest-function.ts';
import { StatusCode } from '../../domain/status-code.ts';
import { invalidArgument } from '../../domain/status-error.ts';
import { FakeClock } from '../../lib/fake-clock.ts';
import { silentLogger } from '../../lib/log.ts';
import type { BlobBackend } from '../../ports/blob-backend.ts';
import { someBytes } from '../../ports/blob-store.suite.ts';
import { MemoryBlobStore } from './memory/memory-blob-store.ts';
import { TieredBlobStore } from './tiered-blob-store.ts';
import { WriteBackJournal } from './write-back-journal.ts';

const signal = new AbortController().signal;
const AT_ONCE = AbortSignal.abort();
const MINUTE = 60_000;
const data = someBytes(2_000, 1);
const digest = digestOf(data);
const other = someBytes(2_000, 2);
const otherDigest = digestOf(other);
const isStored = async (store: BlobBackend, which: Digest = digest) =>
  (await store.findMissing([which], signal)).length === 0;

let clock: FakeClock;
let fast: FaultyBlobStore;
let slow: FaultyBlobStore;
beforeEach(() => {
  clock = new FakeClock();
  fast = new FaultyBlobStore(new MemoryBlobStore(10_000));
  slow = new FaultyBlobStore(new MemoryBlobStore(1_000_000));
});

function tiered(journal?: WriteBackJournal, maximumPending = 100): TieredBlobStore {
  const options = { mode: 'write-back', maximumFastBlobBytes: 10_000, maximumPending } as const;
  return new TieredBlobStore(fast, slow, options, { clock, logger: silentLogger, random: () => 0, journal });
}

describe('what waits for the slow store', () => {
  test('is acknowledged, and counted, while the slow store is away, and comes there once it is back', async () => {
    const store = tiered();
    const writer = await store.openWriter(digest, signal);
    await writer.append(data);
    slow.down = true;
    await writer.commit();
    await clock.advance(10 * MINUTE);
    expect(store.pendingBlobs).toBe(1);
    const attempts = slow.findMissingCalls;
    await clock.advance(10 * MINUTE);
    expect(slow.findMissingCalls - attempts).toBe(10);
    slow.down = false;
    await clock.advance(MINUTE);
    expect(store.pendingBlobs).toBe(0);
    expect(await isStored(slow)).toBe(true);
    expect(clock.pendingTimers).toBe(0);
  });

  test('is not evicted from the fast store, and is again once the slow one has it', async () => {
    const store = tiered();
    slow.down = true;
    await commit(store, digest, data);
    for (let i = 10; i < 30; i++) await fast.write(digestOf(someBytes(1_000, i)), someBytes(1_000, i), signal);
    expect(await isStored(fast)).toBe(true);
    slow.down = false;
    await clock.advance(MINUTE);
    for (let i = 10; i < 30; i++) await fast.write(digestOf(someBytes(1_000, i)), someBytes(1_000, i), signal);
    expect(await isStored(fast)).toBe(false);
    expect(await isStored(slow)).toBe(true);
  });

  test('is bounded: an upload beyond it waits for room, and is UNAVAILABLE where there is none for 30 s', async () => {
    const store = tiered(undefined, 1);
    slow.down = true;
    await commit(store, digest, data);
    const refused = commit(store, otherDigest, other).catch((cause: unknown) => cause);
    await clock.advance(30_000);
    expect(await refused).toMatchObject({ code: StatusCode.UNAVAILABLE });
    expect(await isStored(fast, otherDigest)).toBe(false);
    const taken = commit(store, otherDigest, other);
    slow.down = false;
    await clock.advance(MINUTE);
    await taken;
    await store.close(signal);
    expect(await isStored(slow, otherDigest)).toBe(true);
  });

  test('takes no room where the upload fails after all', async () => {
    const store = tiered(undefined, 1);
    const writer = await store.openWriter(digest, signal);
    await expect(writer.commit()).rejects.toMatchObject({ code: StatusCode.INVALID_ARGUMENT });
    await writer.abandon();
    expect(store.pendingBlobs).toBe(0);
  });

  test('is given up where the slow store will never take it, and where it is deleted', async () => {
    const store = tiered();
    slow.write = async () => {
      throw invalidArgument('digest.size_bytes', 'too large for it');
    };
    await commit(store, digest, data);
    await clock.advance(0);
    expect(store.pendingBlobs).toBe(0);
    slow.down = true;
    await commit(store, otherDigest, other);
    const deleted = store.delete(otherDigest, signal).catch(() => {});
    await clock.advance(0);
    await deleted;
    expect(store.pendingBlobs).toBe(0);
    expect(clock.pendingTimers).toBe(0);
  });
});

describe('with a journal', () => {
  let folder: string;
  beforeEach(async () => {
    folder = await temporaryFolder('write-back');
  });
  afterEach(() => removeFolder(folder));

  test('the next process brings to the slow store what this one did not', async () => {
    const first = tiered(await WriteBackJournal.open(folder, false));
    await commit(first, digest, data);
    await expect.poll(() => first.pendingBlobs).toBe(0);
    slow.down = true;
    await commit(first, otherDigest, other);
    await first.close(AT_ONCE);
    expect(await isStored(fast, otherDigest)).toBe(true);
    slow.down = false;
    const journal = await WriteBackJournal.open(folder, true);
    expect(journal.waiting).toEqual([otherDigest]);
    const second = tiered(journal);
    await second.close(signal);
    expect(await isStored(slow, otherDigest)).toBe(true);
    const third = await WriteBackJournal.open(folder, false);
    expect(third.waiting).toEqual([]);
    await third.close();
  });

  test('what the fast store lost meanwhile waits no more', async () => {
    const lost = await WriteBackJournal.open(folder, false);
    await lost.add(digest);
    await lost.close();
    const store = tiered(await WriteBackJournal.open(folder, false));
    await store.close(signal);
    expect(store.pendingBlobs).toBe(0);
  });

  test('digests of every function come back, and what is torn or nonsense counts for nothing', async () => {
    const digests = DIGEST_FUNCTIONS.map((each) => digestOf(data, each));
    const journal = await WriteBackJournal.open(folder, false);
    await Promise.all([...digests, digest].map((each) => journal.add(each)));
    await journal.remove(digests[1] as Digest);
    await journal.close();
    await appendFile(join(folder, 'write-back'), `nonsense\n+ sha256 abc 1\n+ sha256 ${digest.hash} 1`);
    const read = await WriteBackJournal.open(folder, false);
    expect(read.waiting).toEqual(digests.filter((_, i) => i !== 1));
    await read.close();
  });

  test('the file does not grow with what has come and gone', async () => {
    const journal = await WriteBackJournal.open(folder, false);
    await journal.add(otherDigest);
    for (let i = 0; i < 200; i++) {
      await Promise.all(Array.from({ length: 100 }, () => journal.add(digest)));
      await journal.remove(digest);
    }
    const lines = (await readFile(join(folder, 'write-back'), 'latin1')).split('\n').length;
    expect(lines).toBeLessThan(11_000);
    await journal.close();
    const read = await WriteBackJournal.open(folder, false);
    expect(read.waiting).toEqual([otherDigest]);
    await read.close();
  });
});

async function commit(store: TieredBlobStore, which: Digest, bytes: Uint8Array): Promise<void> {
  const writer = await store.openWriter(which, signal);
  try {
    await writer.append(bytes);
    await writer.commit();
  } finally {
    await writer.abandon();
  }
}
