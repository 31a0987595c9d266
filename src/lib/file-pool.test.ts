import { mkdtempSync, readdirSync, readlinkSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { readAt } from './file-io.ts';
import { FilePool } from './file-pool.ts';

const directory = mkdtempSync(join(tmpdir(), 'warren-pool-'));
const path = (n: number) => join(directory, `${n}`);

beforeAll(() => {
  for (let n = 0; n < 20; n++) writeFileSync(path(n), `file ${n}`);
});
afterAll(() => rmSync(directory, { recursive: true }));

/** Descriptors of files of this test; the process has others that come and go. */
function openFiles(): number {
  return readdirSync('/proc/self/fd').filter((fd) => {
    try {
      return readlinkSync(`/proc/self/fd/${fd}`).startsWith(directory);
    } catch {
      return false;
    }
  }).length;
}

async function content(pool: FilePool, n: number): Promise<string> {
  const file = await pool.acquire(path(n));
  try {
    const buffer = Buffer.alloc(20);
    return buffer.toString('latin1', 0, await readAt(file.fd, buffer, 0));
  } finally {
    pool.release(file);
  }
}

describe('FilePool', () => {
  test('many readers of many files get theirs, and no more files are open than allowed', async () => {
    const pool = new FilePool(3);
    const reads = Array.from({ length: 400 }, (_, i) => content(pool, (i * 7) % 20));
    const most = { open: 0 };
    const found = await Promise.all(
      reads.map(async (read) => {
        const text = await read;
        most.open = Math.max(most.open, pool.size);
        return text;
      }),
    );
    expect(found).toEqual(Array.from({ length: 400 }, (_, i) => `file ${(i * 7) % 20}`));
    expect(most.open).toBeLessThanOrEqual(3);
    pool.closeAll();
    expect(pool.size).toBe(0);
  });

  test('a file that is forgotten while it is read stays readable until it is given back', async () => {
    const pool = new FilePool(3);
    const file = await pool.acquire(path(1));
    rmSync(path(1));
    pool.forget(path(1));
    const buffer = Buffer.alloc(6);
    await readAt(file.fd, buffer, 0);
    expect(buffer.toString()).toBe('file 1');
    pool.release(file);
    await expect(content(pool, 1)).rejects.toMatchObject({ code: 'ENOENT' });
    writeFileSync(path(1), 'file 1');
    expect(await content(pool, 1)).toBe('file 1');
    pool.closeAll();
  });

  test('a file that is not there fails for all who wait and keeps no place', async () => {
    const pool = new FilePool(1);
    const reads = Array.from({ length: 5 }, () =>
      content(pool, 99).catch((error: NodeJS.ErrnoException) => error.code),
    );
    expect(await Promise.all(reads)).toEqual(Array.from({ length: 5 }, () => 'ENOENT'));
    expect(await content(pool, 2)).toBe('file 2');
    expect(openFiles()).toBe(1);
    pool.closeAll();
  });
});
