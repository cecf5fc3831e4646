// Errors that a person can act on.

/**
 * A mistake in what the user gave us: one clear sentence that names the file, the row or key, what is wrong and
 * what would be right. The command line prints the sentence without a stack and exits with code 2.
 */
export class UserError extends Error {
  override name = "UserError";
}

/** Too large a share of verdicts or rewards could not be had. A run ends at a checkpoint from before the step. */
export class FailureRateError extends UserError {
  override name = "FailureRateError";
}

/** A number that is not finite turned up during training; the message names step, tensor and batch. */
export class NonFiniteError extends Error {
  override name = "NonFiniteError";
}
