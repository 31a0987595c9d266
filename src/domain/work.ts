import type { PlainDigest } from './job.ts';
import type { Requirement } from './platform.ts';

/** The queue of one instance and one requirement. */
export interface WorkQueueName {
  readonly instanceName: string;
  readonly requirement: Requirement;
}

/** What a client says of the build that a job belongs to; empty where it says nothing. */
export interface BuildLabels {
  readonly tool: string;
  readonly target: string;
  readonly mnemonic: string;
  readonly invocation: string;
}

/** The hint that a job waits: what a work queue carries. Readable by operators; the truth is in the job store. */
export interface WorkMessage extends WorkQueueName, BuildLabels {
  readonly jobId: string;
  /** The attempt that its lease would be. A message whose attempt is over is dropped. */
  readonly attempt: number;
  /** Lower runs first. */
  readonly priority: number;
  /** Milliseconds since the epoch; the older of two equal priorities runs first. */
  readonly queuedAt: number;
  /** When the job was offered by this message, in milliseconds since the epoch on the store's clock. */
  readonly offeredAt: number;
  readonly actionDigest: PlainDigest;
}

/** The name of a queue as one text: equal for equal queues. */
export function workQueueKey(name: WorkQueueName): string {
  return `${name.instanceName}\n${name.requirement.key}`;
}
