import { chmod, copyFile, mkdir, readdir, readFile, symlink, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { type Outcome, outcomeOf, type Program, startCommand } from './program.ts';
import { removeFolder, temporaryFolder } from './throwaway-process.ts';

const LAUNCHER = join(import.meta.dirname, '../../warren');

/** The user `nobody`, whom file modes bind where the tests run as root. */
const NOBODY = '65534';

/** Where Debian keeps the tools that the launcher may count on. */
const SYSTEM_TOOLS =
  'bash cat chmod cp cut dirname env find flock id mkdir mv readlink rm setpriv sha256sum sleep touch';

const FAKES = {
  // Prints its arguments, one a line, and what the program that it was to run is made of.
  node: `#!/usr/bin/env bash
if [ "$1" = --version ]; then echo "\${FAKE_NODE_VERSION:-v20.19.0}"; exit; fi
shift
printf '%s\\n' "$(<"$1")" "\${@:2}"
exit "\${FAKE_EXIT_CODE:-0}"
`,
  // Writes down what it was asked for, and installs a compiler.
  npm: `#!/usr/bin/env bash
echo "npm $*" >>"$FAKE_CALLS"
mkdir -p node_modules/.bin
[ -z "\${FAKE_NPM_WAITS:-}" ] || sleep "$FAKE_NPM_WAITS"
[ -z "\${FAKE_NPM_GATE:-}" ] || cat "$FAKE_NPM_GATE"
[ -z "\${FAKE_NPM_FAILS:-}" ] || { echo "npm error $FAKE_NPM_FAILS" >&2; exit 1; }
cp "$(dirname "$0")/tsc" node_modules/.bin/tsc
cp package-lock.json node_modules/.package-lock.json
`,
  // Compiles by copying, and fails in the middle where a source holds the word "wrong".
  tsc: `#!/usr/bin/env bash
echo tsc >>"$FAKE_CALLS"
while [ "$1" != --outDir ]; do shift; done
mkdir -p "$2/bin" "$2/adapters/state/redis"
cp "$FAKE_ROOT/src/bin/main.js" "$2/bin/main.js"
! grep -q wrong "$FAKE_ROOT/src/bin/main.js" || { echo "src/bin/main.ts(1,1): error TS1005" >&2; exit 2; }
`,
};

/** The environment by which a test tells the stand-ins what to do, beside the usual. */
export type FakeEnvironment = Readonly<Record<`FAKE_${string}`, string>>;

/**
 * A clone in a folder of its own: the real launcher and a program of one source, with stand-ins for node, npm and the
 * compiler on the search path, and nothing else there but Debian's tools.
 */
export class ThrowawayCheckout {
  readonly folder: string;
  readonly root: string;
  readonly launcher: string;
  readonly #tools: string;
  readonly #calls: string;

  private constructor(folder: string) {
    this.folder = folder;
    this.root = join(folder, 'a clone');
    this.launcher = join(this.root, 'warren');
    this.#tools = join(folder, 'tools');
    this.#calls = join(folder, 'calls');
  }

  static async make(): Promise<ThrowawayCheckout> {
    const checkout = new ThrowawayCheckout(await temporaryFolder('clone'));
    await checkout.#fill();
    return checkout;
  }

  async #fill(): Promise<void> {
    await chmod(this.folder, 0o755);
    await mkdir(this.#tools);
    for (const tool of [...SYSTEM_TOOLS.split(' '), 'grep']) await symlink(`/usr/bin/${tool}`, join(this.#tools, tool));
    for (const [name, text] of Object.entries(FAKES)) {
      await writeFile(join(this.#tools, name), text, { mode: 0o755 });
    }
    await writeFile(this.#calls, '', { mode: 0o666 });
    await mkdir(join(this.root, 'src/bin'), { recursive: true });
    await mkdir(join(this.root, 'src/adapters/state/redis/lua'), { recursive: true });
    await copyFile(LAUNCHER, this.launcher);
    await this.write('src/bin/main.js', 'program 1');
    await this.write('src/adapters/state/redis/lua/take.lua', 'return 1');
    for (const file of ['package.json', 'package-lock.json', 'tsconfig.json', 'tsconfig.build.json']) {
      await this.write(file, '{}');
    }
  }

  write(file: string, text: string): Promise<void> {
    return writeFile(join(this.root, file), text);
  }

  read(file: string): Promise<string> {
    return readFile(join(this.root, file), 'utf8');
  }

  /** As if this tool were not installed. */
  async withoutTool(name: 'node' | 'npm'): Promise<void> {
    await removeFolder(join(this.#tools, name));
  }

  /** What npm and the compiler were called for, in order, since this was last asked. */
  async calls(): Promise<string[]> {
    const lines = (await readFile(this.#calls, 'utf8')).split('\n').filter((line) => line !== '');
    await writeFile(this.#calls, '');
    return lines.map((line) =>
      line.startsWith('npm install') ? `npm ${line.includes('--omit=dev') ? 'run' : 'all'}` : line,
    );
  }

  /** Starts `./warren ARGS`. */
  start(args: readonly string[] = [], fakes: FakeEnvironment = {}): Program {
    return startCommand(this.launcher, args, { env: this.#environment(fakes) });
  }

  /** Runs `./warren ARGS` to its end. */
  run(args: readonly string[] = [], fakes: FakeEnvironment = {}): Promise<Outcome> {
    return outcomeOf(this.start(args, fakes));
  }

  /** Runs what leads to the launcher, in another folder. */
  runFrom(cwd: string, command: string, args: readonly string[] = []): Promise<Outcome> {
    return outcomeOf(startCommand(command, args, { env: this.#environment({}), cwd }));
  }

  /** Runs `./warren` as somebody who may read the clone and not write to it. */
  async runWithoutWriting(): Promise<Outcome> {
    await setModeOfFolders(this.root, 0o555);
    const isRoot = process.getuid?.() === 0;
    const asNobody = ['--reuid', NOBODY, '--regid', NOBODY, '--clear-groups', this.launcher];
    const program = isRoot
      ? startCommand('setpriv', asNobody, { env: this.#environment({}) })
      : startCommand(this.launcher, [], { env: this.#environment({}) });
    const outcome = await outcomeOf(program);
    await setModeOfFolders(this.root, 0o755);
    return outcome;
  }

  remove(): Promise<void> {
    return removeFolder(this.folder);
  }

  #environment(fakes: FakeEnvironment): Record<string, string> {
    return { ...fakes, PATH: this.#tools, FAKE_CALLS: this.#calls, FAKE_ROOT: this.root };
  }
}

async function setModeOfFolders(folder: string, mode: number): Promise<void> {
  const entries = await readdir(folder, { withFileTypes: true, recursive: true });
  const folders = entries.filter((entry) => entry.isDirectory()).map((entry) => join(entry.parentPath, entry.name));
  for (const each of [folder, ...folders]) await chmod(each, mode);
}
