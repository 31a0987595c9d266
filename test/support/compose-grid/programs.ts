import { join } from 'node:path';
import { acceptsConnections } from '../free-port.ts';
import { RabbitmqServer } from '../rabbitmq-server.ts';
import { answersPing } from '../redis-server.ts';
import { ThrowawayProcess } from '../throwaway-process.ts';
import type { AddressBook } from './address-book.ts';

/** A service of a compose file, with its paths and addresses made those of this machine. */
export interface LocalService {
  readonly name: string;
  readonly command: readonly string[];
  readonly environment: Readonly<Record<string, string>>;
  /** Of its own, and gone with the grid. */
  readonly folder: string;
  readonly addresses: AddressBook;
}

/** A running program that can be stopped, killed and started again on the same ports and folders. */
export interface LocalProgram {
  readonly pid: number | undefined;
  readonly output: string;
  /** Resolves once it is ready. */
  start(): Promise<void>;
  signal(signal: NodeJS.Signals): void;
  /** Ends it in good order, or with SIGKILL once the signal is aborted. */
  stop(force: AbortSignal): Promise<void>;
  /** Ends it as a crash does. */
  kill(): Promise<void>;
  dispose(): Promise<void>;
}

const LAUNCHER = join(import.meta.dirname, '../../../warren');

/** The programs of the compose file, each by the name of its executable in the container. */
const PROGRAMS: Readonly<Record<string, (service: LocalService) => Promise<LocalProgram>>> = {
  warren: warren,
  'redis-server': redis,
  'rabbitmq-server': rabbitmq,
  haproxy: haproxy,
};

/** @throws Error for a program that is not known here. */
export function prepareProgram(service: LocalService): Promise<LocalProgram> {
  const [executable = ''] = service.command;
  const prepare = PROGRAMS[executable];
  if (prepare === undefined) throw new Error(`${service.name}: '${executable}' is not known here`);
  return prepare(service);
}

/** What each command of ours logs once it is ready. */
const READY_MESSAGES: Readonly<Record<string, string>> = {
  serve: '"msg":"serving"',
  worker: '"msg":"bot session opened"',
};

async function warren({ name, command, environment }: LocalService): Promise<LocalProgram> {
  const [, verb = '', ...args] = command;
  const message = READY_MESSAGES[verb] ?? '';
  return overProcess((output) => ({
    name,
    command: LAUNCHER,
    args: [verb, ...args],
    env: environment,
    ready: async () => output().includes(message),
  }));
}

async function redis({ name, command, environment, folder, addresses }: LocalService): Promise<LocalProgram> {
  const port = await addresses.portOf(name, 6379);
  const [executable = '', ...args] = command;
  return overProcess(() => ({
    name,
    command: executable,
    args: [...args, '--bind', '127.0.0.1', '--port', String(port), '--dir', folder, '--save', ''],
    env: environment,
    ready: () => answersPing(port),
  }));
}

async function haproxy({ name, command, environment, addresses }: LocalService): Promise<LocalProgram> {
  const port = await addresses.portOf(name, 50_051);
  const [executable = '', ...args] = command;
  // Debian keeps it where only root looks.
  const PATH = `${process.env['PATH'] ?? ''}:/usr/sbin`;
  return overProcess(() => ({
    name,
    command: executable,
    args,
    env: { ...environment, PATH },
    ready: () => acceptsConnections(port),
  }));
}

async function rabbitmq({ name, environment, addresses }: LocalService): Promise<LocalProgram> {
  const server = await RabbitmqServer.prepare({
    port: await addresses.portOf(name, 5672),
    managementPort: await addresses.portOf(name, 15_672),
    management: true,
    ownGroup: true,
    configuration: [
      `default_user = ${environment['RABBITMQ_DEFAULT_USER'] ?? 'guest'}`,
      `default_pass = ${environment['RABBITMQ_DEFAULT_PASS'] ?? 'guest'}`,
    ],
  });
  return {
    get pid() {
      return server.process.pid;
    },
    get output() {
      return server.process.output;
    },
    start: () => server.start(),
    signal: (signal) => server.process.signal(signal),
    stop: (force) =>
      stopGently(
        force,
        () => server.process.stop('SIGTERM'),
        () => server.kill(),
      ),
    kill: () => server.kill(),
    dispose: () => server[Symbol.asyncDispose](),
  };
}

type ProcessOptions = Omit<ConstructorParameters<typeof ThrowawayProcess>[0], 'ownGroup'>;

/** @param options gets what gives the output so far. */
function overProcess(options: (output: () => string) => ProcessOptions): LocalProgram {
  const process: ThrowawayProcess = new ThrowawayProcess({ ...options(() => process.output), ownGroup: true });
  return {
    get pid() {
      return process.pid;
    },
    get output() {
      return process.output;
    },
    start: () => process.start(),
    signal: (signal) => process.signal(signal),
    stop: (force) =>
      stopGently(
        force,
        () => process.stop('SIGTERM'),
        () => process.stop('SIGKILL'),
      ),
    kill: () => process.stop('SIGKILL'),
    dispose: () => process.stop('SIGKILL'),
  };
}

async function stopGently(force: AbortSignal, stop: () => Promise<void>, kill: () => Promise<void>): Promise<void> {
  const forced = new Promise<void>((resolve) => force.addEventListener('abort', () => resolve(), { once: true }));
  if (force.aborted) return kill();
  await Promise.race([stop(), forced.then(kill)]);
}
