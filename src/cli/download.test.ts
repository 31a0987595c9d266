import { lstat, mkdir, mkdtemp, readdir, readFile, readlink, rm, symlink, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { MemoryBlobStore } from '../adapters/blob/memory/memory-blob-store.ts';
import { digestOf } from '../domain/digest.ts';
import { checkBelow, download, newWantedNodes } from './download.ts';
import { newTransferProgress } from './local-blobs.ts';

const signal = new AbortController().signal;
const data = Buffer.from('content');
const digest = digestOf(data);
let root: string;
let store: MemoryBlobStore;

beforeEach(async () => {
  root = await mkdtemp(join(tmpdir(), 'warren-download-'));
  store = new MemoryBlobStore(1 << 24);
  await store.write(digest, data, signal);
});
afterEach(() => rm(root, { recursive: true }));

function fetch(parts: Partial<ReturnType<typeof newWantedNodes>>, folder = root) {
  return download(store, folder, { ...newWantedNodes(), ...parts }, newTransferProgress(), signal);
}

test('files, folders and symlinks are made where they belong', async () => {
  const large = Buffer.alloc(3 << 20, 'x');
  await store.write(digestOf(large), large, signal);
  const target = join(root, 'new');
  await fetch(
    {
      directories: ['empty'],
      files: [
        { path: 'a/b/run', digest, executable: true },
        { path: 'large', digest: digestOf(large), executable: false },
      ],
      symlinks: [{ path: 'a/link', target: 'b/run' }],
    },
    target,
  );
  expect(await readFile(join(target, 'a/b/run'), 'utf8')).toBe('content');
  expect((await lstat(join(target, 'a/b/run'))).mode & 0o111).toBe(0o111);
  expect((await readFile(join(target, 'large'))).equals(large)).toBe(true);
  expect(await readlink(join(target, 'a/link'))).toBe('b/run');
  expect(await readdir(join(target, 'empty'))).toEqual([]);
});

test('what is there already is replaced', async () => {
  await writeFile(join(root, 'f'), 'old');
  await symlink('/nowhere', join(root, 'l'));
  await fetch({
    files: [{ path: 'f', digest, executable: false }],
    symlinks: [{ path: 'l', target: 'f' }],
  });
  expect(await readFile(join(root, 'f'), 'utf8')).toBe('content');
  expect(await readlink(join(root, 'l'))).toBe('f');
});

test('a symlink in the place of a file is replaced, and what it leads to is left alone', async () => {
  const outside = join(root, 'outside');
  await writeFile(outside, 'precious');
  await mkdir(join(root, 'in'));
  await symlink(outside, join(root, 'in/f'));
  await fetch({ files: [{ path: 'f', digest, executable: false }] }, join(root, 'in'));
  expect(await readFile(outside, 'utf8')).toBe('precious');
  expect(await readFile(join(root, 'in/f'), 'utf8')).toBe('content');
});

test('a file may have as long a name as there can be', async () => {
  const path = 'x'.repeat(255);
  await fetch({ files: [{ path, digest, executable: false }] });
  expect(await readdir(root)).toEqual([path]);
});

test('nothing is written through a symlink that an earlier download has left beside a file', async () => {
  const outside = join(root, 'outside');
  await writeFile(outside, 'precious');
  const planted = `f.${digest.hash.slice(0, 8)}.warren-part`;
  await fetch({ symlinks: [{ path: planted, target: outside }] });
  await fetch({ files: [{ path: 'f', digest, executable: false }] });
  expect(await readFile(outside, 'utf8')).toBe('precious');
});

test('nothing is written through a symlink in the place of a folder', async () => {
  const outside = await mkdtemp(join(tmpdir(), 'warren-outside-'));
  await symlink(outside, join(root, 'd'));
  await expect(fetch({ files: [{ path: 'd/f', digest, executable: false }] })).rejects.toThrow('is in the way');
  expect(await readdir(outside)).toEqual([]);
  await rm(outside, { recursive: true });
});

test('a file that can not be fetched leaves nothing behind', async () => {
  const absent = digestOf(Buffer.from('absent'));
  await expect(fetch({ files: [{ path: 'f', digest: absent, executable: false }] })).rejects.toThrow(absent.hash);
  expect(await readdir(root)).toEqual([]);
});

test.each(['/etc/passwd', '../up', 'a/../../b', 'a\0b'])('an output at %j is refused', (path) => {
  expect(() => checkBelow(path)).toThrow('outside of the folder');
});

test('an output is put below the folder', () => {
  expect(checkBelow('./a//b/')).toBe('a/b');
});
