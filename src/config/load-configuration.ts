import { readFile } from 'node:fs/promises';
import { parseDocument } from 'yaml';
import type { z } from 'zod';
import { ConfigurationError, type ConfigurationProblem, formatPath } from './configuration-error.ts';
import { substituteEnvironment } from './environment-values.ts';

/** What a configuration is read with. */
export interface ConfigurationContext {
  readonly environment: Readonly<Record<string, string | undefined>>;
}

/** @throws ConfigurationError when the file can't be read, or as `parseConfiguration` does. */
export async function readConfigurationFile(file: string, context: ConfigurationContext): Promise<unknown> {
  let text: string;
  try {
    text = await readFile(file, 'utf8');
  } catch (cause) {
    throw new ConfigurationError(file, [{ path: '', message: cause instanceof Error ? cause.message : String(cause) }]);
  }
  return parseYaml(file, text, context);
}

/**
 * The plain values of a YAML text, those of the environment put in.
 *
 * @throws ConfigurationError for broken YAML and for every variable that is not set.
 */
export function parseYaml(source: string, text: string, context: ConfigurationContext): unknown {
  const document = parseDocument(text, { prettyErrors: true, merge: true });
  if (document.errors.length > 0) {
    throw new ConfigurationError(
      source,
      document.errors.map((error) => ({ path: '', message: error.message })),
    );
  }
  const problems: ConfigurationProblem[] = [];
  const value = substituteEnvironment(document.toJS({ maxAliasCount: 100 }) ?? {}, context.environment, problems);
  if (problems.length > 0) throw new ConfigurationError(source, problems);
  return value;
}

/** Checks plain values against a schema and fills in defaults. @throws ConfigurationError with every problem. */
export function checkConfiguration<Schema extends z.ZodType>(
  source: string,
  value: unknown,
  schema: Schema,
): z.output<Schema> {
  const result = schema.safeParse(value);
  if (result.success) return result.data;
  throw new ConfigurationError(
    source,
    result.error.issues.flatMap((issue) => problemsOf(issue)),
  );
}

function problemsOf(issue: z.core.$ZodIssue): ConfigurationProblem[] {
  if (issue.code === 'unrecognized_keys') {
    return issue.keys.map((key) => ({ path: formatPath([...issue.path, key]), message: 'there is no such setting' }));
  }
  return [{ path: formatPath(issue.path), message: issue.message }];
}

/** `over` laid upon `under`: maps are merged key by key, anything else replaces what was there. */
export function mergeConfigurations(under: unknown, over: unknown): unknown {
  if (over === undefined) return under;
  if (!isMap(under) || !isMap(over)) return over;
  // A different kind of thing shares no settings with what it replaces.
  if (under['kind'] !== undefined && over['kind'] !== undefined && under['kind'] !== over['kind']) return over;
  const merged: Record<string, unknown> = { ...under };
  for (const [key, value] of Object.entries(over)) merged[key] = mergeConfigurations(under[key], value);
  return merged;
}

function isMap(value: unknown): value is Readonly<Record<string, unknown>> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}
