import { invalidArgument } from './status-error.ts';

/** Words that have a meaning in resource names; REAPI forbids them as segments of an instance name. */
const RESERVED_SEGMENTS: ReadonlySet<string> = new Set([
  'blobs',
  'uploads',
  'actions',
  'actionResults',
  'operations',
  'capabilities',
  'compressed-blobs',
]);

/** The greatest length of an instance name, in UTF-16 units; longer ones do not fit into names of queues and keys. */
const MAX_INSTANCE_NAME_LENGTH = 200;

/**
 * Checks the form of an instance name. It may be empty and may hold slashes and dots.
 *
 * @throws INVALID_ARGUMENT when it is too long, begins or ends with a slash, or holds an empty or reserved segment or a
 *   control character.
 */
export function checkInstanceName(name: string, field = 'instance_name'): string {
  const problem = problemOfInstanceName(name);
  if (problem !== undefined) throw invalidArgument(field, problem);
  return name;
}

/** What is wrong with the form of an instance name, if anything is. */
export function problemOfInstanceName(name: string): string | undefined {
  if (name === '') return undefined;
  if (name.length > MAX_INSTANCE_NAME_LENGTH) return `longer than ${MAX_INSTANCE_NAME_LENGTH} characters`;
  for (const segment of name.split('/')) {
    if (segment === '') return 'has an empty segment';
    if (RESERVED_SEGMENTS.has(segment)) return `has the reserved segment ${segment}`;
  }
  for (let i = 0; i < name.length; i++) {
    const code = name.charCodeAt(i);
    if (code < 32 || code === 127) return 'holds a control character';
  }
  return undefined;
}
