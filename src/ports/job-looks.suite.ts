import { describe, expect, test } from 'vitest';
import type { Job } from '../domain/job.ts';
import { createRequirement } from '../domain/platform.ts';
import { type JobStoreFixture, POLICY, submissionOf } from './job-store.suite.ts';
import { dueLook } from './job-store.ts';

const signal = new AbortController().signal;

/** Which jobs that wait are looked at, and when, which every job store does alike. */
export function describeJobLooks(name: string, create: () => Promise<JobStoreFixture>): void {
  describe(`looks at jobs that wait in ${name}`, () => {
    test('the look at a job that waits comes to one caller, and is put off by the grace', async () => {
      await using fixture = await create();
      const { store } = fixture;
      const requirement = createRequirement([{ name: 'ISA', value: 'arm' }]);
      const { job } = await store.submit(submissionOf({ requirement, priority: -3 }), signal);
      await store.settle([{ jobId: job.id, version: 1 }], signal);
      await fixture.advance(2_000);
      const { jobIds, looks } = await store.due(10, signal);
      expect([jobIds, looks.length]).toEqual([[], 1]);
      const look = { ...dueLook(job, job.offeredAt), offeredFor: expect.any(Number) as number };
      expect(looks[0]).toEqual(look);
      expect(await store.due(10, signal)).toEqual({ jobIds: [], looks: [] });
      await store.apply(job.id, { type: 'fit', unmet: 'no bot' }, signal);
      await fixture.advance(POLICY.unservedGrace + 1_000);
      expect((await store.due(10, signal)).looks).toEqual([{ ...look, wasUnserved: true }]);
    });

    test('of many that wait in one line the oldest are looked at, and the rest as soon as there is something to note', async () => {
      await using fixture = await create();
      const { store } = fixture;
      const jobs: Job[] = [];
      for (let i = 0; i < 25; i++) {
        const { job } = await store.submit(submissionOf({ doNotCache: true }), signal);
        await store.settle([{ jobId: job.id, version: 1 }], signal);
        jobs.push(job);
        await fixture.advance(20);
      }
      const ids = (from: number, to: number) => jobs.slice(from, to).map((job) => job.id);
      const lookedAt = async () => {
        const { looks } = await store.due(100, signal);
        return looks.map((look) => look.jobId);
      };
      await fixture.advance(2_000);
      expect(await lookedAt()).toEqual(ids(0, 10));
      expect(await lookedAt()).toEqual([]);
      for (const jobId of ids(0, 10)) await store.apply(jobId, { type: 'fit', unmet: 'no bot' }, signal);
      expect(await lookedAt()).toEqual(ids(10, 20));
      const resent = { type: 'offer-lost', attempt: 1, loss: 'resend' } as const;
      for (const { id, offeredAt } of jobs.slice(10, 20)) await store.apply(id, { ...resent, offeredAt }, signal);
      expect((await lookedAt()).slice(0, 5)).toEqual(ids(20, 25));
      for (const jobId of ids(10, 25)) await store.apply(jobId, { type: 'cancel', reason: 'enough' }, signal);
      await fixture.advance(POLICY.unservedGrace);
      expect((await lookedAt()).sort()).toEqual(ids(0, 10).sort());
    });
  });
}
