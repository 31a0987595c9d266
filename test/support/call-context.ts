import type { CallContext } from '../../src/ports/call-context.ts';

/** The context of a call that nobody cancels, for tests of services without gRPC. */
export function callContext(parts: Partial<CallContext> = {}): CallContext {
  return {
    signal: new AbortController().signal,
    draining: new AbortController().signal,
    peer: 'test',
    remainingMilliseconds: () => undefined,
    header: () => undefined,
    binaryHeaders: () => [],
    headerNames: () => [],
    addTrailer: () => {},
    ...parts,
  };
}

/** The deadline of a call that the server must not hold. */
export const AT_ONCE = { remainingMilliseconds: () => 1_000 };
