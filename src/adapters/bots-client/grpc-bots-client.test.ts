import { expect, test } from 'vitest';
import { BotSession } from '../../proto/google/devtools/remoteworkers/v1test2/bots.ts';
import { GrpcBotsClient, type UnaryChannel } from './grpc-bots-client.ts';

/** A channel that answers with an empty session, and keeps the headers of its calls. */
function setUp() {
  const headers: Array<Readonly<Record<string, string | Uint8Array>>> = [];
  const channel: UnaryChannel = {
    unary: (_method, _request, options) => {
      headers.push({ ...options.headers });
      return Promise.resolve(BotSession.fromPartial({ name: 'main/session' }) as never);
    },
  };
  return { headers, client: new GrpcBotsClient(channel, 'device') };
}

function report(leases: number, bytes: number) {
  const entries = Array.from({ length: leases }, (_, i): [string, Uint8Array] => [`lease-${i}.1`, Buffer.alloc(bytes)]);
  return {
    botId: 'bot-1',
    status: 'ok' as const,
    properties: [],
    capacity: 1_000,
    version: '',
    leases: [],
    partialExecutionMetadata: new Map(entries),
  };
}

test('tells how each running lease gets on', async () => {
  const { headers, client } = setUp();
  await client.updateSession('main/session', report(2, 10), 1_000, new AbortController().signal);
  expect(Object.keys(headers[0] ?? {})).toEqual([
    'partial-execution-metadata-lease-0.1-bin',
    'partial-execution-metadata-lease-1.1-bin',
  ]);
});

test('tells of no more leases than servers take headers', async () => {
  const { headers, client } = setUp();
  await client.updateSession('main/session', report(1_000, 200), 1_000, new AbortController().signal);
  const values = Object.values(headers[0] ?? {});
  expect(values.length).toBeGreaterThan(20);
  expect(values.reduce((sum, each) => sum + each.length, 0)).toBeLessThan(16 * 1024);
});
