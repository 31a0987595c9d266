import type { WorkMessage } from '../../../domain/work.ts';

/**
 * Longer texts are cut; the body has all of them. A requirement may have hundreds of kilobytes, and headers must fit into
 * one frame: the client library takes 64 KiB, and a message that it does not take would never be published.
 */
const MAX_TEXT = 1_024;

/** What an operator filters messages by in the management console: the body's, repeated. */
export function workHeaders(work: WorkMessage): Record<string, string | number> {
  return {
    instance: cut(work.instanceName),
    requirement: cut(work.requirement.key),
    tool: cut(work.tool),
    target: cut(work.target),
    mnemonic: cut(work.mnemonic),
    invocation: cut(work.invocation),
    attempt: work.attempt,
  };
}

function cut(text: string): string {
  return text.slice(0, MAX_TEXT);
}
