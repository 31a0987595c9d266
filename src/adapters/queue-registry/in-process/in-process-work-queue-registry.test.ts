import { FakeClock } from '../../../lib/fake-clock.ts';
import { describeWorkQueueRegistry } from '../../../ports/work-queue-registry.suite.ts';
import { InProcessWorkQueueRegistry } from './in-process-work-queue-registry.ts';

const IDLE_TIMEOUT_MS = 60_000;

describeWorkQueueRegistry('InProcessWorkQueueRegistry', () => {
  const clock = new FakeClock();
  return Promise.resolve({
    registry: new InProcessWorkQueueRegistry({ clock, maxQueues: 4, idleTimeout: IDLE_TIMEOUT_MS }),
    maxQueues: 4,
    passIdleTime: () => clock.advance(IDLE_TIMEOUT_MS),
    [Symbol.asyncDispose]: () => Promise.resolve(),
  });
});
