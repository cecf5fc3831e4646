import { Command } from "commander";
import { printResult } from "../context.js";
import { addOneModelFlags, type ModelFlags, modelChoice } from "../model-flags.js";
import { realNumber, wholeNumber } from "../values.js";

interface ChatFlags extends ModelFlags {
  system?: string;
  maxNewTokens: string;
  temperature: string;
  topP: string;
  seed: string;
}

export const chatCommand = () =>
  addOneModelFlags(
    new Command("chat"),
    "the model to talk to: a directory, an adapter, a .gguf file or a Hub name",
  )
    .summary("talk to a checkpoint in the terminal")
    .description(
      "Reads a line, answers it through the model's chat template, token by token, and remembers the conversation. " +
        "/new forgets it, /exit (or Ctrl-D) leaves. Lines can also come from a pipe.",
    )
    .option("--system <text>", "a system message before the first turn")
    .option("--max-new-tokens <n>", "upper bound on the tokens of an answer", "512")
    .option("--temperature <t>", "0 is greedy", "0.7")
    .option("--top-p <p>", "nucleus sampling; 1 is off", "0.95")
    .option("--seed <n>", "the same seed and the same lines give the same answers", "0")
    .option("--json", "all conversations as one JSON object on stdout at the end, nothing token by token")
    .addHelpText(
      "after",
      "\nExamples:\n  $ touchstone chat --model runs/bot/final\n" +
        "  $ touchstone chat --model SmolLM2-135M-Instruct.Q4_1.gguf --temperature 0",
    )
    .action(async (flags: ChatFlags) => {
      const { chat } = await import("../chat.js");
      const conversations = await chat({
        ...modelChoice(flags),
        system: flags.system,
        maxNewTokens: wholeNumber(flags.maxNewTokens, "--max-new-tokens", 1),
        temperature: realNumber(flags.temperature, "--temperature"),
        topP: realNumber(flags.topP, "--top-p", { max: 1 }),
        seed: wholeNumber(flags.seed, "--seed"),
        input: process.stdin,
        output: flags.json ? undefined : process.stdout,
      });
      if (flags.json) printResult({ model: flags.model, conversations }, [], flags);
    });
