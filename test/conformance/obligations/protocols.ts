import { BOTS } from './bots.ts';
import { BYTE_STREAM } from './byte-stream.ts';
import { EXECUTION } from './execution.ts';
import type { Protocol } from './obligation.ts';
import { OPERATIONS } from './operations.ts';
import { STORAGE } from './storage.ts';

const REMOTE_EXECUTION: Protocol = {
  file: 'build/bazel/remote/execution/v2/remote_execution.proto',
  clauses: [...EXECUTION, ...STORAGE],
};

/** The obligations that the conformance suite holds a server to, by the files of the protocols. */
export const PROTOCOLS: readonly Protocol[] = [REMOTE_EXECUTION, BYTE_STREAM, OPERATIONS, BOTS];
