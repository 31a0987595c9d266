import { randomUUID } from 'node:crypto';
import { type Blob, prepareAction, Tenant } from '../../test/support/tenant.ts';
import { inFlight, measure, type Round, type Row, type Scenario } from '../support/scenario.ts';
import { startHelper, startServer } from '../support/server.ts';

const BOTS = 32;
const WARM_UP = 6_000;
const CASES = [
  { concurrency: 1, actions: 300, goal: { of: 'p50', atMost: 5 } },
  { concurrency: 16, actions: 1_500, goal: undefined },
  { concurrency: 64, actions: 3_000, goal: { of: 'value', atLeast: 600 } },
] as const;

/** Execute until done with bots that do nothing: the cost of scheduling alone. */
export const execute: Scenario = {
  name: 'execute',
  what: `Execute until done with ${BOTS} bots that do nothing; 1, 16 and 64 in flight; every action a new one`,
  async run(options) {
    const server = await startServer(options);
    const client = server.client();
    const property = ['OSFamily', `bench-${randomUUID()}`] as const;
    const bots = await startHelper('bots-process.ts', [server.address, `${BOTS}`, ...property]);
    try {
      const tenant = new Tenant(client, '');
      const prepare = async (count: number): Promise<Blob[]> => {
        const platform = { properties: [{ name: property[0], value: property[1] }] };
        const prepared = Array.from({ length: count }, () => prepareAction({ action: { platform } }));
        const actions = prepared.map((each) => each.action);
        const [first] = prepared;
        if (first !== undefined) await tenant.upload(first.command, first.inputRoot);
        for (let i = 0; i < actions.length; i += 1_000) await tenant.upload(...actions.slice(i, i + 1_000));
        return actions;
      };
      const run = async (concurrency: number, count: number): Promise<Round> => {
        const actions = await prepare(count);
        return inFlight(concurrency, count, async (i) => {
          const response = await tenant.execute((actions[i] as Blob).digest).finish();
          if ((response.status?.code ?? 0) !== 0) throw new Error(response.status?.message);
          return 1;
        });
      };
      await run(64, Math.max(100, Math.round(WARM_UP * options.scale)));
      const rows: Row[] = [];
      for (const { concurrency, actions, goal } of CASES) {
        const count = Math.max(concurrency, Math.round(actions * options.scale));
        const name = `Execute until done, ${concurrency} in flight`;
        const row = await measureWork(server, name, options.rounds, prepare, tenant, concurrency, count);
        rows.push(goal === undefined ? row : { ...row, goal });
      }
      return rows;
    } finally {
      await bots.stop();
      client.close();
      await server.stop();
    }
  },
};

/** Uploads the actions of every round beforehand, so that only execution is measured. */
async function measureWork(
  server: Parameters<typeof measure>[0],
  name: string,
  rounds: number,
  prepare: (count: number) => Promise<Blob[]>,
  tenant: Tenant,
  concurrency: number,
  count: number,
): Promise<Row> {
  const actions = await prepare(count * rounds);
  let used = 0;
  return measure(server, name, 'actions/s', rounds, () => {
    const offset = used;
    used += count;
    return inFlight(concurrency, count, async (i) => {
      const response = await tenant.execute((actions[offset + i] as Blob).digest).finish();
      if ((response.status?.code ?? 0) !== 0) throw new Error(response.status?.message);
      return 1;
    });
  });
}
