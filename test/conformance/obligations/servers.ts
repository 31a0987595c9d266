import type { Protocol } from './obligation.ts';

/** Obligations of any gRPC server that tells of its health. */
export const HEALTH: Protocol = {
  file: 'grpc/health/v1/health.proto',
  clauses: [
    {
      name: 'Health',
      blocks: ['grpc.health.v1.Health'],
      obligations: [
        [
          'Check: of the whole server without a name; NOT_FOUND for a service that is not known',
          'Check of the whole server gives SERVING',
          'Check of each service gives SERVING',
          'Check of an unknown service gives NOT_FOUND',
        ],
        [
          'Watch: the status at once; SERVICE_UNKNOWN does not end it',
          'Watch gives the present status at once',
          'Watch of an unknown service gives SERVICE_UNKNOWN and goes on',
        ],
        ['List: all services', 'List gives the status of the whole server and of each service'],
      ],
    },
  ],
};

/** Obligations of a server that describes itself. */
export const REFLECTION: Protocol = {
  file: 'grpc/reflection/v1/reflection.proto',
  clauses: [
    {
      name: 'ServerReflection.ServerReflectionInfo',
      blocks: ['grpc.reflection.v1.ServerReflection'],
      obligations: [
        ['list_services', '… lists the services of this server'],
        [
          'file_by_filename and file_containing_symbol, with what the file imports',
          '… gives the file of each service, and every file that it stands on by its name',
        ],
        ['original_request', '… repeats the request in its answer'],
        [
          'all_extension_numbers_of_type may be unimplemented',
          '… tells the numbers of the extensions of a type, or that it does not',
        ],
        ['An error is an answer', '… answers NOT_FOUND for a symbol or file that does not exist'],
      ],
    },
  ],
};
