import type { StatusCode } from '../domain/status-code.ts';

/** How a call ended. */
export interface CallOutcome {
  readonly code: StatusCode;
  /** From the headers to the status. */
  readonly milliseconds: number;
}

/** Hears of every call: for metrics, access logs and what `warren up` shows. Must not throw. */
export interface CallObserver {
  /**
   * @param path as on the wire: `/package.Service/Method`.
   * @returns what to call when the call has ended.
   */
  callStarted(path: string, peer: string): (outcome: CallOutcome) => void;
}
