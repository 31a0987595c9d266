import { type Job, stageOf } from './job.ts';
import { type Operation, operationName } from './operation.ts';

/** What operations can be filtered and sorted by. Names as BuildGrid's users write them. */
export type OperationField =
  | 'stage'
  | 'name'
  | 'invocation_id'
  | 'correlated_invocations_id'
  | 'tool_name'
  | 'tool_version'
  | 'action_mnemonic'
  | 'target_id'
  | 'action_digest'
  | 'queued_time'
  | 'start_time'
  | 'completed_time';

export type Comparison = '=' | '!=' | '<' | '<=' | '>' | '>=';

/** One condition. Times are milliseconds since the epoch, stages their numbers, the rest text. */
export type OperationCondition =
  | {
      readonly field: OperationField;
      readonly comparison: Comparison;
      readonly value: string | number;
    }
  | { readonly field: 'platform'; readonly comparison: '=' | '!='; readonly key: string; readonly value: string };

export interface OperationSort {
  readonly field: OperationField;
  readonly descending: boolean;
}

/** Which operations are wanted, and in what order. All conditions must hold. */
export interface OperationQuery {
  /** Undefined for every instance. */
  readonly instanceName: string | undefined;
  readonly conditions: readonly OperationCondition[];
  readonly sort: readonly OperationSort[];
}

/** The numbers of ExecutionStage.Value. */
export const STAGE_NUMBERS = { QUEUED: 2, EXECUTING: 3, COMPLETED: 4 } as const;

/** Whether the operation is wanted. An unset value equals nothing and differs from everything, save for order. */
export function matchesQuery(job: Job, operation: Operation, query: OperationQuery): boolean {
  if (query.instanceName !== undefined && job.instanceName !== query.instanceName) return false;
  return query.conditions.every((condition) => {
    if (condition.field === 'platform') {
      const values = job.requirement.properties.filter(({ name }) => name === condition.key);
      const holds = values.some(({ value }) => value === condition.value);
      return condition.comparison === '=' ? holds : values.length > 0 && !holds;
    }
    return compare(fieldOf(job, operation, condition.field), condition.comparison, condition.value);
  });
}

/** Where an operation stands in a query's order: the values of its sort fields, and at last its name. */
export type SortKey = ReadonlyArray<string | number | undefined>;

export function sortKeyOf(job: Job, operation: Operation, query: OperationQuery): SortKey {
  return [...query.sort.map(({ field }) => fieldOf(job, operation, field)), fieldOf(job, operation, 'name')];
}

/** Orders keys of one query. Never 0 for two different operations, so that pages do not overlap. */
export function compareSortKeys(query: OperationQuery, a: SortKey, b: SortKey): number {
  for (let i = 0; i <= query.sort.length; i++) {
    const order = orderOf(a[i], b[i]);
    if (order !== 0) return query.sort[i]?.descending === true ? -order : order;
  }
  return 0;
}

/** A place in a query's order as a text, for page tokens: it holds though the operation itself be gone by then. */
export function encodeSortKey(key: SortKey): string {
  return Buffer.from(JSON.stringify(key.map((each) => each ?? null))).toString('base64url');
}

/** The place, or undefined where the text is none under this query. */
export function decodeSortKey(text: string, query: OperationQuery): SortKey | undefined {
  try {
    const values: unknown = JSON.parse(Buffer.from(text, 'base64url').toString());
    if (!Array.isArray(values) || values.length !== query.sort.length + 1) return undefined;
    return values.map((each: unknown) => (typeof each === 'string' || typeof each === 'number' ? each : undefined));
  } catch {
    return undefined;
  }
}

function fieldOf(job: Job, operation: Operation, field: OperationField): string | number | undefined {
  const metadata = operation.requestMetadata;
  switch (field) {
    case 'stage':
      return operation.cancelledAt === undefined ? STAGE_NUMBERS[stageOf(job)] : STAGE_NUMBERS.COMPLETED;
    case 'name':
      return operationName(job.instanceName, operation.id);
    case 'invocation_id':
      return metadata?.toolInvocationId;
    case 'correlated_invocations_id':
      return metadata?.correlatedInvocationsId;
    case 'tool_name':
      return metadata?.toolName;
    case 'tool_version':
      return metadata?.toolVersion;
    case 'action_mnemonic':
      return metadata?.actionMnemonic;
    case 'target_id':
      return metadata?.targetId;
    case 'action_digest':
      return `${job.actionDigest.hash}/${job.actionDigest.sizeBytes}`;
    case 'queued_time':
      return operation.createdAt;
    case 'start_time':
      return job.startedAt;
    case 'completed_time':
      return operation.cancelledAt ?? job.finishedAt;
  }
}

function compare(actual: string | number | undefined, comparison: Comparison, wanted: string | number): boolean {
  if (actual === undefined) return comparison === '!=';
  const order = orderOf(actual, wanted);
  switch (comparison) {
    case '=':
      return order === 0;
    case '!=':
      return order !== 0;
    case '<':
      return order < 0;
    case '<=':
      return order <= 0;
    case '>':
      return order > 0;
    case '>=':
      return order >= 0;
  }
}

function orderOf(a: string | number | undefined, b: string | number | undefined): number {
  if (a === b) return 0;
  if (a === undefined) return -1;
  if (b === undefined) return 1;
  return a < b ? -1 : 1;
}
