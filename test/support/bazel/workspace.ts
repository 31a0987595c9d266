import { chmod, mkdir, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import type { SourceWeight } from './library-sources.ts';
import { offlineRepositories } from './offline-repositories.ts';
import { application, checks, generator, library, scenarios, treeRule } from './workspace-files.ts';

/** How large the generated workspace is; the defaults make some 250 actions. */
export interface WorkspaceSize {
  /** C++ libraries: each a generated header, two compilations and an archive. Defaults to 52. */
  readonly libraries?: number;
  /** C++ tests: each a compilation, a link and a run. Defaults to 10. */
  readonly tests?: number;
  /** How much there is to do for half of the libraries' sources. Defaults to light. */
  readonly weight?: SourceWeight;
  /** How long the slow actions sleep, as sleep takes it: a number that no other process has. Defaults to 3600. */
  readonly sleepSeconds?: string;
}

/**
 * Writes a C++ workspace into an empty folder that real Bazel builds without network: libraries that depend on each
 * other, genrules, a tool that genrules run, a tree artifact, a binary that links everything, C++ and shell tests.
 *
 * `//...` holds all that must build and pass; what is meant to fail, to time out or to be slow is tagged manual under
 * `//scenarios`. End-to-end tests and the benchmark share it.
 */
export async function writeWorkspace(folder: string, size: WorkspaceSize = {}): Promise<void> {
  const libraries = size.libraries ?? 52;
  const tests = size.tests ?? 10;
  const files: Record<string, string> = {
    ...(await offlineRepositories(folder)),
    ...treeRule(),
    ...generator(),
    ...application(libraries),
    ...checks(tests, libraries),
    ...scenarios(size.sleepSeconds ?? '3600'),
  };
  for (let index = 0; index < libraries; index += 1) Object.assign(files, library(index, size.weight ?? 'light'));
  for (const [path, text] of Object.entries(files)) {
    const target = join(folder, path);
    await mkdir(dirname(target), { recursive: true });
    await writeFile(target, text);
    if (path.endsWith('.sh')) await chmod(target, 0o755);
  }
}
