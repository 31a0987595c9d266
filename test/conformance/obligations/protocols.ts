import { ASSETS } from './assets.ts';
import { BOTS } from './bots.ts';
import { BYTE_STREAM } from './byte-stream.ts';
import { EXECUTION } from './execution.ts';
import { LOG_STREAMS } from './log-streams.ts';
import type { Protocol } from './obligation.ts';
import { OPERATIONS } from './operations.ts';
import { HEALTH, REFLECTION } from './servers.ts';
import { STORAGE } from './storage.ts';
import { WORKER } from './worker.ts';

const REMOTE_EXECUTION: Protocol = {
  file: 'build/bazel/remote/execution/v2/remote_execution.proto',
  clauses: [...EXECUTION, ...STORAGE],
};

/** The obligations that the conformance suite holds a server to, by the files of the protocols. */
export const PROTOCOLS: readonly Protocol[] = [
  REMOTE_EXECUTION,
  WORKER,
  BYTE_STREAM,
  OPERATIONS,
  BOTS,
  ASSETS,
  LOG_STREAMS,
  HEALTH,
  REFLECTION,
];
