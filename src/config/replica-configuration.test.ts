import { readFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import { ConfigurationError } from './configuration-error.ts';
import { embeddedConfiguration } from './embedded-configuration.ts';
import { checkConfiguration, parseYaml } from './load-configuration.ts';
import { ROLES, replicaSchema } from './replica-configuration.ts';

const STORES = { blobs: { kind: 'memory' }, actionCache: { kind: 'memory' } };

function pathsOf(value: unknown): string[] {
  try {
    checkConfiguration('test', value, replicaSchema);
    return [];
  } catch (thrown) {
    if (thrown instanceof ConfigurationError) return thrown.problems.map(({ path }) => path);
    throw thrown;
  }
}

describe('the configuration of a replica', () => {
  it('needs no more than its stores', () => {
    const configuration = checkConfiguration('test', STORES, replicaSchema);
    expect(configuration.roles).toEqual(ROLES);
    expect(configuration.instances).toEqual([
      { name: '', actionCacheUpdates: true, cacheFailedActions: false, execution: true },
    ]);
  });

  it.each([
    ['operating.md', {}],
    ['operating-security.md', STORES],
  ])('takes the examples of docs/%s', (page, rest) => {
    const text = readFileSync(new URL(`../../docs/${page}`, import.meta.url), 'utf8');
    const examples = [...text.matchAll(/```yaml\n(.*?)```/gs)].map((match) => match[1] ?? '');
    expect(examples).not.toHaveLength(0);
    for (const example of examples) {
      const value = parseYaml('example', example, { environment: {} });
      expect(pathsOf({ ...rest, ...(value as object) })).toEqual([]);
    }
  });

  it('takes Redis without RabbitMQ for a replica that only stores', () => {
    const replica = (roles: readonly string[]) =>
      replicaSchema.safeParse({
        roles,
        blobs: { kind: 'memory' },
        actionCache: { kind: 'memory' },
        redis: {},
        assets: { kind: 'redis' },
      });
    expect(replica(['cas', 'action-cache', 'asset']).success).toBe(true);
    expect(replica(['asset', 'bots']).error?.issues).toMatchObject([{ path: ['rabbitmq'] }]);
  });
  it('refuses assets in a Redis that it does not name, and in the folder of another store', () => {
    const stores = { blobs: { kind: 'disk', directory: '/a' }, actionCache: { kind: 'memory' } };
    const issues = (assets: object) => replicaSchema.safeParse({ ...stores, assets }).error?.issues;
    expect(issues({ kind: 'redis' })).toMatchObject([{ path: ['redis'] }]);
    expect(issues({ kind: 'disk', directory: '/a/' })).toMatchObject([{ path: ['assets', 'directory'] }]);
    expect(issues({ kind: 'memory', fetch: { allowedNetworks: ['10.0.0.0'] } })).toMatchObject([
      { path: ['assets', 'fetch', 'allowedNetworks', 0] },
    ]);
    expect(issues({ kind: 'memory', fetch: { allowedHosts: ['https://a/'] } })).toMatchObject([
      { path: ['assets', 'fetch', 'allowedHosts', 0] },
    ]);
  });
  it('refuses rules about clients without names, and rights that there are not', () => {
    const files = { certificateFile: 'c', privateKeyFile: 'k' };
    const access = [{ names: ['*'], rights: ['read'] }];
    expect(pathsOf({ ...STORES, server: { tls: files, access } })).toEqual(['server.access']);
    const tls = { ...files, clientAuthoritiesFile: 'a' };
    expect(pathsOf({ ...STORES, server: { tls, access } })).toEqual([]);
    const unknown = [{ names: [], rights: ['everything'] }];
    expect(pathsOf({ ...STORES, server: { tls, access: unknown } })).toEqual([
      'server.access[0].names',
      'server.access[0].rights[0]',
    ]);
  });
  it('refuses instances that no client could name', () => {
    const named = (...names: string[]) => pathsOf({ ...STORES, instances: names.map((name) => ({ name })) });
    expect(named('', 'a/b.c', 'x'.repeat(200))).toEqual([]);
    expect(named('a/blobs/b', '/a', 'x'.repeat(201))).toEqual([0, 1, 2].map((index) => `instances[${index}].name`));
  });
  it('refuses what does not go together, each with its path', () => {
    const doubled = { ...STORES, instances: [{ name: 'a' }, { name: 'a' }] };
    expect(pathsOf(doubled)).toEqual(['instances[1].name']);
    const disk = { kind: 'disk', directory: '/data' };
    const sameFolder = {
      ...STORES,
      instances: [
        { name: 'a', blobs: disk },
        { name: 'b', actionCache: disk },
      ],
    };
    expect(pathsOf(sameFolder)).toEqual(['instances[1].actionCache.directory']);
    const tooLong = { ...STORES, limits: { maxBatchTotalBytes: 8 * 1024 * 1024 } };
    expect(pathsOf(tooLong)).toEqual(['server.maxReceiveMessageBytes']);
  });

  it('refuses a folder that two stores would share', () => {
    const disk = { kind: 'disk', directory: '/data/a' };
    const blobs = {
      kind: 'size-split',
      small: disk,
      large: { kind: 'read-only', store: { ...disk, directory: '/data/a/' } },
    };
    const actionCache = { kind: 'disk', directory: '/data/x/../a' };
    expect(pathsOf({ blobs, actionCache })).toEqual(['blobs.large.store.directory', 'actionCache.directory']);
  });

  it('refuses several processes over what one process has, each with its path', () => {
    const disk = { kind: 'disk', directory: '/data/a' };
    const blobs = { kind: 'size-split', small: { kind: 'memory' }, large: { kind: 'verifying', store: disk } };
    const refused = { processes: 2, blobs, actionCache: { kind: 'memory' } };
    expect(pathsOf(refused)).toEqual([
      'processes',
      'blobs.small.kind',
      'blobs.large.store.kind',
      'actionCache.kind',
      'assets.kind',
    ]);
    expect(pathsOf({ ...refused, processes: 1 })).toEqual([]);
  });

  it('takes several processes over shared stores, each with a memory of its own in front', () => {
    const remote = { kind: 'remote', endpoint: 'grpc://storage:50051' };
    const shared = {
      processes: 4,
      blobs: { kind: 'tiered', fast: { kind: 'memory' }, slow: remote },
      actionCache: remote,
    };
    const scheduling = { redis: {}, rabbitmq: { addresses: ['rabbitmq:5672'] } };
    expect(pathsOf({ ...shared, ...scheduling })).toEqual([]);
    expect(pathsOf({ ...shared, roles: ['cas', 'action-cache'] })).toEqual([]);
    expect(pathsOf(shared)).toEqual(['processes', 'assets.kind']);
    const writeBack = { ...shared, ...scheduling, blobs: { ...shared.blobs, mode: 'write-back' } };
    expect(pathsOf(writeBack)).toEqual(['blobs.fast.kind']);
  });

  it('names unknown kinds, roles and addresses at once', () => {
    const wrong = {
      blobs: { kind: 'tape' },
      actionCache: { kind: 'memory' },
      roles: ['x'],
      server: { listen: 'here' },
    };
    expect(pathsOf(wrong).sort()).toEqual(['blobs.kind', 'roles[0]', 'server.listen']);
  });
});

describe('the embedded configuration', () => {
  const defaults = { cores: 4, maxSizeBytes: 32 * 1024 ** 3, consolePort: 50_052 };

  it('lays the file upon what suits the machine, and flags upon the file', () => {
    const file = { worker: { slots: 2, network: true }, server: { listen: '127.0.0.1:1', drainSeconds: 7 } };
    const configuration = embeddedConfiguration('t', file, { dataDirectory: '/data', port: 0 }, defaults);
    expect(configuration.worker).toMatchObject({ slots: 2, prefetch: 4, network: true, directory: '/data/worker' });
    expect(configuration.server).toMatchObject({ listen: '127.0.0.1:0', drainSeconds: 7 });
    expect(configuration.blobs).toMatchObject({ kind: 'disk', directory: '/data/blobs' });
  });

  it("hides the grid's data from actions, wherever the file has it and whatever else the file hides", () => {
    const blobs = { kind: 'read-only', store: { kind: 'disk', directory: '/srv/blobs' } };
    const file = { blobs, worker: { hiddenFolders: ['/etc/secrets'] } };
    const { worker } = embeddedConfiguration('t', file, { dataDirectory: '/data' }, defaults);
    expect(worker.hiddenFolders).toEqual(expect.arrayContaining(['/etc/secrets', '/data', '/srv/blobs']));
  });

  it('shares the room between blobs and results', () => {
    const options = { dataDirectory: '/data', maxSizeBytes: 3200 * 1024 ** 2 };
    const { blobs, actionCache } = embeddedConfiguration('t', undefined, options, defaults);
    expect(blobs).toMatchObject({ maximumSizeBytes: 3100 * 1024 ** 2 });
    expect(actionCache).toMatchObject({ maximumSizeBytes: 100 * 1024 ** 2 });
  });
  it('has a console unless told otherwise, where the command line says before the file', () => {
    const listen = (file: unknown, options: object) =>
      embeddedConfiguration('t', file, { dataDirectory: '/data', ...options }, defaults).console?.listen;
    expect(listen(undefined, {})).toBe('127.0.0.1:50052');
    expect(listen({ console: { listen: '10.0.0.1:80' } }, {})).toBe('10.0.0.1:80');
    expect(listen({ console: { listen: '10.0.0.1:80' } }, { consolePort: 81 })).toBe('127.0.0.1:81');
    expect(listen({ console: { listen: '10.0.0.1:80' } }, { console: false })).toBeUndefined();
  });

  it('has its worker work for the first instance, unless the file names another', () => {
    const instanceOf = (file: unknown) =>
      embeddedConfiguration('t', file, { dataDirectory: '/data' }, defaults).worker.instance;
    const instances = [{ name: 'main' }, { name: 'other' }];
    expect(instanceOf(undefined)).toBe('');
    expect(instanceOf({ instances })).toBe('main');
    expect(instanceOf({ instances, worker: { instance: 'other' } })).toBe('other');
    expect(() => instanceOf({ instances, worker: { instance: 'third' } })).toThrow("worker.instance: instance 'third'");
    expect(() => instanceOf({ instances: 'main' })).toThrow('instances');
  });

  it('refuses one size for a composed store', () => {
    const file = { blobs: { kind: 'read-only', store: { kind: 'memory' } } };
    const options = { dataDirectory: '/data', maxSizeBytes: 1024 ** 3 };
    expect(() => embeddedConfiguration('t', file, options, defaults)).toThrow('blobs: --max-size');
  });
});
