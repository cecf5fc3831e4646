import { Command } from "commander";
import { UserError } from "../../base/errors.js";
import { didYouMean } from "../../base/suggest.js";

export const helpCommand = () =>
  new Command("help")
    .summary("explain a verb, or a part of one")
    .argument("[verb...]", "for example: warm inspect")
    .addHelpText("after", "\nExamples:\n  $ touchstone help align\n  $ touchstone help warm inspect")
    .action((words: string[], _flags: unknown, command: Command) => {
      let at = command.parent!;
      for (const word of words) {
        const below = at.commands.find((child) => child.name() === word || child.aliases().includes(word));
        if (!below) {
          const names = at.commands.map((child) => child.name());
          const where = at.parent ? at.name() : "touchstone";
          throw new UserError(
            names.length === 0
              ? `${where} has no parts, so no "${word}"`
              : `${where} has no "${word}"${didYouMean(word, names)}; there are ${names.join(", ")}`,
          );
        }
        at = below;
      }
      at.help();
    });
