import { randomUUID } from 'node:crypto';
import { Action, ActionResult, Digest } from '../../src/proto/build/bazel/remote/execution/v2/remote_execution.ts';
import {
  type BotSession,
  BotStatus,
  BotsService,
  CreateBotSessionRequest,
  type Lease,
  Lease as LeaseMessage,
  LeaseState,
  UpdateBotSessionRequest,
} from '../../src/proto/google/devtools/remoteworkers/v1test2/bots.ts';
import { digestOf } from './tenant.ts';
import type { CallOptions, Reply, WireClient } from './wire-client.ts';

/** Fields of a bot session that a test sets. */
type SessionFields = NonNullable<CreateBotSessionRequestFields>['botSession'];
type CreateBotSessionRequestFields = Parameters<typeof CreateBotSessionRequest.create>[0];

export interface SimulatedBotOptions {
  readonly botId?: string;
  /** The instance. */
  readonly parent?: string;
  /** Properties of the bot's one device. */
  readonly properties?: ReadonlyArray<readonly [key: string, value: string]>;
  /** Parallel leases. Left unsaid by default, which means one. */
  readonly capacity?: number;
}

/** A poll with time enough to be given work, and short enough for a test that expects none. */
export const SHORT_POLL: CallOptions = { deadline: 4_000 };

export const RESULT_TYPE = 'type.googleapis.com/build.bazel.remote.execution.v2.ActionResult';

/**
 * A bot in the test's own hand: each call is made only when the test says so, and reports what the test says.
 *
 * It never runs anything.
 */
export class SimulatedBot {
  readonly botId: string;
  readonly parent: string;
  readonly #client: WireClient;
  readonly #options: SimulatedBotOptions;
  /** The last session that the server answered. */
  session: BotSession | undefined;

  constructor(client: WireClient, options: SimulatedBotOptions = {}) {
    this.#client = client;
    this.#options = options;
    this.botId = options.botId ?? `bot-${randomUUID()}`;
    this.parent = options.parent ?? '';
  }

  /** The session's name. @throws Error before `create`. */
  get name(): string {
    if (this.session === undefined) throw new Error('the bot has no session');
    return this.session.name;
  }

  /** The same bot and session, speaking to another replica from now on. */
  at(client: WireClient): SimulatedBot {
    const moved = new SimulatedBot(client, { ...this.#options, botId: this.botId });
    moved.session = this.session;
    return moved;
  }

  /** CreateBotSession. The default deadline is too short for the call to be held: it is answered at once, without work. */
  async create(session: SessionFields = {}, options: CallOptions = { deadline: 2_000 }): Promise<BotSession> {
    const request = CreateBotSessionRequest.create({
      parent: this.parent,
      botSession: { ...this.#describe([]), ...session },
    });
    this.session = await this.#client.unary(BotsService.createBotSession, request, options);
    return this.session;
  }

  /** UpdateBotSession with these leases. As with `create`, the default deadline is too short for work. */
  async update(
    leases: readonly Lease[],
    session: SessionFields = {},
    options: CallOptions = { deadline: 2_000 },
  ): Promise<BotSession> {
    return (await this.updateWithTrailers(leases, session, options)).response;
  }

  async updateWithTrailers(
    leases: readonly Lease[],
    session: SessionFields = {},
    options: CallOptions = { deadline: 2_000 },
  ): Promise<Reply<BotSession>> {
    const request = UpdateBotSessionRequest.create({
      name: this.name,
      botSession: { ...this.#describe(leases), name: this.name, ...session },
    });
    const reply = await this.#client.unaryWithTrailers(BotsService.updateBotSession, request, options);
    this.session = reply.response;
    return reply;
  }

  /** Polls until a lease comes that is not among `held`. */
  async nextLease(held: readonly Lease[] = []): Promise<Lease> {
    const known = new Set(held.map((each) => each.id));
    for (let tries = 0; tries < 10; tries++) {
      const session =
        this.session === undefined
          ? await this.create({}, { deadline: 10_000 })
          : await this.update(held, {}, { deadline: 10_000 });
      const lease = session.leases.find((each) => !known.has(each.id));
      if (lease !== undefined) return lease;
    }
    throw new Error('no lease came');
  }

  /** Reports a lease as done. */
  complete(
    lease: Lease,
    result: Parameters<typeof ActionResult.create>[0] = {},
    status: { readonly code: number; readonly message?: string } = { code: 0 },
  ): Promise<BotSession> {
    return this.update([completed(lease, result, status)]);
  }

  /** Takes one lease and completes it; for tests whose subject is the client's side. */
  async serveOne(result: Parameters<typeof ActionResult.create>[0] = {}): Promise<Lease> {
    const lease = await this.nextLease();
    await this.complete(lease, result);
    return lease;
  }

  #describe(leases: readonly Lease[]): SessionFields {
    const properties = (this.#options.properties ?? []).map(([key, value]) => ({ key, value }));
    const configs =
      this.#options.capacity === undefined ? [] : [{ key: 'capacity', value: `${this.#options.capacity}` }];
    return {
      botId: this.botId,
      status: BotStatus.OK,
      worker: { devices: [{ handle: 'primary', properties }], configs },
      leases: [...leases],
    };
  }
}

/** The lease in the state in which a bot works on it. */
export function active(lease: Lease): Lease {
  return LeaseMessage.create({ ...lease, state: LeaseState.ACTIVE });
}

export function completed(
  lease: Lease,
  result: Parameters<typeof ActionResult.create>[0] = {},
  status: { readonly code: number; readonly message?: string } = { code: 0 },
): Lease {
  return LeaseMessage.create({
    ...lease,
    state: LeaseState.COMPLETED,
    status,
    result: { typeUrl: RESULT_TYPE, value: Buffer.from(ActionResult.encode(ActionResult.create(result)).finish()) },
  });
}

/** The digest of the action in a lease's payload, which packs either the Action or its Digest. */
export function leasedAction(lease: Lease): Digest {
  const { typeUrl, value } = lease.payload ?? { typeUrl: '', value: Buffer.alloc(0) };
  if (typeUrl.endsWith('.Digest')) return Digest.decode(value);
  Action.decode(value);
  return digestOf(value);
}
