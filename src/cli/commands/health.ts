import type { Command } from 'commander';
import { HealthCheckResponse_ServingStatus, HealthService } from '../../proto/grpc/health/v1/health.ts';
import type { CommandContext } from '../command-context.ts';
import { addExample } from '../example.ts';
import { CommandFailure, ExitCode } from '../exit-codes.ts';
import { enumName } from '../present/values.ts';
import { printJson, printLines } from '../printing.ts';
import { addRemoteOptions, type RemoteOptions, withRemote } from '../remote.ts';

/** A server that is silent for so long does not take calls, in milliseconds. */
const DEADLINE_MS = 5_000;

interface HealthOptions extends RemoteOptions {
  readonly service: string;
}

/**
 * `warren health`: whether a server takes calls, as `grpc.health.v1` has it. Fails when it does not: for orchestrators
 * whose probes are commands.
 */
export function configureHealth(command: Command, context: CommandContext): void {
  command.option('--service <name>', 'full name of a service (default: the server as a whole)', '');
  addRemoteOptions(command).action(async (options: HealthOptions) => {
    const { service } = options;
    const { status } = await withRemote(options, context, ({ channel }, signal) =>
      channel.unary(HealthService.check, { service }, { deadlineMilliseconds: DEADLINE_MS }, signal),
    );
    const name = enumName(HealthCheckResponse_ServingStatus, status);
    if (options.json === true) printJson(context.stdout, { status: name });
    else printLines(context.stdout, [name]);
    if (status !== HealthCheckResponse_ServingStatus.SERVING) throw new CommandFailure(ExitCode.FAILURE);
  });
  addExample(command, 'warren health --remote grpc://127.0.0.1:50051');
}
