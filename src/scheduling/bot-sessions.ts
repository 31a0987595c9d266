import type { BotReport, BotSession } from '../domain/bot-session.ts';
import { parseLeaseId } from '../domain/lease.ts';
import { StatusCode } from '../domain/status-code.ts';
import { invalidArgument, StatusError } from '../domain/status-error.ts';
import type { IdGenerator } from '../lib/ids.ts';
import type { Logger } from '../lib/log.ts';
import type { BotSessionStore, SessionEnd } from '../ports/bot-session-store.ts';
import type { EffectRunner } from './effect-runner.ts';
import type { SchedulingSettings } from './settings.ts';

export interface BotSessionsOptions {
  readonly sessions: BotSessionStore;
  readonly effects: EffectRunner;
  readonly ids: IdGenerator;
  readonly logger: Logger;
  readonly settings: SchedulingSettings;
}

/** How long the session of a bot that has said farewell is kept, in milliseconds: it counts for nothing any more. */
const LEAVING_LIFETIME = 5_000;

/** Makes, renews and ends bot sessions. With its session a bot loses its leases. */
export class BotSessions {
  readonly #options: BotSessionsOptions;

  constructor(options: BotSessionsOptions) {
    this.#options = options;
  }

  /** A bot comes, or comes anew: an earlier session of the same bot ends. */
  async create(instanceName: string, botId: string, report: BotReport, signal: AbortSignal): Promise<BotSession> {
    const { sessions, ids, settings, logger } = this.#options;
    const uuid = ids.uuid();
    const name = instanceName === '' ? uuid : `${instanceName}/${uuid}`;
    const lifetime = settings.leaseTime;
    const { session, replaced } = await sessions.create({ ...report, name, botId, instanceName, lifetime }, signal);
    logger.info({ botId, session: name, instance: instanceName, capacity: report.capacity }, 'a bot has come');
    if (replaced !== undefined) await this.#giveBackAll(replaced, 'the bot has begun a new session', signal);
    return session;
  }

  /**
   * A bot calls.
   *
   * @param leaving whether it is about to end and holds nothing more: its session soon follows.
   * @throws INVALID_ARGUMENT when the name is unknown, replaced, or another bot's; DATA_LOSS when the session has ended:
   *   the bot makes a new one.
   */
  async touch(
    name: string,
    botId: string,
    report: BotReport,
    leaving: boolean,
    signal: AbortSignal,
  ): Promise<BotSession> {
    const lifetime = leaving ? LEAVING_LIFETIME : this.#options.settings.leaseTime;
    const { sessions, effects } = this.#options;
    const answer = await sessions.touch(name, botId, report, lifetime, signal);
    switch (answer.kind) {
      case 'session':
        effects.supersedeElsewhere(name, answer.before);
        return answer.session;
      case 'ended':
        throw endedError(name, answer.end);
      case 'other-bot':
        throw invalidArgument('bot_session.bot_id', `session '${name}' is not of bot '${botId}'`);
      case 'unknown':
        throw invalidArgument('name', `there is no bot session '${name}'; create one`);
    }
  }

  /** Ends a session and gives its leases back. */
  async end(name: string, end: SessionEnd, reason: string, signal: AbortSignal): Promise<void> {
    const session = await this.#options.sessions.end(name, end, signal);
    if (session !== undefined) await this.#giveBackAll(session, reason, signal);
  }

  /** Ends what has outlived its time. @returns how many. */
  async expire(limit: number, signal: AbortSignal): Promise<number> {
    const expired = await this.#options.sessions.expire(limit, signal);
    for (const session of expired) {
      this.#options.logger.warn(
        { botId: session.botId, session: session.name, leases: session.leaseIds.length },
        'a bot was not heard of in time; its work goes to others',
      );
      await this.#giveBackAll(session, 'the bot was not heard of in time', signal);
    }
    return expired.length;
  }

  async #giveBackAll(session: BotSession, reason: string, signal: AbortSignal): Promise<void> {
    for (const id of session.leaseIds) {
      const lease = parseLeaseId(id);
      if (lease === undefined) continue;
      const event = { type: 'give-back', attempt: lease.attempt, botId: session.botId, reason } as const;
      await this.#options.effects.apply(lease.jobId, event, signal);
    }
  }
}

function endedError(name: string, end: SessionEnd): StatusError {
  switch (end) {
    case 'replaced':
      return invalidArgument('name', `bot session '${name}' was replaced by a younger one of the same bot`);
    case 'expired':
      return new StatusError(StatusCode.DATA_LOSS, `bot session '${name}' has expired; create a new one`);
    case 'closed':
      return new StatusError(StatusCode.DATA_LOSS, `bot session '${name}' was closed; create a new one`);
  }
}
