import { type ChildProcess, spawn } from 'node:child_process';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';

export interface GridOptions {
  /** Slots of the grid's own worker. Defaults to 0: the bots are those of the test. */
  readonly workers?: number;
  /** More arguments of `warren up`. */
  readonly args?: readonly string[];
  /** Runs the compiled program of dist/ and not the sources: for benchmarks. */
  readonly compiled?: boolean;
  /** Arguments of node itself, such as --cpu-prof. */
  readonly nodeArgs?: readonly string[];
  /** How long the start may take, in milliseconds. Defaults to 30 000. */
  readonly startTimeout?: number;
}

/** A grid of our own, in a process of its own. */
export interface Grid {
  /** `127.0.0.1:<port>`. */
  readonly address: string;
  readonly dataDir: string;
  readonly pid: number;
  /** What it has printed so far. */
  output(): string;
  /** Stops it in good order and removes its data folder. */
  stop(): Promise<void>;
}

const root = fileURLToPath(new URL('../..', import.meta.url));

/** Starts `warren up` on a free port with an empty data folder. @throws Error with its output when it does not start. */
export async function startGrid(options: GridOptions = {}): Promise<Grid> {
  const dataDir = await mkdtemp(join(tmpdir(), 'warren-grid-'));
  const entry =
    options.compiled === true ? [join(root, 'dist/bin/main.js')] : ['--import', 'tsx', join(root, 'src/bin/main.ts')];
  const child = spawn(
    process.execPath,
    [
      ...(options.nodeArgs ?? []),
      ...entry,
      'up',
      '--port',
      '0',
      '--data-dir',
      dataDir,
      '--workers',
      `${options.workers ?? 0}`,
      ...(options.args ?? []),
    ],
    { cwd: root, stdio: ['ignore', 'pipe', 'pipe'] },
  );
  let output = '';
  const exited = new Promise<void>((resolve) => child.once('exit', () => resolve()));
  const port = await new Promise<string>((resolve, reject) => {
    const fail = (why: string) => {
      clearTimeout(timer);
      reject(new Error(`the grid ${why}:\n${output}`));
    };
    const timer = setTimeout(() => fail('did not say its port in time'), options.startTimeout ?? 30_000);
    const onOutput = (chunk: Buffer) => {
      output = (output + chunk.toString()).slice(-200_000);
      const match = /(?:127\.0\.0\.1|localhost):(\d+)/.exec(output);
      if (match?.[1] === undefined) return;
      clearTimeout(timer);
      resolve(match[1]);
    };
    child.stdout.on('data', onOutput);
    child.stderr.on('data', onOutput);
    child.once('error', (error) => fail(error.message));
    child.once('exit', (code) => fail(`ended with ${code}`));
  }).catch(async (error: unknown) => {
    await end(child, exited);
    await rm(dataDir, { recursive: true, force: true });
    throw error;
  });
  return {
    address: `127.0.0.1:${port}`,
    dataDir,
    pid: child.pid as number,
    output: () => output,
    stop: async () => {
      await end(child, exited);
      await rm(dataDir, { recursive: true, force: true });
    },
  };
}

async function end(child: ChildProcess, exited: Promise<void>): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) return;
  child.kill('SIGTERM');
  const timer = setTimeout(() => child.kill('SIGKILL'), 10_000);
  await exited;
  clearTimeout(timer);
}
