import { mkdir, readdir, readFile, symlink, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { cleanClone } from '../support/clean-clone.ts';
import { outcomeOf, type RunningGrid, startCommand, startUp } from '../support/program.ts';
import { removeFolder, temporaryFolder } from '../support/throwaway-process.ts';

/**
 * A newcomer's way: a clean clone, `./warren up` in it, and every command of README.md and docs/using, as it stands there
 * or by the test that is named.
 */

const ROOT = join(import.meta.dirname, '../..');

/** Commands that need more than a grid and a folder, with the test that runs them or the reason why none does. */
const ELSEWHERE: Readonly<Record<string, string>> = {
  './warren up': 'test/e2e/warren-up.test.ts',
  './warren up      # the whole grid on this machine: server, storage and workers': 'test/e2e/warren-up.test.ts',
  './dev test       # every test; as root, it installs what the tests need': '.ci/run',
  'bazel build --remote_executor=grpc://127.0.0.1:50051 //...': 'test/e2e/bazel.test.ts',
  'bazel build --remote_executor=grpcs://build.example:50051 --tls_certificate=authorities.pem \\':
    'Debian has no Bazel that speaks TLS; test/integration/served-tls.test.ts speaks it with our own clients',
  'bazel build --remote_executor=grpc://HOST:PORT --experimental_remote_downloader=grpc://HOST:PORT //...':
    'test/e2e/bazel-downloads.test.ts',
  'apt-get install --no-install-recommends bazel-bootstrap bazel-rules-java bazel-rules-proto bazel-platforms bazel-skylib g++':
    'scripts/test',
  'warren asset fetch https://example.com/a.tar.gz --sri sha256-uU0nuZNNPgilLlLX2n2r+sSE7+N6U4DukIj3rOLvzek= --output a.tar.gz':
    'test/integration/assets.test.ts',
  'warren index check': 'test/integration/store-commands.test.ts',
  'export RECC_SERVER=127.0.0.1:50051 RECC_FORCE_REMOTE=1': 'no package of RECC exists to test with',
  'recc /usr/bin/gcc -c hello.c -o hello.o': 'no package of RECC exists to test with',
};

/** The command lines of the fenced blocks; what a command prints begins with no command's name. */
async function documented(): Promise<string[]> {
  const using = (await readdir(join(ROOT, 'docs/using'))).map((name) => `docs/using/${name}`);
  const commands = new Set<string>();
  for (const file of ['README.md', ...using]) {
    const blocks = (await readFile(join(ROOT, file), 'utf8')).matchAll(/^```.*\n([^`]*)^```$/gm);
    for (const [, block = ''] of blocks) {
      for (const line of block.split('\n')) {
        if (/^(?:\$ )?(?:\.\/\w+|warren|bazel|recc|export|apt-get) /.test(line)) commands.add(line.replace(/^\$ /, ''));
      }
    }
  }
  return [...commands];
}

const commands = await documented();

const isRunHere = (command: string) => command.startsWith('warren ') && ELSEWHERE[command] === undefined;

describe('the commands of README.md and docs/using', () => {
  let folder: string;
  let grid: RunningGrid;

  beforeAll(async () => {
    folder = await temporaryFolder('newcomer');
    const launcher = await cleanClone(join(folder, 'clone'));
    grid = await startUp({ launcher, dataDirectory: join(folder, 'data') });
    await mkdir(join(folder, 'bin'));
    await symlink(launcher, join(folder, 'bin/warren'));
    // The files whose digests the documentation shows.
    await mkdir(join(folder, 'work/src/sub'), { recursive: true });
    await writeFile(join(folder, 'work/hello.c'), 'int main(void) { return 0; }\n');
    await writeFile(join(folder, 'work/src/a.txt'), 'hi\n');
    await writeFile(join(folder, 'work/src/sub/b.sh'), 'x\n', { mode: 0o755 });
    await symlink('a.txt', join(folder, 'work/src/link'));
  });

  afterAll(async () => {
    grid?.kill('SIGTERM');
    await grid?.ended;
    await removeFolder(folder);
  });

  it.each(commands.filter((command) => isRunHere(command)))('%s', async (command) => {
    const env = { WARREN_REMOTE: grid.endpoint, PATH: `${join(folder, 'bin')}:${process.env['PATH']}` };
    const program = startCommand('sh', ['-c', command], { cwd: join(folder, 'work'), env });
    expect(await outcomeOf(program)).toMatchObject({ code: 0 });
  });

  it('that are not run here are in the table above, and nothing else is', () => {
    expect(Object.keys(ELSEWHERE).sort()).toEqual(commands.filter((command) => !isRunHere(command)).sort());
  });
});
