import fc from 'fast-check';
import { expect, test } from 'vitest';
import { AddressRules } from './address-rules.ts';

const rules = new AddressRules([]);

test.each([
  '8.8.8.8',
  '1.1.1.1',
  '172.15.255.255',
  '172.32.0.0',
  '2606:4700:4700::1111',
  '::ffff:8.8.8.8',
  '64:ff9b::808:808',
])('%s is public', (address) => {
  expect(rules.permits(address)).toBe(true);
});

test.each([
  '0.0.0.0',
  '0.1.2.3',
  '10.0.0.1',
  '100.64.0.1',
  '127.0.0.1',
  '127.255.255.254',
  '169.254.169.254',
  '172.16.0.1',
  '172.31.255.255',
  '192.168.1.1',
  '192.0.0.1',
  '198.18.0.1',
  '203.0.113.1',
  '224.0.0.1',
  '239.255.255.255',
  '240.0.0.1',
  '255.255.255.255',
  '::',
  '::1',
  '::127.0.0.1',
  '::ffff:127.0.0.1',
  '::ffff:10.0.0.1',
  '::ffff:0:7f00:1',
  '64:ff9b::7f00:1',
  '64:ff9b::a00:1',
  '64:ff9b:1::7f00:1',
  '2002:7f00:1::',
  '2001:0:7f00:1::',
  '2001:db8::1',
  'fc00::1',
  'fd12:3456::1',
  'fe80::1',
  'fe80::1%eth0',
  'fec0::1',
  'ff02::1',
  '100::1',
  '5f00::1',
])('%s is not', (address) => {
  expect(rules.permits(address)).toBe(false);
});

test('a network that was named may be asked, in every form of its addresses, and no other', () => {
  const named = new AddressRules(['10.1.0.0/16', 'fd00:1::/32']);
  for (const address of ['10.1.2.3', '::ffff:10.1.2.3', '64:ff9b::a01:203', 'fd00:1::9']) {
    expect(named.permits(address)).toBe(true);
  }
  for (const address of ['10.2.0.1', '::ffff:10.2.0.1', 'fd00:2::9', '127.0.0.1']) {
    expect(named.permits(address)).toBe(false);
  }
});

test('what is no address may not be asked', () => {
  const all = new AddressRules(['0.0.0.0/0', '::/0']);
  for (const text of ['', 'localhost', '1.2.3.4.5', '999.1.1.1', '[::1]', '0x7f.1', '2130706433', '8.8.8.8 ']) {
    expect(all.permits(text)).toBe(false);
  }
});

test('an IPv4 address within an IPv6 one is what it is outside', () => {
  fc.assert(
    fc.property(fc.ipV4(), (address) => {
      const hexadecimal = Buffer.from(address.split('.').map(Number)).toString('hex');
      const [high, low] = [hexadecimal.slice(0, 4), hexadecimal.slice(4)];
      expect(rules.permits(`::ffff:${address}`)).toBe(rules.permits(address));
      expect(rules.permits(`64:ff9b::${high}:${low}`)).toBe(rules.permits(address));
    }),
  );
});
