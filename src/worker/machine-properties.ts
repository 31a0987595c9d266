import type { Property } from '../domain/platform.ts';

/** Instruction sets by Node's names, as the clients of this field write them. */
const INSTRUCTION_SETS: Readonly<Record<string, string>> = {
  x64: 'x86-64',
  ia32: 'x86-32',
  arm64: 'aarch64',
  arm: 'aarch32',
};

/**
 * What a worker offers: `OSFamily` and `ISA` of the machine, and `network` both `on` and `off`, since it gives an action
 * what it asks for. A name that the operator sets replaces the machine's own values of it.
 *
 * @param platform as Node names it, such as `linux`.
 * @param architecture as Node names it, such as `x64`.
 */
export function machineProperties(platform: string, architecture: string, configured: readonly Property[]): Property[] {
  const set = new Set(configured.map(({ name }) => name));
  const own = [
    { name: 'OSFamily', value: platform === 'darwin' ? 'macos' : platform },
    { name: 'ISA', value: INSTRUCTION_SETS[architecture] ?? architecture },
    { name: 'network', value: 'off' },
    { name: 'network', value: 'on' },
  ].filter(({ name }) => !set.has(name));
  return [...own, ...configured];
}
