import { describe, expect, test } from 'vitest';
import { StatusError } from '../../domain/status-error.ts';
import { parseEndpoint } from './endpoint.ts';

describe('parseEndpoint', () => {
  test.each([
    ['grpc://127.0.0.1:50051', 'dns:127.0.0.1:50051', false],
    ['grpcs://build.example.com', 'dns:build.example.com:443', true],
    ['http://localhost:50051/', 'dns:localhost:50051', false],
    ['https://build.example.com:8443', 'dns:build.example.com:8443', true],
    ['localhost:50051', 'dns:localhost:50051', false],
    ['[::1]:50051', 'dns:[::1]:50051', false],
    ['unix:/run/warren.sock', 'unix:/run/warren.sock', false],
    ['unix:///run/warren.sock', 'unix:/run/warren.sock', false],
    ['unix:warren.sock', 'unix:warren.sock', false],
  ])('reads %s', (text, target, tls) => {
    expect(parseEndpoint(text)).toMatchObject({ target, tls });
  });

  test.each([
    '',
    'grpc://',
    'localhost',
    'grpc://localhost',
    'ftp://localhost:1',
    'localhost:0',
    'localhost:99999',
    'a b:1',
    'unix:',
    'http://user@host:1',
    '::1:50051',
  ])('refuses %s and says how to write it', (text) => {
    expect(() => parseEndpoint(text)).toThrow(StatusError);
    expect(() => parseEndpoint(text)).toThrow(/write grpc:\/\/HOST:PORT/);
  });
});
