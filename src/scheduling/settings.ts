/** The times and bounds of scheduling. All in milliseconds unless said otherwise. */
export interface SchedulingSettings {
  /**
   * Leases until a job fails with ABORTED. Defaults to 5. Every lease counts that came to nothing, whoever was at
   * fault, so that an action that kills its workers can't go round for ever.
   */
  readonly maxAttempts: number;
  /** Longest wait for a bot, after which the job ends with UNAVAILABLE. Defaults to none. */
  readonly queueTimeout: number | undefined;
  /**
   * The greatest Action.timeout, and the one of Actions that state none. Defaults to 2 hours. An Action that states more
   * is refused with INVALID_ARGUMENT.
   */
  readonly maxExecutionTimeout: number;
  /**
   * What a lease may last beyond the Action's timeout, for staging and uploading, before the server ends the job with
   * DEADLINE_EXCEEDED. Defaults to 5 minutes. The timeout itself is the worker's to keep.
   */
  readonly executionTimeoutMargin: number;
  /**
   * How long a job that no client streams goes on. Defaults to 5 seconds: long enough for a client that lost its
   * stream to come back by WaitExecution, short enough that an interrupted build leaves nothing running.
   */
  readonly abandonAfter: number;
  /**
   * How long a job waits whose requirement no live bot covers, before it ends with FAILED_PRECONDITION. Defaults to 60
   * seconds: a farm whose workers restart, or have not yet come, is no reason to fail a build.
   */
  readonly unservedGrace: number;
  /**
   * What becomes of a job whose message is gone from its queue, as after a purge: `resend`, the default, offers it
   * again; `fail` ends it with ABORTED, for operators who purge a queue to be rid of what waits in it.
   */
  readonly lostWork: 'resend' | 'fail';
  /** How long finished operations can be asked for. Defaults to 15 minutes. */
  readonly retention: number;
  /**
   * How long a lease and a bot session last without a word from the bot. Defaults to 60 seconds. A lost worker's
   * action runs again after that time; a bot that pauses for longer loses its work.
   */
  readonly leaseTime: number;
  /** The deadline assumed of a bot's call that states none. Defaults to 60 seconds. */
  readonly defaultPollDeadline: number;
  /** Longer deadlines of bots' calls are taken for this. Defaults to 5 minutes. */
  readonly maxPollDeadline: number;
  /**
   * Whether a bot with leases under way and room for more is kept waiting for work. Defaults to true, so that a bot
   * with several slots fills them at once. Such a bot must end its call to report what finishes meanwhile; BuildBox
   * workers before 1.3.51 don't, and are better served with false.
   */
  readonly longPollWhileBusy: boolean;
  /**
   * Whether a bot that reports a lease COMPLETED gets new work in the same answer. Defaults to true: one round trip
   * less for each action. An answer that is lost costs nothing: the lease is sent again.
   */
  readonly assignOnCompletion: boolean;
  /** How often passed deadlines are looked for. Defaults to 1 second. */
  readonly sweepInterval: number;
  /** How often a replica says what it streams, and reads again what it may have missed. Defaults to 10 seconds. */
  readonly watchRefreshInterval: number;
}

export const DEFAULT_SCHEDULING_SETTINGS: SchedulingSettings = {
  maxAttempts: 5,
  queueTimeout: undefined,
  maxExecutionTimeout: 7_200_000,
  executionTimeoutMargin: 300_000,
  abandonAfter: 5_000,
  unservedGrace: 60_000,
  lostWork: 'resend',
  retention: 900_000,
  leaseTime: 60_000,
  defaultPollDeadline: 60_000,
  maxPollDeadline: 300_000,
  longPollWhileBusy: true,
  assignOnCompletion: true,
  sweepInterval: 1_000,
  watchRefreshInterval: 10_000,
};

/** The watch of a replica is believed for this many refreshes: one may be late, one may be lost. */
export const WATCH_LIFE_IN_REFRESHES = 3;
