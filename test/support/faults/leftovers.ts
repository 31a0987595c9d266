import { Redis } from 'ioredis';
import type { RabbitmqServer } from '../rabbitmq-server.ts';

/** What an operator has set, and alone may stay for ever. */
const KEPT_FOR_EVER = /^warren:(?:drains|\{queues\}:paused)$/;

const SCANNED_AT_ONCE = 1_000;

/**
 * What Redis holds that a farm at rest must not hold: jobs without an end and what belongs to them, effects that nobody
 * carried out, leases, and keys that would stay for ever.
 */
export async function leftoversInRedis(port: number): Promise<string[]> {
  const client = new Redis({ host: '127.0.0.1', port });
  try {
    const found: string[] = [];
    for (const key of await allKeys(client)) found.push(...(await leftoversOfKey(client, key)));
    return found;
  } finally {
    client.disconnect();
  }
}

/** Whether the farm counts on the bot still. */
export async function hasSession(port: number, botId: string): Promise<boolean> {
  const client = new Redis({ host: '127.0.0.1', port });
  try {
    for (const key of await allKeys(client)) {
      if (kindOf(key) === 'session' && (await client.hget(key, 'botId')) === botId) return true;
    }
    return false;
  } finally {
    client.disconnect();
  }
}

function kindOf(key: string): string {
  return /^warren:\{[^}]*\}:([^:]+)/.exec(key)?.[1] ?? '';
}

async function allKeys(client: Redis): Promise<string[]> {
  const keys: string[] = [];
  let cursor = '0';
  do {
    const [next, some] = await client.scan(cursor, 'COUNT', SCANNED_AT_ONCE);
    keys.push(...some);
    cursor = next;
  } while (cursor !== '0');
  return [...new Set(keys)];
}

async function leftoversOfKey(client: Redis, key: string): Promise<string[]> {
  const found: string[] = [];
  const timeToLive = await client.pttl(key);
  if (timeToLive === -1 && !KEPT_FOR_EVER.test(key)) found.push(`${key} stays for ever`);
  const kind = kindOf(key);
  if (kind === 'queued') found.push(`${key} holds ${await client.scard(key)} jobs that wait`);
  if (kind === 'unsettled') found.push(`${key} holds effects of ${await client.zcard(key)} jobs`);
  if (kind === 'shared') found.push(`${key} names an unfinished job`);
  if (kind === 'job') {
    const state = JSON.parse((await client.hget(key, 'state')) ?? '{}') as { readonly state?: string };
    if (state.state === 'queued' || state.state === 'leased' || state.state === 'executing') {
      found.push(`${key} is ${state.state}`);
    }
  }
  if (kind === 'session') {
    const leases = (await client.hget(key, 'leases')) ?? '[]';
    if (leases !== '[]') found.push(`${key} holds the leases ${leases}`);
  }
  return found;
}

/**
 * What RabbitMQ holds that a farm at rest must not hold.
 *
 * @param replicas how many are connected, each with a queue of its own for updates.
 */
export async function leftoversInRabbitmq(rabbitmq: RabbitmqServer, replicas: number): Promise<string[]> {
  const found: string[] = [];
  let updates = 0;
  for (const { name, messages } of await rabbitmq.queues()) {
    if (name.startsWith('warren.updates.')) updates += 1;
    if (messages !== 0) found.push(`queue ${name} holds ${messages} messages`);
  }
  if (updates !== replicas) found.push(`there are queues of ${updates} replicas, and ${replicas} replicas`);
  return found;
}
