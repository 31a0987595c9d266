import { spawn } from 'node:child_process';
import { readFileSync, writeFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { startGrid } from '../../test/support/grid.ts';
import { WireClient } from '../../test/support/wire-client.ts';
import type { BenchOptions } from './scenario.ts';

/** A server process under measurement. */
export class Server {
  readonly address: string;
  readonly #pid: number;
  readonly #stop: () => Promise<void>;

  constructor(address: string, pid: number, stop: () => Promise<void>) {
    this.address = address;
    this.#pid = pid;
    this.#stop = stop;
  }

  get port(): number {
    return Number(this.address.slice(this.address.lastIndexOf(':') + 1));
  }

  /** User and system time so far. Linux counts it in ticks of 10 ms. */
  cpuMilliseconds(): number {
    const stat = readFileSync(`/proc/${this.#pid}/stat`, 'utf8');
    const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
    return (Number(fields[11]) + Number(fields[12])) * 10;
  }

  /** The greatest resident size since `resetPeak`. */
  peakMebibytes(): number {
    const status = readFileSync(`/proc/${this.#pid}/status`, 'utf8');
    return Number(/^VmHWM:\s+(\d+)/m.exec(status)?.[1] ?? 0) / 1024;
  }

  resetPeak(): void {
    try {
      writeFileSync(`/proc/${this.#pid}/clear_refs`, '5');
    } catch {
      // Without the right to reset it, the peak is that of the process's life.
    }
  }

  client(): WireClient {
    return new WireClient([this.address]);
  }

  stop(): Promise<void> {
    return this.#stop();
  }
}

/** A grid of ours without a worker of its own, compiled. */
export async function startServer(options: BenchOptions): Promise<Server> {
  const nodeArgs = options.profileFolder === undefined ? [] : ['--cpu-prof', `--cpu-prof-dir=${options.profileFolder}`];
  const grid = await startGrid({ compiled: true, nodeArgs });
  return new Server(grid.address, grid.pid, () => grid.stop());
}

/** A bare grpc-js server that answers at once: the floor beneath every figure of the same run. */
export async function startBareServer(): Promise<Server> {
  const helper = await startHelper('bare-server.ts', []);
  return new Server(helper.firstLine, helper.pid, () => helper.stop());
}

/** A helper process of the bench, from a file beside this one. */
export interface Helper {
  /** The first line that it printed. */
  readonly firstLine: string;
  readonly pid: number;
  stop(): Promise<void>;
}

/** Starts a helper and waits for its first line. */
export async function startHelper(file: string, args: readonly string[]): Promise<Helper> {
  const path = fileURLToPath(new URL(file, import.meta.url));
  const child = spawn(process.execPath, ['--import', 'tsx', path, ...args], { stdio: ['ignore', 'pipe', 'inherit'] });
  const exited = new Promise<void>((resolve) => child.once('exit', () => resolve()));
  const firstLine = await new Promise<string>((resolve, reject) => {
    let output = '';
    child.stdout.on('data', (chunk: Buffer) => {
      output += chunk.toString();
      if (output.includes('\n')) resolve(output.slice(0, output.indexOf('\n')));
    });
    child.once('exit', (code) => reject(new Error(`${file} ended with ${code}`)));
  });
  return {
    firstLine,
    pid: child.pid as number,
    stop: async () => {
      child.kill('SIGTERM');
      await exited;
    },
  };
}
