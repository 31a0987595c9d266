import { execFile } from 'node:child_process';
import { mkdir, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { acceptsConnections, freePorts } from './free-port.ts';
import { removeFolder, ThrowawayProcess, temporaryFolder } from './throwaway-process.ts';

/**
 * Where Debian's package keeps the scripts themselves. The wrapper in the system's sbin folder changes the user and
 * loses the cookie of a node that has a HOME of its own.
 */
const SCRIPTS = '/usr/lib/rabbitmq/bin';

export interface RabbitmqServerOptions {
  /** Lines for rabbitmq.conf. */
  readonly configuration?: readonly string[];
  /** Whether the management plugin listens, on `managementPort`. Defaults to false. */
  readonly management?: boolean;
  /** Whether it tells its metrics, for `counter`. Defaults to false. */
  readonly metrics?: boolean;
  /** What enabled_plugins holds. Defaults to the plugins for management and metrics where they are wanted. */
  readonly plugins?: string;
  /** Where it listens. Defaults to a free port. */
  readonly port?: number;
  /** Where the management plugin listens. Defaults to a free port. */
  readonly managementPort?: number;
  /** As for `ThrowawayProcess`. */
  readonly ownGroup?: boolean;
}

/** A RabbitMQ of the test's own, from the system's rabbitmq-server package, with epmd, ports and folders of its own. */
export class RabbitmqServer implements AsyncDisposable {
  readonly port: number;
  readonly managementPort: number;
  readonly process: ThrowawayProcess;
  readonly #metricsPort: number;
  readonly #portMapper: ThrowawayProcess;
  readonly #folder: string;
  readonly #env: Readonly<Record<string, string>>;

  private constructor(
    ports: { amqp: number; management: number; metrics: number },
    folder: string,
    env: Readonly<Record<string, string>>,
    processes: { broker: ThrowawayProcess; portMapper: ThrowawayProcess },
  ) {
    this.port = ports.amqp;
    this.managementPort = ports.management;
    this.#metricsPort = ports.metrics;
    this.#folder = folder;
    this.#env = env;
    this.process = processes.broker;
    this.#portMapper = processes.portMapper;
  }

  /** `amqp://guest:guest@127.0.0.1:PORT`. */
  get url(): string {
    return `amqp://guest:guest@127.0.0.1:${this.port}`;
  }

  static async start(options: RabbitmqServerOptions = {}): Promise<RabbitmqServer> {
    const server = await RabbitmqServer.prepare(options);
    try {
      await server.start();
    } catch (cause) {
      await server[Symbol.asyncDispose]();
      throw cause;
    }
    return server;
  }

  /** Everything but the start. */
  static async prepare(options: RabbitmqServerOptions = {}): Promise<RabbitmqServer> {
    const [free = 0, distribution = 0, epmd = 0, metrics = 0, freeForManagement = 0] = await freePorts(5);
    const { port: amqp = free, managementPort: management = freeForManagement, ownGroup = false } = options;
    const folder = await temporaryFolder('rabbitmq');
    await mkdir(join(folder, 'log'));
    await writeFile(
      join(folder, 'rabbitmq.conf'),
      [
        `listeners.tcp.1 = 127.0.0.1:${amqp}`,
        'log.file.level = warning',
        ...(options.management === true
          ? ['management.tcp.ip = 127.0.0.1', `management.tcp.port = ${management}`]
          : []),
        ...(options.metrics === true ? ['prometheus.tcp.ip = 127.0.0.1', `prometheus.tcp.port = ${metrics}`] : []),
        ...(options.configuration ?? []),
        '',
      ].join('\n'),
    );
    const plugins = [
      ...(options.management === true ? ['rabbitmq_management'] : []),
      ...(options.metrics === true ? ['rabbitmq_prometheus'] : []),
    ];
    await writeFile(join(folder, 'enabled_plugins'), options.plugins ?? `[${plugins.join()}].\n`);
    const env = {
      HOME: folder,
      RABBITMQ_NODENAME: `warren${amqp}@localhost`,
      RABBITMQ_NODE_PORT: String(amqp),
      RABBITMQ_DIST_PORT: String(distribution),
      RABBITMQ_MNESIA_BASE: join(folder, 'mnesia'),
      RABBITMQ_LOG_BASE: join(folder, 'log'),
      RABBITMQ_CONFIG_FILE: join(folder, 'rabbitmq.conf'),
      RABBITMQ_ENABLED_PLUGINS_FILE: join(folder, 'enabled_plugins'),
      RABBITMQ_PID_FILE: join(folder, 'pid'),
      // Beside the sources otherwise, when rabbitmqctl is ended before it has begun.
      ERL_CRASH_DUMP: join(folder, 'erl_crash.dump'),
      RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS: '-kernel inet_dist_use_interface {127,0,0,1}',
      ERL_EPMD_PORT: String(epmd),
      ERL_EPMD_ADDRESS: '127.0.0.1',
    };
    // Started here and in the foreground: the one that Erlang would start is a daemon that outlives the test.
    const portMapper = new ThrowawayProcess({
      name: 'epmd',
      command: 'epmd',
      args: ['-port', String(epmd), '-address', '127.0.0.1'],
      ownGroup,
      ready: () => acceptsConnections(epmd),
    });
    const broker = new ThrowawayProcess({
      name: 'rabbitmq-server',
      command: join(SCRIPTS, 'rabbitmq-server'),
      args: [],
      env,
      ownGroup,
      ready: () => listens(env),
    });
    return new RabbitmqServer({ amqp, management, metrics }, folder, env, { broker, portMapper });
  }

  /** Starts it for the first time, or again after an end, on the same ports and folders. */
  async start(): Promise<void> {
    if (this.#portMapper.pid === undefined) await this.#portMapper.start();
    await this.process.start();
  }

  /** Runs rabbitmqctl against this broker, and gives what it printed. */
  async control(...args: readonly string[]): Promise<string> {
    const { stdout } = await promisify(execFile)(join(SCRIPTS, 'rabbitmqctl'), ['--quiet', ...args], {
      env: { ...process.env, ...this.#env },
    });
    return stdout;
  }

  /**
   * Has on disk what was declared: RabbitMQ tries to by the time that it answers, and promises nothing. A kill at that
   * moment loses a queue or a binding now and then, and of a quorum queue that it is to be started again: what it knows of
   * those goes to disk half a second late.
   */
  async keepDeclarations(): Promise<void> {
    await this.control('eval', 'mnesia:sync_log(), [ok = dets:sync(Table) || Table <- dets:all()].');
  }

  /**
   * One of the broker's counters, such as `messages_redelivered_total`, as it is now, summed over protocols and types of
   * queues. Needs the plugin for metrics, and a hundredth of the time that rabbitmqctl takes.
   */
  async counter(name: string): Promise<number> {
    const response = await fetch(`http://127.0.0.1:${this.#metricsPort}/metrics`);
    const lines = (await response.text()).matchAll(new RegExp(`^rabbitmq_global_${name}\\{.*\\} (\\d+)$`, 'gm'));
    const values = [...lines].map(([, value]) => Number(value));
    if (values.length === 0) throw new Error(`RabbitMQ has no counter ${name}`);
    return values.reduce((sum, value) => sum + value, 0);
  }

  /** Its queues as they are now. Needs the management plugin, and a hundredth of the time that rabbitmqctl takes. */
  async queues(): Promise<ReadonlyArray<{ readonly name: string; readonly messages: number }>> {
    const response = await this.#manage('GET', 'queues?disable_stats=true&enable_queue_totals=true');
    return (await response.json()) as Array<{ name: string; messages: number }>;
  }

  /** Sets a policy for queues, in the place of one with the same name. Needs the management plugin, as `queues` does. */
  async setPolicy(name: string, pattern: string, definition: object): Promise<void> {
    await this.#manage('PUT', `policies/%2F/${name}`, { pattern, definition, 'apply-to': 'queues' });
  }

  async clearPolicy(name: string): Promise<void> {
    await this.#manage('DELETE', `policies/%2F/${name}`);
  }

  async #manage(method: string, path: string, body?: object): Promise<Response> {
    const authorization = `Basic ${Buffer.from('guest:guest').toString('base64')}`;
    const response = await fetch(`http://127.0.0.1:${this.managementPort}/api/${path}`, {
      method,
      headers: { authorization, 'content-type': 'application/json' },
      ...(body === undefined ? {} : { body: JSON.stringify(body) }),
    });
    if (!response.ok) throw new Error(`RabbitMQ's management answered ${response.status}`);
    return response;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.kill();
    await this.#portMapper.stop('SIGKILL');
    await removeFolder(this.#folder);
  }

  /** Ends the Erlang machine itself at once, as a power cut would: the script that started it is only its parent. */
  async kill(): Promise<void> {
    const pid = await readFile(join(this.#folder, 'pid'), 'utf8').catch(() => '');
    if (/^\d+\s*$/.test(pid)) {
      try {
        process.kill(Number(pid), 'SIGKILL');
      } catch {
        // It has ended by itself.
      }
    }
    await this.process.stop('SIGKILL');
  }
}

async function listens(env: Readonly<Record<string, string>>): Promise<boolean> {
  await promisify(execFile)(join(SCRIPTS, 'rabbitmqctl'), ['--quiet', 'await_startup', '--timeout', '30'], {
    env: { ...process.env, ...env },
  });
  return true;
}
