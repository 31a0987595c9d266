import { randomUUID } from 'node:crypto';
import { type Blob, prepareAction, Tenant } from '../../test/support/tenant.ts';
import type { WireClient } from '../../test/support/wire-client.ts';
import { inFlight, type Round } from './scenario.ts';
import { type Helper, type Server, startHelper } from './server.ts';

/** A client of a server, and bots that do nothing for it. */
export class NoOpWork {
  readonly #client: WireClient;
  readonly #tenant: Tenant;
  readonly #bots: Helper;
  readonly #property: readonly [name: string, value: string];
  #ready: Blob[] = [];

  private constructor(client: WireClient, bots: Helper, property: readonly [string, string]) {
    this.#client = client;
    this.#tenant = new Tenant(client, '');
    this.#bots = bots;
    this.#property = property;
  }

  static async start(server: Server, bots: number): Promise<NoOpWork> {
    const property = ['OSFamily', `bench-${randomUUID()}`] as const;
    const helper = await startHelper('bots-process.ts', [server.addresses.join(','), `${bots}`, ...property]);
    return new NoOpWork(server.client(), helper, property);
  }

  /** Uploads actions that nobody has executed yet, so that only execution is measured. */
  async prepare(count: number): Promise<void> {
    const [name, value] = this.#property;
    const action = { platform: { properties: [{ name, value }] } };
    const prepared = Array.from({ length: count }, () => prepareAction({ action }));
    const [first] = prepared;
    if (first !== undefined) await this.#tenant.upload(first.command, first.inputRoot);
    const actions = prepared.map((each) => each.action);
    for (let i = 0; i < actions.length; i += 1_000) await this.#tenant.upload(...actions.slice(i, i + 1_000));
    this.#ready.push(...actions);
  }

  /** Executes `count` of the prepared actions until they are done. */
  run(concurrency: number, count: number): Promise<Round> {
    const actions = this.#ready.splice(0, count);
    if (actions.length < count) throw new RangeError(`${count} actions are wanted, ${actions.length} are prepared`);
    return inFlight(concurrency, count, async (i) => {
      const response = await this.#tenant.execute((actions[i] as Blob).digest).finish();
      if ((response.status?.code ?? 0) !== 0) throw new Error(response.status?.message);
      return 1;
    });
  }

  async stop(): Promise<void> {
    await this.#bots.stop();
    this.#client.close();
  }
}
