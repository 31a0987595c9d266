import { expect, test } from 'vitest';
import { StatusCode } from '../../../domain/status-code.ts';
import { FakeClock } from '../../../lib/fake-clock.ts';
import { describeJobLooks } from '../../../ports/job-looks.suite.ts';
import { describeJobSharing } from '../../../ports/job-sharing.suite.ts';
import { describeJobStore, type JobStoreFixture, submissionOf } from '../../../ports/job-store.suite.ts';
import { InProcessJobStore } from './in-process-job-store.ts';

const signal = new AbortController().signal;

const create = async (): Promise<JobStoreFixture> => {
  const clock = new FakeClock(1_000_000);
  return {
    store: new InProcessJobStore({ clock, maxFinished: 20, maxOperationsPerJob: 20 }),
    advance: (milliseconds) => clock.advance(milliseconds),
    maxFinished: 20,
    maxOperationsPerJob: 20,
    [Symbol.asyncDispose]: async () => {},
  };
};

describeJobStore('InProcessJobStore', create);
describeJobLooks('InProcessJobStore', create);
describeJobSharing('InProcessJobStore', create);

test('more unfinished jobs than the bound are refused, to come again later', async () => {
  const store = new InProcessJobStore({ clock: new FakeClock(), maxUnfinished: 2 });
  for (let i = 0; i < 2; i++) await store.submit(submissionOf({ doNotCache: true }), signal);
  await expect(store.submit(submissionOf({ doNotCache: true }), signal)).rejects.toMatchObject({
    code: StatusCode.RESOURCE_EXHAUSTED,
    details: [{ kind: 'retry-info' }],
  });
});

test('finished answers are bounded by bytes as well as by count', async () => {
  const store = new InProcessJobStore({ clock: new FakeClock(), maxFinishedBytes: 100 });
  const cached = { kind: 'response', encoded: new Uint8Array(60) } as const;
  const [older, younger] = [submissionOf({ cached }), submissionOf({ cached })];
  await store.submit(older, signal);
  await store.submit(younger, signal);
  expect(await store.get(older.jobId, signal)).toBeUndefined();
  expect(await store.get(younger.jobId, signal)).toBeDefined();
});
