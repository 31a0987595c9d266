import { describe, expect, test } from 'vitest';
import { actionStreamId, parseActionStreamId } from './log-stream.ts';

const jobId = 'ab-00000000-0000-4000-8000-000000000001';

describe("the id of an action's stream", () => {
  test.each(['stdout', 'stderr'] as const)('says of which attempt it is the %s', (stream) => {
    const id = { jobId, attempt: 12, stream };
    expect(parseActionStreamId(actionStreamId(id))).toEqual(id);
  });

  test.each([
    '00000000-0000-4000-8000-000000000001',
    `${jobId}.1`,
    `${jobId}.1.stdin`,
    `${jobId}.0.stdout`,
    `${jobId}.stdout`,
    '.1.stdout',
    'stdout',
    '',
  ])("'%s' is none", (id) => {
    expect(parseActionStreamId(id)).toBeUndefined();
  });
});
