// What can be wrong with a request, whatever the protocol; each dialect says it in its own words.

export type ProblemKind =
  /** The request is no request of this protocol. */
  | "invalid"
  | "unauthorised"
  | "not_found"
  | "conflict"
  | "gone"
  | "too_large"
  /** The request did not come in time. */
  | "slow"
  | "wrong_type"
  /** The queue is full. */
  | "busy"
  /** What was asked for cannot be had now: a judge or a reward failed, the server stops. */
  | "unavailable"
  | "not_implemented"
  | "internal";

/** HTTP status of each kind. */
export const statusOf: Record<ProblemKind, number> = {
  invalid: 400,
  unauthorised: 401,
  not_found: 404,
  conflict: 409,
  gone: 410,
  too_large: 413,
  slow: 408,
  wrong_type: 415,
  busy: 429,
  unavailable: 503,
  not_implemented: 501,
  internal: 500,
};

export class Problem extends Error {
  override name = "Problem";

  constructor(
    readonly kind: ProblemKind,
    message: string,
    readonly details: { retryAfterSeconds?: number; param?: string } = {},
  ) {
    super(message);
  }
}
