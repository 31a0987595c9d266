import { spawn } from 'node:child_process';
import { join } from 'node:path';

const LAUNCHER = join(import.meta.dirname, '../../warren');
const COMPILED = join(import.meta.dirname, '../../dist/bin/main.js');

/** How a program ended: with a code, or by a signal that it did not catch. */
export interface Ended {
  readonly code: number | null;
  readonly signal: NodeJS.Signals | null;
}

/** `./warren ...` as a user starts it, in a process group of its own. */
export interface Program {
  readonly pid: number;
  readonly ended: Promise<Ended>;
  stdout(): string;
  stderr(): string;
  /** Signals the process that was started, and no other of its group. */
  kill(signal: NodeJS.Signals): void;
  /** Signals the whole group, as a Ctrl-C on a terminal does. */
  killGroup(signal: NodeJS.Signals): void;
}

/** Starts `./warren ARGS`. */
export function startProgram(args: readonly string[], env: Readonly<Record<string, string>> = {}): Program {
  return startCommand(LAUNCHER, args, { env });
}

/** Starts the compiled program past its launcher, which has built it before, with arguments of node's own. */
export function startCompiled(nodeArgs: readonly string[], args: readonly string[]): Program {
  return startCommand(process.execPath, [...nodeArgs, COMPILED, ...args]);
}

/** Starts any other program in the same way. `env` is added to the environment of the tests. */
export function startCommand(
  command: string,
  args: readonly string[],
  options: { readonly env?: Readonly<Record<string, string>>; readonly cwd?: string } = {},
): Program {
  const child = spawn(command, args, {
    stdio: ['ignore', 'pipe', 'pipe'],
    env: { ...process.env, ...options.env },
    cwd: options.cwd,
    detached: true,
  });
  let stdout = '';
  let stderr = '';
  child.stdout.on('data', (data: Buffer) => {
    stdout += data.toString();
  });
  child.stderr.on('data', (data: Buffer) => {
    stderr += data.toString();
  });
  return {
    pid: child.pid ?? 0,
    ended: new Promise((resolve, reject) => {
      child.once('error', reject);
      child.once('close', (code, signal) => resolve({ code, signal }));
    }),
    stdout: () => stdout,
    stderr: () => stderr,
    kill: (signal) => {
      child.kill(signal);
    },
    killGroup: (signal) => {
      process.kill(-(child.pid ?? Number.NaN), signal);
    },
  };
}

/** Runs `./warren ARGS` until it ends. */
export async function runProgram(
  args: readonly string[],
  env: Readonly<Record<string, string>> = {},
): Promise<Outcome> {
  return outcomeOf(startProgram(args, env));
}

/** How a program ended and what it printed. */
export type Outcome = Ended & { readonly stdout: string; readonly stderr: string };

/** Waits for the end of a program. */
export async function outcomeOf(program: Program): Promise<Outcome> {
  const ended = await program.ended;
  return { ...ended, stdout: program.stdout(), stderr: program.stderr() };
}

/** `./warren up`, with the port that it printed. */
export interface RunningGrid extends Program {
  readonly port: number;
  /** `grpc://127.0.0.1:PORT`. */
  readonly endpoint: string;
}

/** Starts `./warren up` on a data folder and waits until it prints its endpoint. @throws Error with what it printed. */
export async function startUp(options: {
  readonly dataDirectory: string;
  readonly port?: number;
  readonly args?: readonly string[];
  /** Another checkout's `./warren`. Defaults to this one's. */
  readonly launcher?: string;
}): Promise<RunningGrid> {
  const program = startCommand(options.launcher ?? LAUNCHER, [
    'up',
    '--port',
    String(options.port ?? 0),
    '--data-dir',
    options.dataDirectory,
    '--workers',
    '2',
    ...(options.args ?? []),
  ]);
  const port = await portOf(program);
  return { ...program, port: Number(port), endpoint: `grpc://127.0.0.1:${port}` };
}

/** The port that a `warren up` prints once it is up. @throws Error with what it printed instead. */
export async function portOf(program: Program): Promise<string> {
  let hasEnded = false;
  void program.ended.finally(() => {
    hasEnded = true;
  });
  for (;;) {
    const port = /grpc:\/\/127\.0\.0\.1:(\d+)/.exec(program.stdout())?.[1];
    if (port !== undefined) return port;
    if (hasEnded) throw new Error(`warren up ended at once:\n${program.stdout()}${program.stderr()}`);
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
}
