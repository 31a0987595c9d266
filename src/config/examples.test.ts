import { readdirSync, readFileSync } from 'node:fs';
import { join, relative } from 'node:path';
import { describe, expect, test } from 'vitest';
import { z } from 'zod';
import { embeddedConfiguration } from './embedded-configuration.ts';
import { checkConfiguration, parseYaml } from './load-configuration.ts';
import { ROLES, replicaSchema } from './replica-configuration.ts';
import { workerSchema } from './worker-schema.ts';

const ROOT = join(import.meta.dirname, '../..');
const environment = { REDIS_PASSWORD: 'secret', RABBITMQ_PASSWORD: 'secret' };

/** Every example, and what docker-compose.yml runs, by its path from the root. */
const files = ['examples', 'deploy'].flatMap((folder) =>
  readdirSync(join(ROOT, folder), { recursive: true, withFileTypes: true })
    .filter((entry) => entry.name.endsWith('.yaml'))
    .map((entry) => relative(ROOT, join(entry.parentPath, entry.name))),
);

/** What each takes: the first line of an example says it. */
const CHECKS: Readonly<Record<string, (file: string, value: unknown) => unknown>> = {
  serve: (file, value) => checkConfiguration(file, value, replicaSchema),
  worker: (file, value) => checkConfiguration(file, { slots: 1, ...(value as object) }, workerSchema),
  up: (file, value) =>
    embeddedConfiguration(file, value, { dataDirectory: '/data' }, { cores: 1, maxSizeBytes: 1024 ** 3 }),
};

function textOf(file: string): string {
  return readFileSync(join(ROOT, file), 'utf8');
}

function commandOf(file: string): string {
  if (file.startsWith('deploy/')) return file.endsWith('worker.yaml') ? 'worker' : 'serve';
  return /^# warren (\w+) --config (\S+)\n/.exec(textOf(file))?.[1] ?? '';
}

test.each(files)('%s is right', (file) => {
  const value = parseYaml(file, textOf(file), { environment });
  const check = CHECKS[commandOf(file)];
  expect(check, 'its first line is no `# warren COMMAND --config FILE`').toBeDefined();
  expect(() => check?.(file, value)).not.toThrow();
});

describe('there is an example', () => {
  const examples = files.filter((file) => file.startsWith('examples/'));
  const values = JSON.stringify(examples.map((file) => parseYaml(file, textOf(file), { environment })));

  test.each(ROLES)('of a replica with the role %s', (role) => {
    expect(examples).toContain(`examples/roles/${role}.yaml`);
    expect(textOf(`examples/roles/${role}.yaml`)).toContain(`roles: [${role}`);
  });

  test.each(kindsOf(z.toJSONSchema(replicaSchema, { io: 'input' })))('of the kind %s', (kind) => {
    expect(values).toContain(`"kind":"${kind}"`);
  });

  test.each(['sentinel', 'cluster'])('of Redis in mode %s', (mode) => {
    expect(values).toContain(`"mode":"${mode}"`);
  });
});

/** Every kind of store, index and list of assets that a configuration may name. */
function kindsOf(schema: unknown): string[] {
  const kinds = new Set<string>();
  const visit = (value: unknown) => {
    if (typeof value !== 'object' || value === null) return;
    const { kind } =
      (value as { readonly properties?: { readonly kind?: { readonly const?: unknown } } }).properties ?? {};
    if (typeof kind?.const === 'string') kinds.add(kind.const);
    for (const each of Object.values(value)) visit(each);
  };
  visit(schema);
  return [...kinds].sort();
}
