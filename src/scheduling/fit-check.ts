import { createCapability, firstUnmet, fits, type Property, type Requirement } from '../domain/platform.ts';

/**
 * What no bot has of a requirement, in words; undefined when some bot covers it.
 *
 * @param offers each set of properties that a live bot offers.
 */
export function describeUnmet(
  requirement: Requirement,
  instanceName: string,
  offers: ReadonlyArray<readonly Property[]>,
): string | undefined {
  const capabilities = offers.map((each) => createCapability(each));
  if (capabilities.some((each) => fits(requirement, each))) return undefined;
  if (capabilities.length === 0) return `no bot is connected to instance '${instanceName}'`;
  const union = createCapability(offers.flat());
  const lacking = firstUnmet(requirement, union);
  if (lacking === undefined) return `no single bot offers all of ${requirement.key}`;
  const values = union.get(lacking.name);
  const others = values === undefined ? '' : ` (bots offer ${[...values].slice(0, 10).join(', ')})`;
  return `no bot offers the platform property ${lacking.name}=${lacking.value}${others}`;
}
