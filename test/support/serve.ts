import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { stringify } from 'yaml';
import { type Program, startProgram } from './program.ts';

/** `warren serve`, with the address that it listens on. */
export interface RunningServer {
  /** `127.0.0.1:PORT`. */
  readonly address: string;
  /** Where its console listens; undefined where it has none. */
  readonly consolePort: number | undefined;
  readonly pid: number;
  stderr(): string;
  /** Stops it as an operator does. @returns its exit code. */
  stop(): Promise<number | null>;
  /** Ends it at once, as a crash does. */
  kill(): Promise<void>;
  /** Freezes (SIGSTOP) and wakes (SIGCONT) it. */
  signal(signal: NodeJS.Signals): void;
  /** The same for all that share its port with it, where there are several. */
  signalGroup(signal: NodeJS.Signals): void;
}

/**
 * Writes a configuration into `folder` as `NAME.yaml`, and starts `warren serve` on it, on a free port.
 *
 * @param start how the program is started; by its launcher, when nothing else is said.
 * @throws Error with what it printed when it ends instead.
 */
export async function startServe(
  folder: string,
  name: string,
  configuration: object,
  start: (args: readonly string[]) => Program = startProgram,
): Promise<RunningServer> {
  const file = join(folder, `${name}.yaml`);
  await writeFile(file, stringify({ server: { listen: '127.0.0.1:0', drainSeconds: 5 }, ...configuration }));
  const program = start(['serve', '--config', file]);
  let hasEnded = false;
  void program.ended.finally(() => {
    hasEnded = true;
  });
  for (;;) {
    const found = servingPorts(program.stderr());
    if (found !== undefined) {
      return {
        address: `127.0.0.1:${found.port}`,
        consolePort: found.consolePort,
        pid: program.pid,
        stderr: () => program.stderr(),
        async stop() {
          program.kill('SIGTERM');
          return (await program.ended).code;
        },
        async kill() {
          program.kill('SIGKILL');
          await program.ended;
        },
        signal: (signal) => program.kill(signal),
        signalGroup: (signal) => program.killGroup(signal),
      };
    }
    if (hasEnded) throw new Error(`warren serve ended at once:\n${program.stderr()}`);
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
}

/** The ports that the process itself says it serves; those that share them say so, too, one after another. */
function servingPorts(log: string): { readonly port: number; readonly consolePort?: number } | undefined {
  const line = log
    .split('\n')
    .slice(0, -1)
    .find((each) => each.includes('"msg":"serving"') && !each.includes('"process":'));
  return line === undefined ? undefined : (JSON.parse(line) as { port: number; consolePort?: number });
}
