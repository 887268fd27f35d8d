/** An answer that is not a success, as the API's Horcrux dialect tells it: `{error, code, request_id, fields?, task?}`. */

import type { FieldProblem } from './types';

/** By hand, and knowing nothing: what answers with an error may be a proxy and no agent at all. */
interface Problem {
  error?: unknown;
  code?: unknown;
  request_id?: unknown;
  fields?: unknown;
  task?: unknown;
  retry_after_s?: unknown;
}

export class ApiError extends Error {
  constructor(
    /** 0: no answer came at all. */
    readonly status: number,
    readonly code: string,
    message: string,
    readonly requestId: string,
    readonly fields: readonly FieldProblem[] = [],
    /** Id of the task that holds the object (`busy`). */
    readonly task: string | null = null,
    readonly retryAfterS: number | null = null,
  ) {
    super(message);
    this.name = 'ApiError';
  }
}

export function isApiError(error: unknown): error is ApiError {
  return error instanceof ApiError;
}

/** The error of an answer; `text` is its body, which may be no JSON at all (a proxy's page). */
export function errorFrom(status: number, text: string, headers: Headers): ApiError {
  const problem = parse(text);
  const retry = Number(headers.get('Retry-After') ?? Number.NaN);
  return new ApiError(
    status,
    typeof problem.code === 'string' ? problem.code : `http_${String(status)}`,
    typeof problem.error === 'string' ? problem.error : `The server answered ${String(status)}.`,
    typeof problem.request_id === 'string' ? problem.request_id : (headers.get('X-Request-Id') ?? ''),
    Array.isArray(problem.fields) ? problem.fields.filter(isFieldProblem) : [],
    typeof problem.task === 'string' ? problem.task : null,
    Number.isFinite(retry) ? retry : null,
  );
}

function parse(text: string): Problem {
  try {
    const value: unknown = JSON.parse(text);
    return typeof value === 'object' && value !== null ? value : {};
  } catch {
    return {};
  }
}

function isFieldProblem(value: unknown): value is FieldProblem {
  return typeof value === 'object' && value !== null && 'field' in value && 'message' in value;
}

/** The problem of one field of a form; a problem of `disks[0].size_gb` is also one of `disks[0]`. */
export function problemOf(error: unknown, field: string): string | null {
  if (!isApiError(error)) return null;
  const found = error.fields.find(
    (problem) => problem.field === field || problem.field.startsWith(`${field}.`) || problem.field.startsWith(`${field}[`),
  );
  return found?.message ?? null;
}
