import { randomUUID } from 'node:crypto';
import { type Blob, type ExecutionStream, prepareAction, Stage, Tenant } from '../../test/support/tenant.ts';
import { WireClient } from '../../test/support/wire-client.ts';
import { inFlight, type Round } from './scenario.ts';
import { type Helper, type Server, startHelper } from './server.ts';

/**
 * Streams of one connection. A Node.js server takes a client that resets more than 1 000 streams in a moment for an
 * attacker, and closes its connection.
 */
const STREAMS_PER_CONNECTION = 500;

/** Clients that listen to actions of theirs. */
export class Crowd {
  readonly #addresses: readonly string[];
  readonly #clients: WireClient[] = [];
  readonly #streams: ExecutionStream[] = [];
  #begun = 0;

  constructor(addresses: readonly string[]) {
    this.#addresses = addresses;
  }

  /** One more client executes an action. Resolves once it has heard that the action waits. */
  async execute(action: Blob['digest']): Promise<void> {
    if (this.#begun % STREAMS_PER_CONNECTION === 0) this.#clients.push(new WireClient(this.#addresses));
    this.#begun += 1;
    const stream = new Tenant(this.#clients.at(-1) as WireClient, '').execute(action, {}, { deadline: null });
    this.#streams.push(stream);
    await stream.until(Stage.QUEUED);
  }

  /** All go. */
  leave(): void {
    for (const stream of this.#streams) stream.cancel();
    for (const client of this.#clients) client.close();
  }
}

/** A client of a server, and bots that do nothing for it. */
export class NoOpWork {
  readonly client: WireClient;
  readonly #addresses: readonly string[];
  readonly #tenant: Tenant;
  readonly #bots: Helper;
  readonly #property: readonly [name: string, value: string];
  #ready: Blob[] = [];

  private constructor(server: Server, bots: Helper, property: readonly [string, string]) {
    this.client = server.client();
    this.#addresses = server.addresses;
    this.#tenant = new Tenant(this.client, '');
    this.#bots = bots;
    this.#property = property;
  }

  static async start(server: Server, bots: number): Promise<NoOpWork> {
    const property = ['OSFamily', `bench-${randomUUID()}`] as const;
    const helper = await startHelper('bots-process.ts', [server.addresses.join(','), `${bots}`, ...property]);
    return new NoOpWork(server, helper, property);
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

  /** Leases that the bots have done, up to a moment ago. */
  get completions(): number {
    return Number(this.#bots.lastLine()) || 0;
  }

  /** What the bots are for. */
  get requirement(): readonly [name: string, value: string] {
    return this.#property;
  }

  /**
   * Submits `count` of the prepared actions, each until it waits.
   *
   * @returns the clients, who listen until they are told to leave.
   */
  async submit(concurrency: number, count: number): Promise<Crowd> {
    const actions = this.#take(count);
    const crowd = new Crowd(this.#addresses);
    await inFlight(concurrency, count, async (i) => {
      await crowd.execute((actions[i] as Blob).digest);
      return 1;
    });
    return crowd;
  }

  /** Executes `count` of the prepared actions until they are done. */
  run(concurrency: number, count: number): Promise<Round> {
    const actions = this.#take(count);
    return inFlight(concurrency, count, async (i) => {
      const response = await this.#tenant.execute((actions[i] as Blob).digest).finish();
      if ((response.status?.code ?? 0) !== 0) throw new Error(response.status?.message);
      return 1;
    });
  }

  #take(count: number): readonly Blob[] {
    const actions = this.#ready.splice(0, count);
    if (actions.length < count) throw new RangeError(`${count} actions are wanted, ${actions.length} are prepared`);
    return actions;
  }

  async stop(): Promise<void> {
    await this.#bots.stop();
    this.client.close();
  }
}
