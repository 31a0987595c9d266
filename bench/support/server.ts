import { spawn } from 'node:child_process';
import { readFileSync, writeFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { startGrid } from '../../test/support/grid.ts';
import { WireClient } from '../../test/support/wire-client.ts';
import type { BenchOptions } from './scenario.ts';

/** Processes under measurement. */
export class ProcessMeter {
  readonly #pids: readonly number[];

  constructor(pids: readonly number[]) {
    this.#pids = pids;
  }

  /** User and system time so far, of all together. Linux counts it in ticks of 10 ms. */
  cpuMilliseconds(): number {
    return sum(this.#pids, (pid) => {
      const stat = readFileSync(`/proc/${pid}/stat`, 'utf8');
      const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
      return (Number(fields[11]) + Number(fields[12])) * 10;
    });
  }

  /** The resident size now. */
  residentMebibytes(): number {
    return sum(this.#pids, (pid) => statusKibibytes(pid, 'VmRSS') / 1024);
  }

  /** The greatest resident sizes since `resetPeak`. */
  peakMebibytes(): number {
    return sum(this.#pids, (pid) => statusKibibytes(pid, 'VmHWM') / 1024);
  }

  resetPeak(): void {
    for (const pid of this.#pids) {
      try {
        writeFileSync(`/proc/${pid}/clear_refs`, '5');
      } catch {
        // Without the right to reset it, the peak is that of the process's life.
      }
    }
  }
}

/** A server under measurement: one process, or several that share the calls. */
export class Server extends ProcessMeter {
  readonly addresses: readonly string[];
  readonly #stop: () => Promise<void>;

  constructor(addresses: readonly string[], pids: readonly number[], stop: () => Promise<void>) {
    super(pids);
    this.addresses = addresses;
    this.#stop = stop;
  }

  /** The first of its addresses. */
  get address(): string {
    return this.addresses[0] ?? '';
  }

  get port(): number {
    return Number(this.address.slice(this.address.lastIndexOf(':') + 1));
  }

  /** Calls go to its processes in turn. */
  client(): WireClient {
    return new WireClient(this.addresses);
  }

  stop(): Promise<void> {
    return this.#stop();
  }
}

/** A grid of ours without a worker of its own, compiled. */
export async function startServer(options: BenchOptions): Promise<Server> {
  const grid = await startGrid({ compiled: true, nodeArgs: profileArgs(options) });
  return new Server([grid.address], [grid.pid], () => grid.stop());
}

/** What node is told, so that a server writes a profile where one is wanted. */
export function profileArgs({ profileFolder }: BenchOptions): readonly string[] {
  return profileFolder === undefined ? [] : ['--cpu-prof', `--cpu-prof-dir=${profileFolder}`];
}

/** A bare grpc-js server that answers at once: the floor beneath every figure of the same run. */
export async function startBareServer(): Promise<Server> {
  const helper = await startHelper('bare-server.ts', []);
  return new Server([helper.firstLine], [helper.pid], () => helper.stop());
}

/** A helper process of the bench, from a file beside this one. */
export interface Helper {
  /** The first line that it printed. */
  readonly firstLine: string;
  /** The last line that it printed so far. */
  lastLine(): string;
  readonly pid: number;
  stop(): Promise<void>;
}

/** Starts a helper and waits for its first line. */
export async function startHelper(file: string, args: readonly string[]): Promise<Helper> {
  const path = fileURLToPath(new URL(file, import.meta.url));
  const child = spawn(process.execPath, ['--import', 'tsx', path, ...args], { stdio: ['ignore', 'pipe', 'inherit'] });
  const exited = new Promise<void>((resolve) => child.once('exit', () => resolve()));
  let lastLine = '';
  const firstLine = await new Promise<string>((resolve, reject) => {
    let output = '';
    child.stdout.on('data', (chunk: Buffer) => {
      const lines = (output + chunk.toString()).split('\n');
      output = lines.pop() ?? '';
      lastLine = lines.at(-1) ?? lastLine;
      if (lines[0] !== undefined) resolve(lines[0]);
    });
    child.once('exit', (code) => reject(new Error(`${file} ended with ${code}`)));
  });
  return {
    firstLine,
    lastLine: () => lastLine,
    pid: child.pid as number,
    stop: async () => {
      child.kill('SIGTERM');
      await exited;
    },
  };
}

function statusKibibytes(pid: number, field: string): number {
  return Number(new RegExp(`^${field}:\\s+(\\d+)`, 'm').exec(readFileSync(`/proc/${pid}/status`, 'utf8'))?.[1] ?? 0);
}

function sum(pids: readonly number[], of: (pid: number) => number): number {
  return pids.reduce((total, pid) => total + of(pid), 0);
}
