import { expect, test } from 'vitest';
import { parseEndpoint } from '../adapters/grpc-client/endpoint.ts';
import { explainUnreachable } from './unreachable.ts';

const encrypted = parseEndpoint('grpcs://build.example:443');
const plain = parseEndpoint('grpc://build.example:50051');

test.each([
  [encrypted, 'tlsv13 alert certificate required', '--tls-certificate and --tls-private-key'],
  [encrypted, 'Error: self-signed certificate in certificate chain.', '--tls-authorities'],
  [encrypted, 'Error: unable to verify the first certificate', '--tls-authorities'],
  [encrypted, "Hostname/IP does not match certificate's altnames: IP: 1.2.3.4", '--remote must have a name'],
  [encrypted, 'Error: certificate has expired', 'not valid now'],
  [encrypted, 'Failed to connect', 'Does it speak TLS (grpcs://)?'],
  [plain, 'Failed to connect', 'write grpcs://'],
  [plain, 'connect ECONNREFUSED 127.0.0.1:1', '(ECONNREFUSED). Is it running? --remote'],
])('to %o: %s says what to do', (endpoint, reason, advice) => {
  const explained = explainUnreachable(endpoint, `No connection established. Last error: ${reason}`);
  expect(explained).toContain(`cannot reach the server at ${endpoint.displayName}`);
  expect(explained).toContain(advice);
});

test('a server that answered was reached', () => {
  expect(explainUnreachable(plain, 'this replica is stopping')).toBeUndefined();
});
