import { z } from 'zod';
import { createRequirement } from '../../../domain/platform.ts';
import type { WorkMessage } from '../../../domain/work.ts';
import type { ReplicaUpdate } from '../../../ports/broker.ts';
import type { RegisteredWorkQueue } from '../../../ports/work-queue-registry.ts';
import { MOST_UPDATES_TOGETHER } from './update-outbox.ts';

/*
 * Bodies of messages: JSON that a person can read in the management console. Whoever may publish to the broker may put
 * anything into a queue, so that every body is checked before it is believed.
 */

const MAX_TEXT = 4_096;
const text = z.string().max(MAX_TEXT);

const workSchema = z.object({
  job: z.string().max(64),
  attempt: z.int().positive(),
  instance: text,
  requirement: z.array(z.object({ name: text, value: text })).max(256),
  priority: z.int(),
  queuedAt: z.number(),
  offeredAt: z.number(),
  actionDigest: z.object({
    digestFunction: z.int(),
    hash: z.string().max(256),
    sizeBytes: z.int().nonnegative(),
  }),
  tool: text,
  target: text,
  mnemonic: text,
  invocation: text,
});

const updateSchema = z.discriminatedUnion('kind', [
  z.object({ kind: z.literal('job-changed'), jobId: z.string().max(64), version: z.int() }),
  z.object({ kind: z.literal('lease-ended'), botSessionName: text, leaseId: z.string().max(128) }),
  z.object({ kind: z.literal('poll-superseded'), botSessionName: text, pollId: z.string().max(128) }),
]);

const updatesSchema = z.array(updateSchema).min(1).max(MOST_UPDATES_TOGETHER);

const queueSchema = z.object({
  instance: text,
  requirement: z.array(z.object({ name: text, value: text })).max(256),
  paused: z.boolean(),
});

export function encodeWork(work: WorkMessage): Buffer {
  return Buffer.from(
    JSON.stringify({
      job: work.jobId,
      attempt: work.attempt,
      instance: work.instanceName,
      requirement: [...work.requirement.properties],
      priority: work.priority,
      queuedAt: work.queuedAt,
      offeredAt: work.offeredAt,
      actionDigest: work.actionDigest,
      tool: cut(work.tool),
      target: cut(work.target),
      mnemonic: cut(work.mnemonic),
      invocation: cut(work.invocation),
    } satisfies z.input<typeof workSchema>),
  );
}

/** The work, or undefined where the body is not one of ours. */
export function decodeWork(body: Uint8Array): WorkMessage | undefined {
  const parsed = workSchema.safeParse(parseJson(body));
  if (!parsed.success) return undefined;
  const { job, instance, requirement, ...rest } = parsed.data;
  return { ...rest, jobId: job, instanceName: instance, requirement: createRequirement(requirement) };
}

export function encodeUpdates(updates: readonly ReplicaUpdate[]): Buffer {
  return Buffer.from(JSON.stringify(updates));
}

/** The updates, or undefined where the body is not one of ours. */
export function decodeUpdates(body: Uint8Array): readonly ReplicaUpdate[] | undefined {
  const parsed = updatesSchema.safeParse(parseJson(body));
  return parsed.success ? parsed.data : undefined;
}

/** What replicas tell each other of a work queue. */
export type QueueHint = Pick<RegisteredWorkQueue, 'queue' | 'paused'>;

/** That a work queue is in use, and bots that fit it should take from it too; or that it has been paused or resumed. */
export function encodeQueueHint({ queue, paused }: QueueHint): Buffer {
  const { instanceName: instance, requirement } = queue;
  const hint = { instance, requirement: [...requirement.properties], paused } satisfies z.input<typeof queueSchema>;
  return Buffer.from(JSON.stringify(hint));
}

/** The queue, or undefined where the body is not one of ours. */
export function decodeQueueHint(body: Uint8Array): QueueHint | undefined {
  const parsed = queueSchema.safeParse(parseJson(body));
  if (!parsed.success) return undefined;
  const { instance, requirement, paused } = parsed.data;
  return { queue: { instanceName: instance, requirement: createRequirement(requirement) }, paused };
}

function parseJson(body: Uint8Array): unknown {
  try {
    return JSON.parse(Buffer.from(body.buffer, body.byteOffset, body.byteLength).toString('utf8'));
  } catch {
    return undefined;
  }
}

/** Names of tools and targets come from clients and have no bound of their own. */
function cut(value: string): string {
  return value.length <= MAX_TEXT ? value : value.slice(0, MAX_TEXT);
}
