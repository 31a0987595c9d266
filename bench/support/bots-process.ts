import { BotsService, type Lease } from '../../src/proto/google/devtools/remoteworkers/v1test2/bots.ts';
import { completed, SimulatedBot } from '../../test/support/simulated-bot.ts';
import { WireClient } from '../../test/support/wire-client.ts';

/**
 * No-op bots in a process of their own: `bots-process.ts HOST:PORT[,...] COUNT KEY VALUE`. Each polls, and reports
 * every lease as done at once. Prints how many it has done, now and then.
 */
const [addresses, count, key, value] = process.argv.slice(2) as [string, string, string, string];
const CONNECTIONS = 2;
const TOLD_EVERY_MS = 100;
let completions = 0;
const clients = Array.from({ length: CONNECTIONS }, () => new WireClient(addresses.split(',')));

async function run(bot: SimulatedBot): Promise<never> {
  let leases: readonly Lease[] = (await bot.create({}, { deadline: 2_000 })).leases;
  for (;;) {
    completions += leases.length;
    const done = leases.map((lease) => completed(lease, { executionMetadata: { worker: bot.botId } }));
    leases = (await bot.update(done, {}, { deadline: 60_000 })).leases;
  }
}

const bots = Array.from({ length: Number(count) }, (_, i) => {
  return new SimulatedBot(clients[i % CONNECTIONS] as WireClient, { properties: [[key, value]] });
});
for (const bot of bots) {
  run(bot).catch((error: unknown) => {
    console.error(`${BotsService.updateBotSession.path}: ${String(error)}`);
    process.exit(1);
  });
}
console.log('ready');
let told = 0;
setInterval(() => {
  if (completions === told) return;
  told = completions;
  console.log(told);
}, TOLD_EVERY_MS);
