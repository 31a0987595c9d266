import { connect } from 'node:net';
import { freePort } from './free-port.ts';
import { removeFolder, ThrowawayProcess, temporaryFolder } from './throwaway-process.ts';

export interface RedisServerOptions {
  /** Whether it keeps an append-only file, synchronised at every write. Defaults to false. */
  readonly appendOnly?: boolean;
  /** Further settings, as on the command line of redis-server. */
  readonly settings?: Readonly<Record<string, string>>;
}

/** A Redis of the test's own, from the system's redis-server package, on a free port of 127.0.0.1. */
export class RedisServer implements AsyncDisposable {
  readonly port: number;
  readonly folder: string;
  readonly process: ThrowawayProcess;

  private constructor(port: number, folder: string, process: ThrowawayProcess) {
    this.port = port;
    this.folder = folder;
    this.process = process;
  }

  /** `redis://127.0.0.1:PORT`. */
  get url(): string {
    return `redis://127.0.0.1:${this.port}`;
  }

  static async start(options: RedisServerOptions = {}): Promise<RedisServer> {
    const port = await freePort();
    const folder = await temporaryFolder('redis');
    const settings: Record<string, string> = {
      port: String(port),
      bind: '127.0.0.1',
      dir: folder,
      save: '',
      appendonly: options.appendOnly === true ? 'yes' : 'no',
      appendfsync: 'always',
      'maxmemory-policy': 'noeviction',
      ...options.settings,
    };
    const process = new ThrowawayProcess({
      name: 'redis-server',
      command: 'redis-server',
      args: Object.entries(settings).flatMap(([name, value]) => [`--${name}`, value]),
      ready: () => answersPing(port),
    });
    await process.start();
    return new RedisServer(port, folder, process);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.process.stop('SIGKILL');
    await removeFolder(this.folder);
  }
}

/** Whether a Redis listens on a port of 127.0.0.1 and has read its data. */
export function answersPing(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect(port, '127.0.0.1', () => socket.write('PING\r\n'));
    socket.once('data', (data) => {
      socket.destroy();
      resolve(/^(?:\+PONG|-NOAUTH)/.test(data.toString()));
    });
    socket.once('error', () => resolve(false));
    socket.setTimeout(1_000, () => {
      socket.destroy();
      resolve(false);
    });
  });
}
