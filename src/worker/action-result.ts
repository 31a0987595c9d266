import type { ActionResult, OutputSymlink } from '../proto/build/bazel/remote/execution/v2/remote_execution.ts';
import { ActionResult as ActionResultMessage } from '../proto/build/bazel/remote/execution/v2/remote_execution.ts';
import { digestToWire } from '../wire/digest.ts';
import { nodePropertiesToWire } from '../wire/directory.ts';
import type { FoundOutput } from './output-collector.ts';

/** A result in which nothing is set. */
export function emptyActionResult(): ActionResult {
  return ActionResultMessage.decode(new Uint8Array(0));
}

/**
 * Adds outputs to a result.
 *
 * @param style `paths` where the Command uses output_paths: symlinks then go to output_symlinks. Else they go to the
 *   fields of before version 2.1, by the list that names them.
 */
export function addOutputs(
  result: ActionResult,
  outputs: readonly FoundOutput[],
  style: 'paths' | 'files-and-directories',
): void {
  for (const output of outputs) {
    switch (output.kind) {
      case 'file':
        result.outputFiles.push({
          path: output.path,
          digest: digestToWire(output.node.digest),
          isExecutable: output.node.isExecutable,
          contents: Buffer.alloc(0),
          nodeProperties: nodePropertiesToWire(output.node.nodeProperties),
        });
        break;
      case 'directory':
        result.outputDirectories.push({
          path: output.path,
          treeDigest: output.treeDigest === undefined ? undefined : digestToWire(output.treeDigest),
          isTopologicallySorted: output.treeDigest !== undefined,
          rootDirectoryDigest:
            output.rootDirectoryDigest === undefined ? undefined : digestToWire(output.rootDirectoryDigest),
        });
        break;
      case 'symlink': {
        const symlink: OutputSymlink = {
          path: output.path,
          target: output.node.target,
          nodeProperties: nodePropertiesToWire(output.node.nodeProperties),
        };
        if (style === 'paths') result.outputSymlinks.push(symlink);
        else if (output.namedAsDirectory) result.outputDirectorySymlinks.push(symlink);
        else result.outputFileSymlinks.push(symlink);
      }
    }
  }
}
