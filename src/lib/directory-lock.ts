import { spawn } from 'node:child_process';
import { type FileHandle, mkdir, open } from 'node:fs/promises';
import { join } from 'node:path';

/** Another process works on the same folder. */
export class DirectoryLockedError extends Error {
  constructor(directory: string, owner: string) {
    super(
      `${directory} is in use by another process${owner === '' ? '' : ` (pid ${owner})`}: ` +
        'stop that process, or give this one a folder of its own',
    );
    this.name = 'DirectoryLockedError';
  }
}

/**
 * Keeps a folder for one process: the lock is the kernel's (flock), so that it goes with its process, however that ends,
 * and holds between containers that share the folder.
 *
 * Node has no call for it; the `flock` program of util-linux takes the lock on a file description that it inherits and
 * shares with this process. Where there is no such program, a process id in the file must do.
 */
export class DirectoryLock {
  readonly #handle: FileHandle;

  private constructor(handle: FileHandle) {
    this.#handle = handle;
  }

  /** Makes the folder if need be and locks it. @throws DirectoryLockedError when another process holds it. */
  static async acquire(directory: string): Promise<DirectoryLock> {
    await mkdir(directory, { recursive: true });
    const handle = await open(join(directory, 'lock'), 'a+');
    try {
      const { buffer, bytesRead } = await handle.read(Buffer.alloc(32), 0, 32, 0);
      const owner = buffer.toString('latin1', 0, bytesRead).trim();
      const locked = (await flock(handle.fd)) ?? !isAlive(owner);
      if (!locked) throw new DirectoryLockedError(directory, owner);
      await handle.truncate(0);
      // For the message alone: on a full disk a store must still open, for reading.
      await handle.write(`${process.pid}\n`).catch(() => {});
      return new DirectoryLock(handle);
    } catch (cause) {
      await handle.close();
      throw cause;
    }
  }

  async release(): Promise<void> {
    await this.#handle.truncate(0);
    await this.#handle.close();
  }
}

/** Whether the lock was got, or undefined where there is no `flock` program. */
function flock(fd: number): Promise<boolean | undefined> {
  return new Promise((resolve, reject) => {
    const child = spawn('flock', ['-n', '-x', '3'], { stdio: ['ignore', 'ignore', 'ignore', fd] });
    child.once('error', (cause: NodeJS.ErrnoException) => {
      if (cause.code === 'ENOENT') resolve(undefined);
      else reject(cause);
    });
    child.once('exit', (code) => resolve(code === 0));
  });
}

function isAlive(owner: string): boolean {
  const pid = Number(owner);
  if (!Number.isSafeInteger(pid) || pid <= 0) return false;
  try {
    process.kill(pid, 0);
    return true;
  } catch (cause) {
    return (cause as NodeJS.ErrnoException).code === 'EPERM';
  }
}
