import { createHash } from 'node:crypto';
import type { WorkQueueName } from '../../../domain/work.ts';

/**
 * Every name that Warren uses in RabbitMQ. They begin with one prefix, so that an operator can set permissions and
 * policies for all of them by one pattern.
 */
export const WORK_EXCHANGE = 'warren.work';
export const UPDATES_EXCHANGE = 'warren.updates';
export const EVENTS_EXCHANGE = 'warren.events';
export const RETURNED_EXCHANGE = 'warren.returned';
export const RETURNED_QUEUE = 'warren.returned';
export const DEAD_EXCHANGE = 'warren.dead';
export const DEAD_QUEUE = 'warren.dead';
export const REDELIVER_EXCHANGE = 'warren.redeliver';
export const REDELIVER_QUEUE = 'warren.redeliver';

/** AMQP allows 255 bytes for a name; what is longer than this is cut and ends in a hash of the whole. */
const LONGEST_NAME_BYTES = 200;
const HASH_CHARACTERS = 16;

/**
 * `warren.work.<instance>.<key=value;...>`: the queue of one instance and one requirement, and its routing key.
 *
 * Readable in the management console. Characters that a name or a policy's pattern would stumble over are
 * percent-encoded; a dot in the instance's name too, so that the first dot behind `warren.work.` ends the instance.
 */
export function workQueueName(name: WorkQueueName): string {
  return bounded(`warren.work.${encodeInstance(name.instanceName)}.${encodeReadable(name.requirement.key)}`);
}

/** The exclusive queue of one replica, to which updates for its watchers and bots go. */
export function updatesQueueName(replicaId: string): string {
  return bounded(`warren.updates.${encodeReadable(replicaId)}`);
}

/** `<stage>.<instance>`: what an operator binds a queue of the event tap by. Dots in the instance are encoded. */
export function eventRoutingKey(stage: string, instanceName: string): string {
  return bounded(`${stage}.${encodeInstance(instanceName)}`);
}

function encodeInstance(instanceName: string): string {
  return encodeReadable(instanceName).replaceAll('.', '%2E').replaceAll('/', '%2F');
}

/** Most names are nothing but this, and a busy replica asks for some with every action. */
const NOTHING_TO_ENCODE = /^[!"$-)+-~]*$/;

/** Percent-encodes what is not printable ASCII, and `*` and `#`, which mean something in bindings of a topic. */
function encodeReadable(text: string): string {
  if (NOTHING_TO_ENCODE.test(text)) return text;
  return [...Buffer.from(text, 'utf8')]
    .map((byte) => {
      const plain = byte > 0x20 && byte < 0x7f && byte !== 0x2a && byte !== 0x23;
      return plain ? String.fromCharCode(byte) : `%${byte.toString(16).toUpperCase().padStart(2, '0')}`;
    })
    .join('');
}

function bounded(name: string): string {
  if (name.length <= LONGEST_NAME_BYTES) return name;
  const hash = createHash('sha256').update(name).digest('hex').slice(0, HASH_CHARACTERS);
  return `${name.slice(0, LONGEST_NAME_BYTES - HASH_CHARACTERS - 1)}~${hash}`;
}
