import type { Command } from 'commander';
import type { Digest } from '../../domain/digest.ts';
import { StatusCode } from '../../domain/status-code.ts';
import { StatusError } from '../../domain/status-error.ts';
import { ActionCacheService, type ActionResult } from '../../proto/build/bazel/remote/execution/v2/remote_execution.ts';
import { digestFunctionToWire, digestToWire } from '../../wire/digest.ts';
import type { CommandContext } from '../command-context.ts';
import { parseDigestArgument } from '../digest-argument.ts';
import { addExample } from '../example.ts';
import { CommandFailure, ExitCode } from '../exit-codes.ts';
import { actionResultLines, presentActionResult } from '../present/action-result.ts';
import { printJson, printLines } from '../printing.ts';
import { addRemoteOptions, type Remote, type RemoteOptions, withRemote } from '../remote.ts';

/** `warren action-cache`: what is known of actions. */
export function configureActionCache(command: Command, context: CommandContext): void {
  const get = command
    .command('get')
    .description('show the cached result of an action')
    .argument('<digest>', "the Action's digest: HASH/SIZE", parseDigestArgument)
    .action(async (digest: Digest, options: RemoteOptions) => {
      const result = await withRemote(options, context, (remote, signal) => getActionResult(remote, digest, signal));
      if (result === undefined) {
        throw new CommandFailure(ExitCode.FAILURE, `no result of action ${digest.hash}/${digest.sizeBytes} is cached`);
      }
      if (options.json === true) printJson(context.stdout, presentActionResult(result));
      else printLines(context.stdout, actionResultLines(result));
    });
  addRemoteOptions(get);
  addExample(get, 'warren action-cache get 3b1f...e9/147', 'warren action-cache get 3b1f...e9/147 --json');
  addExample(command, 'warren action-cache get 3b1f...e9/147');
}

/** The cached result, with the texts that it printed; undefined where there is none. */
export async function getActionResult(
  { channel, instanceName, retrier }: Remote,
  actionDigest: Digest,
  signal: AbortSignal,
): Promise<ActionResult | undefined> {
  const request = {
    instanceName,
    actionDigest: digestToWire(actionDigest),
    inlineStdout: true,
    inlineStderr: true,
    inlineOutputFiles: [],
    digestFunction: digestFunctionToWire(actionDigest.digestFunction),
  };
  try {
    return await retrier.run(() => channel.unary(ActionCacheService.getActionResult, request, {}, signal), signal);
  } catch (thrown) {
    if (thrown instanceof StatusError && thrown.code === StatusCode.NOT_FOUND) return undefined;
    throw thrown;
  }
}
