// What a recipe says in vain: allowed, because flags and saved recipes say such things too, and rarely what was meant.

type Given = Readonly<Record<string, unknown>>;

/** The first of the names that is there, with its value. */
function firstOf(given: Given, names: readonly string[]): { name: string; value: unknown } | undefined {
  const name = names.find((one) => given[one] !== undefined && given[one] !== null);
  return name === undefined ? undefined : { name, value: given[name] };
}

const STEPS = ["steps", "max_steps"];
const EPOCHS = ["epochs", "num_train_epochs", "num_epochs"];
const RATE = ["learning_rate", "lr"];

const isPositive = (value: unknown): boolean => typeof value === "number" && value > 0;
const isZero = (value: unknown): boolean => value === 0 || (Array.isArray(value) && value.every(isZero));

/** Which of two settings holds, and what of the others nobody looks at; of a recipe as it is written, flags included. */
export function vainSettings(verb: "sft" | "reward" | "align", given: Given): string[] {
  const remarks: string[] = [];
  const [steps, epochs, rate] = [STEPS, EPOCHS, RATE].map((names) => firstOf(given, names));
  if (verb !== "align" && steps && epochs && isPositive(steps.value))
    remarks.push(
      `${steps.name} ${steps.value} decides how long the run is: ${epochs.name} ${epochs.value} is not looked at`,
    );
  if (rate && isZero(rate.value)) remarks.push(`${rate.name} is 0: nothing will be learned`);
  const {
    warmup_ratio,
    warmup_steps = 10,
    min_lr_ratio,
    lr_scheduler_type,
    lr_scheduler,
    eval_steps,
  } = given;
  if (isPositive(warmup_ratio) && warmup_steps !== 10)
    remarks.push(`warmup_ratio ${warmup_ratio} decides: warmup_steps ${warmup_steps} is not looked at`);
  const scheduler = lr_scheduler_type ?? lr_scheduler ?? (verb === "sft" ? "cosine" : "constant");
  if (isPositive(min_lr_ratio) && scheduler === "constant" && !(verb === "sft" && min_lr_ratio === 0.1))
    remarks.push("min_lr_ratio is not looked at: lr_scheduler_type constant never falls");
  if (isPositive(eval_steps)) {
    if (verb === "align")
      remarks.push("eval_steps is not looked at: an alignment logs its tasks' metrics with every step");
    else if (given.eval_data === undefined && (verb === "sft" || given.eval_split === 0))
      remarks.push("eval_steps is not looked at: there is no eval_data to evaluate on");
  }
  return remarks.map((remark) => `warning: ${remark}`);
}
