import type { Clock } from '../lib/clock.ts';
import type { IdGenerator } from '../lib/ids.ts';
import type { Service } from '../lib/lifecycle.ts';
import type { Logger } from '../lib/log.ts';
import type { BotSessionStore } from '../ports/bot-session-store.ts';
import type { Broker } from '../ports/broker.ts';
import type { JobStore } from '../ports/job-store.ts';
import { Assigning } from './assigning.ts';
import { BotSessions } from './bot-sessions.ts';
import { EffectRunner } from './effect-runner.ts';
import { LeasedJobs } from './leased-jobs.ts';
import { PollRegistry } from './poll-registry.ts';
import { Reconciling } from './reconciling.ts';
import { ServingBots } from './serving-bots.ts';
import { DEFAULT_SCHEDULING_SETTINGS, type SchedulingSettings } from './settings.ts';
import { Settling } from './settling.ts';
import { Submitting } from './submitting.ts';
import { Sweeping } from './sweeping.ts';
import { WatchHub } from './watch-hub.ts';

export interface SchedulerOptions {
  readonly jobs: JobStore;
  readonly sessions: BotSessionStore;
  readonly broker: Broker;
  readonly clock: Clock;
  readonly ids: IdGenerator;
  readonly logger: Logger;
  /** What this replica is called among its peers; different for each process and each start. */
  readonly replicaId: string;
  /** What differs from the defaults. */
  readonly settings?: Partial<SchedulingSettings>;
}

/** One replica's share of scheduling, ready for the services of gRPC. */
export interface Scheduler {
  readonly settings: SchedulingSettings;
  readonly clock: Clock;
  readonly jobs: JobStore;
  readonly sessions: BotSessionStore;
  readonly broker: Broker;
  /** Applies events to jobs, and carries out what follows. */
  readonly effects: EffectRunner;
  readonly submitting: Submitting;
  readonly servingBots: ServingBots;
  /** Sweeps and updates from other replicas: start it before the listeners, stop it after them. */
  readonly service: Service;
}

/** Puts scheduling together upon a store, a broker and a clock. */
export function createScheduler(options: SchedulerOptions): Scheduler {
  const { jobs, sessions, broker, clock, ids, replicaId } = options;
  const logger = options.logger.child({ component: 'scheduler' });
  const settings: SchedulingSettings = { ...DEFAULT_SCHEDULING_SETTINGS, ...options.settings };
  const hub = new WatchHub({ jobs, clock, logger, replicaId, settings });
  const polls = new PollRegistry();
  const leased = new LeasedJobs();
  const settling = new Settling({ jobs, clock, logger });
  const { lostWork } = settings;
  const effects = new EffectRunner({
    jobs,
    sessions,
    broker,
    hub,
    polls,
    settling,
    leased,
    clock,
    logger,
    replicaId,
    lostWork,
  });
  const botSessions = new BotSessions({ sessions, effects, ids, logger, settings });
  const reconciling = new Reconciling({ jobs, effects, leased, hub, settings });
  const assigning = new Assigning({ sessions, broker, effects, leased, clock, settings });
  const sweeping = new Sweeping({ jobs, botSessions, effects, hub, clock, logger, settings });
  const stopListening: Array<() => void> = [];
  return {
    settings,
    clock,
    jobs,
    sessions,
    broker,
    effects,
    submitting: new Submitting({ jobs, effects, hub, ids, replicaId, settings }),
    servingBots: new ServingBots({
      sessions,
      botSessions,
      reconciling,
      assigning,
      polls,
      clock,
      ids,
      logger,
      replicaId,
      settings,
    }),
    service: {
      name: 'scheduler',
      async start(signal) {
        stopListening.push(
          broker.onUpdate(replicaId, (update) => {
            effects.receive(update).catch((cause: unknown) => {
              logger.warn({ err: cause }, 'could not take in an update; the next refresh makes up for it');
            });
          }),
          broker.onReturned((returned) => effects.takeBack(returned)),
        );
        await sweeping.start(signal);
      },
      async stop(force) {
        await sweeping.stop(force);
        effects.flush();
        await settling.flush();
        for (const stop of stopListening.splice(0)) stop();
      },
    },
  };
}
