import { status as statusCodes } from '@grpc/grpc-js';
import { pause } from './fault.ts';
import { SideLoad, type SideLoadOptions } from './side-load.ts';

export interface ConsoleLoadOptions extends SideLoadOptions {
  /** Ports of 127.0.0.1 where consoles listen. */
  readonly ports: readonly number[];
}

/** Between two looks, in milliseconds. */
const REST_MS = 250;

/**
 * What a replica says of itself. One of several processes says nothing at all when none of them has its metrics together
 * in three seconds, as when Redis is silent.
 */
const METRICS = /^warren_build_info\{.*\} 1$/m;

/** Somebody who looks now at one console, now at another, and again where none answers. */
export class ConsoleLoad extends SideLoad {
  readonly kind = 'looks at consoles';
  readonly #ports: readonly number[];

  constructor(options: ConsoleLoadOptions) {
    super(options);
    this.#ports = options.ports;
  }

  protected async one(): Promise<void> {
    const look = (path: string) =>
      this.attempt('console', (attempts) => attempts.call(path, () => lookAt(this.any(this.#ports), path)));
    const [health, metrics] = [await look('/healthz'), await look('/metrics')];
    if (health !== 'alive\n') throw new Error(`the console says of its health '${health}'`);
    if (metrics.trim() !== '' && !METRICS.test(metrics)) throw new Error(`the console tells no metrics:\n${metrics}`);
    await pause(REST_MS);
  }
}

/** @throws UNAVAILABLE, as a call would fail, where nobody answers. */
async function lookAt(port: number, path: string): Promise<string> {
  try {
    const response = await fetch(`http://127.0.0.1:${port}${path}`, { headers: { Connection: 'close' } });
    const text = await response.text();
    return response.ok ? text : `${response.status} ${text}`;
  } catch (cause) {
    const details = `nobody answers at port ${port}`;
    throw Object.assign(new Error(details, { cause }), { code: statusCodes.UNAVAILABLE, details });
  }
}
