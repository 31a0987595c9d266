import type { Protocol } from './obligation.ts';

const [OUTPUTS, INPUTS, RUNNING] = [
  'outputs of LocalExecutor with sandbox …',
  'inputs of LocalExecutor with sandbox …',
  'LocalExecutor with sandbox …',
];

/** What remote_execution.proto asks of who runs an action; held to by the worker's own tests. */
export const WORKER: Protocol = {
  file: 'build/bazel/remote/execution/v2/remote_execution.proto: the worker',
  clauses: [
    {
      name: 'Action and its inputs',
      blocks: [INPUTS, RUNNING],
      obligations: [
        [
          'The input tree lies where the command runs: modes, times and symlinks as they are told',
          'lays out files, folders, executable bits, symlinks, modes and times',
        ],
        ['What is missing is named, all of it', 'names every missing blob, files and directories alike'],
        ['A child of a directory has a name of its own', 'refuses an input tree in which a name occurs twice'],
        [
          'timeout ends the execution, whose output may be told',
          'kills the whole tree at the timeout, and keeps what was printed',
          'ends an action that names no timeout at its own',
        ],
      ],
    },
    {
      name: 'Command: how it runs',
      blocks: [RUNNING],
      obligations: [
        [
          'arguments: the first is found by a path, or by the PATH of the command',
          'finds a program relative to the working directory, and an unqualified one in the PATH of the command',
        ],
        ['environment_variables override those of the worker', 'gives the command its environment and nothing else'],
        [
          'working_directory is a directory of the inputs; paths are relative and stay below it',
          'refuses a command whose … is …',
        ],
      ],
    },
    {
      name: 'Command: its outputs',
      blocks: [OUTPUTS],
      obligations: [
        [
          'Only what is asked for comes back; what was not made is left out',
          'collects files and their executable bits, and leaves out what was not made',
        ],
        [
          'output_paths supersedes output_files and output_directories',
          'ignores the old lists where output_paths is used',
        ],
        [
          'Folders that lead up to outputs are made before, outputs are not',
          'makes the folders that lead up to outputs, and not the outputs',
        ],
        [
          'Paths are relative to the working directory; the empty one is all of it',
          'takes outputs relative to the working directory, the whole of which is the empty path',
        ],
        [
          'An output of another kind than its list says is FAILED_PRECONDITION',
          'refuses a directory where the command names a file',
          'refuses a symlink to a directory where the command names a file',
          'refuses a file, and a symlink to one, where the command names a directory',
        ],
        [
          'Symlinks come in output_symlinks, or in the old field of the list that names them',
          'reports symlinks in output_symlinks, or in the old fields where the command uses the old lists',
          'sorts symlinks of the old lists by the list that names them, wherever they lead',
        ],
        [
          'output_directory_format: what is not known means a Tree',
          'stores Directories instead of a Tree where the command asks for it',
          'stores both forms of a directory where both are asked for, with one root, and a Tree for a form unknown',
        ],
        [
          'A Tree holds each directory once, parents first; equal outputs have equal Trees',
          'describes a directory as a Tree, each directory once and behind its parents',
          'describes equal directories by equal Trees, in whatever order they were made',
        ],
        ['output_node_properties', 'reports the node properties that the command asks for'],
      ],
    },
    {
      name: 'ExecutedActionMetadata',
      blocks: [RUNNING],
      obligations: [
        [
          'Timestamps, virtual_execution_duration and auxiliary_metadata',
          'reports every timestamp in order, the duration and what was used',
        ],
      ],
    },
  ],
};
