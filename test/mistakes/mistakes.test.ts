// Every mistake of the table ends with exit code 2 and words that a newcomer can act on, and changes nothing. What is said
// stands in test/fixtures/mistakes.md, to be read by a person: `npx vitest run test/mistakes -u` writes it anew.

import { createHash } from "node:crypto";
import { readFileSync } from "node:fs";
import { cp, lstat, readdir, readFile, rm, writeFile } from "node:fs/promises";
import { createServer, type Server } from "node:http";
import type { AddressInfo } from "node:net";
import { homedir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, expect, it } from "vitest";
import { writeRandomModel } from "../../src/lab/base.js";
import { trainBpe } from "../../src/lab/world/bpe.js";
import { specialTokens } from "../../src/lab/world/chat.js";
import { writeTokenizer } from "../../src/lab/world/files.js";
import { type Printed, run } from "../support/in-process.js";
import { openWorkshop, tinyConfig, type Workshop } from "../support/workshop.js";
import { chapters, type Mistake, unreadable } from "./table.js";

const startedIn = process.cwd();
let shop: Workshop;
let server: Server;
let port: number;

const jsonl = (...values: object[]): string => values.map((value) => `${JSON.stringify(value)}\n`).join("");

beforeAll(async () => {
  shop = await openWorkshop();
  process.chdir(shop.root);
  await writeFile("chats.jsonl", readFileSync("data/sft.jsonl"));
  await writeFile("preferences.jsonl", readFileSync("data/preferences.jsonl"));
  await writeFile("prompts.jsonl", readFileSync("data/prompts/writing.jsonl"));
  await writeFile("sums.jsonl", jsonl({ prompt: "2+3=", answer: "5" }, { prompt: "3+3=", answer: "6" }));
  await writeFile("answers.jsonl", jsonl({ prompt: "2+3=", completion: "5", answer: "5" }));
  await writeTokenizer(
    trainBpe(["abc abd abe cde", "bcd abc"], 262, Object.values(specialTokens)),
    "tokenizer-2",
  );
  await writeRandomModel("other", tinyConfig(262, "LlamaForSequenceClassification"), 3, "tokenizer-2");
  const { vocab_size } = JSON.parse(await readFile("policy/config.json", "utf8"));
  await writeRandomModel(
    "wide",
    { ...tinyConfig(vocab_size), hidden_size: 32, num_attention_heads: 4 },
    4,
    "tokenizer",
  );
  const sft = ["sft", "--model", "policy", "--data", "chats.jsonl", "--set", "batch_size=2", "--quiet"];
  for (const more of [
    ["-o", "run", "--steps", "2", "--seed", "1"],
    ["-o", "lora", "--steps", "1", "--lora-r", "2"],
  ])
    expect(await run(...sft, ...more)).toMatchObject({ code: 0, err: "" });
  await cp("lora/final", "adapter", { recursive: true });
  expect(
    await run("export", "adapter", "adapter-source.gguf", "--to", "gguf", "--adapter-only"),
  ).toMatchObject({ code: 0 });
  await writeFile(
    "align.yaml",
    "output_dir: out\npolicy: { model: policy }\nsteps: 2\ntasks: [{ name: sums, prompts: sums.jsonl, judges: [math] }]\n",
  );
  server = createServer((request, response) => {
    const status = request.url!.startsWith("/401") ? 401 : 404;
    const message = status === 401 ? "Incorrect API key provided" : "Not Found";
    response
      .writeHead(status, { "content-type": "application/json" })
      .end(JSON.stringify({ error: { message } }));
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  port = (server.address() as AddressInfo).port;
}, 300_000);
afterAll(async () => {
  server?.closeAllConnections();
  server?.close();
  process.chdir(startedIn);
  await shop?.remove();
});

/** Every file below the directory with its digest, links and directories with their kind. */
async function contents(): Promise<Record<string, string>> {
  const found: Record<string, string> = {};
  for (const entry of await readdir(".", { recursive: true, withFileTypes: true })) {
    const path = join(entry.parentPath, entry.name);
    found[path] = entry.isFile()
      ? createHash("sha256")
          .update(await readFile(path))
          .digest("hex")
      : `${(await lstat(path)).mode}`;
  }
  return found;
}

const withServer = (text: string): string =>
  text.replaceAll("{server}", `http://127.0.0.1:${port}`).replaceAll("{port}", String(port));

/** Temporary names and numbers as they are never twice. */
const plain = (text: string): string =>
  text
    .replaceAll(shop.root, "DIR")
    .replaceAll(`127.0.0.1:${port}`, "127.0.0.1:PORT")
    .replaceAll(`port ${port}`, "port PORT")
    .replaceAll(`"${homedir()}/`, '"HOME/')
    .replace(/"\/[^"]*\.\.\./g, '"...')
    // What the parser of this version of Node says.
    .replace(/(not valid JSON: ).*?( \(JSON .*\)\.)?$/gm, "$1...$2");

const words = (command: string): string[] =>
  [...command.matchAll(/'([^']*)'|(\S+)/g)].map(([, quoted, bare]) => quoted ?? bare!);

/** Seconds after which a command that only had to refuse is interrupted, and fails. */
const PATIENCE = 60;

interface Outcome extends Printed {
  changed: string[];
}

async function make({ command, files = {}, prepare, env = {} }: Mistake): Promise<Outcome> {
  for (const [name, content] of Object.entries(files))
    await writeFile(name, typeof content === "string" ? withServer(content) : content);
  await prepare?.();
  const before = await contents();
  const kept = { ...process.env };
  Object.assign(process.env, { HF_HUB_OFFLINE: "1" }, env);
  process.exitCode = undefined;
  const watch = setTimeout(() => process.emit("SIGINT"), 1000 * PATIENCE);
  const printed = await run(
    ...words(withServer(command)),
    ...(/^(chat|help|completion|serve)/.test(command) ? [] : ["--quiet"]),
  );
  clearTimeout(watch);
  process.exitCode = undefined;
  process.env = kept;
  const after = await contents();
  const changed = [...new Set([...Object.keys(before), ...Object.keys(after)])].filter(
    (path) => before[path] !== after[path],
  );
  return { ...printed, changed };
}

const page: string[] = [
  "# Mistakes, and what is said to them",
  "",
  "Written by `npx vitest run test/mistakes -u`, to be read by a person: does a newcomer learn which file, row, line or key is",
  "wrong, and what would be right? The directory holds a policy (10,000 parameters), a reward model, a finished run of sft and data.",
  "",
];
let count = 0;

for (const { title, mistakes } of chapters) {
  it(title, async () => {
    page.push(`## ${title}`, "");
    for (const mistake of mistakes) {
      const { code, out, err, changed } = await make(mistake);
      count++;
      expect
        .soft(err + out, mistake.what)
        .not.toMatch(/internal error|undefined|Invalid input|\[object| {4}at |^touchstone: .{600}/);
      expect
        .soft({ code, changed }, `${mistake.what}: ${err}`)
        .toEqual({ code: mistake.code ?? 2, changed: [] });
      const shown =
        mistake.shows ?? Object.values(mistake.files ?? {}).find((content) => typeof content === "string");
      page.push(`**${mistake.what}**`, "", "```", `$ touchstone ${mistake.command}`);
      if (shown)
        page.push(
          ...String(shown)
            .trimEnd()
            .split("\n")
            .slice(0, 9)
            .map((line) => `| ${line.slice(0, 110)}`),
        );
      page.push(
        ...plain(err + out)
          .trim()
          .split("\n")
          .map((line, at) => (at === 0 ? `${code} ${line.replace("touchstone: ", "")}` : `  ${line}`)),
        "```",
        "",
      );
      await rm("out", { recursive: true, force: true });
    }
  }, 600_000);
}

it.skipIf(process.getuid?.() === 0)("a directory that may not be read", async () => {
  expect(await make(unreadable)).toMatchObject({
    code: 2,
    err: expect.stringContaining("locked"),
    changed: [],
  });
});

it("there are 120 at least, and what is said to them is what was read", async () => {
  expect(count).toBeGreaterThanOrEqual(120);
  await expect(page.join("\n")).toMatchFileSnapshot(join(import.meta.dirname, "../fixtures/mistakes.md"));
});
