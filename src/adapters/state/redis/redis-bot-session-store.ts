import type { BotReport, BotSession, DrainPattern } from '../../../domain/bot-session.ts';
import { createRequirement, type Property } from '../../../domain/platform.ts';
import { resourceExhausted } from '../../../domain/status-error.ts';
import type { Clock } from '../../../lib/clock.ts';
import type { BotSessionStore, NewBotSession, SessionAnswer, SessionEnd } from '../../../ports/bot-session-store.ts';
import { PackedRecord } from './packed-record.ts';
import type { RedisConnection, ScriptArgument, ScriptReply } from './redis-connection.ts';
import { decodeSession, encodeReport } from './session-record.ts';

export interface RedisBotSessionStoreOptions {
  readonly connection: RedisConnection;
  /** Begins every key; without braces. */
  readonly keyPrefix: string;
  /** Sessions of an instance at once; beyond, CreateBotSession gets RESOURCE_EXHAUSTED. */
  readonly maxSessions: number;
  /** For how long a list of drains is taken for true; no deadline of the farm depends on it. */
  readonly clock: Clock;
  /** For tests: the time, in milliseconds, in place of Redis' own. */
  readonly now?: () => number;
}

/** How soon a bot that was refused for want of room should come again, in milliseconds. */
const RETRY_WHEN_FULL = 5_000;

/** Ended sessions of an instance of which the reason is remembered. */
const MAX_REMEMBERED = 10_000;

/** How old a list of drains may be, in milliseconds: it is asked for at every lease. */
const DRAINS_LIFE = 1_000;

/** How long an instance is looked at for lost bots after its last bot was heard of, in milliseconds. */
const INSTANCE_LIFE = 172_800_000;

/** How often a replica says that an instance has bots, in milliseconds. */
const INSTANCE_NOTED_EVERY = 60_000;

/**
 * Bot sessions in Redis, shared by all replicas.
 *
 * The bots of one instance lie in one hash slot, so that a bot's sessions replace each other in one step.
 */
export class RedisBotSessionStore implements BotSessionStore {
  readonly #connection: RedisConnection;
  readonly #prefix: string;
  readonly #maxSessions: number;
  readonly #clock: Clock;
  readonly #now: () => ScriptArgument;
  readonly #notedAt = new Map<string, number>();
  #drains: { readonly patterns: readonly DrainPattern[]; readonly readAt: number } | undefined;

  constructor(options: RedisBotSessionStoreOptions) {
    this.#connection = options.connection;
    this.#prefix = options.keyPrefix;
    this.#maxSessions = options.maxSessions;
    this.#clock = options.clock;
    this.#now = options.now ?? (() => '');
  }

  async create(
    made: NewBotSession,
    signal: AbortSignal,
  ): Promise<{ readonly session: BotSession; readonly replaced: BotSession | undefined }> {
    const { name, botId, instanceName, lifetime, ...report } = made;
    await this.#noteInstance(instanceName, signal);
    const reply = await this.#connection.run(
      'session-create',
      this.#keys(instanceName, name),
      [
        ...this.#commonArguments(name),
        botId,
        lifetime,
        this.#maxSessions,
        ...encodeOffer(report),
        ...encodeReport(report),
        'instanceName',
        instanceName,
      ],
      signal,
    );
    const [result, at, earlier, record] = reply as readonly ScriptReply[];
    const replaced = decodeSession(String(earlier), record ?? null);
    if (String(result) === 'full') {
      throw resourceExhausted(`${this.#maxSessions} bots are connected already`, RETRY_WHEN_FULL);
    }
    const now = Number(at);
    const session: BotSession = {
      ...report,
      name,
      botId,
      instanceName,
      leaseIds: [],
      createdAt: now,
      lastSeenAt: now,
      expiresAt: now + lifetime,
      version: 1,
    };
    return { session, replaced };
  }

  async touch(
    name: string,
    botId: string,
    report: BotReport,
    lifetime: number,
    signal: AbortSignal,
  ): Promise<SessionAnswer> {
    const instanceName = instanceOf(name);
    const reply = await this.#connection.run(
      'session-touch',
      this.#keys(instanceName, name),
      [...this.#commonArguments(name), botId, lifetime, ...encodeOffer(report), ...encodeReport(report)],
      signal,
    );
    const [kind, value, pollId, replicaId] = reply as readonly ScriptReply[];
    switch (String(kind)) {
      case 'session': {
        await this.#noteInstance(instanceName, signal);
        const before = pollId === undefined ? undefined : { pollId: String(pollId), replicaId: String(replicaId) };
        return { kind: 'session', session: decodeSession(name, value ?? null) as BotSession, before };
      }
      case 'ended':
        return { kind: 'ended', end: String(value) as SessionEnd };
      case 'other-bot':
        return { kind: 'other-bot' };
      default:
        return { kind: 'unknown' };
    }
  }

  async extend(name: string, pollId: string, lifetime: number, signal: AbortSignal): Promise<number | undefined> {
    const keys = this.#keys(instanceOf(name), name);
    const args = [...this.#commonArguments(name), pollId, lifetime];
    const expiresAt = await this.#connection.run('session-extend', keys, args, signal);
    return expiresAt === null ? undefined : Number(expiresAt);
  }

  async changeLeases(
    name: string,
    pollId: string,
    add: readonly string[],
    remove: readonly string[],
    signal: AbortSignal,
  ): Promise<boolean> {
    const args = [pollId, add.length, ...add, ...remove];
    return (await this.#connection.run('session-leases', [this.#record(name)], args, signal)) === 1;
  }

  async get(name: string, signal: AbortSignal): Promise<BotSession | undefined> {
    return decodeSession(name, await this.#connection.run('get', [this.#record(name)], [], signal));
  }

  async end(name: string, end: SessionEnd, signal: AbortSignal): Promise<BotSession | undefined> {
    const keys = this.#keys(instanceOf(name), name);
    return decodeSession(
      name,
      await this.#connection.run('session-end', keys, [...this.#commonArguments(name), end], signal),
    );
  }

  async expire(limit: number, signal: AbortSignal): Promise<readonly BotSession[]> {
    const expired: BotSession[] = [];
    for (const instanceName of await this.#instances(signal)) {
      if (expired.length >= limit) break;
      const reply = (await this.#connection.run(
        'session-expire',
        this.#keys(instanceName, ''),
        [...this.#commonArguments(''), limit - expired.length],
        signal,
      )) as readonly ScriptReply[];
      for (let i = 0; i + 1 < reply.length; i += 2) {
        const session = decodeSession(String(reply[i]), reply[i + 1] ?? null);
        if (session !== undefined) expired.push(session);
      }
    }
    return expired;
  }

  async list(
    instanceName: string | undefined,
    limit: number,
    after: string | undefined,
    signal: AbortSignal,
  ): Promise<readonly BotSession[]> {
    const instances = instanceName === undefined ? await this.#instances(signal) : [instanceName];
    const names: string[] = [];
    for (const each of instances) {
      const listed = await this.#connection.run('list-ids', [`${this.#stem(each)}deadlines`], [], signal);
      for (const name of (listed as readonly ScriptReply[]).map(String)) {
        if (after === undefined || name > after) names.push(name);
      }
    }
    const page = names.sort((a, b) => (a < b ? -1 : 1)).slice(0, limit);
    const sessions = await Promise.all(page.map((name) => this.get(name, signal)));
    return sessions.filter((each) => each !== undefined);
  }

  async offers(instanceName: string, signal: AbortSignal): Promise<ReadonlyArray<readonly Property[]>> {
    const offers = await this.#readHash(`${this.#stem(instanceName)}offers`, signal);
    return offers.map(([_key, properties]) => JSON.parse(properties) as Property[]);
  }

  async drains(signal: AbortSignal): Promise<readonly DrainPattern[]> {
    const now = this.#clock.monotonic();
    if (this.#drains === undefined || now - this.#drains.readAt >= DRAINS_LIFE) {
      const drains = await this.#readHash(`${this.#prefix}drains`, signal);
      this.#drains = { patterns: drains.map(([pattern, comment]) => ({ pattern, comment })), readAt: now };
    }
    return this.#drains.patterns;
  }

  async addDrain({ pattern, comment }: DrainPattern, signal: AbortSignal): Promise<void> {
    this.#drains = undefined;
    await this.#connection.run('set-field', [`${this.#prefix}drains`], [pattern, comment, ''], signal);
    this.#drains = undefined;
  }

  async removeDrain(pattern: string, signal: AbortSignal): Promise<boolean> {
    const removed = await this.#connection.run('delete-field', [`${this.#prefix}drains`], [pattern], signal);
    this.#drains = undefined;
    return removed === 1;
  }

  /** The sweeps must know which instances have bots: each lies in a slot of its own. */
  async #noteInstance(instanceName: string, signal: AbortSignal): Promise<void> {
    const now = this.#clock.monotonic();
    const notedAt = this.#notedAt.get(instanceName);
    if (notedAt !== undefined && now - notedAt < INSTANCE_NOTED_EVERY) return;
    await this.#connection.run('set-field', [this.#instancesKey], [instanceName, '', INSTANCE_LIFE], signal);
    this.#notedAt.set(instanceName, now);
  }

  async #instances(signal: AbortSignal): Promise<readonly string[]> {
    return (await this.#readHash(this.#instancesKey, signal)).map(([instanceName]) => instanceName);
  }

  async #readHash(key: string, signal: AbortSignal): Promise<ReadonlyArray<readonly [string, string]>> {
    const record = PackedRecord.read(await this.#connection.run('get', [key], [], signal));
    return record === undefined ? [] : [...record.names].map((name) => [name, record.text(name)]);
  }

  get #instancesKey(): string {
    return `${this.#prefix}bot-instances`;
  }

  #record(name: string): string {
    return `${this.#stem(instanceOf(name))}session:${name}`;
  }

  #keys(instanceName: string, name: string): string[] {
    const stem = this.#stem(instanceName);
    const indexes = ['deadlines', 'offers', 'bidders', 'offered', 'ends', 'ended'];
    return [`${stem}session:${name}`, ...indexes.map((each) => stem + each)];
  }

  #stem(instanceName: string): string {
    return `${this.#prefix}{bots:${encodeURIComponent(instanceName)}}:`;
  }

  #commonArguments(name: string): readonly ScriptArgument[] {
    return [this.#now(), name, MAX_REMEMBERED];
  }
}

/** The instance that a session's name begins with. */
function instanceOf(name: string): string {
  return name.slice(0, Math.max(0, name.lastIndexOf('/')));
}

function encodeOffer({ properties }: BotReport): readonly [key: string, json: string] {
  return [createRequirement(properties).key, JSON.stringify(properties)];
}
