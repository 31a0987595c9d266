/** Which build a request belongs to, from the header `build.bazel.remote.execution.v2.requestmetadata-bin`. */
export interface RequestMetadata {
  readonly toolName: string;
  readonly toolVersion: string;
  readonly actionId: string;
  readonly toolInvocationId: string;
  readonly correlatedInvocationsId: string;
  readonly actionMnemonic: string;
  readonly targetId: string;
  readonly configurationId: string;
}
