import { Command } from "commander";
import type { ContextFlags } from "../context.js";
import { repeated } from "../values.js";

export interface ServeFlags extends ContextFlags {
  reward?: string;
  judge?: string[];
  set?: string[];
  host: string;
  port: string;
  token?: string;
  tokenEnv?: string;
  maxBodyMb: string;
  requestSeconds: string;
  baselineReward?: string;
  chat?: boolean;
  policy?: string | false;
  out?: string;
  threads?: string;
}

export const serveCommand = () =>
  new Command("serve")
    .summary("serve a recipe's rewards, judges and rubrics to other trainers")
    .description(
      "Answers other trainers over HTTP with the rewards, verdicts and evolving rubrics of a recipe, or of a reward model and judges " +
        "named by flags, in the protocol that each trainer speaks. A directory of reward models is averaged on start (WARM). " +
        "A sample whose judge failed is never a zero.",
    )
    .argument("[recipe]", "an align recipe")
    .option("--reward <dir>", "a reward model, or a directory of members to average (without a recipe)")
    .option("--judge <judge>", "a judge, as in a recipe; may be given several times", repeated)
    .option("--set <key=value>", "change a value of the recipe; may be given several times", repeated)
    .option("--host <address>", "where to listen; anything but loopback needs a token", "127.0.0.1")
    .option("--port <n>", "0: any free port", "8940")
    .option("--token <token>", "what clients send as a bearer token, or in the path: /t/<token>/...")
    .option("--token-env <name>", "the environment variable that holds the token")
    .option("--max-body-mb <n>", "largest request", "16")
    .option("--request-seconds <n>", "for a client to send its request", "60")
    .option("--baseline-reward <r>", "r(abar) where a sample has no baseline response (without a recipe: 0)")
    .option("--chat", "take plain prompts of clients as a user's message, through the chat template")
    .option("--no-chat", "take them as they stand, and say nothing of it (default: say so, once)")
    .option("--policy <dir>", "a language model to serve (without a recipe)")
    .option("--no-policy", "do not open the recipe's language model")
    .option("-o, --out <dir>", "where log and rubrics go (default: output_dir/serve, or runs/serve)")
    .option("--threads <n>", "CPU threads (default: all)")
    .option("--quiet", "no notes")
    .option("--json", "what is served, and where, as one JSON object on stdout; no notes")
    .addHelpText(
      "after",
      "\nExamples:\n  $ touchstone serve recipe.yaml --port 8940\n" +
        "  $ touchstone serve --reward runs/rm/merged --judge math --judge '{kind: length, max_words: 50}'\n" +
        "  $ touchstone serve recipe.yaml --host 0.0.0.0 --token-env REWARD_TOKEN",
    )
    .action(async (recipe: string | undefined, flags: ServeFlags) => {
      const { serve } = await import("../serve.js");
      await serve(recipe, flags);
    });
