import { type Digest, digestOf } from '../../src/domain/digest.ts';
import type { BlobStore } from '../../src/ports/blob-store.ts';
import {
  Action,
  Command,
  Directory,
  type NodeProperties,
} from '../../src/proto/build/bazel/remote/execution/v2/remote_execution.ts';
import { digestToWire } from '../../src/wire/digest.ts';
import { durationFromMilliseconds } from '../../src/wire/time.ts';

/** A tree of inputs, written down: text is a file, an object a folder, the rest as its fields say. */
export interface InputTree {
  readonly [name: string]: string | InputTree | InputFile | InputSymlink;
}

export class InputFile {
  readonly content: string | Uint8Array;
  readonly executable: boolean;
  readonly nodeProperties: NodeProperties | undefined;

  constructor(content: string | Uint8Array, executable = false, nodeProperties?: NodeProperties) {
    this.content = content;
    this.executable = executable;
    this.nodeProperties = nodeProperties;
  }
}

export class InputSymlink {
  readonly target: string;

  constructor(target: string) {
    this.target = target;
  }
}

/** What a test says of an action; the rest is empty. */
export interface ActionDescription {
  readonly arguments: readonly string[];
  readonly inputs?: InputTree;
  readonly environment?: Readonly<Record<string, string>>;
  readonly command?: Partial<Command>;
  readonly timeoutMilliseconds?: number;
  readonly action?: Partial<Action>;
}

const signal = new AbortController().signal;

/** Stores a message or bytes, and gives their digest. */
export async function store(blobs: BlobStore, bytes: Uint8Array): Promise<Digest> {
  const digest = digestOf(bytes);
  if (bytes.byteLength > 0) await blobs.write(digest, bytes, signal);
  return digest;
}

/** Stores a tree of inputs, names sorted. @returns the root's digest. */
export async function storeInputs(blobs: BlobStore, tree: InputTree): Promise<Digest> {
  const directory = Directory.decode(new Uint8Array(0));
  for (const name of Object.keys(tree).sort()) {
    const node = tree[name] as InputTree[string];
    if (node instanceof InputSymlink) {
      directory.symlinks.push({ name, target: node.target });
    } else if (typeof node === 'string' || node instanceof InputFile) {
      const file = typeof node === 'string' ? new InputFile(node) : node;
      const digest = await store(blobs, Buffer.from(file.content as string));
      const { executable, nodeProperties } = file;
      directory.files.push({ name, digest: digestToWire(digest), isExecutable: executable, nodeProperties });
    } else {
      directory.directories.push({ name, digest: digestToWire(await storeInputs(blobs, node)) });
    }
  }
  return store(blobs, Directory.encode(directory).finish());
}

/** Stores all that an action needs, and gives the Action, which is not stored. */
export async function buildAction(blobs: BlobStore, description: ActionDescription): Promise<Action> {
  const { environment = { PATH: '/usr/local/bin:/usr/bin:/bin' }, timeoutMilliseconds } = description;
  const command = Command.encode({
    ...Command.decode(new Uint8Array(0)),
    ...description.command,
    arguments: [...description.arguments],
    environmentVariables: Object.entries(environment).map(([name, value]) => ({ name, value })),
  }).finish();
  return {
    ...Action.decode(new Uint8Array(0)),
    commandDigest: digestToWire(await store(blobs, command)),
    inputRootDigest: digestToWire(await storeInputs(blobs, description.inputs ?? {})),
    timeout: timeoutMilliseconds === undefined ? undefined : durationFromMilliseconds(timeoutMilliseconds),
    ...description.action,
  };
}
