import { Server, ServerCredentials, type ServerWritableStream } from '@grpc/grpc-js';
import {
  ContentAddressableStorageService,
  FindMissingBlobsResponse,
} from '../../src/proto/build/bazel/remote/execution/v2/remote_execution.ts';
import { ByteStreamService, WriteResponse } from '../../src/proto/google/bytestream/bytestream.ts';
import { encodeReadResponse } from './raw-codec.ts';

/**
 * A server that keeps nothing: FindMissingBlobs answers that all is there, Read sends zeros, Write drops what comes.
 * With raw codecs and large windows, it is what grpc-js can do on this machine at this hour.
 */
const CHUNK = encodeReadResponse(Buffer.alloc(1024 * 1024));
const MEBIBYTE = 1024 * 1024;

const server = new Server({
  'grpc.max_receive_message_length': 64 * MEBIBYTE,
  'grpc-node.flow_control_window': 8 * MEBIBYTE,
});
const { findMissingBlobs } = ContentAddressableStorageService;
const answer = Buffer.from(FindMissingBlobsResponse.encode(FindMissingBlobsResponse.create()).finish());
const identity = (value: Buffer) => value;
const raw = { requestDeserialize: identity, responseSerialize: identity };
server.addService(
  {
    findMissingBlobs: { ...findMissingBlobs, ...raw },
    read: { ...ByteStreamService.read, ...raw },
    write: { ...ByteStreamService.write, ...raw },
  },
  {
    findMissingBlobs: (_call: unknown, callback: (error: null, response: Buffer) => void) => callback(null, answer),
    read: (call: ServerWritableStream<Buffer, Buffer>) => {
      let left = Number(/\/(\d+)$/.exec(ByteStreamService.read.requestDeserialize(call.request).resourceName)?.[1]);
      const send = () => {
        while (left > 0) {
          left -= MEBIBYTE;
          if (!call.write(CHUNK)) {
            call.once('drain', send);
            return;
          }
        }
        call.end();
      };
      send();
    },
    write: (
      call: NodeJS.ReadableStream & { on(event: 'data', listener: (message: Buffer) => void): void },
      callback: (error: null, response: Buffer) => void,
    ) => {
      call.on('data', () => {});
      call.on('end', () => {
        callback(null, Buffer.from(WriteResponse.encode({ committedSize: 0n }).finish()));
      });
    },
  },
);
server.bindAsync('127.0.0.1:0', ServerCredentials.createInsecure(), (error, port) => {
  if (error !== null) throw error;
  console.log(`127.0.0.1:${port}`);
});
