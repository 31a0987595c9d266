import type { ScriptReply } from './redis-connection.ts';

/** A field's place in the packed record: where its value begins, and where it ends. */
type Place = readonly [start: number, end: number];

/**
 * A hash as `lua/fragments/record.lua` packs it: a list, in MessagePack, of names and values in turn.
 *
 * It came over the wire as one buffer, of which only what is asked for is read.
 */
export class PackedRecord {
  readonly #packed: Buffer;
  readonly #fields = new Map<string, Place>();

  private constructor(packed: Buffer) {
    this.#packed = packed;
    let [count, at] = listHeader(packed);
    for (; count > 1; count -= 2) {
      const [start, end] = textHeader(packed, at);
      const value = textHeader(packed, end);
      this.#fields.set(packed.toString('utf8', start, end), value);
      at = value[1];
    }
  }

  /** @returns undefined where there is no record. */
  static read(reply: ScriptReply): PackedRecord | undefined {
    return Buffer.isBuffer(reply) ? new PackedRecord(reply) : undefined;
  }

  get names(): Iterable<string> {
    return this.#fields.keys();
  }

  /** The value as text, empty where there is none. */
  text(name: string): string {
    const place = this.#fields.get(name);
    return place === undefined ? '' : this.#packed.toString('utf8', ...place);
  }

  /** A copy of the value: a slice would keep all of what came over the wire alive. */
  bytes(name: string): Uint8Array | undefined {
    const place = this.#fields.get(name);
    return place === undefined ? undefined : new Uint8Array(this.#packed.subarray(...place));
  }
}

/** How many elements the list at the beginning has, and where the first stands. */
function listHeader(packed: Buffer): [count: number, at: number] {
  const kind = packed[0] ?? 0;
  if (kind === 0xdd) return [packed.readUInt32BE(1), 5];
  if (kind === 0xdc) return [packed.readUInt16BE(1), 3];
  return [kind & 0x0f, 1];
}

/** Where the text begins whose header stands at `at`, and where it ends. */
function textHeader(packed: Buffer, at: number): Place {
  const kind = packed[at] ?? 0;
  const [size, length] =
    kind === 0xdb
      ? [5, packed.readUInt32BE(at + 1)]
      : kind === 0xda
        ? [3, packed.readUInt16BE(at + 1)]
        : kind === 0xd9
          ? [2, packed.readUInt8(at + 1)]
          : [1, kind & 0x1f];
  return [at + size, at + size + length];
}
