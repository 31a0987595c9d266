import { createRequirement, type Property, type Requirement } from '../domain/platform.ts';
import { StatusCode } from '../domain/status-code.ts';
import { invalidArgument, StatusError } from '../domain/status-error.ts';

export interface PlatformRulesOptions {
  /**
   * Keys that bots are matched by. A client that asks for another is refused, by name. Undefined, the default, matches
   * by every key: what no bot offers shows once the grace for such jobs is over.
   */
  readonly matchedKeys?: readonly string[] | undefined;
  /**
   * Keys that only the worker reads from the Action: never matched, never refused. Defaults to what Bazel and
   * BuildStream send of this kind.
   */
  readonly ignoredKeys?: readonly string[] | undefined;
  /** Keys that may come once only. Defaults to OSFamily: a machine has one. */
  readonly uniqueKeys?: readonly string[] | undefined;
}

const DEFAULT_IGNORED_PLATFORM_KEYS: readonly string[] = [
  'container-image',
  'chrootRootDigest',
  'chrootDigest',
  'remoteApisSocketPath',
  'network',
  'dockerNetwork',
  'dockerRunAsRoot',
  'cache-silo-key',
  'unixUID',
  'unixGID',
];

const MAX_PROPERTIES = 100;
const MAX_PROPERTY_LENGTH = 1_024;

/** What of an Action's platform decides which bots fit. */
export class PlatformRules {
  readonly #matched: ReadonlySet<string> | undefined;
  readonly #ignored: ReadonlySet<string>;
  readonly #unique: ReadonlySet<string>;

  constructor(options: PlatformRulesOptions = {}) {
    this.#matched = options.matchedKeys === undefined ? undefined : new Set(options.matchedKeys);
    this.#ignored = new Set(options.ignoredKeys ?? DEFAULT_IGNORED_PLATFORM_KEYS);
    this.#unique = new Set(options.uniqueKeys ?? ['OSFamily']);
  }

  /**
   * @param field what the properties are called in the request.
   * @throws INVALID_ARGUMENT when there are too many or too long ones; FAILED_PRECONDITION, which clients do not retry,
   *   when a key is not known here or comes twice that may come once.
   */
  requirement(properties: readonly Property[], field: string): Requirement {
    if (properties.length > MAX_PROPERTIES) throw invalidArgument(field, `has more than ${MAX_PROPERTIES} entries`);
    const matched: Property[] = [];
    const seen = new Map<string, string>();
    for (const { name, value } of properties) {
      if (name === '') throw invalidArgument(field, 'has a property without a name');
      if (name.length > MAX_PROPERTY_LENGTH || value.length > MAX_PROPERTY_LENGTH) {
        throw invalidArgument(field, `has a name or value longer than ${MAX_PROPERTY_LENGTH} characters`);
      }
      if (this.#ignored.has(name)) continue;
      if (this.#matched?.has(name) === false) throw unknownKey(name, this.#matched);
      const before = seen.get(name);
      if (before !== undefined && before !== value && this.#unique.has(name)) {
        throw precondition(`platform property ${name} has two values, ${before} and ${value}`, name);
      }
      seen.set(name, value);
      matched.push({ name, value });
    }
    return createRequirement(matched);
  }
}

function unknownKey(name: string, known: ReadonlySet<string>): StatusError {
  const list = [...known].join(', ');
  return precondition(`platform property ${name} is not known to this server; it matches by ${list || 'none'}`, name);
}

function precondition(message: string, subject: string): StatusError {
  return new StatusError(StatusCode.FAILED_PRECONDITION, message, {
    details: [{ kind: 'precondition-failure', violations: [{ type: 'PLATFORM', subject, description: message }] }],
  });
}
