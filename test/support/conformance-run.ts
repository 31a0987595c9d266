import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { readdir } from 'node:fs/promises';
import { join } from 'node:path';

const ROOT = join(import.meta.dirname, '../..');

/** Every file of the suite, as `runConformance` takes them. */
export async function conformanceFiles(): Promise<string[]> {
  const suffix = '.test.ts';
  const names = await readdir(join(ROOT, 'test/conformance'));
  return names.filter((each) => each.endsWith(suffix)).map((each) => each.slice(0, -suffix.length));
}

/**
 * Runs files of the conformance suite against servers that a test has started, in a process of its own.
 *
 * @param addresses calls are spread over these, one after another.
 * @param files names below test/conformance, without `.test.ts`.
 * @param except what the names of cases hold that are left out: those that need what these servers do not have.
 * @returns what was printed where a case fails; empty where all hold.
 */
export async function runConformance(
  addresses: readonly string[],
  files: readonly string[],
  except: readonly string[] = [],
): Promise<string> {
  const environment = Object.entries(process.env).filter(([name]) => !/^(VITEST|TINYPOOL|NODE_OPTIONS)/.test(name));
  const paths = files.map((each) => `test/conformance/${each}.test.ts`);
  const names = except.length === 0 ? [] : ['--testNamePattern', `^(?!.*(?:${except.join('|')}))`];
  const child = spawn(join(ROOT, 'node_modules/.bin/vitest'), ['run', '--project', 'conformance', ...names, ...paths], {
    cwd: ROOT,
    stdio: ['ignore', 'pipe', 'pipe'],
    env: {
      ...Object.fromEntries(environment),
      WARREN_CONFORMANCE_REMOTE: addresses.join(','),
      WARREN_CONFORMANCE_CHOICES: '1',
      NO_COLOR: '1',
    },
  });
  let output = '';
  child.stdout.on('data', (data: Buffer) => (output += data.toString()));
  child.stderr.on('data', (data: Buffer) => (output += data.toString()));
  const [code] = (await once(child, 'close')) as [number | null];
  return code === 0 ? '' : output;
}
