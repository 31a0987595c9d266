import type { Property } from './platform.ts';

/** How a bot feels, as in BotStatus. Only `ok` gets leases. */
export type BotHealth = 'unspecified' | 'ok' | 'unhealthy' | 'host-rebooting' | 'terminating' | 'initializing';

/** One bot's standing with the farm. A plain value. */
export interface BotSession {
  /** `{parent}/{uuid}`, or the UUID alone for the instance with the empty name. */
  readonly name: string;
  readonly botId: string;
  readonly instanceName: string;
  readonly health: BotHealth;
  /** What it offers; of the properties of its first device. */
  readonly properties: readonly Property[];
  /** How many leases it takes at once; at least 1. */
  readonly capacity: number;
  /** Ids of the leases that it holds, or that were given to it and that it may not have heard of. */
  readonly leaseIds: readonly string[];
  /** The call that speaks for the bot. A lease is handed only to the youngest. */
  readonly pollId: string;
  /** The replica that answered it last. */
  readonly replicaId: string;
  readonly createdAt: number;
  readonly lastSeenAt: number;
  /** When it is taken for lost. Milliseconds since the epoch, on the store's clock. */
  readonly expiresAt: number;
  readonly version: number;
}

/** What each call of a bot tells. */
export type BotReport = Pick<BotSession, 'health' | 'properties' | 'capacity' | 'pollId' | 'replicaId'>;

/**
 * Bots that get nothing new: those whose session name or bot id the pattern fits. `*` stands for any text, the rest for
 * itself.
 */
export interface DrainPattern {
  readonly pattern: string;
  /** For the operator who wonders later. */
  readonly comment: string;
}

/** Whether a bot is drained. */
export function isDrained(patterns: readonly DrainPattern[], botId: string, sessionName: string): boolean {
  return patterns.some(({ pattern }) => fitsPattern(pattern, botId) || fitsPattern(pattern, sessionName));
}

/** Whether a text fits a pattern whose `*` stands for any text. In linear time, whatever the pattern. */
export function fitsPattern(pattern: string, text: string): boolean {
  const [first = '', ...rest] = pattern.split('*');
  if (rest.length === 0) return pattern === text;
  const last = rest.pop() ?? '';
  if (!text.startsWith(first) || !text.endsWith(last) || text.length < first.length + last.length) return false;
  let at = first.length;
  const end = text.length - last.length;
  for (const part of rest) {
    const found = text.indexOf(part, at);
    if (found < 0 || found + part.length > end) return false;
    at = found + part.length;
  }
  return true;
}
