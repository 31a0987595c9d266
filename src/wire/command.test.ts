import { describe, expect, it } from 'vitest';
import { Command } from '../proto/build/bazel/remote/execution/v2/remote_execution.ts';
import { checkCommandForm, NODE_PROPERTIES } from './command.ts';

type Fields = Parameters<typeof Command.create>[0];

function check(fields: Fields): () => void {
  return () => checkCommandForm(Command.create({ arguments: ['/bin/true'], ...fields }));
}

describe('checkCommandForm', () => {
  it('takes a Command whose paths stay inside', () => {
    expect(check({ outputPaths: ['a/b', 'c'], workingDirectory: 'w/x' })).not.toThrow();
  });

  it('takes the empty path as the whole working directory, except for a file', () => {
    expect(check({ outputPaths: [''] })).not.toThrow();
    expect(check({ outputDirectories: [''] })).not.toThrow();
    expect(check({ outputFiles: [''] })).toThrow('command.output_files');
  });

  it('takes outputs above the working directory that are in the input root, as BuildStream names them', () => {
    const workingDirectory = 'buildstream/p/e.bst';
    expect(check({ workingDirectory, outputPaths: ['.', '../../../buildstream-install'] })).not.toThrow();
    expect(check({ workingDirectory, outputPaths: ['../../..'] })).not.toThrow();
    expect(check({ outputPaths: ['a/./b', 'a/../b'] })).not.toThrow();
    expect(check({ workingDirectory, outputPaths: ['../../../../x'] })).toThrow('leads out of the input root');
    expect(check({ workingDirectory, outputPaths: ['a/../../../../../x'] })).toThrow('leads out of the input root');
    expect(check({ workingDirectory, outputFiles: ['../../../../x'] })).toThrow('command.output_files');
    expect(check({ workingDirectory: 'a/./b' })).toThrow('command.working_directory');
  });

  it('takes the node properties that are known', () => {
    expect(check({ outputNodeProperties: [...NODE_PROPERTIES] })).not.toThrow();
  });

  it('ignores the fields of before version 2.1 when output_paths is used', () => {
    expect(check({ outputPaths: ['a'], outputFiles: ['/x'] })).not.toThrow();
  });

  it.each<readonly [field: string, fields: Fields]>([
    ['command.arguments', { arguments: [] }],
    ['command.arguments', { arguments: [''] }],
    ['command.arguments', { arguments: ['/bin/echo', 'a\0b'] }],
    ['command.environment_variables.name', { environmentVariables: [{ name: '', value: 'x' }] }],
    ['command.environment_variables.name', { environmentVariables: [{ name: 'A=B', value: 'x' }] }],
    ['command.environment_variables.value', { environmentVariables: [{ name: 'A', value: '\0' }] }],
    ['command.output_node_properties', { outputNodeProperties: ['mtime', 'colour'] }],
    ['command.working_directory', { workingDirectory: '..' }],
    ['command.output_paths', { outputPaths: ['/etc'] }],
    ['command.output_paths', { outputPaths: ['a//b'] }],
    ['command.output_paths', { outputPaths: ['a/'] }],
    ['command.output_paths', { outputPaths: ['x'.repeat(256)] }],
    ['command.output_directories', { outputFiles: ['a'], outputDirectories: ['a'] }],
  ])('names %s for %j', (field, fields) => {
    expect(check(fields)).toThrow(`${field}: `);
  });
});
