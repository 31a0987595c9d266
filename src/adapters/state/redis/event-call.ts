import type { JobEvent } from '../../../domain/job-machine/event.ts';
import { encodeOperation, encodeOutcome } from './job-record.ts';
import type { ScriptArgument } from './redis-connection.ts';
import type { ScriptName } from './scripts.ts';

/** A script and what it takes beyond what all of them take. */
export interface EventCall {
  readonly script: ScriptName;
  readonly args: readonly ScriptArgument[];
}

/** The call that applies an event: one script for each. */
export function callOfEvent(event: JobEvent): EventCall {
  switch (event.type) {
    case 'join': {
      const { operation, watch } = event;
      const watching = [watch?.replicaId ?? '', watch?.milliseconds ?? 0];
      return { script: 'join', args: [operation.id, encodeOperation(operation), operation.priority, ...watching] };
    }
    case 'watch':
      return { script: 'watch', args: [event.watch.replicaId, event.watch.milliseconds] };
    case 'unwatch':
      return { script: 'unwatch', args: [event.replicaId] };
    case 'lease':
      return { script: 'lease', args: [event.attempt, event.botId, event.botSessionName, event.leaseMilliseconds] };
    case 'renew': {
      const { attempt, botId, leaseMilliseconds, executing, partialMetadata } = event;
      const partial = partialMetadata === undefined ? [0, ''] : [1, Buffer.from(partialMetadata)];
      return { script: 'renew', args: [attempt, botId, leaseMilliseconds, Number(executing), ...partial] };
    }
    case 'complete': {
      const { attempt, botId, outcome, good } = event;
      return { script: 'complete', args: [attempt, botId, encodeOutcome(outcome), Number(good)] };
    }
    case 'give-back':
      return { script: 'give-back', args: [event.attempt, event.botId, event.reason] };
    case 'cancel-operation':
    case 'delete-operation':
      return { script: event.type, args: [event.operationId] };
    case 'cancel':
      return { script: 'cancel', args: [event.reason] };
    case 'offer-lost':
      return { script: 'offer-lost', args: [event.attempt, event.offeredAt, event.loss] };
    case 'fit':
      return {
        script: 'fit',
        args: [Number(event.unmet !== undefined), event.unmet ?? '', JSON.stringify(event.unmet ?? '')],
      };
    case 'tick':
      return { script: 'tick', args: [] };
  }
}
