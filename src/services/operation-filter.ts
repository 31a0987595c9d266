import {
  type Comparison,
  type OperationCondition,
  type OperationField,
  type OperationSort,
  STAGE_NUMBERS,
} from '../domain/operation-query.ts';
import { invalidArgument } from '../domain/status-error.ts';

/** What a filter of ListOperations says. */
export interface OperationFilter {
  readonly conditions: readonly OperationCondition[];
  readonly sort: readonly OperationSort[];
}

const TEXT_FIELDS: ReadonlySet<string> = new Set<OperationField>([
  'name',
  'invocation_id',
  'correlated_invocations_id',
  'tool_name',
  'tool_version',
  'action_mnemonic',
  'target_id',
  'action_digest',
]);

const TIME_FIELDS: ReadonlySet<string> = new Set<OperationField>(['queued_time', 'start_time', 'completed_time']);

/** What an empty filter means: what goes on, the longest waiting first. */
const DEFAULT_CONDITIONS: readonly OperationCondition[] = [
  { field: 'stage', comparison: '!=', value: STAGE_NUMBERS.COMPLETED },
];
const DEFAULT_SORT: readonly OperationSort[] = [{ field: 'queued_time', descending: false }];

const MAX_FILTER_LENGTH = 10_000;
const MAX_TERMS = 50;
const TERM = /^([a-z_]+)\s*(!=|<=|>=|=|<|>)\s*(\S+)$/;

/**
 * Reads a filter in BuildGrid's language: `parameter operator value`, joined by `&`; all must hold.
 *
 * Parameters: stage, name, invocation_id, correlated_invocations_id, tool_name, tool_version, action_mnemonic,
 * target_id, action_digest, platform (`key:value`), queued_time, start_time, completed_time (ISO 8601), and
 * sort_order=`parameter(asc)` or `parameter(desc)`.
 *
 * @throws INVALID_ARGUMENT that says which term is wrong.
 */
export function parseOperationFilter(filter: string): OperationFilter {
  if (filter.length > MAX_FILTER_LENGTH) throw invalid(`longer than ${MAX_FILTER_LENGTH} characters`);
  const terms = filter
    .split('&')
    .map((each) => each.trim())
    .filter((each) => each !== '');
  if (terms.length > MAX_TERMS) throw invalid(`has more than ${MAX_TERMS} terms`);
  const conditions: OperationCondition[] = [];
  const sort: OperationSort[] = [];
  for (const term of terms) {
    const [, parameter = '', comparison = '', value = ''] = TERM.exec(term) ?? [];
    if (parameter === '') throw invalid(`'${term}' is not of the form 'parameter operator value'`);
    if (parameter === 'sort_order') sort.push(parseSort(term, comparison, value));
    else conditions.push(parseCondition(term, parameter, comparison as Comparison, value));
  }
  return {
    conditions: conditions.length === 0 ? DEFAULT_CONDITIONS : conditions,
    sort: sort.length === 0 ? DEFAULT_SORT : sort,
  };
}

function parseCondition(term: string, parameter: string, comparison: Comparison, value: string): OperationCondition {
  if (parameter === 'platform') {
    const colon = value.indexOf(':');
    if (colon <= 0) throw invalid(`'${term}': a platform is given as key:value`);
    if (comparison !== '=' && comparison !== '!=') throw invalid(`'${term}': a platform is compared by = or !=`);
    return { field: 'platform', comparison, key: value.slice(0, colon), value: value.slice(colon + 1) };
  }
  if (parameter === 'stage') return { field: 'stage', comparison, value: parseStage(term, value) };
  if (TIME_FIELDS.has(parameter)) {
    const time = Date.parse(/(Z|[+-]\d\d:?\d\d)$/i.test(value) || !value.includes('T') ? value : `${value}Z`);
    if (Number.isNaN(time)) throw invalid(`'${term}': '${value}' is not an ISO 8601 time`);
    return { field: parameter as OperationField, comparison, value: time };
  }
  if (TEXT_FIELDS.has(parameter)) return { field: parameter as OperationField, comparison, value };
  throw invalid(`'${term}': there is no parameter ${parameter}`);
}

/** By name, as REAPI has it, or by number. */
function parseStage(term: string, value: string): number {
  const name = value.toUpperCase();
  const numbers: Readonly<Record<string, number>> = { UNKNOWN: 0, CACHE_CHECK: 1, ...STAGE_NUMBERS };
  const number = numbers[name] ?? (/^[0-4]$/.test(value) ? Number(value) : undefined);
  if (number === undefined) throw invalid(`'${term}': there is no stage ${value}`);
  return number;
}

function parseSort(term: string, comparison: string, value: string): OperationSort {
  const [, parameter = '', order = 'asc'] = /^([a-z_]+)(?:\((asc|desc)\))?$/.exec(value) ?? [];
  const known = parameter === 'stage' || TEXT_FIELDS.has(parameter) || TIME_FIELDS.has(parameter);
  if (comparison !== '=' || !known) throw invalid(`'${term}': sort_order is =parameter(asc) or =parameter(desc)`);
  return { field: parameter as OperationField, descending: order === 'desc' };
}

function invalid(description: string): Error {
  return invalidArgument('filter', description);
}
