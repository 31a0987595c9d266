import type { Job } from '../../src/domain/job.ts';
import { parseLeaseId } from '../../src/domain/lease.ts';
import type { TestBot, TestClient, TestGrid } from './test-grid.ts';

/** A bot, the id of its lease and of the job, and the client that goes on streaming. */
export interface BusyBot {
  readonly client: TestClient;
  readonly bot: TestBot;
  readonly id: string;
  readonly jobId: string;
}

/** A bot with a lease on a new job. */
export async function busyBot(grid: TestGrid, argument = 'it', botId = 'bot-1'): Promise<BusyBot> {
  const client = grid.execute(await grid.uploadAction({ argument }));
  await grid.settle();
  const bot = grid.bot(botId);
  await bot.create();
  const id = bot.leases[0]?.id ?? '';
  return { client, bot, id, jobId: parseLeaseId(id)?.jobId ?? '' };
}

/** @throws an Error where the grid does not have it. */
export async function jobOf(grid: TestGrid, jobId: string): Promise<Job> {
  const job = await grid.jobs.get(jobId, new AbortController().signal);
  if (job === undefined) throw new Error(`there is no job ${jobId}`);
  return job;
}
