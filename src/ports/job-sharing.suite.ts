import { describe, expect, test } from 'vitest';
import { type JobStoreFixture, submissionOf } from './job-store.suite.ts';

const signal = new AbortController().signal;
const WATCH = { replicaId: 'replica-1', milliseconds: 10_000_000 };

/** How many may share a job, which every job store bounds. */
export function describeJobSharing(name: string, create: () => Promise<JobStoreFixture>): void {
  describe(`sharing of jobs in ${name}`, () => {
    test('a job that as many share as may is joined no more: the rest share another', async () => {
      await using fixture = await create();
      const ids: string[] = [];
      for (let i = 0; i < fixture.maxOperationsPerJob + 3; i++) {
        const { job } = await fixture.store.submit(submissionOf(), signal);
        ids.push(job.id);
        // What happens to the full one meanwhile does not make it the one to join.
        await fixture.store.apply(ids[0] ?? '', { type: 'watch', watch: WATCH }, signal);
      }
      const [first = '', second = ''] = new Set(ids);
      expect(new Set(ids).size).toBe(2);
      expect((await fixture.store.get(first, signal))?.operations).toHaveLength(fixture.maxOperationsPerJob);
      expect((await fixture.store.get(second, signal))?.operations).toHaveLength(3);
    });
  });
}
