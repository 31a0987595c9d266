import { Command } from 'commander';
import { describe, expect, test } from 'vitest';
import { addWorkerFlags, defaultWorkerDirectory, settingsOfFlags } from './worker-flags.ts';

function parse(...args: string[]): Record<string, unknown> {
  const command = new Command().exitOverride().configureOutput({ writeErr: () => {} });
  addWorkerFlags(command);
  command.parse(args, { from: 'user' });
  return settingsOfFlags(command.opts());
}

describe('flags of a worker', () => {
  test('become settings by the names that the configuration file has', () => {
    expect(
      parse(
        ...'--remote grpc://h:1 --instance main --slots 3 --directory /d --cache-size 1G'.split(' '),
        ...'--sandbox none --network --property a=1 --property a=2=3 --bot-id b'.split(' '),
        ...'--tls-authorities a.pem --tls-certificate c.pem --tls-private-key k.pem'.split(' '),
      ),
    ).toEqual({
      remote: 'grpc://h:1',
      tls: { authoritiesFile: 'a.pem', certificateFile: 'c.pem', privateKeyFile: 'k.pem' },
      instance: 'main',
      slots: 3,
      directory: '/d',
      maxCacheBytes: 1024 ** 3,
      sandbox: 'none',
      network: true,
      properties: [
        { name: 'a', value: '1' },
        { name: 'a', value: '2=3' },
      ],
      botId: 'b',
    });
  });

  test('say nothing where they are not given', () => {
    expect(parse()).toEqual({});
  });

  test.each([
    ['--slots', '0'],
    ['--slots', 'x'],
    ['--cache-size', 'much'],
    ['--sandbox', 'docker'],
    ['--property', 'pool'],
    ['--property', '=x'],
  ])('refuse %s %s', (flag, value) => {
    expect(() => parse(flag, value)).toThrow(value);
  });

  test('a worker keeps its files in the cache folder of the user', () => {
    expect(defaultWorkerDirectory({ XDG_CACHE_HOME: '/c' })).toBe('/c/warren-worker');
    expect(defaultWorkerDirectory({})).toMatch(/\.cache\/warren-worker$/);
  });
});
