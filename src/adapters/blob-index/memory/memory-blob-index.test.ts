import { FakeClock } from '../../../lib/fake-clock.ts';
import { describeBlobIndex } from '../../../ports/blob-index.suite.ts';
import { MemoryBlobIndex } from './memory-blob-index.ts';

describeBlobIndex('MemoryBlobIndex', async () => {
  const clock = new FakeClock();
  return {
    index: new MemoryBlobIndex({ clock, lease: 60_000, resolution: 10_000, seed: 7 }),
    advance: (milliseconds) => clock.advance(milliseconds),
    [Symbol.asyncDispose]: async () => {},
  };
});
