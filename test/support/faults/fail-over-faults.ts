import { SentinelGroup } from '../redis-sentinel.ts';
import { AWAY_MS, type Fault, pause, STARTING_MS, seconds } from './fault.ts';
import type { FaultFarm } from './fault-farm.ts';

/** What may happen to a farm whose Redis is under Sentinels. What had not been copied yet is gone each time. */
export const FAIL_OVERS: readonly Fault[] = [
  {
    name: 'Redis failed over by Sentinels, a replica started meanwhile, and the old primary back',
    bound: STARTING_MS + seconds(60),
    forgets: 'operations',
    async strike(farm) {
      const group = groupOf(farm);
      const { primary } = await group.roles();
      const struck = farm.pick(farm.frontends);
      await Promise.all([primary.process.stop('SIGKILL'), struck.kill()]);
      await struck.start();
      await group.untilReplaced(primary);
      await primary.process.start();
      await group.untilFollowing(primary);
    },
  },
  {
    name: 'Redis frozen until Sentinels have replaced it, and woken',
    bound: AWAY_MS + seconds(60),
    forgets: 'operations',
    async strike(farm) {
      const group = groupOf(farm);
      const { primary } = await group.roles();
      primary.process.signal('SIGSTOP');
      await group.untilReplaced(primary);
      await pause(AWAY_MS);
      primary.process.signal('SIGCONT');
      await group.untilFollowing(primary);
    },
  },
];

function groupOf({ redis }: FaultFarm): SentinelGroup {
  if (redis instanceof SentinelGroup) return redis;
  throw new Error('this farm has no Sentinels');
}
