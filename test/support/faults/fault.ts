import { FARM_TIMES, type FaultFarm } from './fault-farm.ts';

/** Something that goes wrong in a farm. */
export interface Fault {
  readonly name: string;
  /**
   * Milliseconds within which every action has its answer that a client begins before, in or after it: the time that it
   * lasts, what the farm needs to notice, and the time that the slowest machine needs for the rest. docs/operating-faults.md
   * has what is behind each.
   */
  readonly bound: number;
  /**
   * What may be gone afterwards: what Redis took last, as in a fail-over to a lagging replica, or results that were to be
   * cached while the storage was away, which their clients have all the same. Defaults to nothing.
   */
  readonly forgets?: 'operations' | 'cached results';
  /** Does it, and mends it. */
  strike(farm: FaultFarm): Promise<void>;
}

/** How long a link or a service is away. */
export const AWAY_MS = 3_000;

/** Longer than a lease and a session last. */
export const FROZEN_MS = FARM_TIMES.lease * 1_000 + 3_000;

/** What the processes of a farm need to start on a machine that does much else. */
export const STARTING_MS = 60_000;

export function seconds(count: number): number {
  return count * 1_000;
}

export function pause(milliseconds: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, milliseconds));
}
