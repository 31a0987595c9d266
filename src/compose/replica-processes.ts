import cluster, { type Worker } from 'node:cluster';
import { createServer } from 'node:net';
import { backoffDelay } from '../lib/backoff.ts';
import type { Clock, Timer } from '../lib/clock.ts';
import { Deferred } from '../lib/deferred.ts';
import type { Random } from '../lib/ids.ts';
import type { Service } from '../lib/lifecycle.ts';
import type { Logger } from '../lib/log.ts';
import { type EndMessage, isMessage } from '../lib/peer-process.ts';
import { closeWithProcess } from './handed-connections.ts';
import {
  type AllMetricsAnswer,
  type AllMetricsWanted,
  METRICS_PATIENCE_MS,
  type MetricsAnswer,
  type MetricsWanted,
  type ProcessMetrics,
} from './metrics-exchange.ts';

/** A process of the group asks for its configuration. */
export interface HelloMessage {
  readonly kind: 'hello';
}

/** The answer. */
export interface ConfigurationMessage {
  readonly kind: 'configuration';
  /** Plain values, as from the file. */
  readonly value: unknown;
  /** Counts from 1; a process that takes the place of one that died has its number. */
  readonly process: number;
}

/** A process of the group takes calls. */
export interface ServingMessage {
  readonly kind: 'serving';
}

/** A process of the group ended before it served anyone. */
export class ReplicaProcessFailedError extends Error {
  /** What it exited with, having said why; undefined when a signal ended it. */
  readonly exitCode: number | undefined;

  constructor(how: string, exitCode: number | undefined) {
    super(`a server process ended as it began (${how})`);
    this.name = 'ReplicaProcessFailedError';
    this.exitCode = exitCode;
  }
}

/** `HOST:PORT`, by what listens there. */
export type Addresses = Readonly<Record<string, string>>;

export interface ReplicaProcessesOptions {
  readonly count: number;
  /** How each is started: a script for this Node.js, with its arguments. */
  readonly program: {
    readonly nodeArguments: readonly string[];
    readonly script: string;
    readonly args: readonly string[];
  };
  /** The addresses to listen on, by what they are for; port 0 takes a free one, the same for all. */
  readonly addresses: Addresses;
  /** What each is told, given the addresses with their ports: plain values, as from a file. */
  readonly configuration: (addresses: Addresses) => unknown;
  readonly clock: Clock;
  readonly random: Random;
  readonly logger: Logger;
}

/** A process that lived so long has not failed at its start, in milliseconds: the next end counts as the first. */
const STEADY_AFTER_MS = 60_000;

/** How long a process that was told to end at once may take, in milliseconds. */
const KILL_DELAY_MS = 2_000;

/**
 * Several replicas on one port, each in a process of its own: Node.js runs on one core.
 *
 * This process accepts connections and hands each to one of the others, by node:cluster; it serves no call itself. Calls
 * of one HTTP/2 connection stay in one process. A process that ends by itself is started again, later each time. All of
 * them end with this one, however it ends.
 */
export class ReplicaProcesses implements Service {
  readonly name = 'server processes';
  readonly #options: ReplicaProcessesOptions;
  readonly #members: Member[];
  readonly #metrics: MetricsCollector;
  #addresses: Addresses;

  constructor(options: ReplicaProcessesOptions) {
    this.#options = options;
    this.#addresses = options.addresses;
    this.#members = Array.from({ length: options.count }, (_, index) => {
      const configuration = () => options.configuration(this.#addresses);
      return new Member(index + 1, options, configuration, (message, worker) => this.#receive(message, worker));
    });
    this.#metrics = new MetricsCollector(options.clock);
  }

  /** The addresses; their ports are known once started. */
  get addresses(): Addresses {
    return this.#addresses;
  }

  /** Resolves once all of them serve. @throws ReplicaProcessFailedError. */
  async start(signal: AbortSignal): Promise<void> {
    const { nodeArguments, script, args } = this.#options.program;
    cluster.setupPrimary({ exec: script, args: [...args], execArgv: [...nodeArguments] });
    // Chosen here and kept, so that a process that is started again finds the others' port.
    const chosen = Object.entries(this.#addresses).map(async ([name, address]) => [name, await choosePort(address)]);
    this.#addresses = Object.fromEntries(await Promise.all(chosen)) as Addresses;
    const onAbort = () => void this.stop(AbortSignal.abort());
    signal.addEventListener('abort', onAbort, { once: true });
    try {
      const [first, ...others] = this.#members;
      // What keeps one from starting keeps all: then one has said it.
      await first?.start();
      await Promise.all(others.map((each) => each.start()));
    } catch (cause) {
      await this.stop(AbortSignal.abort());
      throw cause;
    } finally {
      signal.removeEventListener('abort', onAbort);
    }
  }

  async stop(force: AbortSignal): Promise<void> {
    await Promise.all(this.#members.map((each) => each.stop(force)));
  }

  #receive(message: unknown, worker: Worker): void {
    if (isMessage(message, 'metrics')) this.#metrics.take(message as MetricsAnswer);
    else if (isMessage(message, 'all-metrics-wanted')) {
      void this.#metrics.collect(message as AllMetricsWanted, worker, this.#members);
    }
  }
}

/** Collects the metrics of all processes for the one that was asked for them. */
class MetricsCollector {
  readonly #clock: Clock;
  readonly #collections = new Map<number, { readonly answers: ProcessMetrics[]; readonly add: () => void }>();
  #last = 0;

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  async collect({ id: asked }: AllMetricsWanted, asker: Worker, members: readonly Member[]): Promise<void> {
    this.#last += 1;
    const id = this.#last;
    const complete = new Deferred<void>();
    const workers = members.map(({ worker }) => worker).filter((worker) => worker !== undefined);
    const answers: ProcessMetrics[] = [];
    const add = () => {
      if (answers.length === workers.length) complete.resolve();
    };
    this.#collections.set(id, { answers, add });
    const timer = this.#clock.setTimer(METRICS_PATIENCE_MS, () => complete.resolve());
    for (const worker of workers) send(worker, { kind: 'metrics-wanted', id });
    await complete.promise;
    timer.cancel();
    this.#collections.delete(id);
    send(asker, { kind: 'all-metrics', id: asked, metrics: answers });
  }

  take({ id, metrics }: MetricsAnswer): void {
    const collection = this.#collections.get(id);
    collection?.answers.push(metrics);
    collection?.add();
  }
}

/** One of the processes, and those that take its place. */
class Member {
  readonly #number: number;
  readonly #options: ReplicaProcessesOptions;
  readonly #configuration: () => unknown;
  readonly #receive: (message: unknown, worker: Worker) => void;
  #worker: Worker | undefined;
  #exited: Promise<void> = Promise.resolve();
  #restart: Timer | undefined;
  #failures = 0;
  #hasServed = false;
  /** What it was told last about its end; undefined while it is to run. */
  #end: EndMessage | undefined;

  /** @param receive gets the messages that are not about its start. */
  constructor(
    number: number,
    options: ReplicaProcessesOptions,
    configuration: () => unknown,
    receive: (message: unknown, worker: Worker) => void,
  ) {
    this.#number = number;
    this.#options = options;
    this.#configuration = configuration;
    this.#receive = receive;
  }

  /** The process that runs now. */
  get worker(): Worker | undefined {
    return this.#worker;
  }

  start(): Promise<void> {
    const { clock } = this.#options;
    const serving = new Deferred<void>();
    const exited = new Deferred<void>();
    const begun = clock.monotonic();
    const worker = cluster.fork();
    closeWithProcess(worker);
    this.#worker = worker;
    this.#exited = exited.promise;
    worker.on('message', (message: unknown) => {
      if (isMessage(message, 'hello')) this.#tell(worker);
      else if (isMessage(message, 'serving')) {
        this.#hasServed = true;
        serving.resolve();
      } else this.#receive(message, worker);
    });
    // A process that is gone has no use for what was still to be said to it.
    worker.on('error', () => {});
    worker.once('exit', (code: number | null, signal: string | null) => {
      if (this.#worker === worker) this.#worker = undefined;
      exited.resolve();
      const how = signal ?? `exit code ${code}`;
      serving.reject(new ReplicaProcessFailedError(how, code ?? undefined));
      const isSteady = clock.monotonic() - begun >= STEADY_AFTER_MS;
      this.#failures = isSteady ? 1 : this.#failures + 1;
      this.#onEnd(how);
    });
    return serving.promise;
  }

  async stop(force: AbortSignal): Promise<void> {
    this.#restart?.cancel();
    const worker = this.#worker;
    const end = (message: EndMessage) => {
      this.#end = message;
      if (worker !== undefined) send(worker, message);
    };
    end({ kind: 'stop' });
    if (worker === undefined) return;
    const onForce = () => {
      end({ kind: 'force' });
      const timer = this.#options.clock.setTimer(KILL_DELAY_MS, () => worker.process.kill('SIGKILL'));
      worker.once('exit', () => timer.cancel());
    };
    if (force.aborted) onForce();
    else force.addEventListener('abort', onForce, { once: true });
    await this.#exited;
    force.removeEventListener('abort', onForce);
  }

  #tell(worker: Worker): void {
    send(worker, { kind: 'configuration', value: this.#configuration(), process: this.#number });
    // A process loses what it is sent before it listens, and it says hello only then.
    if (this.#end !== undefined) send(worker, this.#end);
  }

  #onEnd(how: string): void {
    if (this.#end !== undefined || !this.#hasServed) return;
    const { clock, random, logger } = this.#options;
    const delay = backoffDelay(this.#failures, random, { initial: 200, maximum: 30_000, factor: 2 });
    const fields = { process: this.#number, how, restartInMilliseconds: Math.round(delay) };
    logger.error(fields, 'a server process has ended by itself; it is started again');
    this.#restart = clock.setTimer(delay, () => {
      // Its end, too, comes to #onEnd.
      this.start().catch(() => {});
    });
  }
}

function send(worker: Worker, message: EndMessage | MetricsWanted | AllMetricsAnswer | ConfigurationMessage): void {
  if (worker.isConnected()) worker.send(message);
}

/** The address, with a port that was free a moment ago in place of port 0. */
function choosePort(address: string): Promise<string> {
  const colon = address.lastIndexOf(':');
  if (Number(address.slice(colon + 1)) !== 0) return Promise.resolve(address);
  const host = address.slice(0, colon);
  return new Promise((resolve, reject) => {
    const server = createServer();
    server.once('error', reject);
    server.listen(0, host.replace(/^\[|\]$/g, ''), () => {
      const bound = server.address();
      const port = typeof bound === 'object' && bound !== null ? bound.port : 0;
      server.close(() => resolve(`${host}:${port}`));
    });
  });
}
