import { describe, expect, it } from 'vitest';
import { z } from 'zod';
import { actionCacheSchema } from './action-cache-schema.ts';
import { blobStoreSchema } from './blob-storage-schema.ts';
import { ConfigurationError } from './configuration-error.ts';
import { checkConfiguration } from './load-configuration.ts';

/** What editors see of a setting. */
interface Described {
  readonly $ref?: string;
  readonly description?: string;
  readonly default?: unknown;
  readonly const?: unknown;
  readonly examples?: readonly unknown[];
  readonly properties?: Readonly<Record<string, Described>>;
  readonly items?: Described;
  readonly additionalProperties?: unknown;
}

function variantsOf(schema: z.ZodType): Described[] {
  const { oneOf, anyOf } = z.toJSONSchema(schema, { io: 'input' }) as {
    oneOf?: Described[];
    anyOf?: Described[];
  };
  return oneOf ?? anyOf ?? [];
}

const blobVariants = variantsOf(blobStoreSchema).map((variant) => [kindOf(variant), variant] as const);
const resultVariants = variantsOf(actionCacheSchema).map((variant) => [kindOf(variant), variant] as const);

function kindOf(variant: Described): string {
  return String(variant.properties?.['kind']?.const);
}

/** The path of each setting that an editor could say nothing about. */
function undescribed(of: Described, path = ''): string[] {
  return Object.entries(of.properties ?? {}).flatMap(([name, setting]) => {
    if (setting.const !== undefined) return [];
    const at = `${path}${name}`;
    const says = /default/.test(setting.description ?? '');
    return [...(says ? [] : [at]), ...undescribed(setting.items ?? setting, `${at}.`)];
  });
}

function problemsOf(value: unknown): Array<readonly [string, string]> {
  try {
    checkConfiguration('t', value, blobStoreSchema);
  } catch (thrown) {
    if (thrown instanceof ConfigurationError) return thrown.problems.map(({ path, message }) => [path, message]);
    throw thrown;
  }
  return [];
}

const MEMORY = { kind: 'memory' };

it('knows every store', () => {
  expect(blobVariants.map(([kind]) => kind)).toEqual([
    'disk',
    'memory',
    'redis',
    's3',
    'remote',
    'tiered',
    'sharded',
    'mirrored',
    'size-split',
    'verifying',
    'existence-cache',
    'indexed',
    'read-only',
  ]);
  expect(resultVariants.map(([kind]) => kind)).toEqual([
    'disk',
    'memory',
    'redis',
    's3',
    'remote',
    'tiered',
    'read-only',
    'write-once',
    'expiring',
  ]);
});

describe.each([
  ['blobs', blobStoreSchema, blobVariants],
  ['actionCache', actionCacheSchema, resultVariants],
] as const)('%s', (_setting, schema, variants) => {
  it.each(variants)('%s is described, with the default of each setting and an example that is right', (_, variant) => {
    expect(variant.description).toBeTruthy();
    expect(undescribed(variant)).toEqual([]);
    expect(variant.additionalProperties).toBe(false);
    expect(variant.examples).not.toHaveLength(0);
    for (const example of variant.examples ?? []) expect(schema.safeParse(example).error).toBeUndefined();
  });
});

it('takes stores within stores to any depth, and fills in their defaults', () => {
  const nested = {
    kind: 'tiered',
    fast: MEMORY,
    slow: { kind: 'sharded', shards: [{ name: 'a', store: { kind: 'verifying', store: MEMORY } }] },
  };
  expect(checkConfiguration('t', nested, blobStoreSchema)).toMatchObject({
    mode: 'write-through',
    slow: { shards: [{ weight: 1, store: { store: { maximumSizeBytes: 268_435_456 } } }] },
  });
});

it.each([
  ['an unknown kind deep inside', { kind: 'read-only', store: { kind: 'tape' } }, 'store.kind'],
  ['an unknown setting deep inside', { kind: 'read-only', store: { ...MEMORY, size: 1 } }, 'store.size'],
  ['a part that is not there', { kind: 'tiered', fast: MEMORY }, 'slow'],
  ['one mirror', { kind: 'mirrored', mirrors: [MEMORY] }, 'mirrors'],
  ['more copies than mirrors', { kind: 'mirrored', minimumCopies: 3, mirrors: [MEMORY, MEMORY] }, 'minimumCopies'],
  [
    'an index over what nothing can be deleted from',
    {
      kind: 'indexed',
      index: { kind: 'memory' },
      store: { kind: 'tiered', fast: MEMORY, slow: { kind: 'remote', endpoint: 'grpc://host:1' } },
    },
    'store',
  ],
  ['no shards', { kind: 'sharded', shards: [] }, 'shards'],
  [
    'two shards of one name',
    {
      kind: 'sharded',
      shards: [
        { name: 'a', store: MEMORY },
        { name: 'a', store: MEMORY },
      ],
    },
    'shards[1].name',
  ],
  ['an address without a port', { kind: 'remote', endpoint: 'grpc://host' }, 'endpoint'],
  ['certificates without TLS', { kind: 'remote', endpoint: 'grpc://host:1', tls: {} }, 'tls'],
  ['a certificate without a key', { kind: 'remote', endpoint: 'grpcs://host:1', tls: { certificateFile: 'c' } }, 'tls'],
  ['a bucket with a bad name', { kind: 's3', bucket: 'No_Bucket' }, 'bucket'],
  ['an S3 endpoint that is none', { kind: 's3', bucket: 'cache', endpoint: 'minio:9000' }, 'endpoint'],
  [
    'authorities for S3 without TLS',
    { kind: 's3', bucket: 'cache', endpoint: 'http://minio:9000', tls: { authoritiesFile: 'a' } },
    'tls',
  ],
  ['parts that S3 refuses', { kind: 's3', bucket: 'cache', partBytes: 1_000_000 }, 'partBytes'],
  ['sentinels without a name', { kind: 'redis', mode: 'sentinel' }, 'sentinelName'],
  [
    'a split above what Redis takes',
    { kind: 'size-split', thresholdBytes: 2_000_000, small: { kind: 'redis' }, large: MEMORY },
    'thresholdBytes',
  ],
  ['an existence cache over memory', { kind: 'existence-cache', store: MEMORY }, 'maximumStalenessSeconds'],
  [
    'an existence cache that remembers longer than a tier keeps',
    {
      kind: 'existence-cache',
      store: { kind: 'tiered', fast: MEMORY, slow: { kind: 'disk', directory: '/d', minimumAgeSeconds: 30 } },
    },
    'maximumStalenessSeconds',
  ],
])('refuses %s, with its path', (_what, value, path) => {
  expect(problemsOf(value).map(([at]) => at)).toEqual([path]);
});

it('refuses an age limit for results on another server, however deep', () => {
  const remote = { kind: 'remote', endpoint: 'grpc://host:1' };
  const expiring = (store: object) => actionCacheSchema.safeParse({ kind: 'expiring', maximumAgeSeconds: 1, store });
  expect(expiring({ kind: 'memory' }).success).toBe(true);
  for (const store of [remote, { kind: 'tiered', fast: { kind: 'memory' }, slow: remote }]) {
    expect(expiring(store).error?.issues.map(({ path }) => path)).toEqual([['store']]);
  }
});
