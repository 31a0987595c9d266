import { runProgram } from '../../src/cli/program.ts';
import { SystemClock } from '../../src/lib/clock.ts';

/** What a run of the command line printed and ended with. */
export interface CommandLineOutcome {
  readonly exitCode: number;
  readonly stdout: string;
  readonly stderr: string;
  /** What `--json` printed. */
  json(): unknown;
}

/** A run of the command line under way. */
export interface CommandLineRun {
  /** As the first Ctrl-C does. */
  interrupt(): void;
  /** What it has printed so far. */
  stdout(): string;
  readonly outcome: Promise<CommandLineOutcome>;
}

/** Runs the command line in this process against a server. */
export function startCommandLine(address: string, ...args: readonly string[]): CommandLineRun {
  const stop = new AbortController();
  const printed = { stdout: [] as Buffer[], stderr: [] as Buffer[] };
  const output = (chunks: Buffer[]) => ({
    write: (text: string | Uint8Array): unknown => chunks.push(Buffer.from(text as string)),
  });
  const run = async (): Promise<CommandLineOutcome> => {
    const exitCode = await runProgram(args, {
      stdout: output(printed.stdout),
      stderr: output(printed.stderr),
      stdin: (async function* () {})(),
      environment: { WARREN_REMOTE: `grpc://${address}` },
      clock: new SystemClock(),
      stop: stop.signal,
      force: new AbortController().signal,
    });
    const stdout = Buffer.concat(printed.stdout).toString();
    const stderr = Buffer.concat(printed.stderr).toString();
    return { exitCode, stdout, stderr, json: () => JSON.parse(stdout) as unknown };
  };
  return {
    interrupt: () => stop.abort(),
    stdout: () => Buffer.concat(printed.stdout).toString(),
    outcome: run(),
  };
}

/** Runs the command line to its end. */
export function commandLine(address: string, ...args: readonly string[]): Promise<CommandLineOutcome> {
  return startCommandLine(address, ...args).outcome;
}
