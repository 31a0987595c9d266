import type { Job, JobPolicy, JobState, PlainDigest } from '../../../domain/job.ts';
import type { JobEffect } from '../../../domain/job-machine/effect.ts';
import type { Submission } from '../../../domain/job-machine/event.ts';
import { offer } from '../../../domain/job-machine/tell.ts';
import type { FailedAttempt, Lease } from '../../../domain/lease.ts';
import type { InlineWishes, NewOperation, Operation } from '../../../domain/operation.ts';
import type { Outcome, PlainStatus } from '../../../domain/outcome.ts';
import type { Property } from '../../../domain/platform.ts';
import type { RequestMetadata } from '../../../domain/request-metadata.ts';
import type { WorkQueueName } from '../../../domain/work.ts';
import type { DueLook } from '../../../ports/job-store.ts';
import { PackedRecord } from './packed-record.ts';
import type { ScriptReply } from './redis-connection.ts';

/** What the scripts write as JSON. */
interface StateJson {
  readonly state: JobState;
  readonly version: number;
  readonly attempts: number;
  readonly priority: number;
  readonly lease?: Lease;
  /** Lua, which knows but one kind of table, writes an empty list as an empty object. */
  readonly failedAttempts: readonly FailedAttempt[] | Readonly<Record<string, never>>;
  readonly watchers: Readonly<Record<string, number>>;
  readonly unwatchedSince?: number;
  readonly unservedSince?: number;
  readonly offeredAt: number;
  readonly fitCheckAt: number;
  readonly queuedAt: number;
  readonly startedAt?: number;
  readonly finishedAt?: number;
}

/** What never changes and no script reads. */
interface FixedJson {
  readonly instanceName: string;
  readonly actionDigest: PlainDigest;
  readonly properties: readonly Property[];
  readonly doNotCache: boolean;
}

interface OperationJson {
  readonly priority: number;
  readonly inline: InlineWishes;
  readonly requestMetadata?: RequestMetadata;
}

export function encodeFixed({ instanceName, actionDigest, requirement, doNotCache }: Submission): string {
  const fixed: FixedJson = { instanceName, actionDigest, properties: requirement.properties, doNotCache };
  return JSON.stringify(fixed);
}

export function encodeOperation({ priority, inline, requestMetadata }: NewOperation): string {
  return JSON.stringify({ priority, inline, requestMetadata });
}

export function encodePolicy(policy: JobPolicy): string {
  const { maxAttempts, queueTimeout, executionTimeout, abandonAfter, unservedGrace, retention } = policy;
  return [maxAttempts, queueTimeout ?? '-', executionTimeout, abandonAfter, unservedGrace, retention].join(' ');
}

/** `r` and the bytes of a response, or `s` and a status as JSON. */
export function encodeOutcome(outcome: Outcome): Buffer {
  if (outcome.kind === 'response') return Buffer.concat([RESPONSE, outcome.encoded]);
  return Buffer.from(`s${JSON.stringify(outcome.status)}`);
}

const RESPONSE = Buffer.from('r');
const NO_BYTES = new Uint8Array(0);
const OPERATION = 'operation:';

/**
 * The job of a record, or undefined where there is none.
 *
 * @param record as lua/fragments/record.lua packs it.
 */
export function decodeJob(id: string, record: ScriptReply): Job | undefined {
  const fields = PackedRecord.read(record);
  if (fields === undefined) return undefined;
  const operations: Array<{ readonly number: number; readonly operation: Operation }> = [];
  for (const name of fields.names) {
    if (!name.startsWith(OPERATION)) continue;
    operations.push(decodeOperation(name.slice(OPERATION.length), fields.text(name)));
  }
  const state = JSON.parse(fields.text('state')) as StateJson;
  const fixed = JSON.parse(fields.text('fixed')) as FixedJson;
  const outcome = fields.bytes('outcome');
  return {
    id,
    instanceName: fixed.instanceName,
    actionDigest: fixed.actionDigest,
    action: fields.bytes('action') ?? NO_BYTES,
    requirement: { properties: fixed.properties, key: fields.text('requirement') },
    priority: state.priority,
    doNotCache: fixed.doNotCache,
    policy: decodePolicy(fields.text('policy')),
    state: state.state,
    version: state.version,
    attempts: state.attempts,
    lease: state.lease,
    failedAttempts: Array.isArray(state.failedAttempts) ? state.failedAttempts : [],
    operations: operations.sort((a, b) => a.number - b.number).map((each) => each.operation),
    watchers: state.watchers,
    unwatchedSince: state.unwatchedSince,
    unservedSince: state.unservedSince,
    offeredAt: state.offeredAt,
    fitCheckAt: state.fitCheckAt,
    partialMetadata: fields.bytes('partial'),
    queuedAt: state.queuedAt,
    startedAt: state.startedAt,
    finishedAt: state.finishedAt,
    outcome: outcome === undefined ? undefined : decodeOutcome(outcome),
  };
}

/**
 * The effects that a script names.
 *
 * @param job the job afterwards; a job that was forgotten is offered no more.
 */
export function decodeEffects(reply: ScriptReply | undefined, job: Job | undefined): JobEffect[] {
  if (!Array.isArray(reply)) return [];
  return reply.flatMap((each: ScriptReply): JobEffect[] => {
    const [type = '', ...rest] = Array.isArray(each) ? each.map(String) : [];
    switch (type) {
      case 'offer':
        return job === undefined ? [] : [offer(job)];
      case 'notify':
        return [{ type, replicaIds: rest }];
      case 'end-lease':
        return [{ type, botSessionName: rest[0] ?? '', leaseId: rest[1] ?? '' }];
      case 'dead-letter':
        return [{ type, reason: rest[0] ?? '' }];
      case 'withdraw':
        return [{ type, queue: decodeQueueName(rest[0] ?? '', rest[1] ?? '') }];
      case 'check-fit':
        return [{ type }];
      default:
        return [];
    }
  });
}

/** Values that a script answers for each look. */
const LOOK_VALUES = 8;

/** The looks that are due. @param looks, queues as lua/fragments/look.lua has them. */
export function decodeLooks(looks: readonly ScriptReply[], queues: readonly ScriptReply[]): DueLook[] {
  const names: WorkQueueName[] = [];
  for (let i = 0; i + 1 < queues.length; i += 2) names.push(decodeQueueName(String(queues[i]), String(queues[i + 1])));
  const decoded: DueLook[] = [];
  for (let i = 0; i + LOOK_VALUES <= looks.length; i += LOOK_VALUES) {
    const [id, attempts, priority, offeredAt, offeredFor, unserved, grace, queue] = looks.slice(i, i + LOOK_VALUES);
    decoded.push({
      jobId: String(id),
      queue: names[Number(queue)] as WorkQueueName,
      attempt: Number(attempts) + 1,
      priority: Number(priority),
      offeredAt: Number(offeredAt),
      offeredFor: Number(offeredFor),
      wasUnserved: unserved === 1,
      unservedGrace: Number(grace),
    });
  }
  return decoded;
}

/** @param fixed what never changes of a job, as JSON. @param key the key of its requirement. */
export function decodeQueueName(fixed: string, key: string): WorkQueueName {
  const { instanceName, properties } = JSON.parse(fixed) as FixedJson;
  return { instanceName, requirement: { properties, key } };
}

function decodeOperation(id: string, line: string): { readonly number: number; readonly operation: Operation } {
  const brace = line.indexOf('{');
  const [number, createdAt, cancelledAt] = line.slice(0, brace).split(' ');
  const json = JSON.parse(line.slice(brace)) as OperationJson;
  return {
    number: Number(number),
    operation: {
      id,
      createdAt: Number(createdAt),
      priority: json.priority,
      requestMetadata: json.requestMetadata,
      inline: json.inline,
      cancelledAt: cancelledAt === '-' ? undefined : Number(cancelledAt),
    },
  };
}

function decodePolicy(line: string): JobPolicy {
  const [maxAttempts, queueTimeout, executionTimeout, abandonAfter, unservedGrace, retention] = line.split(' ');
  return {
    maxAttempts: Number(maxAttempts),
    queueTimeout: queueTimeout === '-' ? undefined : Number(queueTimeout),
    executionTimeout: Number(executionTimeout),
    abandonAfter: Number(abandonAfter),
    unservedGrace: Number(unservedGrace),
    retention: Number(retention),
  };
}

function decodeOutcome(value: Uint8Array): Outcome {
  const encoded = value.subarray(1);
  if (value[0] === RESPONSE[0]) return { kind: 'response', encoded };
  return { kind: 'status', status: JSON.parse(Buffer.from(encoded).toString()) as PlainStatus };
}
