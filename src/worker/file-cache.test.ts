import {
  chmodSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  renameSync,
  rmSync,
  statSync,
  utimesSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { MemoryBlobStore } from '../adapters/blob/memory/memory-blob-store.ts';
import { type Digest, digestOf } from '../domain/digest.ts';
import { StatusCode } from '../domain/status-code.ts';
import { silentLogger } from '../lib/log.ts';
import { FileCache, fileKey, type HeldFiles } from './file-cache.ts';

const never = new AbortController().signal;

describe('FileCache', () => {
  let folder: string;
  let blobs: MemoryBlobStore;
  let cache: FileCache;
  let reads: number;

  beforeEach(() => {
    folder = mkdtempSync(join(tmpdir(), 'warren-file-cache-'));
    mkdirSync(join(folder, 'work'));
    blobs = new MemoryBlobStore(1 << 26);
    reads = 0;
    const readWhole = blobs.readWhole.bind(blobs);
    blobs.readWhole = (digest, signal) => {
      reads += 1;
      return readWhole(digest, signal);
    };
    open(1 << 26);
  });

  afterEach(() => rmSync(folder, { recursive: true, force: true }));

  function open(maxBytes: number): void {
    cache = new FileCache(join(folder, 'cache'), maxBytes, blobs, silentLogger);
    cache.open();
  }

  async function put(content: string | Buffer): Promise<Digest> {
    const bytes = Buffer.from(content as string);
    const digest = digestOf(bytes);
    await blobs.write(digest, bytes, never);
    return digest;
  }

  function hold(...digests: readonly Digest[]): Promise<HeldFiles> {
    return cache.hold(
      digests.map((digest) => ({ digest, executable: false })),
      never,
    );
  }

  function pathOf(held: HeldFiles, digest: Digest, executable = false): string {
    return held.files.get(fileKey({ digest, executable }))?.path as string;
  }

  it('fetches a file once, however many ask for it at the same time', async () => {
    const digest = await put('x');
    await Promise.all([hold(digest), hold(digest), hold(digest)]);
    expect(reads).toBe(1);
  });

  it('keeps what one action needs, though it is more than the cache may hold', async () => {
    open(4_096);
    const digests = await Promise.all(Array.from({ length: 20 }, (_, i) => put(`content ${i}`)));
    const held = await hold(...digests);
    expect(digests.filter((digest) => !existsSync(pathOf(held, digest)))).toEqual([]);
  });

  it('keeps an executable variant apart, made of the other one without another fetch', async () => {
    const digest = await put('x');
    await hold(digest);
    const held = await cache.hold([{ digest, executable: true }], never);
    expect(reads).toBe(1);
    expect(statSync(pathOf(held, digest, true)).mode & 0o777).toBe(0o555);
  });

  it('streams large files, and checks them', async () => {
    const content = Buffer.alloc(2_000_000, 'abc');
    const digest = await put(content);
    const held = await hold(digest);
    expect(readFileSync(pathOf(held, digest)).equals(content)).toBe(true);
    expect(reads).toBe(0);
  });

  it('keeps nothing of a blob that came with other bytes than its digest says', async () => {
    const digest = await put('right');
    blobs.readWhole = () => Promise.resolve(Buffer.from('wrong'));
    await expect(hold(digest)).rejects.toMatchObject({ code: StatusCode.UNAVAILABLE });
    expect(cache.bytes).toBe(0);
    expect(existsSync(join(folder, 'cache', digest.hash.slice(0, 2), `${digest.hash}-5-sha256`))).toBe(false);
  });

  it('lists every blob that is not there, and holds the rest', async () => {
    const there = await put('there');
    const lost = [digestOf(Buffer.from('1')), digestOf(Buffer.from('22'))];
    const held = await hold(lost[0] as Digest, there, lost[1] as Digest);
    expect(held.missing).toEqual(lost);
    expect(held.files.size).toBe(1);
  });

  it('drops what was used least recently beyond its limit, and nothing that is held', async () => {
    open(3 * 4_096);
    const [a, b, c, d] = await Promise.all([put('a'), put('b'), put('c'), put('d')]);
    const heldA = await hold(a);
    for (const digest of [b, c]) cache.release((await hold(digest)).files.values());
    cache.release((await hold(b)).files.values());
    const heldD = await hold(d);
    expect(existsSync(pathOf(heldA, a))).toBe(true);
    expect(existsSync(pathOf(heldD, d))).toBe(true);
    reads = 0;
    await hold(b);
    expect(reads).toBe(0);
    await hold(c);
    expect(reads).toBe(1);
  });

  it('gives way when the disk is full, but not with what is held', async () => {
    const [a, b] = await Promise.all([put('a'), put('b')]);
    const heldA = await hold(a);
    cache.release((await hold(b)).files.values());
    cache.shed(1_000_000);
    expect(cache.bytes).toBe(4_096);
    expect(existsSync(pathOf(heldA, a))).toBe(true);
  });

  it('notices that a link was written through, even when size and time were set back', async () => {
    const digest = await put('sound');
    const held = await hold(digest);
    const [file] = held.files.values();
    const link = join(folder, 'work', 'link');
    cache.link(file as never, link);
    const before = statSync(link);
    chmodSync(link, 0o600);
    writeFileSync(link, 'harms');
    chmodSync(link, before.mode);
    utimesSync(link, before.atime, before.mtime);
    expect(await cache.verify(held.files.values())).toBe(false);
    const again = await hold(digest);
    expect(readFileSync(pathOf(again, digest), 'utf8')).toBe('sound');
  });

  it('believes a file again whose link was only moved', async () => {
    const digest = await put('sound');
    const held = await hold(digest);
    const [file] = held.files.values();
    cache.link(file as never, join(folder, 'work', 'link'));
    renameSync(join(folder, 'work', 'link'), join(folder, 'work', 'moved'));
    expect(await cache.verify(held.files.values())).toBe(true);
  });

  it('removes from its folder what is none of its own', () => {
    writeFileSync(join(folder, 'cache', '00', 'stranger'), 'x');
    mkdirSync(join(folder, 'cache', '01', 'folder'));
    open(1 << 26);
    expect(existsSync(join(folder, 'cache', '00', 'stranger'))).toBe(false);
    expect(existsSync(join(folder, 'cache', '01', 'folder'))).toBe(false);
  });

  it('takes in a file that an action has made, unless it has other names or has changed since it was hashed', async () => {
    const digest = digestOf(Buffer.from('made'));
    const path = join(folder, 'work', 'made');
    writeFileSync(path, 'made');
    const seen = statSync(path);
    chmodSync(path, 0o600);
    cache.adopt({ digest, executable: false }, path, seen);
    expect(existsSync(path)).toBe(true);
    cache.adopt({ digest, executable: false }, path, statSync(path));
    expect(existsSync(path)).toBe(false);
    const held = await hold(digest);
    expect(readFileSync(pathOf(held, digest), 'utf8')).toBe('made');
    expect(reads).toBe(0);
  });
});
