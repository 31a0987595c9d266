import { execFile } from 'node:child_process';
import { cp, symlink, writeFile } from 'node:fs/promises';
import { join, relative } from 'node:path';
import { promisify } from 'node:util';
import { outcomeOf, startCommand } from './program.ts';

const run = promisify(execFile);

const ROOT = join(import.meta.dirname, '../..');

/** What a registry that can't be reached makes npm say. */
const NO_REGISTRY = /ENOTFOUND|EAI_AGAIN|ECONNREFUSED|ECONNRESET|ETIMEDOUT|ENETUNREACH/;

/**
 * A clone of this checkout with what is not committed yet, in which `./warren` has installed and built, as a newcomer's
 * first command does. Where no registry can be reached it gets the packages of this checkout.
 *
 * @returns the path of its `./warren`.
 * @throws Error with what was printed when that fails for another reason.
 */
export async function cleanClone(folder: string): Promise<string> {
  await clone(folder).catch(() => copy(folder));
  const launcher = join(folder, 'warren');
  let outcome = await outcomeOf(startCommand(launcher, ['--version']));
  if (outcome.code !== 0 && NO_REGISTRY.test(outcome.stderr)) {
    await run('rm', ['-rf', join(folder, 'node_modules')]);
    await symlink(join(ROOT, 'node_modules'), join(folder, 'node_modules'));
    outcome = await outcomeOf(startCommand(launcher, ['--version']));
  }
  if (outcome.code !== 0) throw new Error(`./warren in a clean clone ended with ${outcome.code}:\n${outcome.stderr}`);
  return launcher;
}

async function clone(folder: string): Promise<void> {
  await run('git', ['clone', '--quiet', ROOT, folder]);
  const { stdout: changes } = await run('git', ['-C', ROOT, 'diff', '--binary', 'HEAD'], { maxBuffer: 1024 ** 3 });
  if (changes === '') return;
  const patch = join(folder, '.git/changes.patch');
  await writeFile(patch, changes);
  await run('git', ['-C', folder, 'apply', '--whitespace=nowarn', patch]);
}

/** Where there is no repository, such as in an unpacked archive: the same files, nothing installed and nothing built. */
async function copy(folder: string): Promise<void> {
  const notCloned = new Set(['.git', '.cache', 'dist', 'node_modules']);
  await cp(ROOT, folder, { recursive: true, filter: (source) => !notCloned.has(relative(ROOT, source)) });
}
