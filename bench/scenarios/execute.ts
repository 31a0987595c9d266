import { NoOpWork } from '../support/no-op-work.ts';
import { MeasuredCase, type Row, type Scenario } from '../support/scenario.ts';
import { startServer } from '../support/server.ts';

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
    const work = await NoOpWork.start(server, BOTS);
    try {
      const warmUp = Math.max(100, Math.round(WARM_UP * options.scale));
      await work.prepare(warmUp);
      await work.run(64, warmUp);
      const rows: Row[] = [];
      for (const { concurrency, actions, goal } of CASES) {
        const count = Math.max(concurrency, Math.round(actions * options.scale));
        const measured = new MeasuredCase(server, `Execute until done, ${concurrency} in flight`, 'actions/s');
        await work.prepare(count * options.rounds);
        for (let i = 0; i < options.rounds; i += 1) await measured.round(() => work.run(concurrency, count));
        rows.push(goal === undefined ? measured.row() : { ...measured.row(), goal });
      }
      return rows;
    } finally {
      await work.stop();
      await server.stop();
    }
  },
};
