import { Argument, Command } from "commander";
import { completionScript, SHELLS, type Shell } from "../completion.js";

export const completionCommand = () =>
  new Command("completion")
    .summary("a script that completes verbs and flags in a shell")
    .description("Prints a script for the shell, made from the verbs and flags of this version.")
    .addArgument(new Argument("<shell>", "the shell").choices(SHELLS))
    .addHelpText(
      "after",
      "\nExamples:\n  $ touchstone completion bash >> ~/.bashrc\n" +
        "  $ touchstone completion zsh > ~/.zfunc/_touchstone\n" +
        "  $ touchstone completion fish > ~/.config/fish/completions/touchstone.fish",
    )
    .action((shell: Shell, _flags: unknown, command: Command) => {
      process.stdout.write(completionScript(shell, command.parent!));
    });
