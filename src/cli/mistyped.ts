// What was mistyped is said before what is missing: commander asks for required flags first, and takes an unknown part of a
// verb that has a default for its argument.

import { existsSync } from "node:fs";
import type { Command, Option } from "commander";
import { UserError } from "../base/errors.js";
import { nearest } from "../base/suggest.js";

/** What other tools call a verb. */
const OTHER_VERBS: Record<string, string> = {
  ...Object.fromEntries(
    ["train", "finetune", "fine-tune", "fit"].map((name) => [name, "sft, reward or align"]),
  ),
  ...Object.fromEntries(
    ["dpo", "ppo", "grpo", "rloo", "rlhf", "cgpo", "mpo", "rl"].map((name) => [name, "align"]),
  ),
  ...Object.fromEntries(
    ["generate", "infer", "predict", "vllm-serve"].map((name) => [name, "sample or chat"]),
  ),
  ...Object.fromEntries(["evaluate", "benchmark"].map((name) => [name, "eval"])),
  average: "warm",
  "reward-model": "reward",
};

/** What other tools call a flag. */
const OTHER_FLAGS: Record<string, string> = {
  "--lr": "--learning-rate",
  "--num-train-epochs": "--epochs",
  "--max-steps": "--steps",
  "--model-name-or-path": "--model",
  "--base-model": "--model",
  "--dataset-name": "--data",
  "--dataset": "--data",
  "--output": "--out",
  "--per-device-train-batch-size": "--batch-size",
  "--lora-rank": "--lora-r",
  "--resume-from-checkpoint": "--resume",
};

/** Throws for a verb that there is not, for the first flag that the verb does not have, and for a part or a word nearly one of its own. */
export function checkTyped(program: Command, argv: readonly string[]): void {
  let command = program;
  const path: string[] = [];
  let isFirst = true;
  for (let at = 0; at < argv.length; at++) {
    const word = argv[at]!;
    if (word === "--") return;
    if (word.startsWith("-") && word.length > 1) {
      at += checkFlag(command, path, word, argv.slice(at + 1));
      continue;
    }
    const below = command.commands.find((child) => child.name() === word || child.aliases().includes(word));
    if (!below) {
      // `help` of a part, and everything behind the first argument.
      if (word === "help") return;
      if (command.commands.length > 0) checkPart(command, path, word);
      else if (isFirst) checkChoice(command, path, word);
      isFirst = false;
      command = defaultOf(command);
      continue;
    }
    command = below;
    isFirst = true;
    path.push(command.name());
  }
}

const namesOf = (command: Command): string[] =>
  command.commands.flatMap((child) => [child.name(), ...child.aliases()]);

/** The part that a verb means when none is named: `warm` with members is `warm average`. */
function defaultOf(command: Command): Command {
  const { _defaultCommandName: name } = command as unknown as { _defaultCommandName?: string | null };
  return command.commands.find((child) => child.name() === name) ?? command;
}

function checkPart(command: Command, path: readonly string[], word: string): void {
  const usual = path.length === 0 ? OTHER_VERBS[word] : undefined;
  const meant = usual ?? nearest(word, namesOf(command));
  if (defaultOf(command) === command) {
    const known = command.commands.map((child) => child.name()).join(", ");
    const hint = meant === undefined ? `There are ${known}` : `Did you mean ${meant}?`;
    const what = path.length === 0 ? "touchstone has no verb" : `${path.join(" ")} has no part`;
    throw new UserError(`${what} "${word}". ${hint}`);
  }
  if (meant === undefined || existsSync(word)) return;
  throw new UserError(
    `there is no "${word}" here, and ${path.join(" ")} has no such part (did you mean "${path.join(" ")} ${meant}"?)`,
  );
}

/** The first argument of a verb that takes one of a few words. */
function checkChoice(command: Command, path: readonly string[], word: string): void {
  const choices = command.registeredArguments[0]?.argChoices;
  if (!choices || choices.includes(word)) return;
  const meant = nearest(word, choices);
  const hint = meant === undefined ? "" : ` (did you mean "${meant}"?)`;
  throw new UserError(`${path.join(" ")} takes one of ${choices.join(", ")}, not "${word}"${hint}`);
}

/** How many of the words behind a flag are its values. */
function checkFlag(command: Command, path: readonly string[], word: string, rest: readonly string[]): number {
  const [name] = word.split("=", 1) as [string];
  const known = optionsFor(command);
  const option = known.find(({ short, long }) => short === name || long === name);
  if (!option) {
    if (name.startsWith("--") && !["--help", "--version"].includes(name)) {
      const names = ["--help", ...known.flatMap(({ long }) => (long ? [long] : []))];
      const where = path.length === 0 ? "touchstone" : path.join(" ");
      const usual = OTHER_FLAGS[name.replaceAll("_", "-")];
      const meant = usual !== undefined && names.includes(usual) ? usual : nearest(name, names);
      const hint = meant === undefined ? "" : ` Did you mean ${meant}?`;
      const set = names.includes("--set") ? " Every key of a recipe can be given by --set key=value." : "";
      throw new UserError(`${where} has no flag ${name}.${hint}${set}`);
    }
    // Short flags may stand together, and negative numbers look like them: commander's part.
    return 0;
  }
  const next = rest[0];
  if (option.required && !word.includes("=") && next !== undefined && known.some(({ long }) => long === next))
    throw new UserError(`${name} needs a value, and ${next} is the next flag`);
  if (word.includes("=") || !(option.required || option.optional)) return 0;
  const values = rest.findIndex((value) => value.startsWith("-") && value.length > 1);
  const count = values < 0 ? rest.length : values;
  return option.variadic ? Math.max(1, count) : option.required ? 1 : Math.min(1, count);
}

/** The flags of a command, of what it means when nothing more is said, and of those above it. */
function optionsFor(command: Command): readonly Option[] {
  const own = [...command.options, ...defaultOf(command).options];
  return command.parent ? [...own, ...optionsFor(command.parent)] : own;
}
