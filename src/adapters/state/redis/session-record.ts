import type { BotHealth, BotReport, BotSession } from '../../../domain/bot-session.ts';
import type { Property } from '../../../domain/platform.ts';
import { PackedRecord } from './packed-record.ts';
import type { ScriptReply } from './redis-connection.ts';

/** What of a report a record holds field by field, its properties apart. */
export function encodeReport({ health, capacity, pollId, replicaId }: BotReport): string[] {
  return ['health', health, 'capacity', String(capacity), 'pollId', pollId, 'replicaId', replicaId];
}

/**
 * The session of a record, or undefined where there is none.
 *
 * @param record as lua/fragments/record.lua packs it.
 */
export function decodeSession(name: string, record: ScriptReply): BotSession | undefined {
  const fields = PackedRecord.read(record);
  if (fields === undefined) return undefined;
  const text = (field: string) => fields.text(field);
  return {
    name,
    botId: text('botId'),
    instanceName: text('instanceName'),
    health: text('health') as BotHealth,
    properties: JSON.parse(text('properties')) as Property[],
    capacity: Number(text('capacity')),
    leaseIds: JSON.parse(text('leases')) as string[],
    pollId: text('pollId'),
    replicaId: text('replicaId'),
    createdAt: Number(text('createdAt')),
    lastSeenAt: Number(text('lastSeenAt')),
    expiresAt: Number(text('expiresAt')),
    version: Number(text('version')),
  };
}
