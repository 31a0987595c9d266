import { type BotHealth, type BotSession, type DrainPattern, isDrained } from '../domain/bot-session.ts';
import { invalidArgument } from '../domain/status-error.ts';
import type { BotSessionStore } from '../ports/bot-session-store.ts';
import type { CallContext } from '../ports/call-context.ts';
import type { Bot, ListBotsRequest, ListBotsResponse } from '../proto/warren/v1/introspection.ts';
import { timestampFromMilliseconds } from '../wire/time.ts';
import type { Instances } from './instances.ts';

export interface IntrospectionOptions {
  readonly instances: Instances;
  readonly sessions: BotSessionStore;
  /** Bots on one page at most. Defaults to 1 000. */
  readonly maxPageSize?: number;
}

/** The service warren.v1.Introspection: what an operator wants to know and no other protocol tells. */
export class Introspection {
  readonly #instances: Instances;
  readonly #sessions: BotSessionStore;
  readonly #maxPageSize: number;

  constructor(options: IntrospectionOptions) {
    this.#instances = options.instances;
    this.#sessions = options.sessions;
    this.#maxPageSize = options.maxPageSize ?? 1_000;
  }

  /** @throws INVALID_ARGUMENT when the instance is not served, or the page size is out of bounds. */
  async listBots(request: ListBotsRequest, { signal }: CallContext): Promise<ListBotsResponse> {
    const { pageSize, pageToken, allInstances } = request;
    if (pageSize < 0 || pageSize > this.#maxPageSize) {
      throw invalidArgument('page_size', `is between 0 and ${this.#maxPageSize}, not ${pageSize}`);
    }
    const instanceName = allInstances ? undefined : this.#instances.get(request.instanceName).name;
    const limit = pageSize === 0 ? this.#maxPageSize : pageSize;
    const after = pageToken === '' ? undefined : pageToken;
    const [sessions, drains] = await Promise.all([
      this.#sessions.list(instanceName, limit, after, signal),
      this.#sessions.drains(signal),
    ]);
    const last = sessions.length < limit ? undefined : sessions.at(-1);
    return { bots: sessions.map((each) => botToWire(each, drains)), nextPageToken: last?.name ?? '' };
  }
}

const STATUS_NAMES: Readonly<Record<BotHealth, string>> = {
  unspecified: 'BOT_STATUS_UNSPECIFIED',
  ok: 'OK',
  unhealthy: 'UNHEALTHY',
  'host-rebooting': 'HOST_REBOOTING',
  terminating: 'BOT_TERMINATING',
  initializing: 'INITIALIZING',
};

function botToWire(session: BotSession, drains: readonly DrainPattern[]): Bot {
  return {
    sessionName: session.name,
    botId: session.botId,
    instanceName: session.instanceName,
    status: STATUS_NAMES[session.health],
    properties: [...session.properties],
    capacity: session.capacity,
    leaseIds: [...session.leaseIds],
    created: timestampFromMilliseconds(session.createdAt),
    lastSeen: timestampFromMilliseconds(session.lastSeenAt),
    expires: timestampFromMilliseconds(session.expiresAt),
    drained: isDrained(drains, session.botId, session.name),
  };
}
