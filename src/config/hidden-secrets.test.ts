import { expect, test } from 'vitest';
import { z } from 'zod';
import { hideSecrets } from './hidden-secrets.ts';
import { gridSchema, replicaSchema } from './replica-configuration.ts';

test('what opens something is hidden, and the rest is shown', () => {
  const credentials = { accessKeyId: 'id', secretAccessKey: 'hush', sessionToken: 'hush' };
  const shown = hideSecrets({
    redis: { username: 'warren', password: 'hush', sentinelPassword: 'hush', database: 0 },
    blobs: { kind: 'tiered', shards: [{ credentials }], tokenFile: '/run/token' },
  });
  expect(shown).toEqual({
    redis: { username: 'warren', password: '(hidden)', sentinelPassword: '(hidden)', database: 0 },
    blobs: {
      kind: 'tiered',
      shards: [{ credentials: { accessKeyId: 'id', secretAccessKey: '(hidden)', sessionToken: '(hidden)' } }],
      tokenFile: '/run/token',
    },
  });
});

/** Names of all settings in a JSON schema. */
function settingsIn(schema: unknown): string[] {
  if (Array.isArray(schema)) return schema.flatMap(settingsIn);
  if (typeof schema !== 'object' || schema === null) return [];
  const { properties } = schema as { properties?: object };
  return [...Object.keys(properties ?? {}), ...Object.values(schema).flatMap(settingsIn)];
}

test('every setting that sounds like a secret is hidden, or names a file', () => {
  const names = [replicaSchema, gridSchema].flatMap((schema) => settingsIn(z.toJSONSchema(schema, { io: 'input' })));
  const secrets = [...new Set(names)].filter((name) => /pass|secret|token|credential|private/i.test(name));
  expect(secrets).toContain('password');
  const values = secrets.filter((name) => !/file$/i.test(name) && name !== 'credentials');
  expect(values.filter((name) => JSON.stringify(hideSecrets({ [name]: 'hush' })).includes('hush'))).toEqual([]);
});
