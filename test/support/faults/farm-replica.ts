import { readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { DelayingProxy } from '../delaying-proxy.ts';
import { freePort } from '../free-port.ts';
import { type ProcessEntry, processTree } from '../process-table.ts';
import { startProgram } from '../program.ts';
import { type RunningServer, startServe } from '../serve.ts';

const LOOK_EVERY_MS = 100;

/** What a replica may stand on. */
export type FarmService = 'redis' | 'rabbitmq' | 'storage';

/** Ports of 127.0.0.1. */
export type FarmServices = Readonly<Record<FarmService, number>>;

export interface FarmReplicaOptions {
  readonly name: string;
  readonly folder: string;
  /** What it stands on. Defaults to nothing. */
  readonly services?: Partial<FarmServices>;
  /** The configuration, given the ports on this side of the replica's own links; 0 where it has none. */
  readonly configure: (links: FarmServices) => object;
  /** How far its clock is off, in milliseconds. Defaults to 0. */
  readonly clockShift?: number;
  /** Whether it has a console, past its links. Defaults to no. */
  readonly hasConsole?: boolean;
  /** How many processes serve its port. Defaults to 1. */
  readonly processes?: number;
}

/** The ports that a replica has on 127.0.0.1, and those on this side of its links. */
interface Ports {
  readonly own: number;
  readonly console: number | undefined;
  readonly front: number;
  readonly links: FarmServices;
}

/**
 * One `warren serve` of a farm, with a link of its own on every side: to its callers, to Redis, to RabbitMQ, to the
 * storage. It can be killed, stopped, frozen and started anew at the same address, and each link cut, frozen and slowed.
 */
export class FarmReplica {
  readonly name: string;
  /** What its callers see of it. */
  readonly front: DelayingProxy;
  readonly #options: FarmReplicaOptions;
  readonly #links: ReadonlyMap<FarmService, DelayingProxy>;
  readonly #ports: Ports;
  #server: RunningServer | undefined;
  #log = '';

  private constructor(
    options: FarmReplicaOptions,
    front: DelayingProxy,
    links: ReadonlyMap<FarmService, DelayingProxy>,
    ports: Ports,
  ) {
    this.name = options.name;
    this.#options = options;
    this.front = front;
    this.#links = links;
    this.#ports = ports;
  }

  /** Lays its links. It does not run yet. */
  static async create(options: FarmReplicaOptions): Promise<FarmReplica> {
    const [own, console] = [await freePort(), options.hasConsole === true ? await freePort() : undefined];
    const front = new DelayingProxy({ targetPort: own, delayMilliseconds: 0 });
    const links = new Map<FarmService, DelayingProxy>();
    const linkPorts: Record<FarmService, number> = { redis: 0, rabbitmq: 0, storage: 0 };
    for (const [service, targetPort] of Object.entries(options.services ?? {}) as Array<[FarmService, number]>) {
      const link = new DelayingProxy({ targetPort, delayMilliseconds: 0 });
      links.set(service, link);
      linkPorts[service] = await link.listen();
    }
    return new FarmReplica(options, front, links, { own, console, front: await front.listen(), links: linkPorts });
  }

  get links(): readonly DelayingProxy[] {
    return [this.front, ...this.#links.values()];
  }

  /** @throws Error where it does not stand on the service. */
  linkTo(service: FarmService): DelayingProxy {
    const link = this.#links.get(service);
    if (link === undefined) throw new Error(`${this.name} has no link to ${service}`);
    return link;
  }

  /** `127.0.0.1:PORT`, on the far side of its front link. */
  get address(): string {
    return `127.0.0.1:${this.frontPort}`;
  }

  get frontPort(): number {
    return this.#ports.front;
  }

  /** Undefined where it has no console. */
  get consolePort(): number | undefined {
    return this.#ports.console;
  }

  /** Each is a replica of its own to Redis and RabbitMQ. */
  get processes(): number {
    return this.#options.processes ?? 1;
  }

  /** Bytes of memory that it has now. @throws Error where it does not run. */
  async residentBytes(): Promise<number> {
    const sizes = (await this.#tree()).map(async ({ pid }) => {
      const text = await readFile(`/proc/${pid}/status`, 'utf8');
      return Number(/^VmRSS:\s+(\d+) kB/m.exec(text)?.[1]) * 1_024;
    });
    return (await Promise.all(sizes)).reduce((sum, size) => sum + size, 0);
  }

  /** What it and those before it logged. */
  get log(): string {
    return this.#log + (this.#server?.stderr() ?? '');
  }

  async start(): Promise<void> {
    const { folder, name, configure, clockShift = 0 } = this.#options;
    const env = clockShift === 0 ? {} : { NODE_OPTIONS: `--import=file://${await shiftedClock(folder, clockShift)}` };
    const { own, console, links } = this.#ports;
    const server = { listen: `127.0.0.1:${own}`, drainSeconds: 5 };
    const configuration = {
      server,
      processes: this.processes,
      ...(console === undefined ? {} : { console: { listen: `127.0.0.1:${console}` } }),
      ...configure(links),
    };
    this.#server = await startServe(folder, name, configuration, (args) => startProgram(args, env));
  }

  /** As an operator does. @returns the exit code. */
  async terminate(): Promise<number | null> {
    const server = this.#server;
    if (server === undefined) return null;
    const code = await server.stop();
    this.#keepLog();
    return code;
  }

  async kill(): Promise<void> {
    this.#server?.signalGroup('SIGKILL');
    await this.#server?.kill();
    this.#keepLog();
  }

  /** Kills the processes that serve, one after another, each when one has taken the place of the one before. */
  async killEachProcess(): Promise<void> {
    const [, ...serving] = await this.#tree();
    for (const { pid } of serving) {
      const begun = this.#processesBegun;
      process.kill(pid, 'SIGKILL');
      while (this.#processesBegun === begun) await new Promise((resolve) => setTimeout(resolve, LOOK_EVERY_MS));
    }
  }

  freeze(): void {
    this.#server?.signalGroup('SIGSTOP');
  }

  wake(): void {
    this.#server?.signalGroup('SIGCONT');
  }

  async close(): Promise<void> {
    this.wake();
    await this.kill();
    for (const link of this.links) await link.close();
  }

  /** The process that was started, and those that it has started. */
  #tree(): Promise<readonly ProcessEntry[]> {
    return processTree(this.#server?.pid ?? 0);
  }

  /** How many of those have said that they serve. */
  get #processesBegun(): number {
    const lines = (this.#server?.stderr() ?? '').split('\n');
    return lines.filter((line) => line.includes('"msg":"serving"') && line.includes('"process":')).length;
  }

  #keepLog(): void {
    this.#log += this.#server?.stderr() ?? '';
    this.#server = undefined;
  }
}

/** A module that, loaded first, puts a process' clock off by a time; the monotonic clock stays. */
async function shiftedClock(folder: string, milliseconds: number): Promise<string> {
  const file = join(folder, `shifted-clock-${milliseconds}.mjs`);
  await writeFile(
    file,
    `const shift = ${milliseconds};
const origin = performance.timeOrigin;
Object.defineProperty(performance, 'timeOrigin', { get: () => origin + shift });
const HostDate = Date;
const now = () => HostDate.now() + shift;
globalThis.Date = new Proxy(HostDate, {
  construct: (target, args, newTarget) => Reflect.construct(target, args.length === 0 ? [now()] : args, newTarget),
  apply: () => new HostDate(now()).toString(),
  get: (target, key) => (key === 'now' ? now : Reflect.get(target, key)),
});
`,
  );
  return file;
}
