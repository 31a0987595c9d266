import { readFile } from 'node:fs/promises';
import type { RpcServer } from './rpc-server.ts';

/** Every message and service that we speak, compiled; `./dev generate` makes it. The same from src/ and from dist/. */
const DESCRIPTOR_SET = new URL('../../protos/descriptor-set.binpb', import.meta.url);

/**
 * Serves gRPC reflection (v1 and v1alpha), so that grpcurl and its like can call us without our .proto files.
 *
 * @param services full names of the services to show.
 */
export async function addReflection(server: RpcServer, services: readonly string[]): Promise<void> {
  // Loading costs a good part of the time that a start takes: nobody waits for it who does not want reflection.
  const [{ ReflectionService }, { loadFileDescriptorSetFromBuffer }, encoded] = await Promise.all([
    import('@grpc/reflection'),
    import('@grpc/proto-loader'),
    readFile(DESCRIPTOR_SET),
  ]);
  const definitions = loadFileDescriptorSetFromBuffer(encoded);
  new ReflectionService(definitions, { services: [...services] }).addToServer(server.grpcServer);
}
