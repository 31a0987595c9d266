/** Numbers of Linux' system calls that Perl has no function for. */
export interface SystemCalls {
  readonly wait4: number;
  readonly prctl: number;
  readonly memfdCreate: number;
}

/** By processor, as Node names it. */
const SYSTEM_CALLS: Readonly<Record<string, SystemCalls>> = {
  x64: { wait4: 61, prctl: 157, memfdCreate: 319 },
  arm64: { wait4: 260, prctl: 167, memfdCreate: 279 },
  riscv64: { wait4: 260, prctl: 167, memfdCreate: 279 },
};

/** Whether actions can be watched over on this processor. */
export function knowsSystemCalls(architecture: string): boolean {
  return SYSTEM_CALLS[architecture] !== undefined;
}

/** @throws Error for a processor that `knowsSystemCalls` does not know. */
export function systemCallsOf(architecture: string): SystemCalls {
  const calls = SYSTEM_CALLS[architecture];
  if (calls === undefined) throw new Error(`no system calls are known for ${architecture}`);
  return calls;
}
