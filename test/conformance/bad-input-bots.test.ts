import { randomUUID } from 'node:crypto';
import { describe, expect, it } from 'vitest';
import { active, completed } from '../support/simulated-bot.ts';
import { freshBlob } from '../support/tenant.ts';
import { failure } from '../support/wire-client.ts';
import { choice, connect, expectNamed, Platform } from './target.ts';

const tenant = connect();

describe('a hostile bot', () => {
  it('a bot_id that is far too long, or holds control characters, is refused', async () => {
    for (const botId of ['x'.repeat(100_000), 'a\u0000b']) {
      expectNamed(await failure(new Platform(tenant).bot({ botId }).create()), 'bot_id');
    }
  });

  it('a capacity that is no number, negative or absurd gives an error or no more leases than there is work', async () => {
    for (const capacity of [-1, 0, Number.NaN, 1e30]) {
      const bot = new Platform(tenant).bot({ capacity });
      const outcome = await bot.create().then(
        (session) => session.leases.length,
        async (error: unknown) => (await failure(Promise.reject(error))).code,
      );
      expect([0, 'INVALID_ARGUMENT']).toContain(outcome);
    }
  });

  it('ten thousand leases that nobody gave are dropped, or the call is refused', async () => {
    const bot = new Platform(tenant).bot();
    await bot.create();
    const leases = Array.from({ length: 10_000 }, () => active({ id: randomUUID() } as never));
    const outcome = await bot.update(leases, {}, { deadline: 20_000 }).then(
      (session) => session.leases.length,
      async (error: unknown) => (await failure(Promise.reject(error))).code,
    );
    expect([0, 'INVALID_ARGUMENT', 'RESOURCE_EXHAUSTED']).toContain(outcome);
  });

  it('a result whose bytes are garbage ends the job with a status, and does not hang it', async () => {
    const platform = new Platform(tenant);
    const { action } = await platform.prepare();
    const execution = tenant.execute(action.digest);
    const bot = platform.bot();
    const lease = await bot.nextLease();
    const { result } = completed(lease);
    const garbled = {
      ...completed(lease),
      result: { typeUrl: result?.typeUrl ?? '', value: Buffer.from([0x0a, 0xff]) },
    };
    await bot.update([garbled]).catch(() => {});
    const waiting = execution.finish().then(() => 'ended');
    const next = platform.bot({ botId: bot.botId });
    const retried = next
      .create({}, { deadline: 5_000 })
      .then(async ({ leases }) => {
        for (const each of leases) await next.complete(each);
        return 'ended';
      })
      .then(() => waiting);
    expect(await Promise.race([waiting, retried])).toBe('ended');
  });

  choice(
    'a result that names blobs which are not stored is not believed: the work is given to a bot again',
    async () => {
      const platform = new Platform(tenant);
      const { action } = await platform.prepare();
      const execution = tenant.execute(action.digest);
      const bot = platform.bot();
      const lie = await bot.serveOne({ outputFiles: [{ path: 'out', digest: freshBlob().digest }] });
      expect((await failure(tenant.getActionResult(action.digest))).code).toBe('NOT_FOUND');
      const again = await bot.serveOne({ exitCode: 0 });
      expect(again.payload).toEqual(lie.payload);
      expect((await execution.finish()).result?.outputFiles).toEqual([]);
    },
  );

  it('the same lease twice in one update counts once, or is refused', async () => {
    const platform = new Platform(tenant);
    const { action } = await platform.prepare();
    const execution = tenant.execute(action.digest);
    const bot = platform.bot();
    const lease = await bot.nextLease();
    const refused = await bot.update([completed(lease, { exitCode: 1 }), completed(lease, { exitCode: 2 })]).then(
      () => undefined,
      (error: unknown) => failure(Promise.reject(error)),
    );
    expect([undefined, 'INVALID_ARGUMENT']).toContain(refused?.code);
    await bot.complete(lease, { exitCode: 1 });
    expect((await execution.finish()).result?.exitCode).toBe(1);
  });

  it('a status code that does not exist, with details of garbage, still ends the job', async () => {
    const platform = new Platform(tenant);
    const { action } = await platform.prepare();
    const execution = tenant.execute(action.digest);
    const bot = platform.bot();
    const lease = await bot.nextLease();
    const strange = completed(lease, {}, { code: 12_345, message: 'x'.repeat(10_000) });
    await bot.update([strange]);
    expect((await execution.finish()).status?.code).not.toBe(0);
  });
});
