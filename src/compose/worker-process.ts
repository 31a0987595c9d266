import { type ChildProcess, spawn } from 'node:child_process';
import { createInterface } from 'node:readline';
import type { WorkerConfiguration } from '../config/worker-schema.ts';
import type { Clock } from '../lib/clock.ts';
import { Deferred } from '../lib/deferred.ts';
import type { Service } from '../lib/lifecycle.ts';
import type { Logger } from '../lib/log.ts';
import { LOG_LEVELS, type LogLevel } from '../lib/plain-logger.ts';

/** How this program is started once more. */
export interface ProgramCommand {
  readonly executable: string;
  /** Up to and without the command's name. */
  readonly args: readonly string[];
}

/** How long a worker that ended by itself stays down, in milliseconds. */
const RESTART_DELAY_MS = 1_000;

/** How long a worker that was told to end at once may take to kill what it runs, in milliseconds. */
const KILL_DELAY_MS = 5_000;

/**
 * A worker in a process of its own, so that staging and hashing do not hold up the server.
 *
 * The child lives no longer than this process, however that ends: it reads its configuration from a pipe, and the
 * pipe's end tells it to end at once. It is in a process group of its own, so that a Ctrl-C on the terminal reaches this
 * process alone, which then drains the child. One that ends by itself is started again.
 */
export class WorkerProcess implements Service {
  readonly name = 'worker process';
  readonly #program: ProgramCommand;
  readonly #configuration: () => WorkerConfiguration;
  readonly #clock: Clock;
  readonly #logger: Logger;
  #child: ChildProcess | undefined;
  #exited: Promise<void> = Promise.resolve();
  #stopping = false;

  /** @param configuration is asked for at each start: the server's port is known late. */
  constructor(program: ProgramCommand, configuration: () => WorkerConfiguration, clock: Clock, logger: Logger) {
    this.#program = program;
    this.#configuration = configuration;
    this.#clock = clock;
    this.#logger = logger;
  }

  /** Resolves once the worker asks for work. @throws Error when it ended before. */
  async start(signal: AbortSignal): Promise<void> {
    const ready = this.#spawn();
    const onAbort = () => this.#child?.kill('SIGKILL');
    signal.addEventListener('abort', onAbort, { once: true });
    try {
      await ready;
    } finally {
      signal.removeEventListener('abort', onAbort);
    }
  }

  async stop(force: AbortSignal): Promise<void> {
    this.#stopping = true;
    const child = this.#child;
    if (child === undefined) return;
    child.kill('SIGTERM');
    const onForce = () => {
      child.stdin?.end();
      const timer = this.#clock.setTimer(KILL_DELAY_MS, () => child.kill('SIGKILL'));
      child.once('exit', () => timer.cancel());
    };
    if (force.aborted) onForce();
    else force.addEventListener('abort', onForce, { once: true });
    await this.#exited;
    force.removeEventListener('abort', onForce);
  }

  #spawn(): Promise<void> {
    const ready = new Deferred<void>();
    const exited = new Deferred<void>();
    const { executable, args } = this.#program;
    const child = spawn(executable, [...args, 'worker', '--parent-pipe'], {
      stdio: ['pipe', 'pipe', 'pipe'],
      detached: true,
    });
    this.#child = child;
    this.#exited = exited.promise;
    // A child that is gone has no use for what was still to be said to it.
    child.stdin.on('error', () => {});
    child.stdin.write(`${JSON.stringify(this.#configuration())}\n`);
    createInterface({ input: child.stdout }).on('line', (line) => {
      if (line === WORKER_READY) ready.resolve();
    });
    let lastLine = '';
    createInterface({ input: child.stderr }).on('line', (line) => {
      lastLine = line;
      this.#relay(line);
    });
    const onEnd = (how: string) => {
      exited.resolve();
      if (this.#child === child) this.#child = undefined;
      ready.reject(new Error(`the worker ended as it began (${how}): ${lastLine}`));
      if (!this.#stopping) this.#restart(how);
    };
    child.once('error', (cause) => onEnd(cause.message));
    child.once('exit', (code, signal) => onEnd(signal ?? `exit code ${code}`));
    return ready.promise;
  }

  #restart(how: string): void {
    this.#logger.error({ how }, 'the worker has ended by itself; it is started again');
    this.#clock.setTimer(RESTART_DELAY_MS, () => {
      if (!this.#stopping) this.#spawn().catch(() => {});
    });
  }

  /** The child logs JSON, which becomes our own log's. */
  #relay(line: string): void {
    const entry = parseEntry(line);
    if (entry === undefined) this.#logger.warn({ line }, 'the worker says');
    else this.#logger[entry.level](entry.fields, entry.message);
  }
}

/** What a worker of ours prints on standard output once it asks for work. */
export const WORKER_READY = 'ready';

interface LogEntry {
  readonly level: LogLevel;
  readonly message: string;
  readonly fields: object;
}

function parseEntry(line: string): LogEntry | undefined {
  try {
    const { level, msg, time: _time, ...fields } = JSON.parse(line) as Record<string, unknown>;
    const known = LOG_LEVELS.find((each) => each === level);
    if (known === undefined) return undefined;
    return { level: known, message: String(msg), fields: { ...fields, err: errorOf(fields['err']) } };
  } catch {
    return undefined;
  }
}

/** Of the JSON of an error the error again, whose stack is its own: a log for people shows it line by line. */
function errorOf(json: unknown): unknown {
  const { name, message, stack } = (json ?? {}) as Readonly<Record<string, unknown>>;
  if (typeof message !== 'string' || typeof stack !== 'string') return json;
  return Object.assign(new Error(message), { name: typeof name === 'string' ? name : 'Error', stack });
}
