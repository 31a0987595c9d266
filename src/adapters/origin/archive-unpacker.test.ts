import { once } from 'node:events';
import { mkdtemp, readdir, rmdir } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { buffer } from 'node:stream/consumers';
import { gzipSync } from 'node:zlib';
import { type Headers, pack } from 'tar-stream';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { type Digest, digestOf } from '../../domain/digest.ts';
import { SHA256 } from '../../domain/digest-function.ts';
import { checkCanonicalDirectory } from '../../domain/merkle-tree.ts';
import { StatusCode } from '../../domain/status-code.ts';
import { SequentialIdGenerator } from '../../lib/ids.ts';
import { OriginError } from '../../ports/origin.ts';
import { decodeDirectory } from '../../wire/directory.ts';
import { MemoryBlobStore } from '../blob/memory/memory-blob-store.ts';
import { ArchiveUnpacker, type ArchiveUnpackerOptions, type UnpackRequest } from './archive-unpacker.ts';
import { SpoolFile } from './spool-file.ts';

const signal = new AbortController().signal;

let folder: string;
let blobs: MemoryBlobStore;

beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'warren-archive-'));
  blobs = new MemoryBlobStore(64 << 20);
});
afterEach(async () => {
  // Fails when something was left in it.
  await rmdir(folder);
});

type Member = Partial<Headers> & { readonly name: string; readonly content?: string | Buffer };

/** A tar archive of these members, files unless they say otherwise. */
async function tar(...members: readonly Member[]): Promise<Buffer> {
  const packer = pack();
  const packed = buffer(packer);
  for (const { content = '', ...header } of members) {
    const entry = packer.entry(header, Buffer.from(content as string));
    if (!entry.destroyed && header.type === undefined) await once(entry, 'finish').catch(() => {});
  }
  packer.finalize();
  return packed;
}

/** One block of a header, changed, with its checksum set right. */
function header(block: Buffer, change: (block: Buffer) => void): Buffer {
  const changed = Buffer.from(block.subarray(0, 512));
  change(changed);
  changed.fill(' ', 148, 156);
  const sum = changed.reduce((total, byte) => total + byte, 0);
  changed.write(`${sum.toString(8).padStart(6, '0')}\0 `, 148, 'latin1');
  return changed;
}

async function unpack(
  archive: Buffer,
  { options = {}, request = {} }: { options?: Partial<ArchiveUnpackerOptions>; request?: Partial<UnpackRequest> } = {},
): Promise<Digest> {
  const unpacker = new ArchiveUnpacker({
    maximumUnpackedBytes: 16 << 20,
    maximumSizeBytes: 8 << 20,
    maximumEntries: 1_000,
    directory: folder,
    ids: new SequentialIdGenerator(),
    ...options,
  });
  await using spool = await SpoolFile.create(folder, 'archive');
  await spool.append(archive);
  return await unpacker.unpack(spool, { digestFunction: SHA256, folder: [], ...request }, blobs, signal);
}

/** Every node below a directory, by path: what files hold, `*` after executable ones, `->` before targets. */
async function listing(digest: Digest, prefix = ''): Promise<Record<string, string>> {
  const directory = decodeDirectory(await blobs.readWhole(digest, signal), digest.digestFunction, 'test');
  checkCanonicalDirectory(directory, 'test');
  const found: Record<string, string> = {};
  for (const { name, digest: file, isExecutable } of directory.files) {
    const text = Buffer.from(await blobs.readWhole(file, signal)).toString();
    found[prefix + name] = `${text}${isExecutable ? '*' : ''}`;
  }
  for (const { name, target } of directory.symlinks) found[prefix + name] = `->${target}`;
  for (const { name, digest: child } of directory.directories) {
    found[`${prefix}${name}/`] = '';
    Object.assign(found, await listing(child, `${prefix}${name}/`));
  }
  return found;
}

async function failureOf(archive: Buffer, parts: Parameters<typeof unpack>[1] = {}): Promise<[number, string]> {
  try {
    await unpack(archive, parts);
  } catch (thrown) {
    if (thrown instanceof OriginError) return [thrown.code, thrown.message];
    throw thrown;
  }
  throw new Error('the archive was expected to be refused');
}

describe('an archive', () => {
  const nested = () =>
    tar(
      { name: './', type: 'directory' },
      { name: './b', content: 'of b' },
      { name: './a/deep/run', content: 'of run', mode: 0o755 },
      { name: './a', type: 'directory' },
      { name: './empty/', type: 'directory' },
      { name: './a/group', content: 'of group', mode: 0o614 },
      { name: './nothing' },
    );
  const expected = {
    b: 'of b',
    nothing: '',
    'a/': '',
    'a/group': 'of group',
    'a/deep/': '',
    'a/deep/run': 'of run*',
    'empty/': '',
  };

  test('becomes a canonical tree of what is in it', async () => {
    expect(await listing(await unpack(await nested()))).toEqual(expected);
  });

  test('is told by its bytes to be gzip, also of several members', async () => {
    const archive = await nested();
    const gzip = Buffer.concat([gzipSync(archive.subarray(0, 700)), gzipSync(archive.subarray(700))]);
    expect(await unpack(gzip)).toEqual(await unpack(archive));
  });

  test('has one digest whatever the order of its entries', async () => {
    const names = ['\u{1f600}', '\uffee', 'b', 'a.b', 'a'];
    const members = names.map((name) => ({ name: `x/${name}`, content: name }));
    expect(await unpack(await tar(...members))).toEqual(await unpack(await tar(...members.reverse())));
  });

  test('may hold nothing', async () => {
    expect(await unpack(await tar())).toEqual(digestOf(new Uint8Array(0)));
  });

  test('may hold names longer than a header takes', async () => {
    const name = `${'n'.repeat(200)}/${'m'.repeat(200)}`;
    expect(await listing(await unpack(await tar({ name, content: 'x' })))).toMatchObject({ [name]: 'x' });
  });

  test('may hold files too large for memory', async () => {
    const content = Buffer.alloc(5 << 20, 'large');
    const root = await unpack(await tar({ name: 'large', content }, { name: 'small', content: 'x' }));
    expect((await listing(root))['small']).toBe('x');
    expect(await blobs.findMissing([digestOf(content)], signal)).toEqual([]);
  });

  test('gives a folder of it as the root', async () => {
    const archive = await nested();
    expect(await listing(await unpack(archive, { request: { folder: ['a'] } }))).toEqual({
      group: 'of group',
      'deep/': '',
      'deep/run': 'of run*',
    });
    for (const missing of [['b'], ['c'], ['a', 'group', 'x']]) {
      expect((await failureOf(archive, { request: { folder: missing } }))[0]).toBe(StatusCode.NOT_FOUND);
    }
  });
});

describe('links', () => {
  test('of the hard kind are the file that they are to', async () => {
    const root = await unpack(
      await tar({ name: 'a/file', content: 'of it', mode: 0o700 }, { name: 'b', type: 'link', linkname: './a/file' }),
    );
    expect(await listing(root)).toEqual({ 'a/': '', 'a/file': 'of it*', b: 'of it*' });
  });

  test('of the symbolic kind are kept, absolute ones too', async () => {
    const root = await unpack(
      await tar(
        { name: 'a/up', type: 'symlink', linkname: '../file' },
        { name: 'abs', type: 'symlink', linkname: '/usr/bin/env' },
        { name: 'nowhere', type: 'symlink', linkname: 'not/there' },
      ),
    );
    expect(await listing(root)).toEqual({
      'a/': '',
      'a/up': '->../file',
      abs: '->/usr/bin/env',
      nowhere: '->not/there',
    });
  });

  test.each([
    ['a symlink out of the root', { name: 'a/b', type: 'symlink', linkname: '../../c' }],
    ['a hard link to nothing', { name: 'a', type: 'link', linkname: 'b' }],
    ['a hard link out of the root', { name: 'a', type: 'link', linkname: '../etc/passwd' }],
    ['a hard link to an absolute path', { name: 'a', type: 'link', linkname: '/etc/passwd' }],
  ] as const)('%s is ABORTED', async (_, member) => {
    expect((await failureOf(await tar(member)))[0]).toBe(StatusCode.ABORTED);
  });

  test('out of the folder that becomes the root are ABORTED, and others outside of it are not looked at', async () => {
    const archive = await tar(
      { name: 'a/link', type: 'symlink', linkname: '../b' },
      { name: 'b/link', type: 'symlink', linkname: '../../out' },
      { name: 'c/file', content: 'x' },
    );
    expect((await failureOf(archive, { request: { folder: ['a'] } }))[1]).toContain('leads out');
    expect(await listing(await unpack(archive, { request: { folder: ['c'] } }))).toEqual({ file: 'x' });
  });
});

describe('refused as ABORTED, with what is wrong:', () => {
  test.each<readonly [string, string, readonly Member[]]>([
    ['an absolute path', 'absolute', [{ name: '/etc/passwd' }]],
    ['a path that leads up', 'leads out', [{ name: 'a/../../b' }]],
    ['an empty name', 'empty name', [{ name: 'a//b' }]],
    ['a file twice', 'twice', [{ name: 'a' }, { name: './a' }]],
    ['a file where a folder is', 'twice', [{ name: 'a/b' }, { name: 'a' }]],
    ['a folder where a file is', 'as a file', [{ name: 'a' }, { name: 'a/', type: 'directory' }]],
    ['an entry below a file', 'as a file', [{ name: 'a' }, { name: 'a/b' }]],
    [
      'an entry below a symlink',
      'as a symlink',
      [
        { name: 'a', type: 'symlink', linkname: '/tmp' },
        { name: 'a/b', content: 'x' },
      ],
    ],
    ['a device', 'character-device', [{ name: 'null', type: 'character-device', devmajor: 1, devminor: 3 }]],
    ['a FIFO', 'fifo', [{ name: 'pipe', type: 'fifo' }]],
  ])('%s', async (_, message, members) => {
    expect(await failureOf(await tar(...members))).toEqual([StatusCode.ABORTED, expect.stringContaining(message)]);
  });

  const archive = () => tar({ name: 'a', content: Buffer.alloc(3_000, 'x') }, { name: 'b', content: 'y' });

  test.each([600, 1_000, 3_000, 4_000])('an archive cut short after %i bytes', async (bytes) => {
    const [code, message] = await failureOf((await archive()).subarray(0, bytes));
    expect([code, message]).toEqual([StatusCode.ABORTED, expect.stringContaining('damaged')]);
  });

  test('gzip that is cut short or damaged', async () => {
    const gzip = gzipSync(await archive());
    const flipped = Buffer.from(gzip);
    flipped.writeUInt8(flipped.readUInt8(gzip.length - 6) ^ 1, gzip.length - 6);
    for (const bad of [gzip.subarray(0, gzip.length - 9), flipped]) {
      expect(await failureOf(bad)).toEqual([StatusCode.ABORTED, expect.stringContaining('gzip is damaged')]);
    }
  });

  test('what is no archive at all', async () => {
    for (const text of ['', '<html>', '<html>'.repeat(1_000)]) {
      expect((await failureOf(Buffer.from(text)))[0]).toBe(StatusCode.ABORTED);
    }
  });

  test.each([-5, Number.NaN])('an entry of the size %d', async (size) => {
    const block = header(await tar({ name: 'a' }), (changed) => {
      if (Number.isNaN(size)) changed.write('xxxxxxxxxxx\0', 124);
      else changed.fill(0xff, 124, 136).writeUInt8(0xfa, 135);
    });
    const [code, message] = await failureOf(Buffer.concat([block, Buffer.alloc(2_048)]));
    expect([code, message]).toEqual([StatusCode.ABORTED, expect.stringContaining('size')]);
  });
});

test.each([
  ['zip', 'PK\u0003\u0004'],
  ['xz', '\u00fd7zXZ\0'],
  ['zstd', '\u0028\u00b5\u002f\u00fd'],
  ['bzip2', 'BZh9'],
])('%s is UNIMPLEMENTED, and told what is unpacked', async (name, magic) => {
  const [code, message] = await failureOf(Buffer.from(magic.padEnd(600, 'x'), 'latin1'));
  expect([code, message]).toEqual([StatusCode.UNIMPLEMENTED, expect.stringContaining(`${name}, `)]);
  expect(message).toContain('tar.gz');
});

describe('RESOURCE_EXHAUSTED is an archive', () => {
  test('that unpacks to more than it may, long before all of it is unpacked', async () => {
    const bomb = gzipSync(await tar({ name: 'a', content: Buffer.alloc(7 << 20) }));
    const refused = await failureOf(bomb, { options: { maximumUnpackedBytes: 1 << 20 } });
    expect(refused).toEqual([StatusCode.RESOURCE_EXHAUSTED, expect.stringContaining('maximumUnpackedBytes')]);
    expect(blobs.storedBytes).toBe(0);
  });

  test('with a file larger than one may be', async () => {
    const archive = await tar({ name: 'a', content: Buffer.alloc(2_000) });
    const refused = await failureOf(archive, { options: { maximumSizeBytes: 1_999 } });
    expect(refused).toEqual([StatusCode.RESOURCE_EXHAUSTED, expect.stringContaining('maximumSizeBytes')]);
  });

  test('with too many entries, the folders counted that nothing but a path names', async () => {
    const archive = await tar({ name: 'a/b/c' }, { name: 'd' });
    expect(await unpack(archive, { options: { maximumEntries: 4 } })).toBeDefined();
    const refused = await failureOf(archive, { options: { maximumEntries: 3 } });
    expect(refused).toEqual([StatusCode.RESOURCE_EXHAUSTED, expect.stringContaining('maximumEntries')]);
  });

  test('that is too deep, or whose names are too long', async () => {
    expect(await unpack(await tar({ name: `${'a/'.repeat(255)}f` }))).toBeDefined();
    for (const name of [`${'a/'.repeat(256)}f`, 'n'.repeat(256), `${'n'.repeat(250)}/`.repeat(17)]) {
      expect((await failureOf(await tar({ name })))[0]).toBe(StatusCode.RESOURCE_EXHAUSTED);
    }
  });

  test('with a header that would fill the memory', async () => {
    const block = header(await tar({ name: 'a' }), (changed) => {
      changed.write('x', 156);
      changed.write('00040000000\0', 124);
    });
    const refused = await failureOf(gzipSync(Buffer.concat([block, Buffer.alloc(8 << 20, 'x')])));
    expect(refused).toEqual([StatusCode.RESOURCE_EXHAUSTED, expect.stringContaining('belong to no file')]);
  });
});

test('a store that fails is not blamed on the archive', async () => {
  const full = new Error('no room');
  blobs.write = () => Promise.reject(full);
  await expect(unpack(await tar({ name: 'a', content: 'x' }))).rejects.toBe(full);
  expect(await readdir(folder)).toEqual([]);
});
