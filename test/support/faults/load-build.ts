import type { Directory } from '../../../src/proto/build/bazel/remote/execution/v2/remote_execution.ts';
import { type Blob, blobOf } from '../tenant.ts';
import { WORKER_PLATFORM } from './fault-farm.ts';
import type { CheckedExecution } from './known-answers.ts';
import type { LoadClient } from './load-client.ts';

type InputFile = Directory['files'][number];

/** An action of a build: it runs a script of the shell, and makes one file. */
interface Step {
  readonly script: string;
  readonly inputs: readonly InputFile[];
  /** Sources to upload; what other actions have made is stored already. */
  readonly sources: readonly Blob[];
  readonly output: string;
  /** What must be in the file, and what must be printed. */
  readonly content: string;
  readonly stdout: string;
}

/** All builds have it in common: after the first the result of compiling it comes from the action cache. */
const LIBRARY = 'library\n';

/**
 * A build as small as can be, and shaped as builds are: three sources are compiled at once, what came of them is linked,
 * and a test runs the program. Later actions take as inputs what earlier ones have left in the storage. Its answer is the
 * report of the test, and known beforehand, as everything on the way to it is.
 */
export class LoadBuild {
  readonly #client: LoadClient;
  readonly #bound: number;
  readonly #executions: CheckedExecution[] = [];

  /** @param bound milliseconds that any of its actions may take. */
  constructor(client: LoadClient, bound: number) {
    this.#client = client;
    this.#bound = bound;
  }

  /**
   * @param number builds of different numbers have nothing but the library in common.
   * @returns its executions.
   * @throws Error when an action makes nothing, or the answer is not right.
   */
  async run(number: number): Promise<readonly CheckedExecution[]> {
    // Directories name their files in this order.
    const sources = { helper: `helper ${number}\n`, library: LIBRARY, main: `main ${number}\n` };
    const objects = await Promise.all(
      Object.entries(sources).map(async ([name, source]) => ({ ...(await this.#make(compile(source))), name })),
    );
    const program = await this.#make(link(objects, Object.values(sources)));
    const right = reportOf(Object.values(sources));
    const report = await this.#make(test(program, right));
    const answer = report.digest === undefined ? '' : (await this.#client.read(report.digest, this.#bound)).toString();
    if (answer !== right) throw new Error(`build ${number} has the answer '${answer}', not '${right}'`);
    return this.#executions;
  }

  /** @returns the output, as an input for others. */
  async #make({ script, inputs, sources, output, content, stdout }: Step): Promise<InputFile> {
    const execution = await this.#client.execute(
      {
        command: { arguments: ['/bin/sh', '-c', script], outputPaths: [output] },
        // Without a salt of its own: what is compiled alike has one result.
        action: { platform: WORKER_PLATFORM, salt: Buffer.alloc(0) },
        inputRoot: { files: [...inputs] },
        blobs: sources,
        looksUp: true,
      },
      this.#bound,
    );
    this.#executions.push({ execution, right: { exitCode: 0, stdout }, outputs: { [output]: content } });
    const { result, status } = execution.response;
    const made = result?.outputFiles.find(({ path }) => path === output);
    if (made?.digest === undefined) {
      const said = `${status?.message ?? ''} ${result?.stderrRaw.toString() ?? ''}`;
      throw new Error(
        [`a build's ${execution.action.hash} made no ${output}: ${said}`, ...execution.retries].join('\n  '),
      );
    }
    return { name: output, digest: made.digest, isExecutable: made.isExecutable, nodeProperties: undefined };
  }
}

function compile(source: string): Step {
  const blob = blobOf(source);
  return {
    script: "sed 's/^/echo tested /' source >object",
    inputs: [inputFile('source', blob)],
    sources: [blob],
    output: 'object',
    content: objectOf(source),
    stdout: '',
  };
}

/** @param sources what the objects were compiled from. */
function link(objects: readonly InputFile[], sources: readonly string[]): Step {
  const names = objects.map(({ name }) => name).join(' ');
  return {
    script: `echo '#!/bin/sh' >program && cat ${names} >>program && chmod +x program`,
    inputs: objects,
    sources: [],
    output: 'program',
    content: ['#!/bin/sh\n', ...sources.map(objectOf)].join(''),
    stdout: '',
  };
}

function test(program: InputFile, report: string): Step {
  return {
    script: './program >report && cat report',
    inputs: [program],
    sources: [],
    output: 'report',
    content: report,
    stdout: report,
  };
}

function objectOf(source: string): string {
  return `echo tested ${source}`;
}

function reportOf(sources: readonly string[]): string {
  return sources.map((source) => `tested ${source}`).join('');
}

function inputFile(name: string, { digest }: Blob): InputFile {
  return { name, digest, isExecutable: false, nodeProperties: undefined };
}
