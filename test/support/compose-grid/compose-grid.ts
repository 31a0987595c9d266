import { mkdir, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { runProgram } from '../program.ts';
import { removeFolder, temporaryFolder } from '../throwaway-process.ts';
import { AddressBook, type Route } from './address-book.ts';
import { type ComposeService, parseComposeFile } from './compose-file.ts';
import { type LocalProgram, prepareProgram } from './programs.ts';

export interface ComposeGridOptions {
  /** The services to start, with all that they depend on. Defaults to all of the compose file. */
  readonly services?: readonly string[];
  /**
   * Gives the port that one service uses for another in place of that one's own, such as that of a proxy which slows or
   * cuts what goes between the two. Defaults to none.
   */
  readonly detour?: (route: Route) => Promise<number> | number;
  /** Changes a configuration file of a service, such as `storage.yaml`, before the service sees it. */
  readonly configure?: (service: string, file: string, text: string) => string;
  /** Hears of each start and stop. */
  readonly onProgress?: (text: string) => void;
}

/** One service of the grid, which a test may end and start again: on the same ports, with the same folders. */
export interface GridService {
  readonly name: string;
  readonly pid: number | undefined;
  /** What it printed since its last start. */
  readonly output: string;
  /** The port of 127.0.0.1 where it listens for a port of its container, such as 50051. */
  portOf(containerPort: number): Promise<number>;
  /** Resolves once it is ready. */
  start(): Promise<void>;
  /** As `docker stop`: SIGTERM, and SIGKILL when its grace is over. */
  stop(): Promise<void>;
  /** SIGKILL: as a crash. */
  kill(): Promise<void>;
  signal(signal: NodeJS.Signals): void;
}

const ROOT = join(import.meta.dirname, '../../..');
const COMPOSE_FILE = join(ROOT, 'docker-compose.yml');

/**
 * The farm of docker-compose.yml without Docker: its services as processes of this machine, from Debian's packages, on
 * free ports of 127.0.0.1 and in throwaway folders. Which programs run, with what configuration and in what order, that
 * file alone says.
 */
export class ComposeGrid implements AsyncDisposable {
  /** By their names in the compose file, in the order in which they start. */
  readonly services: ReadonlyMap<string, GridService>;
  readonly folder: string;
  readonly #local: readonly LocalGridService[];
  readonly #declared: readonly ComposeService[];
  readonly #options: ComposeGridOptions;

  private constructor(
    local: readonly LocalGridService[],
    declared: readonly ComposeService[],
    folder: string,
    options: ComposeGridOptions,
  ) {
    this.services = new Map(local.map((service) => [service.name, service]));
    this.#local = local;
    this.folder = folder;
    this.#declared = declared;
    this.#options = options;
  }

  /**
   * Starts it, and resolves once all of it is ready.
   *
   * @param signal ends what has been started so far.
   * @throws Error with what was printed by what did not start.
   */
  static async start(options: ComposeGridOptions = {}, signal?: AbortSignal): Promise<ComposeGrid> {
    const grid = await ComposeGrid.#prepare(options);
    const onAbort = () => void grid.#killAll();
    signal?.addEventListener('abort', onAbort, { once: true });
    try {
      await grid.#startAll(signal);
    } catch (cause) {
      await grid[Symbol.asyncDispose]();
      throw cause;
    } finally {
      signal?.removeEventListener('abort', onAbort);
    }
    return grid;
  }

  static async #prepare(options: ComposeGridOptions): Promise<ComposeGrid> {
    const all = parseComposeFile(await readFile(COMPOSE_FILE, 'utf8'), process.env);
    const declared = withDependencies(all, options.services ?? all.map(({ name }) => name));
    const folder = await temporaryFolder('compose-grid');
    const addresses = new AddressBook(
      all.map(({ name }) => name),
      options.detour ?? (({ target }) => target),
    );
    const local: LocalGridService[] = [];
    for (const service of declared) {
      local.push(await localService(service, join(folder, service.name), addresses, options));
    }
    return new ComposeGrid(local, declared, folder, options);
  }

  /** @throws Error when there is no such service. */
  service(name: string): GridService {
    const service = this.services.get(name);
    if (service === undefined)
      throw new Error(`there is no service ${name}; there are ${[...this.services.keys()].join(', ')}`);
    return service;
  }

  /** `127.0.0.1:PORT`: where clients and bots find the grid. */
  async endpoint(): Promise<string> {
    return `127.0.0.1:${await this.service('load-balancer').portOf(50_051)}`;
  }

  async #startAll(signal: AbortSignal | undefined): Promise<void> {
    // Installs and builds, once and before many processes ask for it at the same time.
    const launcher = await runProgram(['--version']);
    if (launcher.code !== 0) throw new Error(`./warren does not build:\n${launcher.stderr}`);
    const started = new Map<string, Promise<void>>();
    for (const { name, dependsOn } of this.#declared) {
      const needed = Promise.all(dependsOn.map((each) => started.get(each) ?? Promise.resolve()));
      const start = needed.then(async () => {
        signal?.throwIfAborted();
        await this.service(name).start();
        this.#options.onProgress?.(`${name} is ready`);
      });
      started.set(name, start);
    }
    const outcomes = await Promise.allSettled(started.values());
    const failed = outcomes.find((outcome) => outcome.status === 'rejected');
    if (failed !== undefined) throw failed.reason;
  }

  /** Stops in reverse order; who depends on nobody else goes last. */
  async stop(): Promise<void> {
    const stopped = new Map<string, Promise<void>>();
    for (const { name } of [...this.#declared].reverse()) {
      const dependents = this.#declared.filter(({ dependsOn }) => dependsOn.includes(name));
      const free = Promise.all(dependents.map((each) => stopped.get(each.name) ?? Promise.resolve()));
      const stop = free.then(async () => {
        await this.service(name).stop();
        this.#options.onProgress?.(`${name} has stopped`);
      });
      stopped.set(name, stop);
    }
    await Promise.all(stopped.values());
  }

  /** Ends everything at once, and removes the folders. */
  async [Symbol.asyncDispose](): Promise<void> {
    await this.#killAll();
    await removeFolder(this.folder);
  }

  async #killAll(): Promise<void> {
    await Promise.all(this.#local.map((service) => service.dispose()));
  }
}

class LocalGridService implements GridService {
  readonly name: string;
  readonly #program: LocalProgram;
  readonly #addresses: AddressBook;
  readonly #stopGrace: number;

  constructor({ name, stopGrace }: ComposeService, program: LocalProgram, addresses: AddressBook) {
    this.name = name;
    this.#program = program;
    this.#addresses = addresses;
    this.#stopGrace = stopGrace;
  }

  get pid(): number | undefined {
    return this.#program.pid;
  }

  get output(): string {
    return this.#program.output;
  }

  portOf(containerPort: number): Promise<number> {
    return this.#addresses.portOf(this.name, containerPort);
  }

  start(): Promise<void> {
    return this.#program.start();
  }

  async stop(): Promise<void> {
    const force = new AbortController();
    const timer = setTimeout(() => force.abort(), this.#stopGrace);
    try {
      await this.#program.stop(force.signal);
    } finally {
      clearTimeout(timer);
    }
  }

  kill(): Promise<void> {
    return this.#program.kill();
  }

  signal(signal: NodeJS.Signals): void {
    this.#program.signal(signal);
  }

  dispose(): Promise<void> {
    return this.#program.dispose();
  }
}

/** The named services and all that they stand on, in the order of the file. */
function withDependencies(all: readonly ComposeService[], names: readonly string[]): ComposeService[] {
  const wanted = new Set(names);
  for (const service of [...all].reverse()) {
    if (wanted.has(service.name)) for (const each of service.dependsOn) wanted.add(each);
  }
  return all.filter(({ name }) => wanted.has(name));
}

async function localService(
  service: ComposeService,
  folder: string,
  addresses: AddressBook,
  options: ComposeGridOptions,
): Promise<LocalGridService> {
  const { name } = service;
  await mkdir(folder, { recursive: true });
  const places = service.mounts.map(({ source, target }) => ({
    source,
    target,
    local: join(folder, target.replaceAll('/', '_')),
  }));
  const localize = (text: string) => {
    let local = text;
    for (const place of places) local = local.replaceAll(place.target, place.local);
    return addresses.rewrite(local, name);
  };
  for (const { source, local } of places) {
    if (!source.startsWith('./')) {
      await mkdir(local);
      continue;
    }
    const text = await readFile(join(ROOT, source), 'utf8');
    const configured = options.configure?.(name, source.split('/').at(-1) ?? '', text) ?? text;
    await writeFile(local, await localize(configured));
  }
  const environment = Object.entries(service.environment).map(
    async ([key, value]) => [key, await localize(value)] as const,
  );
  const program = await prepareProgram({
    name,
    command: await Promise.all(service.command.map(localize)),
    environment: Object.fromEntries(await Promise.all(environment)),
    folder,
    addresses,
  });
  return new LocalGridService(service, program, addresses);
}
