import { Gauge, type Registry } from 'prom-client';
import { isDrained } from '../domain/bot-session.ts';
import type { Clock } from '../lib/clock.ts';
import type { Logger } from '../lib/log.ts';
import type { FarmFigures, FarmWatch } from './farm-watch.ts';

/** Queues told of one by one; a farm with more tells of those where most waits. */
const MOST_QUEUES = 200;

/**
 * Adds what is true of the farm as a whole: jobs, queues, bots. Every replica with the role `console` tells the same, so
 * that an alert takes the maximum over them and not the sum.
 *
 * Where the farm can't be read, these are missing from the answer; what the replica measures of itself is not.
 */
export function addFarmMetrics(registry: Registry, watch: FarmWatch, clock: Clock, logger: Logger): void {
  let reading: Promise<void> | undefined;
  // All are asked at the same time: one reading fills all.
  const collect = () => {
    reading ??= watch
      .figures()
      .then(show)
      .catch((cause: unknown) => {
        for (const each of all) each.reset();
        logger.warn({ err: cause }, 'the figures of the farm could not be read');
      })
      .finally(() => {
        reading = undefined;
      });
    return reading;
  };
  const gauge = (name: string, help: string, labelNames: readonly string[] = []) =>
    new Gauge({ name, help, labelNames: [...labelNames], registers: [registry], aggregator: 'max', collect });
  const labels = ['instance', 'requirement'];
  const jobs = gauge('warren_jobs', 'Jobs of the farm, by what they do', ['state']);
  const waitingJobs = gauge('warren_queue_waiting_jobs', 'Jobs that wait in a work queue', labels);
  const messages = gauge('warren_queue_waiting_messages', 'Messages that wait in the broker for them', labels);
  const oldest = gauge('warren_queue_oldest_seconds', 'How long the oldest of them has waited', labels);
  const paused = gauge('warren_queue_paused', 'Whether an operator has paused the queue', labels);
  const idleSlots = gauge('warren_queue_idle_slots', 'Leases that bots which fit would take now', labels);
  const bots = gauge('warren_bots', 'Bots that have a session', ['health', 'drained']);
  const leases = gauge('warren_leases', 'Leases that bots hold');
  const slots = gauge('warren_bot_slots', 'Leases that bots take at once, those they hold included');

  const show = (figures: FarmFigures) => {
    jobs.set({ state: 'queued' }, figures.counts.queued);
    jobs.set({ state: 'running' }, figures.counts.leased);
    jobs.set({ state: 'finished' }, figures.counts.finished);
    for (const each of [waitingJobs, messages, oldest, paused, idleSlots, bots]) each.reset();
    const queues = [...figures.queues].sort((a, b) => b.waitingJobs - a.waitingJobs).slice(0, MOST_QUEUES);
    for (const queue of queues) {
      const of = { instance: queue.instanceName, requirement: queue.requirement.key };
      waitingJobs.set(of, queue.waitingJobs);
      messages.set(of, queue.waitingMessages);
      oldest.set(of, queue.oldestQueuedAt === undefined ? 0 : (clock.now() - queue.oldestQueuedAt) / 1_000);
      paused.set(of, queue.paused ? 1 : 0);
      idleSlots.set(of, queue.idleSlots);
    }
    for (const { health, botId, name } of figures.bots) {
      bots.inc({ health, drained: String(isDrained(figures.drains, botId, name)) });
    }
    leases.set(figures.bots.reduce((sum, bot) => sum + bot.leaseIds.length, 0));
    slots.set(figures.bots.reduce((sum, bot) => sum + bot.capacity, 0));
  };

  const all = [jobs, waitingJobs, messages, oldest, paused, idleSlots, bots, leases, slots];
}
