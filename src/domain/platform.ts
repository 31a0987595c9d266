/** One property: of a requirement, or of what a bot offers. */
export interface Property {
  readonly name: string;
  readonly value: string;
}

/**
 * What an Action asks for: platform properties, sorted by name and then value, each pair once.
 *
 * Made by `createRequirement` alone, so that equal requirements have equal keys.
 */
export interface Requirement {
  readonly properties: readonly Property[];
  /** Readable and unique: `key=value;key=value`, with `%`, `;`, `=` and control characters percent-encoded. */
  readonly key: string;
}

/** What a bot offers: for each property name the values that it fits. */
export type Capability = ReadonlyMap<string, ReadonlySet<string>>;

/** Sorts properties, drops doubles, and makes the key. */
export function createRequirement(properties: Iterable<Property>): Requirement {
  const byKey = new Map<string, Property>();
  for (const { name, value } of properties) {
    byKey.set(`${encodeKeyPart(name)}=${encodeKeyPart(value)}`, { name, value });
  }
  const keys = [...byKey.keys()].sort();
  return { properties: keys.map((key) => byKey.get(key) as Property), key: keys.join(';') };
}

/** The requirement that every bot fits. */
export const ANY_BOT: Requirement = createRequirement([]);

/** Collects the values of each name: a name may come several times, as with the several ISAs of one host. */
export function createCapability(properties: Iterable<Property>): Capability {
  const capability = new Map<string, Set<string>>();
  for (const { name, value } of properties) {
    const values = capability.get(name);
    if (values === undefined) capability.set(name, new Set([value]));
    else values.add(value);
  }
  return capability;
}

/** Whether a bot with this capability may run what has this requirement: every required pair is offered. */
export function fits(requirement: Requirement, capability: Capability): boolean {
  return requirement.properties.every(({ name, value }) => capability.get(name)?.has(value) === true);
}

/** The first required property that the capability does not offer, for messages. */
export function firstUnmet(requirement: Requirement, capability: Capability): Property | undefined {
  return requirement.properties.find(({ name, value }) => capability.get(name)?.has(value) !== true);
}

/** The requirement of a key as `createRequirement` makes it, in any order; undefined where the text is none. */
export function parseRequirementKey(key: string): Requirement | undefined {
  if (key === '') return ANY_BOT;
  const properties: Property[] = [];
  for (const part of key.split(';')) {
    const [name = '', value, ...rest] = part.split('=').map(decodeKeyPart);
    if (name === '' || value === undefined || rest.length > 0) return undefined;
    properties.push({ name, value });
  }
  return createRequirement(properties);
}

function decodeKeyPart(part: string): string {
  return part.replace(/%([0-9A-F]{2})/g, (_all, code: string) => String.fromCharCode(Number.parseInt(code, 16)));
}

function encodeKeyPart(part: string): string {
  return part.replace(/[%;=\u0000-\u001f\u007f]/g, (character) => {
    return `%${character.charCodeAt(0).toString(16).toUpperCase().padStart(2, '0')}`;
  });
}
