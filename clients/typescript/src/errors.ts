/** What a call can end with: one class for each stable `code` of the API. */

export interface FieldError {
  /** A path as the caller wrote it: `parameters.cpu`. */
  field: string;
  message: string;
}

export interface ErrorDetails {
  code?: string;
  status?: number;
  errors?: FieldError[];
  requestId?: string;
  retryAfterMs?: number;
  cause?: unknown;
}

/** The base of all of them. */
export class AlcoveError extends Error {
  /** The stable word of the API. */
  readonly code: string;
  /** The HTTP status; undefined when there was no answer. */
  readonly status?: number;
  /** What is wrong with which field. */
  readonly errors: readonly FieldError[];
  /** Leads the operator to the server's log. */
  readonly requestId?: string;
  readonly retryAfterMs?: number;

  constructor(message: string, details: ErrorDetails = {}) {
    super(message, details.cause === undefined ? undefined : { cause: details.cause });
    this.name = new.target.name;
    this.code = details.code ?? "failed";
    this.status = details.status;
    this.errors = details.errors ?? [];
    this.requestId = details.requestId;
    this.retryAfterMs = details.retryAfterMs;
  }
}

export class NotFound extends AlcoveError {}
export class Conflict extends AlcoveError {}
export class Denied extends AlcoveError {}
export class Unauthenticated extends Denied {}
export class QuotaExceeded extends Denied {}
export class BudgetExhausted extends Denied {}
export class Invalid extends AlcoveError {}
export class Unsupported extends AlcoveError {}
export class RateLimited extends AlcoveError {}
/** A part of the system cannot be reached now; trying again can help. */
export class Unavailable extends AlcoveError {}
/** A sandbox that will not come to run. */
export class WorkspaceFailed extends AlcoveError {}
export class SnapshotFailed extends AlcoveError {}
/** What was waited for did not come in time. */
export class WaitTimeout extends AlcoveError {}

/** A command ended with another code than 0, and `check` was asked for. */
export class CommandFailed<ResultT = unknown> extends AlcoveError {
  constructor(
    message: string,
    readonly result: ResultT,
  ) {
    super(message, { code: "command_failed" });
  }
}

type Kind = new (message: string, details?: ErrorDetails) => AlcoveError;

const BY_CODE: Readonly<Record<string, Kind>> = {
  not_found: NotFound,
  conflict: Conflict,
  denied: Denied,
  unauthenticated: Unauthenticated,
  quota_exceeded: QuotaExceeded,
  budget_exhausted: BudgetExhausted,
  invalid: Invalid,
  malformed: Invalid,
  range_not_satisfiable: Invalid,
  unsupported: Unsupported,
  rate_limited: RateLimited,
  unavailable: Unavailable,
};
const BY_STATUS: Readonly<Record<number, Kind>> = {
  400: Invalid,
  401: Unauthenticated,
  403: Denied,
  404: NotFound,
  409: Conflict,
  422: Invalid,
  429: RateLimited,
  502: Unavailable,
  503: Unavailable,
  504: Unavailable,
};

/**
 * The error that an answer stands for. `code` decides, then the status: an answer from a proxy
 * has no code, and a newer server may have codes that are not known here.
 */
export function fromProblem(status: number, body: unknown, retryAfterMs?: number): AlcoveError {
  const problem = isObject(body) ? body : {};
  const code = typeof problem["code"] === "string" ? problem["code"] : undefined;
  const kind = (code === undefined ? undefined : BY_CODE[code]) ?? BY_STATUS[status] ?? AlcoveError;
  const detail = problem["detail"];
  const errors = Array.isArray(problem["errors"]) ? problem["errors"].filter(isFieldError) : [];
  const requestId = problem["request_id"];
  return new kind(typeof detail === "string" ? detail : `the server answered ${status}`, {
    code,
    status,
    errors,
    requestId: typeof requestId === "string" ? requestId : undefined,
    retryAfterMs,
  });
}

function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

function isFieldError(value: unknown): value is FieldError {
  return (
    isObject(value) && typeof value["field"] === "string" && typeof value["message"] === "string"
  );
}
