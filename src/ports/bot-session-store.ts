import type { BotReport, BotSession, DrainPattern } from '../domain/bot-session.ts';
import type { Property } from '../domain/platform.ts';

/** Why a session that once was is no more. */
export type SessionEnd = 'expired' | 'replaced' | 'closed';

/** What became of a call on a session. */
export type SessionAnswer =
  | {
      readonly kind: 'session';
      readonly session: BotSession;
      /**
       * The call that spoke for the bot until now, and the replica that may still hold it. Undefined where it has
       * changed the session's leases, as calls do that are about to be answered.
       */
      readonly before: Pick<BotSession, 'pollId' | 'replicaId'> | undefined;
    }
  | { readonly kind: 'ended'; readonly end: SessionEnd }
  | { readonly kind: 'other-bot' }
  | { readonly kind: 'unknown' };

/** What a bot session is made of. */
export interface NewBotSession extends BotReport {
  readonly name: string;
  readonly botId: string;
  readonly instanceName: string;
  /** Milliseconds until it is taken for lost, unless the bot calls again. */
  readonly lifetime: number;
}

/**
 * Who the bots are. Shared by all replicas, so that any of them serves any bot on any call.
 *
 * Rules that every implementation keeps, and that its suite checks:
 * - A bot id has one session in an instance; making another ends the one before.
 * - Time is the store's own; callers send durations.
 * - Ends are remembered for a while and in bounded number, so that a bot can be told why.
 */
export interface BotSessionStore {
  /** @returns the session, and the one of the same bot that it replaced, whose leases the caller gives back. */
  create(
    session: NewBotSession,
    signal: AbortSignal,
  ): Promise<{ readonly session: BotSession; readonly replaced: BotSession | undefined }>;

  /** A bot has called: notes what it reports, renews its life, and makes this call the one that speaks for it. */
  touch(name: string, botId: string, report: BotReport, lifetime: number, signal: AbortSignal): Promise<SessionAnswer>;

  /**
   * The call that speaks for the bot is still held, which counts as being heard of: renews the session's life.
   *
   * @returns when it now ends; undefined where the session has ended, or another call speaks for the bot.
   */
  extend(name: string, pollId: string, lifetime: number, signal: AbortSignal): Promise<number | undefined>;

  /**
   * Adds and removes leases in one step. Adding needs the session to stand, `pollId` to be still the call that speaks
   * for it, and room; otherwise nothing is added and the answer is false. Removing is always done where it stands.
   */
  changeLeases(
    name: string,
    pollId: string,
    add: readonly string[],
    remove: readonly string[],
    signal: AbortSignal,
  ): Promise<boolean>;

  get(name: string, signal: AbortSignal): Promise<BotSession | undefined>;

  /** Ends a session; the caller gives back the leases of what is returned. Undefined where there was none. */
  end(name: string, end: SessionEnd, signal: AbortSignal): Promise<BotSession | undefined>;

  /** Ends the sessions that have outlived their time, each for one caller, who gives back their leases. */
  expire(limit: number, signal: AbortSignal): Promise<readonly BotSession[]>;

  /** Sessions of an instance in order of their names; of all instances where it is undefined. */
  list(
    instanceName: string | undefined,
    limit: number,
    after: string | undefined,
    signal: AbortSignal,
  ): Promise<readonly BotSession[]>;

  /**
   * What live bots offer: each different set of properties once. A bot that feels ill counts: it may get better.
   */
  offers(instanceName: string, signal: AbortSignal): Promise<ReadonlyArray<readonly Property[]>>;

  /** Who is drained. Cheap: read at every lease. May be some seconds old. */
  drains(signal: AbortSignal): Promise<readonly DrainPattern[]>;
  /** Adds a pattern; the same pattern twice replaces the comment. */
  addDrain(drain: DrainPattern, signal: AbortSignal): Promise<void>;
  /** @returns whether there was such a pattern. */
  removeDrain(pattern: string, signal: AbortSignal): Promise<boolean>;
}
