import { describe, expect, it } from 'vitest';
import { z } from 'zod';
import { ConfigurationError, type ConfigurationProblem } from './configuration-error.ts';
import { checkConfiguration, mergeConfigurations, parseYaml, readConfigurationFile } from './load-configuration.ts';

const context = { environment: { HOST: 'h1', PORT: '50051', LIST: '[a]', YES: 'true' } };

function problemsOf(action: () => unknown): readonly ConfigurationProblem[] {
  try {
    action();
  } catch (thrown) {
    if (thrown instanceof ConfigurationError) return thrown.problems;
    throw thrown;
  }
  return [];
}

describe('parseYaml', () => {
  it('keeps what looks like a number a text where something stands beside it, be it nothing', () => {
    expect(parseYaml('file', 'password: "${PORT}${NOTHING:-}"', context)).toEqual({ password: '50051' });
  });

  it('puts values of the environment in, typed where they stand alone', () => {
    const text = 'a: ${HOST}\nb: ${PORT}\nc: "${HOST}:${PORT}"\nd: ${NONE:-x}\ne: $${HOST}\nf: ${LIST}\ng: ["${YES}"]';
    expect(parseYaml('t', text, context)).toEqual({
      a: 'h1',
      b: 50051,
      c: 'h1:50051',
      d: 'x',
      e: '${HOST}',
      f: '[a]',
      g: [true],
    });
  });

  it('names every variable that is not set, with its path', () => {
    expect(problemsOf(() => parseYaml('t', 'a: ${ONE}\nb: [{ c: "x${TWO}" }]', context))).toEqual([
      { path: 'a', message: 'the environment variable ONE is not set' },
      { path: 'b[0].c', message: 'the environment variable TWO is not set' },
    ]);
  });

  it('refuses broken YAML and doubled keys with the line', () => {
    const [problem] = problemsOf(() => parseYaml('t', 'a: 1\na: 2', context));
    expect(problem?.message).toContain('line 2');
  });

  it('takes an empty text as an empty configuration', () => {
    expect(parseYaml('t', '# nothing\n', context)).toEqual({});
  });
});

describe('checkConfiguration', () => {
  const schema = z.strictObject({ name: z.string(), parts: z.array(z.strictObject({ size: z.int().min(1) })) });

  it('gives every problem at once, each with its path', () => {
    const problems = problemsOf(() => checkConfiguration('t', { parts: [{ size: 0, sise: 1 }], other: 1 }, schema));
    expect(problems.map(({ path }) => path)).toEqual(['name', 'parts[0].size', 'parts[0].sise', 'other']);
    expect(problems[2]?.message).toBe('there is no such setting');
  });
});

describe('mergeConfigurations', () => {
  it('merges maps and replaces the rest', () => {
    expect(mergeConfigurations({ a: { b: 1, c: 2 }, d: [1, 2] }, { a: { c: 3 }, d: [4] })).toEqual({
      a: { b: 1, c: 3 },
      d: [4],
    });
  });

  it('does not mix settings of two kinds', () => {
    expect(mergeConfigurations({ blobs: { kind: 'disk', path: '/x' } }, { blobs: { kind: 'memory' } })).toEqual({
      blobs: { kind: 'memory' },
    });
  });
});

it('says which file can not be read', async () => {
  await expect(readConfigurationFile('/nowhere/warren.yaml', context)).rejects.toThrow('/nowhere/warren.yaml');
});
