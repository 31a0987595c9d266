import { createHash } from 'node:crypto';
import { readdir, readFile, stat } from 'node:fs/promises';
import { join } from 'node:path';

/** Every file below a folder, symbolic links followed: path to mode and SHA-256 of its bytes. */
export async function folderContents(
  folder: string,
  ignore: (path: string) => boolean = () => false,
  below = '',
): Promise<Record<string, string>> {
  const contents: Record<string, string> = {};
  for (const name of (await readdir(join(folder, below))).sort()) {
    const path = join(below, name);
    if (ignore(path)) continue;
    const { mode, isFolder } = await stat(join(folder, path)).then((each) => ({
      mode: each.mode & 0o111,
      isFolder: each.isDirectory(),
    }));
    if (isFolder) Object.assign(contents, await folderContents(folder, ignore, path));
    else
      contents[path] = `${mode.toString(8)} ${createHash('sha256')
        .update(await readFile(join(folder, path)))
        .digest('hex')}`;
  }
  return contents;
}
