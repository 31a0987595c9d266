import { createHash } from 'node:crypto';
import { readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { Bazel, type BazelResult } from '../support/bazel/bazel.ts';
import { type OriginServer, startOriginServer } from '../support/origin-server.ts';
import { type RunningGrid, startUp } from '../support/program.ts';
import { removeFolder, temporaryFolder } from '../support/throwaway-process.ts';

/** The only address that is not public and may be asked; Bazel itself is told of no way to it but the grid. */
const ORIGIN_HOST = '127.0.0.2';
const CONTENT = 'the content of the file\n';
const sha256 = (text: string) => createHash('sha256').update(text).digest('hex');

let workspace: string;
let dataDirectory: string;
let origin: OriginServer;
let grid: RunningGrid;
let bazel: Bazel;

beforeAll(async () => {
  workspace = await temporaryFolder('workspace');
  dataDirectory = await temporaryFolder('data');
  origin = await startOriginServer(ORIGIN_HOST);
  const configuration = join(dataDirectory, 'warren.yaml');
  await writeFile(configuration, `assets: { fetch: { allowedNetworks: [${ORIGIN_HOST}/32] } }\n`);
  await writeFile(join(dataDirectory, 'netrc'), `machine ${ORIGIN_HOST}\nlogin me\npassword secret\n`);
  grid = await startUp({ dataDirectory, args: ['--config', configuration] });
  bazel = await Bazel.create(workspace);
});

afterAll(async () => {
  await bazel?.[Symbol.asyncDispose]();
  grid?.kill('SIGTERM');
  await grid?.ended;
  await origin?.[Symbol.asyncDispose]();
  await removeFolder(workspace);
  await removeFolder(dataDirectory);
});

/** Builds a file that is downloaded by a rule with these attributes. */
async function build(name: string, attributes: string): Promise<BazelResult> {
  const load = 'load("@bazel_tools//tools/build_defs/repo:http.bzl", "http_file")';
  await writeFile(join(workspace, 'WORKSPACE'), `${load}\nhttp_file(name = "downloaded", ${attributes})\n`);
  const rule = `genrule(name = "${name}", srcs = ["@downloaded//file"], outs = ["${name}.out"], cmd = "cat $< > $@")\n`;
  await writeFile(join(workspace, 'BUILD'), rule);
  return bazel.run(
    'build',
    `--remote_executor=${grid.endpoint}`,
    `--experimental_remote_downloader=${grid.endpoint}`,
    '--repository_cache=',
    '--noshow_progress',
    '--color=no',
    `//:${name}`,
  );
}

const attempted = (path: string) => origin.paths.filter((each) => each === path).length;

test('Bazel downloads through the grid, from the first place that has it', async () => {
  const urls = `["${origin.url}/missing", "${origin.serve('/file', CONTENT)}"]`;
  const result = await build('first', `urls = ${urls}, sha256 = "${sha256(CONTENT)}"`);
  expect([result.exitCode, result.output]).toEqual([0, expect.any(String)]);
  expect(await readFile(bazel.binary('first.out'), 'utf8')).toBe(CONTENT);
  expect(origin.headers()['user-agent']).toContain('warren');
  await bazel.run('clean', '--expunge');
  expect((await build('first', `urls = ${urls}, sha256 = "${sha256(CONTENT)}"`)).exitCode).toBe(0);
  expect([attempted('/missing'), attempted('/file')]).toEqual([1, 1]);
});

test('credentials that Bazel has for a host reach it', async () => {
  const url = origin.serve('/guarded', (request, response) => {
    if (request.headers.authorization === 'Bearer secret') response.end(CONTENT);
    else response.writeHead(401).end();
  });
  const netrc = `netrc = "${join(dataDirectory, 'netrc')}", auth_patterns = {"${ORIGIN_HOST}": "Bearer <password>"}`;
  const result = await build('guarded', `urls = ["${url}"], sha256 = "${sha256(CONTENT)}", ${netrc}`);
  expect([result.exitCode, result.output]).toEqual([0, expect.any(String)]);
  expect(await readFile(bazel.binary('guarded.out'), 'utf8')).toBe(CONTENT);
});

test('content with another checksum fails the build', async () => {
  const url = origin.serve('/other', 'something else');
  const result = await build('other', `urls = ["${url}"], sha256 = "${sha256(CONTENT)}"`);
  expect(result.exitCode).toBe(1);
  expect(result.output).toContain('Checksum was');
  expect(attempted('/other')).toBe(1);
});
