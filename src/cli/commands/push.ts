import { Command } from "commander";
import { UserError } from "../../base/errors.js";
import { type ContextFlags, printResult, withContext } from "../context.js";

interface PushFlags extends ContextFlags {
  private?: boolean;
  branch: string;
  title: string;
  license?: string;
  dryRun?: boolean;
}

export const pushCommand = () =>
  new Command("push")
    .summary("publish a model on the Hugging Face Hub, with a model card made of its run")
    .description(
      "Sends the files of a model directory (configuration, tokenizer, weights) as one commit to owner/name, which is made " +
        "where it does not exist. A directory without README.md gets a card: how it was trained, what came of it, its recipe " +
        "without addresses and whole paths, and whom to cite. HF_TOKEN holds the access token, HF_ENDPOINT another Hub.",
    )
    .argument("<model>", "a model directory, such as runs/bot/final")
    .argument("<repo>", "owner/name")
    .option("--private", "a repository that is made now is private")
    .option("--branch <name>", "the branch", "main")
    .option("--title <text>", "the title of the commit", "Upload model")
    .option(
      "--license <id>",
      "the licence in the card (default: that of the base model's card, where it is here)",
    )
    .option("--dry-run", "print the files and the card, and send nothing")
    .option("--json", "what was sent as one JSON object on stdout; no progress")
    .option("--quiet", "no progress")
    .addHelpText(
      "after",
      "\nExamples:\n  $ touchstone push runs/bot/final me/bot --dry-run\n  $ HF_TOKEN=hf_... touchstone push runs/bot/final me/bot --private --license apache-2.0",
    )
    .action(async (model: string, repo: string, flags: PushFlags) => {
      const [{ cardOf }, { publishedFiles, pushModel }] = await Promise.all([
        import("../../train/card.js"),
        import("../../data/hub-push.js"),
      ]);
      const { license, branch, title } = flags;
      if (license !== undefined && !/^[a-z0-9.-]{1,60}$/.test(license))
        throw new UserError(`--license must be an identifier such as apache-2.0, not "${license}"`);
      const files = await publishedFiles(model);
      const card = await cardOf(model, { license });
      const sent = [...new Set([...files, "README.md"])].sort();
      if (flags.dryRun) {
        printResult(
          { repo, files: sent, card: card.text },
          [`${repo}: ${sent.join(", ")}`, "", card.text],
          flags,
        );
        return;
      }
      const pushed = await withContext(flags, async ({ reporter, signal }) => {
        let last = "";
        return pushModel(model, {
          repo,
          card: card.text,
          branch,
          title,
          isPrivate: flags.private ?? false,
          ...(signal && { signal }),
          onProgress(path, share) {
            if (share === 1 && path !== last) reporter.note(`sent ${(last = path)}`);
          },
        });
      });
      printResult(pushed, [`${pushed.url} (commit ${pushed.commit}): ${pushed.files.join(", ")}`], flags);
    });
