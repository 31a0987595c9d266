import { expect, test } from 'vitest';
import type { JobEvent } from '../domain/job-machine/event.ts';
import { createRequirement, type Property } from '../domain/platform.ts';
import { FakeClock } from '../lib/fake-clock.ts';
import { silentLogger } from '../lib/log.ts';
import type { OfferedWork } from '../ports/broker.ts';
import type { DueLook } from '../ports/job-store.ts';
import { Looking } from './looking.ts';

const LINUX: Property = { name: 'OSFamily', value: 'linux' };

function setUp(offers: ReadonlyArray<readonly Property[]>) {
  const lost = new Set<string>();
  /** What was asked of sessions and broker, and done to jobs. */
  const asked: string[] = [];
  const done: string[] = [];
  const broken = new Set<string>();
  const looking = new Looking({
    sessions: {
      offers: (instanceName) => {
        asked.push(`offers ${instanceName}`);
        return Promise.resolve(offers);
      },
    },
    broker: {
      findLost: <Offered extends OfferedWork>(_queue: unknown, offered: readonly Offered[]) => {
        asked.push(`lost of ${offered.length}`);
        return Promise.resolve(offered.filter(({ jobId }) => lost.has(jobId)));
      },
    },
    clock: new FakeClock(),
    logger: silentLogger,
    lostWork: 'resend',
    apply: (jobId: string, event: JobEvent) => {
      if (broken.has(jobId)) return Promise.reject(new Error('broken'));
      done.push(`${event.type} ${jobId}`);
      return Promise.resolve();
    },
    loseOffer: ({ jobId, attempt, offeredAt }, loss) => {
      done.push(`${loss} ${jobId} ${attempt} ${offeredAt}`);
      return Promise.resolve();
    },
  });
  return { looking, lost, asked, done, broken };
}

function lookAt(jobId: string, changes: Partial<DueLook> = {}): DueLook {
  return {
    jobId,
    queue: { instanceName: 'main', requirement: createRequirement([LINUX]) },
    attempt: 2,
    priority: 0,
    offeredAt: 1_000,
    offeredFor: 60_000,
    wasUnserved: false,
    unservedGrace: 60_000,
    ...changes,
  };
}

test('of a thousand jobs that wait in one queue each question is asked once, and nothing is noted where all is well', async () => {
  const { looking, asked, done } = setUp([[LINUX]]);
  await looking.lookAt(Array.from({ length: 1_000 }, (_, i) => lookAt(`job-${i}`)));
  expect(asked).toEqual(['offers main', 'lost of 1000']);
  expect(done).toEqual([]);
});

test('jobs whose message is gone are offered again, those offered just now are not judged', async () => {
  const { looking, lost, asked, done } = setUp([[LINUX]]);
  for (const jobId of ['gone', 'young']) lost.add(jobId);
  await looking.lookAt([lookAt('gone'), lookAt('young', { offeredFor: 1_999 }), lookAt('there')]);
  expect(asked.at(-1)).toBe('lost of 2');
  expect(done).toEqual(['resend gone 2 1000']);
});

test('a queue that no bot fits is told to each of its jobs, one that a bot fits again to those that had heard', async () => {
  const queue = { instanceName: 'main', requirement: createRequirement([{ name: 'OSFamily', value: 'plan9' }]) };
  const { looking, done } = setUp([[LINUX]]);
  await looking.lookAt([
    lookAt('a', { queue }),
    lookAt('b', { queue }),
    lookAt('c'),
    lookAt('d', { wasUnserved: true }),
  ]);
  expect(done.sort()).toEqual(['fit a', 'fit b', 'fit d']);
});

test('a job that cannot be changed keeps no other from being looked at', async () => {
  const { looking, broken, done } = setUp([]);
  broken.add('a');
  await looking.lookAt([lookAt('a'), lookAt('b')]);
  expect(done).toEqual(['fit b']);
});
