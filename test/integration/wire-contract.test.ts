import { execFile } from 'node:child_process';
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { fromBinary, isFieldSet } from '@bufbuild/protobuf';
import {
  type DescriptorProto,
  type EnumDescriptorProto,
  FieldDescriptorProto_Label,
  FieldDescriptorProto_Type,
  FieldDescriptorProtoSchema,
  FileDescriptorSetSchema,
} from '@bufbuild/protobuf/wkt';
import { describe, expect, it } from 'vitest';
import { removeFolder, temporaryFolder } from '../support/throwaway-process.ts';

const ROOT = join(import.meta.dirname, '../..');
const BIN = join(ROOT, 'node_modules/.bin');

/**
 * The facts of the published protocols: `messages` as `{ name: { field: [number, type, label, oneof] } }`, `enums` as
 * `{ name: { value: number } }`, `services` as `{ name: { method: [request, response, client streams, server streams] } }`.
 */
interface WireContract {
  messages: Record<string, Record<string, [number, string, string, string]>>;
  enums: Record<string, Record<string, number>>;
  services: Record<string, Record<string, [string, string, boolean, boolean]>>;
}

/** Packages that the published facts do not cover: what the compiler brings, gRPC's own services, and ours. */
const OUTSIDE = /^(google\.protobuf|grpc|warren)\./;

describe('protos/', () => {
  it('hold every message, enum and service of the protocols, to the letter, and nothing else', async () => {
    const published = JSON.parse(
      await readFile(join(import.meta.dirname, 'wire-contract.json'), 'utf8'),
    ) as WireContract;
    const ours = await contractOf(join(ROOT, 'protos'));
    expect(ours.messages).toEqual(published.messages);
    expect(ours.enums).toEqual(published.enums);
    expect(ours.services).toEqual(published.services);
  });

  it('give src/proto and the descriptor set exactly as they are committed', async () => {
    const folder = await temporaryFolder('generate');
    try {
      await run('buf', 'generate', '--include-imports', '--output', folder);
      await run('buf', 'build', '--exclude-source-info', '-o', join(folder, 'descriptor-set.binpb'));
      await promisify(execFile)('diff', ['-r', join(folder, 'src/proto'), join(ROOT, 'src/proto')]);
      const [generated, committed] = await Promise.all([
        readFile(join(folder, 'descriptor-set.binpb')),
        readFile(join(ROOT, 'protos/descriptor-set.binpb')),
      ]);
      expect(generated.equals(committed)).toBe(true);
    } finally {
      await removeFolder(folder);
    }
  });
});

async function run(tool: string, ...args: readonly string[]): Promise<void> {
  await promisify(execFile)(join(BIN, tool), args, { cwd: ROOT });
}

async function contractOf(module: string): Promise<WireContract> {
  const { stdout } = await promisify(execFile)(join(BIN, 'buf'), ['build', module, '-o', '-'], {
    encoding: 'buffer',
    maxBuffer: 2 ** 25,
  });
  const contract: WireContract = { messages: {}, enums: {}, services: {} };
  for (const file of fromBinary(FileDescriptorSetSchema, stdout).file) {
    if (OUTSIDE.test(`${file.package}.`)) continue;
    for (const message of file.messageType) addMessage(contract, message, file.package);
    for (const each of file.enumType) addEnum(contract, each, file.package);
    for (const service of file.service) {
      contract.services[`${file.package}.${service.name}`] = Object.fromEntries(
        service.method.map((method) => [
          method.name,
          [method.inputType.slice(1), method.outputType.slice(1), method.clientStreaming, method.serverStreaming],
        ]),
      );
    }
  }
  return contract;
}

function addMessage(contract: WireContract, message: DescriptorProto, parent: string): void {
  const name = `${parent}.${message.name}`;
  contract.messages[name] = Object.fromEntries(
    message.field.map((field) => [
      field.name,
      [
        field.number,
        field.typeName === '' ? FieldDescriptorProto_Type[field.type].toLowerCase() : field.typeName.slice(1),
        field.label === FieldDescriptorProto_Label.REPEATED ? 'repeated' : 'single',
        isFieldSet(field, FieldDescriptorProtoSchema.field.oneofIndex) && !field.proto3Optional
          ? (message.oneofDecl[field.oneofIndex]?.name ?? '')
          : '',
      ],
    ]),
  );
  for (const nested of message.nestedType) {
    // What the compiler makes for a map field.
    if (nested.options?.mapEntry !== true) addMessage(contract, nested, name);
  }
  for (const nested of message.enumType) addEnum(contract, nested, name);
}

function addEnum(contract: WireContract, each: EnumDescriptorProto, parent: string): void {
  contract.enums[`${parent}.${each.name}`] = Object.fromEntries(each.value.map((value) => [value.name, value.number]));
}
