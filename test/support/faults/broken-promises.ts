import { status as statusCodes } from '@grpc/grpc-js';
import { ActionResult, ExecuteResponse } from '../../../src/proto/build/bazel/remote/execution/v2/remote_execution.ts';
import { GetOperationRequest, OperationsService } from '../../../src/proto/google/longrunning/operations.ts';
import { blobOf, digestText, Tenant } from '../tenant.ts';
import type { WireClient } from '../wire-client.ts';
import { unlessNotFound } from './attempts.ts';
import type { Fault } from './fault.ts';
import { answerOf, type CheckedExecution } from './known-answers.ts';
import type { Execution } from './load-client.ts';

const CHECKED_AT_ONCE = 16;

/**
 * What of the promises does not hold of what clients have executed: that every answer is right, that each operation has
 * one end and keeps it, that no result is lost, that outputs are stored.
 */
export class BrokenPromises {
  readonly #anyReplica: () => WireClient;
  readonly #forgets: Fault['forgets'];

  /**
   * @param anyReplica one for the next call.
   * @param forgets what the fault may have cost.
   */
  constructor(anyReplica: () => WireClient, forgets?: Fault['forgets']) {
    this.#anyReplica = anyReplica;
    this.#forgets = forgets;
  }

  async of(executions: readonly CheckedExecution[]): Promise<string[]> {
    const found: string[] = [];
    for (let i = 0; i < executions.length; i += CHECKED_AT_ONCE) {
      const some = executions.slice(i, i + CHECKED_AT_ONCE).map((each) => this.#ofOne(each));
      found.push(...(await Promise.all(some)).flat());
    }
    return found;
  }

  async #ofOne(checked: CheckedExecution): Promise<string[]> {
    const { action, response, retries } = checked.execution;
    const found: string[] = [];
    if ((response.status?.code ?? 0) !== 0) {
      found.push(`${action.hash} ended with ${statusCodes[response.status?.code ?? 0]} ${response.status?.message}`);
    } else if (!isRight(response.result, checked)) {
      found.push(`${action.hash} has a wrong answer: ${describe(response.result)}`);
    }
    found.push(...(await this.#brokenEnds(checked.execution)));
    if (checked.right.exitCode === 0 && this.#forgets !== 'cached results') {
      found.push(...(await this.#lostResult(checked)));
    }
    found.push(...(await this.#lostOutputs(checked)));
    return found.map((each) => [each, ...retries].join('\n  '));
  }

  async #brokenEnds({ action, operations }: Execution): Promise<string[]> {
    const found: string[] = [];
    for (const [name, seen] of operations) {
      const request = GetOperationRequest.create({ name });
      const known = await unlessNotFound(this.#anyReplica().unary(OperationsService.getOperation, request));
      const about = `operation ${name} of ${action.hash}`;
      if (known === undefined) {
        if (this.#forgets !== 'operations') found.push(`${about} is not known any more`);
      } else if (!known.done) found.push(`${about} has no end`);
      else if (seen?.done === true && !sameResponse(seen, known)) found.push(`${about} has two ends`);
    }
    return found;
  }

  async #lostResult(checked: CheckedExecution): Promise<string[]> {
    const { action } = checked.execution;
    const result = await unlessNotFound(this.#anyTenant().getActionResult(action, { inlineStdout: true }));
    return isRight(result, checked) ? [] : [`the result of ${action.hash} is lost`];
  }

  async #lostOutputs({ execution, outputs = {} }: CheckedExecution): Promise<string[]> {
    const blobs = Object.values(outputs).map(blobOf);
    if (blobs.length === 0) return [];
    const read = await this.#anyTenant().batchRead(...blobs.map(({ digest }) => digest));
    return blobs
      .filter(({ data, digest }) => !read.some((each) => each.digest?.hash === digest.hash && data.equals(each.data)))
      .map(({ digest }) => `output ${digestText(digest)} of ${execution.action.hash} is lost`);
  }

  #anyTenant(): Tenant {
    return new Tenant(this.#anyReplica(), '');
  }
}

function isRight(result: ActionResult | undefined, { right, outputs = {} }: CheckedExecution): boolean {
  const answer = answerOf(result);
  if (answer?.exitCode !== right.exitCode || answer.stdout !== right.stdout) return false;
  const expected = Object.entries(outputs).map(([path, content]) => `${path} ${digestText(blobOf(content).digest)}`);
  return outputsOf(result).join('\n') === expected.join('\n');
}

function describe(result: ActionResult | undefined): string {
  return JSON.stringify({ ...answerOf(result), outputs: outputsOf(result) });
}

function outputsOf(result: ActionResult | undefined): string[] {
  return (result?.outputFiles ?? []).map(({ path, digest }) =>
    digest === undefined ? path : `${path} ${digestText(digest)}`,
  );
}

type Ended = NonNullable<Parameters<typeof responseOf>[0]>;

function sameResponse(one: Ended, other: Ended): boolean {
  const [a, b] = [responseOf(one), responseOf(other)];
  if (a.status?.code !== b.status?.code || (a.result === undefined) !== (b.result === undefined)) return false;
  if (a.result === undefined || b.result === undefined) return true;
  return Buffer.from(ActionResult.encode(a.result).finish()).equals(ActionResult.encode(b.result).finish());
}

function responseOf(operation: { readonly result?: { readonly $case: string; readonly value: unknown } | undefined }) {
  const value = (operation.result?.value as { readonly value?: Uint8Array } | undefined)?.value;
  return ExecuteResponse.decode(value ?? new Uint8Array(0));
}
