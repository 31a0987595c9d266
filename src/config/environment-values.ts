import { parse } from 'yaml';
import { type ConfigurationProblem, formatPath } from './configuration-error.ts';

/** `$${` for a plain `${`, or `${NAME}`, or `${NAME:-what else}`. */
const REFERENCE = /\$(\$)\{|\$\{([A-Za-z_][A-Za-z0-9_]*)(?::-([^}]*))?\}/g;

/**
 * Puts values of the environment where a text of a configuration says `${NAME}` or `${NAME:-default}`: secrets and
 * addresses that differ from replica to replica stay out of the file.
 *
 * A text that is one reference and nothing else becomes what YAML makes of the value, so that numbers and booleans may
 * come from the environment, too. `$${` stands for itself.
 *
 * @param problems gets an entry for each name that is not set and has no default.
 */
export function substituteEnvironment(
  value: unknown,
  environment: Readonly<Record<string, string | undefined>>,
  problems: ConfigurationProblem[],
  path: readonly PropertyKey[] = [],
): unknown {
  if (typeof value === 'string') return substituteText(value, environment, problems, path);
  if (Array.isArray(value)) {
    return value.map((each, index) => substituteEnvironment(each, environment, problems, [...path, index]));
  }
  if (typeof value !== 'object' || value === null) return value;
  return Object.fromEntries(
    Object.entries(value).map(([key, each]) => [
      key,
      substituteEnvironment(each, environment, problems, [...path, key]),
    ]),
  );
}

function substituteText(
  text: string,
  environment: Readonly<Record<string, string | undefined>>,
  problems: ConfigurationProblem[],
  path: readonly PropertyKey[],
): unknown {
  let whole: string | undefined;
  const result = text.replace(REFERENCE, (match, escaped: string | undefined, name: string, fallback?: string) => {
    if (escaped !== undefined) return '${';
    const found = environment[name] ?? fallback;
    if (found === undefined) {
      problems.push({ path: formatPath(path), message: `the environment variable ${name} is not set` });
      return '';
    }
    if (match === text) whole = found;
    return found;
  });
  return whole === undefined ? result : scalarOf(whole);
}

/** What YAML makes of a plain scalar; a text stays one even where it looks like a list or a map. */
function scalarOf(text: string): unknown {
  try {
    const value: unknown = parse(text);
    return typeof value === 'number' || typeof value === 'boolean' ? value : text;
  } catch {
    return text;
  }
}
