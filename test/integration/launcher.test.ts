import { execFile } from 'node:child_process';
import { randomInt } from 'node:crypto';
import { mkdir, readdir, readFile, rm, symlink, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { processesWithArgument } from '../support/process-table.ts';
import { outcomeOf, type Program } from '../support/program.ts';
import { ThrowawayCheckout } from '../support/throwaway-checkout.ts';

/** `./warren`, the script: what it does before the program starts, as a newcomer meets it. */

/** How long a script may take over what it was told, on a machine that is busy. */
const PATIENCE = { timeout: 30_000 };

let checkout: ThrowawayCheckout;

beforeEach(async () => {
  checkout = await ThrowawayCheckout.make();
});

afterEach(() => checkout.remove());

async function installed(): Promise<void> {
  expect(await checkout.run()).toMatchObject({ code: 0 });
  await checkout.calls();
}

/** What is in the folder of the build, and what a build may have left beside it. */
async function leftOvers(): Promise<string[]> {
  return (await readdir(join(checkout.root, '.cache'))).filter((name) => name !== 'start.lock');
}

describe('./warren in a fresh clone', () => {
  it('installs what is needed to run, builds, and prints nothing of its own to the standard output', async () => {
    const outcome = await checkout.run(['up']);
    expect(outcome).toMatchObject({ code: 0, stdout: 'program 1\nup\n' });
    expect(outcome.stderr).toBe('warren: installing packages ...\nwarren: building ...\n');
    expect(await checkout.calls()).toEqual(['npm run', 'tsc']);
    expect(await checkout.read('dist/adapters/state/redis/lua/take.lua')).toBe('return 1');
    expect(await leftOvers()).toEqual([]);
  });

  it('does neither the second time', async () => {
    await installed();
    expect(await checkout.run()).toMatchObject({ code: 0, stderr: '' });
    expect(await checkout.calls()).toEqual([]);
  });

  it('passes arguments on as they are, and the exit code back', async () => {
    await installed();
    const outcome = await checkout.run(['exec', '--', 'two words', '', '$HOME *'], { FAKE_EXIT_CODE: '7' });
    expect(outcome).toMatchObject({ code: 7, stdout: 'program 1\nexec\n--\ntwo words\n\n$HOME *\n' });
  });

  it('works from another folder, through a link to the script and one to the folder', async () => {
    const elsewhere = join(checkout.folder, 'elsewhere');
    await mkdir(elsewhere);
    await symlink(checkout.launcher, join(elsewhere, 'warren'));
    await symlink(checkout.root, join(elsewhere, 'clone'));
    expect(await checkout.runFrom(elsewhere, './warren', ['up'])).toMatchObject({ code: 0, stdout: 'program 1\nup\n' });
    expect(await checkout.runFrom(elsewhere, 'clone/warren', ['up'])).toMatchObject({ code: 0, stderr: '' });
    expect(await readdir(elsewhere)).toEqual(['clone', 'warren']);
  });
});

describe('./warren after a change', () => {
  beforeEach(installed);

  it('installs when package-lock.json has changed, and keeps packages for development', async () => {
    await mkdir(join(checkout.root, 'node_modules/vitest'));
    await checkout.write('package-lock.json', '{"changed": true}');
    expect(await checkout.run()).toMatchObject({ code: 0 });
    expect(await checkout.calls()).toEqual(['npm all', 'tsc']);
  });

  it('installs when the packages are gone', async () => {
    await rm(join(checkout.root, 'node_modules'), { recursive: true });
    expect(await checkout.run()).toMatchObject({ code: 0, stderr: 'warren: installing packages ...\n' });
  });

  it('leaves a folder of packages alone that is a link', async () => {
    await rm(join(checkout.root, 'node_modules'), { recursive: true });
    await mkdir(join(checkout.folder, 'packages'));
    await symlink(join(checkout.folder, 'packages'), join(checkout.root, 'node_modules'));
    expect(await checkout.run()).toMatchObject({ code: 0, stderr: '' });
  });

  it('takes what npm itself has installed', async () => {
    await rm(join(checkout.root, 'node_modules/.warren-installed'));
    expect(await checkout.run()).toMatchObject({ code: 0, stderr: '' });
  });

  it('builds when a source is newer than the build', async () => {
    await checkout.write('src/bin/main.js', 'program 2');
    expect(await checkout.run()).toMatchObject({ stdout: 'program 2\n', stderr: 'warren: building ...\n' });
    expect(await checkout.run()).toMatchObject({ stdout: 'program 2\n', stderr: '' });
  });

  it('builds when a source is gone, and keeps nothing that was made of it', async () => {
    await rm(join(checkout.root, 'src/adapters/state/redis/lua/take.lua'));
    expect(await checkout.run()).toMatchObject({ code: 0, stderr: 'warren: building ...\n' });
    expect(await readdir(join(checkout.root, 'dist/adapters/state/redis/lua'))).toEqual([]);
  });

  it('says why a build failed, and leaves the present one in place and whole', async () => {
    await checkout.write('src/bin/main.js', 'wrong');
    const failed = await checkout.run();
    expect(failed).toMatchObject({ code: 1, stdout: '' });
    expect(failed.stderr).toContain('error TS1005');
    expect(failed.stderr).toContain('warren: building failed');
    expect(await checkout.read('dist/bin/main.js')).toBe('program 1');
    expect(await leftOvers()).toEqual([]);
    await checkout.write('src/bin/main.js', 'program 2');
    expect(await checkout.run()).toMatchObject({ code: 0, stdout: 'program 2\n' });
  });

  it('says why packages could not be installed, and tries again, also when the lock is back to what it was', async () => {
    await checkout.write('package-lock.json', '{"changed": true}');
    const failed = await checkout.run([], { FAKE_NPM_FAILS: 'network: no way there' });
    expect(failed).toMatchObject({ code: 1, stdout: '' });
    expect(failed.stderr).toContain('npm error network: no way there');
    expect(failed.stderr).toContain('warren: installing packages failed');
    await checkout.write('package-lock.json', '{}');
    await checkout.calls();
    expect(await checkout.run()).toMatchObject({ code: 0 });
    expect(await checkout.calls()).toEqual(['npm run', 'tsc']);
  });
});

describe('./warren where something is missing', () => {
  it('says which Node.js it needs when there is none', async () => {
    await checkout.withoutTool('node');
    const outcome = await checkout.run();
    expect(outcome.code).toBe(1);
    expect(outcome.stderr).toBe('warren: Node.js is not installed; 20.19 or newer is needed (https://nodejs.org)\n');
  });

  it.each(['v18.20.4', 'v20.18.3'])('refuses Node.js %s and says which it needs', async (version) => {
    const outcome = await checkout.run([], { FAKE_NODE_VERSION: version });
    expect(outcome.code).toBe(1);
    expect(outcome.stderr).toBe(
      `warren: Node.js ${version} is too old; 20.19 or newer is needed (https://nodejs.org)\n`,
    );
    expect(await checkout.calls()).toEqual([]);
  });

  it.each(['v20.19.0', 'v22.0.0', 'v100.1.2'])('takes Node.js %s', async (version) => {
    expect(await checkout.run([], { FAKE_NODE_VERSION: version })).toMatchObject({ code: 0 });
  });

  it('asks for the Node.js that package.json names', async () => {
    const { engines } = JSON.parse(await readFile(join(import.meta.dirname, '../../package.json'), 'utf8')) as {
      engines: { node: string };
    };
    expect(engines.node).toBe('>=20.19');
  });

  it('says that npm is missing, and does without once all is installed', async () => {
    const npm = await readFile(join(checkout.folder, 'tools/npm'));
    await checkout.withoutTool('npm');
    const outcome = await checkout.run();
    expect(outcome.code).toBe(1);
    expect(outcome.stderr).toBe('warren: npm is not installed; it comes with Node.js (https://nodejs.org)\n');
    await writeFile(join(checkout.folder, 'tools/npm'), npm, { mode: 0o755 });
    await installed();
    await checkout.withoutTool('npm');
    expect(await checkout.run()).toMatchObject({ code: 0, stderr: '' });
  });

  it('says that it may not write to the clone where it must install or build, and else runs', async () => {
    const outcome = await checkout.runWithoutWriting();
    expect(outcome.code).toBe(1);
    expect(outcome.stderr).toMatch(/^warren: packages must be installed .*, but \w+ can't write to .*\/a clone\n$/);
    await installed();
    expect(await checkout.runWithoutWriting()).toMatchObject({ code: 0, stdout: 'program 1\n', stderr: '' });
    await checkout.write('src/bin/main.js', 'program 2');
    expect(await checkout.runWithoutWriting()).toMatchObject({ code: 1, stdout: '' });
  });
});

describe('./warren at the same time', () => {
  it('installs and builds once for two starts, and the second says what it waits for', async () => {
    const gate = join(checkout.folder, 'gate');
    await promisify(execFile)('mkfifo', [gate]);
    const first = checkout.start(['first'], { FAKE_NPM_GATE: gate });
    await untilPrinted(first, 'installing packages');
    const second = checkout.start(['second']);
    await untilPrinted(second, 'waiting for another start');
    await writeFile(gate, '');
    expect(await outcomeOf(first)).toMatchObject({ code: 0, stdout: 'program 1\nfirst\n' });
    expect(await outcomeOf(second)).toMatchObject({ code: 0, stdout: 'program 1\nsecond\n' });
    expect(await checkout.calls()).toEqual(['npm run', 'tsc']);
  });
});

describe('./warren when it is interrupted', () => {
  /** A start that is in the middle of installing, and the argument by which npm's own process is known. */
  async function installing(): Promise<{ readonly program: Program; readonly mark: string }> {
    const mark = `3600.${randomInt(1_000_000, 9_999_999)}`;
    const program = checkout.start([], { FAKE_NPM_WAITS: mark });
    await expect.poll(() => processesWithArgument(mark), PATIENCE).not.toEqual([]);
    return { program, mark };
  }

  it('ends with 130 on Ctrl-C while it installs, npm with it, and the next start installs again', async () => {
    const { program, mark } = await installing();
    program.killGroup('SIGINT');
    const outcome = await outcomeOf(program);
    expect(outcome).toMatchObject({ code: 130, stdout: '' });
    expect(outcome.stderr).toBe(
      'warren: installing packages ...\nwarren: interrupted; the next start takes it up again\n',
    );
    expect(await processesWithArgument(mark)).toEqual([]);
    await checkout.calls();
    expect(await checkout.run()).toMatchObject({ code: 0, stdout: 'program 1\n' });
    expect(await checkout.calls()).toEqual(['npm run', 'tsc']);
  });

  it('ends with 143 when its process alone is told to end, npm with it', async () => {
    const { program, mark } = await installing();
    program.kill('SIGTERM');
    expect(await program.ended).toMatchObject({ code: 143 });
    expect(await processesWithArgument(mark)).toEqual([]);
  });

  it('ends at once while it waits for another start, which goes on', async () => {
    const { program, mark } = await installing();
    const second = checkout.start();
    await untilPrinted(second, 'waiting for another start');
    second.killGroup('SIGINT');
    expect(await second.ended).toMatchObject({ code: 130 });
    expect(await processesWithArgument(mark)).not.toEqual([]);
    program.killGroup('SIGINT');
    await program.ended;
  });
});

async function untilPrinted(program: Program, text: string): Promise<void> {
  await expect.poll(() => program.stderr(), PATIENCE).toContain(text);
}
