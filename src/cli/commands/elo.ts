import { Command, Option } from "commander";
import { UserError } from "../../base/errors.js";
import { percent } from "../../base/percent.js";
import type { Player, TournamentResult } from "../../eval/tournament.js";
import { addEndpointFlags, type EndpointFlags, endpointOf } from "../chat-endpoint.js";
import { printResult, withContext } from "../context.js";
import { addChatFlags, limitOf, type ModelFlags, modelChoice } from "../model-flags.js";
import { realNumber, repeated, wholeNumber } from "../values.js";

interface EloFlags extends EndpointFlags, Omit<ModelFlags, "model"> {
  model: string[];
  prompts: string;
  maxNewTokens: string;
  temperature: string;
  topP: string;
  seed: string;
}

export const eloCommand = () =>
  addChatFlags(addEndpointFlags(new Command("elo"), "the model that compares"))
    .summary("rate policies by a tournament in which a judge model compares their answers")
    .description(
      "Every policy answers every prompt, and the judge model sees every two answers in both orders; ties are allowed. The " +
        "comparisons are fitted by a Bradley-Terry model on Elo's scale (mean 1000, 400 points are odds of 10 to 1), with " +
        "95 % intervals over the prompts. What the judge could not decide is counted apart. With --out answers and " +
        "verdicts are kept, and the same command again goes on from there.",
    )
    .requiredOption("--model <[name=]dir>", "a policy: directory or Hub name; give two or more", repeated)
    .requiredOption("--prompts <file>", "the prompts that all of them answer")
    .option("-o, --out <dir>", "keep answers, verdicts and results here")
    .option("--limit <n>", "use the first prompts only")
    .option("--max-new-tokens <n>", "upper bound on new tokens", "256")
    .option("--temperature <t>", "0 is greedy", "0")
    .option("--top-p <p>", "nucleus sampling; 1 is off", "1")
    .option("--seed <n>", "the same seed gives the same answers", "0")
    .option("--chat-template <file>", "a Jinja template instead of the models' own")
    .addOption(new Option("--device <device>", "where to run").choices(["cpu", "webgpu"]).default("cpu"))
    .option("--threads <n>", "CPU threads (default: all)")
    .option("--max-batch-tokens <n>", "tokens of one batch: bounds memory, never changes results", "4096")
    .option("--quiet", "no progress")
    .option("--json", "the result as one JSON object on stdout")
    .addHelpText(
      "after",
      "\nExamples:\n" +
        "  $ touchstone elo --model mpo=runs/mpo/final --model fixed=runs/fixed/final --model base=./base \\\n" +
        "      --prompts held-out.jsonl --judge qwen3:32b@http://127.0.0.1:11434/v1 -o runs/elo",
    )
    .action(async (flags: EloFlags) => {
      const players = flags.model.map(playerOf);
      if (players.length < 2)
        throw new UserError("a tournament needs two policies or more: give --model twice");
      const twice = players.find(({ name }, i) => players.findIndex((other) => other.name === name) < i);
      if (twice) throw new UserError(`two policies are called "${twice.name}"; write --model name=dir`);
      const { runTournament, tournamentJson } = await import("../../eval/tournament.js");
      const { engine, chatTemplate, chat } = modelChoice({ ...flags, model: "" });
      const result = await withContext(flags, (context) =>
        runTournament(
          {
            players,
            prompts: flags.prompts,
            judge: endpointOf(flags),
            engine,
            chatTemplate,
            chat,
            limit: limitOf(flags),
            maxNewTokens: wholeNumber(flags.maxNewTokens, "--max-new-tokens", 1),
            temperature: realNumber(flags.temperature, "--temperature"),
            topP: realNumber(flags.topP, "--top-p", { max: 1 }),
            seed: wholeNumber(flags.seed, "--seed"),
            out: flags.out,
          },
          context,
        ),
      );
      printResult(tournamentJson(result), linesOf(result), flags);
    });

/** `mpo=runs/mpo/final`, or the directory alone, which is the name then. */
function playerOf(text: string): Player {
  const [, name, model] = /^([^=/\\]+)=(.+)$/.exec(text) ?? [];
  return name === undefined ? { name: text, model: text } : { name, model: model! };
}

function linesOf({
  standings,
  pairs,
  failed,
  failure,
  firstPlace,
  prompts,
  judge,
}: TournamentResult): string[] {
  return [
    `${prompts} prompts, compared by ${judge}`,
    ...standings.map(({ name, elo: { estimate, low, high }, score }) => {
      const [elo, from, to] = [estimate, low, high].map(Math.round);
      return `${elo} (${from} to ${to})  ${name}, preferred in ${percent(score)}`;
    }),
    ...pairs.map(
      ({ a, b, estimate, low, high }) =>
        `  ${a} over ${b}: ${percent(estimate)} (${percent(low)} to ${percent(high)})`,
    ),
    ...(firstPlace === undefined
      ? []
      : [`the judge chose the reply shown first in ${percent(firstPlace)} of its verdicts`]),
    ...(failed > 0 ? [`${failed} comparisons have no verdict, for example: ${failure}`] : []),
  ];
}
