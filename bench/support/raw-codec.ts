import { BinaryReader, BinaryWriter } from '@bufbuild/protobuf/wire';
import type { MethodDefinition } from '@grpc/grpc-js';
import {
  ByteStreamService,
  type ReadRequest,
  WriteRequest,
  type WriteResponse,
} from '../../src/proto/google/bytestream/bytestream.ts';

/** ByteStream.Read whose answers are counted and not copied, so that the client takes as little CPU as it can. */
export const countingRead: MethodDefinition<ReadRequest, number> = {
  ...ByteStreamService.read,
  responseSerialize: () => Buffer.alloc(0),
  responseDeserialize: (message) => {
    const reader = new BinaryReader(message);
    let bytes = 0;
    while (reader.pos < reader.len) {
      const [field, wireType] = reader.tag();
      if (field === 10) {
        const length = reader.uint32();
        bytes += length;
        reader.pos += length;
      } else reader.skip(wireType);
    }
    return bytes;
  },
};

/** ByteStream.Write of messages that are encoded already. */
export const encodedWrite: MethodDefinition<Buffer, WriteResponse> = {
  ...ByteStreamService.write,
  requestSerialize: (message) => message,
  requestDeserialize: (message) => message,
};

/** The messages of one upload. */
export function encodeUpload(resourceName: string, data: Buffer, chunkSize: number): Buffer[] {
  const messages: Buffer[] = [];
  for (let offset = 0; offset < data.length; offset += chunkSize) {
    messages.push(
      Buffer.from(
        WriteRequest.encode({
          resourceName: offset === 0 ? resourceName : '',
          writeOffset: BigInt(offset),
          finishWrite: offset + chunkSize >= data.length,
          data: data.subarray(offset, offset + chunkSize),
        }).finish(),
      ),
    );
  }
  return messages;
}

/** One ReadResponse of these bytes. */
export function encodeReadResponse(data: Buffer): Buffer {
  return Buffer.from(new BinaryWriter().uint32(82).bytes(data).finish());
}
