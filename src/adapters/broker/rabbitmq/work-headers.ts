import type { WorkMessage } from '../../../domain/work.ts';

/** What an operator filters messages by in the management console: the body's, repeated. */
export function workHeaders(work: WorkMessage): Record<string, string | number> {
  return {
    instance: work.instanceName,
    requirement: work.requirement.key,
    tool: work.tool,
    target: work.target,
    mnemonic: work.mnemonic,
    invocation: work.invocation,
    attempt: work.attempt,
  };
}
