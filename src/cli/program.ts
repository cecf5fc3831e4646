// The verbs. A verb is in this list when it does something.

import { Command } from "commander";
import { VERSION } from "../base/version.js";
import { alignCommand } from "./commands/align.js";
import { chatCommand } from "./commands/chat.js";
import { completionCommand } from "./commands/completion.js";
import { convertCommand } from "./commands/convert.js";
import { doctorCommand } from "./commands/doctor.js";
import { eloCommand } from "./commands/elo.js";
import { evalCommand } from "./commands/eval.js";
import { exportCommand } from "./commands/export.js";
import { helpCommand } from "./commands/help.js";
import { initCommand } from "./commands/init.js";
import { judgeCommand } from "./commands/judge.js";
import { logprobsCommand } from "./commands/logprobs.js";
import { monitorCommand } from "./commands/monitor.js";
import { pushCommand } from "./commands/push.js";
import { quickstartCommand } from "./commands/quickstart.js";
import { reportCommand } from "./commands/report.js";
import { reproduceCommand } from "./commands/reproduce.js";
import { rewardCommand } from "./commands/reward.js";
import { rubricCommand } from "./commands/rubric.js";
import { sampleCommand } from "./commands/sample.js";
import { scoreCommand } from "./commands/score.js";
import { serveCommand } from "./commands/serve.js";
import { sftCommand } from "./commands/sft.js";
import { splitCommand } from "./commands/split.js";
import { uiCommand } from "./commands/ui.js";
import { warmCommand } from "./commands/warm.js";

const VERBS = [
  initCommand,
  sftCommand,
  rewardCommand,
  warmCommand,
  alignCommand,
  sampleCommand,
  chatCommand,
  scoreCommand,
  logprobsCommand,
  convertCommand,
  exportCommand,
  pushCommand,
  judgeCommand,
  evalCommand,
  eloCommand,
  splitCommand,
  rubricCommand,
  serveCommand,
  monitorCommand,
  reportCommand,
  uiCommand,
  quickstartCommand,
  reproduceCommand,
  doctorCommand,
  completionCommand,
  helpCommand,
];

export function createProgram(): Command {
  const program = new Command("touchstone")
    .description(
      "Post-train language models against rewards that they cannot cheat: weight-averaged reward models (WARM), " +
        "judges that gate every sample (CGPO), rubrics that evolve (MPO).",
    )
    .version(VERSION, "-V, --version", "print the version")
    .helpCommand(false)
    .showSuggestionAfterError()
    .exitOverride()
    .configureOutput({ outputError: (text, write) => write(explained(text)) })
    .addHelpText(
      "after",
      "\nExit codes: 0 done; 2 a mistake in the command, recipe or data; 130 interrupted (continue with --resume);\n" +
        "1 a bug in Touchstone.",
    );
  for (const verb of VERBS) {
    const command = verb();
    program.addCommand(inherit(program, command));
  }
  return program;
}

/** Commander's own messages, as all others begin, and with what is meant by "arguments". `path`: the verb, and its part. */
const explained = (text: string, path = ""): string =>
  text
    .replace(/^error: /, "touchstone: ")
    .replace(
      /^(touchstone: (?:missing required argument|required option) .*)/,
      path === "" ? "$1" : `$1; touchstone help ${path} says what it takes`,
    )
    .replace(
      /(too many arguments for '(?:sft|reward|align)'\. .*)/,
      "$1 The one is a recipe; models and data are given by flags, such as --model and --data.",
    );

/** Commands that are made on their own do not inherit by themselves. What has no progress may be told to be quiet too. */
function inherit(parent: Command, command: Command, above = ""): Command {
  const path = `${above} ${command.name()}`.trim();
  command.copyInheritedSettings(parent);
  command.configureOutput({ outputError: (text, write) => write(explained(text, path)) });
  if (command.commands.length === 0 && !command.options.some(({ long }) => long === "--quiet"))
    command.option("--quiet", "no progress");
  for (const sub of command.commands) inherit(command, sub, path);
  return command;
}
