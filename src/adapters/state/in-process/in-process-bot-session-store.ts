import type { BotReport, BotSession, DrainPattern } from '../../../domain/bot-session.ts';
import { createRequirement, type Property } from '../../../domain/platform.ts';
import { resourceExhausted } from '../../../domain/status-error.ts';
import type { Clock } from '../../../lib/clock.ts';
import { IndexedHeap } from '../../../lib/indexed-heap.ts';
import { LruMap } from '../../../lib/lru-map.ts';
import type { BotSessionStore, NewBotSession, SessionAnswer, SessionEnd } from '../../../ports/bot-session-store.ts';

export interface InProcessBotSessionStoreOptions {
  readonly clock: Clock;
  /** Sessions held at once; beyond, CreateBotSession gets RESOURCE_EXHAUSTED. Defaults to 100 000. */
  readonly maxSessions?: number;
  /** Ended sessions of which the reason is remembered. Defaults to 10 000. */
  readonly maxRemembered?: number;
}

/** How soon a bot that was refused for want of room should come again, in milliseconds. */
const RETRY_WHEN_FULL = 5_000;

/** One set of properties, and how many live bots offer it. */
interface Offer {
  readonly properties: readonly Property[];
  bots: number;
}

/** Bot sessions in the memory of one process: for the embedded grid and for tests. */
export class InProcessBotSessionStore implements BotSessionStore {
  readonly #clock: Clock;
  readonly #maxSessions: number;
  readonly #sessions = new Map<string, BotSession>();
  readonly #byBot = new Map<string, string>();
  /** The last call that changed the leases of each session. */
  readonly #changedBy = new Map<string, string>();
  readonly #deadlines = new IndexedHeap<string, number>((a, b) => a < b);
  readonly #ended: LruMap<string, SessionEnd>;
  readonly #offers = new Map<string, Map<string, Offer>>();
  #drains: readonly DrainPattern[] = [];

  constructor(options: InProcessBotSessionStoreOptions) {
    this.#clock = options.clock;
    this.#maxSessions = options.maxSessions ?? 100_000;
    this.#ended = new LruMap(options.maxRemembered ?? 10_000);
  }

  async create(
    made: NewBotSession,
    _signal: AbortSignal,
  ): Promise<{ readonly session: BotSession; readonly replaced: BotSession | undefined }> {
    const earlier = this.#byBot.get(botKey(made.instanceName, made.botId));
    const replaced = earlier === undefined ? undefined : this.#remove(earlier, 'replaced');
    if (this.#sessions.size >= this.#maxSessions) {
      throw resourceExhausted(`${this.#maxSessions} bots are connected already`, RETRY_WHEN_FULL);
    }
    const now = this.#clock.now();
    const { lifetime, ...rest } = made;
    const session: BotSession = {
      ...rest,
      leaseIds: [],
      createdAt: now,
      lastSeenAt: now,
      expiresAt: now + lifetime,
      version: 1,
    };
    this.#byBot.set(botKey(made.instanceName, made.botId), made.name);
    this.#offer(session, 1);
    this.#put(session);
    return { session, replaced };
  }

  async touch(
    name: string,
    botId: string,
    report: BotReport,
    lifetime: number,
    _signal: AbortSignal,
  ): Promise<SessionAnswer> {
    const session = this.#sessions.get(name);
    if (session === undefined) {
      const end = this.#ended.get(name);
      return end === undefined ? { kind: 'unknown' } : { kind: 'ended', end };
    }
    if (session.botId !== botId) return { kind: 'other-bot' };
    const now = this.#clock.now();
    const next: BotSession = {
      ...session,
      ...report,
      lastSeenAt: now,
      expiresAt: now + lifetime,
      version: session.version + 1,
    };
    if (!sameProperties(session.properties, next.properties)) {
      this.#offer(session, -1);
      this.#offer(next, 1);
    }
    this.#put(next);
    const { pollId, replicaId } = session;
    const before = this.#changedBy.get(name) === pollId ? undefined : { pollId, replicaId };
    return { kind: 'session', session: next, before };
  }

  async extend(name: string, pollId: string, lifetime: number, _signal: AbortSignal): Promise<number | undefined> {
    const session = this.#sessions.get(name);
    if (session?.pollId !== pollId) return undefined;
    const expiresAt = this.#clock.now() + lifetime;
    this.#put({ ...session, expiresAt });
    return expiresAt;
  }

  async changeLeases(
    name: string,
    pollId: string,
    add: readonly string[],
    remove: readonly string[],
    _signal: AbortSignal,
  ): Promise<boolean> {
    const session = this.#sessions.get(name);
    if (session === undefined) return false;
    const kept = remove.length === 0 ? session.leaseIds : session.leaseIds.filter((id) => !remove.includes(id));
    const fresh = add.filter((id) => !kept.includes(id));
    const room = session.pollId === pollId && kept.length + fresh.length <= session.capacity;
    const leaseIds = room && fresh.length > 0 ? [...kept, ...fresh] : kept;
    if (leaseIds !== session.leaseIds) {
      this.#changedBy.set(name, pollId);
      this.#put({ ...session, leaseIds, version: session.version + 1 });
    }
    return add.length === 0 || room;
  }

  async get(name: string, _signal: AbortSignal): Promise<BotSession | undefined> {
    return this.#sessions.get(name);
  }

  async end(name: string, end: SessionEnd, _signal: AbortSignal): Promise<BotSession | undefined> {
    return this.#remove(name, end);
  }

  async expire(limit: number, _signal: AbortSignal): Promise<readonly BotSession[]> {
    const now = this.#clock.now();
    const expired: BotSession[] = [];
    while (expired.length < limit) {
      const first = this.#deadlines.peek();
      if (first === undefined || first[1] > now) break;
      const session = this.#remove(first[0], 'expired');
      if (session !== undefined) expired.push(session);
    }
    return expired;
  }

  async list(
    instanceName: string | undefined,
    limit: number,
    after: string | undefined,
    _signal: AbortSignal,
  ): Promise<readonly BotSession[]> {
    return [...this.#sessions.values()]
      .filter((each) => instanceName === undefined || each.instanceName === instanceName)
      .filter((each) => after === undefined || each.name > after)
      .sort((a, b) => (a.name < b.name ? -1 : 1))
      .slice(0, limit);
  }

  async offers(instanceName: string, _signal: AbortSignal): Promise<ReadonlyArray<readonly Property[]>> {
    return [...(this.#offers.get(instanceName)?.values() ?? [])].map((each) => each.properties);
  }

  async drains(_signal: AbortSignal): Promise<readonly DrainPattern[]> {
    return this.#drains;
  }

  async addDrain(drain: DrainPattern, _signal: AbortSignal): Promise<void> {
    this.#drains = [...this.#drains.filter((each) => each.pattern !== drain.pattern), drain];
  }

  async removeDrain(pattern: string, _signal: AbortSignal): Promise<boolean> {
    const before = this.#drains.length;
    this.#drains = this.#drains.filter((each) => each.pattern !== pattern);
    return this.#drains.length < before;
  }

  #put(session: BotSession): void {
    this.#sessions.set(session.name, session);
    this.#deadlines.set(session.name, session.expiresAt);
  }

  #remove(name: string, end: SessionEnd): BotSession | undefined {
    const session = this.#sessions.get(name);
    if (session === undefined) return undefined;
    this.#sessions.delete(name);
    this.#changedBy.delete(name);
    this.#deadlines.delete(name);
    this.#ended.set(name, end);
    this.#offer(session, -1);
    const key = botKey(session.instanceName, session.botId);
    if (this.#byBot.get(key) === name) this.#byBot.delete(key);
    return session;
  }

  #offer(session: BotSession, bots: number): void {
    let offers = this.#offers.get(session.instanceName);
    if (offers === undefined) {
      offers = new Map();
      this.#offers.set(session.instanceName, offers);
    }
    const { key } = createRequirement(session.properties);
    const offer = offers.get(key) ?? { properties: session.properties, bots: 0 };
    offer.bots += bots;
    if (offer.bots > 0) offers.set(key, offer);
    else offers.delete(key);
    if (offers.size === 0) this.#offers.delete(session.instanceName);
  }
}

function botKey(instanceName: string, botId: string): string {
  return `${instanceName}\n${botId}`;
}

function sameProperties(a: readonly Property[], b: readonly Property[]): boolean {
  return a.length === b.length && a.every((each, i) => each.name === b[i]?.name && each.value === b[i]?.value);
}
