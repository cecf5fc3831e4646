/** What an engine says that is asked for a step with nothing to step by. */
export const noGradient = (): Error =>
  new Error(
    "step: there is no gradient to apply, for nothing went through backward since the last step; where all samples of a batch were dropped or have advantage 0, leave the step out",
  );
