import { isFinished, type Job } from '../job.ts';
import type { JobEventOf, Watch } from './event.ts';
import { refused } from './tell.ts';
import type { Transition } from './transition.ts';

/** The job with one more, or one younger, watcher. */
export function withWatch(job: Job, watch: Watch, now: number): Job {
  return {
    ...job,
    watchers: { ...job.watchers, [watch.replicaId]: now + watch.milliseconds },
    unwatchedSince: undefined,
  };
}

/** A replica streams the job. A finished job needs no watching: nothing more will happen. */
export function watchJob(job: Job, event: JobEventOf<'watch'>, now: number): Transition {
  if (isFinished(job)) return refused(job);
  return { next: withWatch(job, event.watch, now), effects: [], accepted: true };
}

/** A replica streams it no more. From the last one on, the time runs after which the job is abandoned. */
export function unwatchJob(job: Job, event: JobEventOf<'unwatch'>, now: number): Transition {
  if (isFinished(job) || job.watchers[event.replicaId] === undefined) return refused(job);
  const { [event.replicaId]: _gone, ...watchers } = job.watchers;
  return {
    next: { ...job, watchers, unwatchedSince: Object.keys(watchers).length === 0 ? now : undefined },
    effects: [],
    accepted: true,
  };
}
