/** One thing that is wrong in a configuration. */
export interface ConfigurationProblem {
  /** Where, such as `instances[1].name`; empty for the whole. */
  readonly path: string;
  readonly message: string;
}

/** A configuration that can't be used: all that is wrong with it, at once. */
export class ConfigurationError extends Error {
  readonly problems: readonly ConfigurationProblem[];

  /** @param source the file, or what else the configuration came from. */
  constructor(source: string, problems: readonly ConfigurationProblem[]) {
    const lines = problems.map(({ path, message }) => `  ${path === '' ? '' : `${path}: `}${message}`);
    super(`${source}: ${problems.length === 1 ? 'one problem' : `${problems.length} problems`}\n${lines.join('\n')}`);
    this.name = 'ConfigurationError';
    this.problems = problems;
  }
}

/** A path as people read it: `a.b[2].c`. */
export function formatPath(path: readonly PropertyKey[]): string {
  let text = '';
  for (const key of path) {
    if (typeof key === 'number') text += `[${key}]`;
    else text += text === '' ? String(key) : `.${String(key)}`;
  }
  return text;
}
