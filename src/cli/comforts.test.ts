import { execFile } from "node:child_process";
import { existsSync } from "node:fs";
import { mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { promisify } from "node:util";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { run } from "../../test/support/in-process.js";
import { loadRecipe } from "../recipe/recipe.js";
import { completionScript, SHELLS } from "./completion.js";
import { createProgram } from "./program.js";

let root: string;
beforeAll(async () => {
  root = await mkdtemp(join(tmpdir(), "touchstone-comforts-"));
});
afterAll(() => rm(root, { recursive: true, force: true }));

describe("What is mistyped", () => {
  it.each([
    [["alig"], /no verb "alig"\. Did you mean align\?/],
    [["alig", "r.yaml", "--check"], /no verb "alig"\. Did you mean align\?/],
    [["nonsense"], /no verb "nonsense"\. There are init, sft, /],
    [["reproduce", "crpo"], /reproduce takes one of warm, cgpo, mpo, not "crpo" \(did you mean "cgpo"\?\)/],
    [["completion", "bsh"], /completion takes one of bash, zsh, fish, not "bsh" \(did you mean "bash"\?\)/],
    [["rubric", "shw"], /Did you mean show/],
    [["warm", "inspct", "a", "b"], /did you mean "warm inspect"/],
    [["align", "--modle", "x"], /align has no flag --modle\. Did you mean --model\?/],
    [["warm", "inspect", "x", "--dtaa", "y"], /warm inspect has no flag --dtaa\. Did you mean --data\?/],
    [["warm", "a", "b", "--weigths", "1,2"], /warm has no flag --weigths\. Did you mean --weights\?/],
    [["sample", "--prompt", "--x", "--modl", "m"], /no flag --modl\. Did you mean --model/],
    [["help", "alig"], /touchstone has no "alig" \(did you mean "align"\?\)/],
    [["help", "warm", "inspct"], /warm has no "inspct" \(did you mean "inspect"\?\)/],
    [["help", "sft", "x"], /sft has no parts/],
  ])("%j", async (argv, message) => {
    const { code, err } = await run(...argv);
    expect([code, err]).toEqual([2, expect.stringMatching(message)]);
  });

  it("help of a part is that part's", async () => {
    const { code, out } = await run("help", "warm", "inspect");
    expect([code, out]).toEqual([0, expect.stringContaining("Usage: touchstone warm inspect")]);
  });
});

it("--quiet is a flag of every verb, and --json of every verb but two that print text", () => {
  const without: string[] = [];
  const visit = (command: ReturnType<typeof createProgram>, path: string): void => {
    if (command.commands.length === 0) {
      const flags = command.options.map(({ long }) => long);
      expect(flags, path).toContain("--quiet");
      if (!flags.includes("--json")) without.push(path.trim());
    }
    for (const child of command.commands) visit(child, `${path} ${child.name()}`);
  };
  visit(createProgram(), "");
  expect(without.sort()).toEqual(["completion", "help"]);
});

describe("completion", () => {
  /** What real bash offers for a line. */
  async function offered(line: string): Promise<string[]> {
    const script = join(root, "completion.bash");
    await writeFile(script, completionScript("bash", createProgram()));
    const words = line.split(" ");
    const program = `. ${script}
      COMP_WORDS=(${words.map((word) => `'${word}'`).join(" ")}); COMP_CWORD=${words.length - 1}
      _touchstone; printf '%s\\n' "\${COMPREPLY[@]}"`;
    const { stdout } = await promisify(execFile)("bash", ["--norc", "-c", program]);
    return stdout.trim().split("\n");
  }

  it.skipIf(process.platform === "win32").each([
    ["touchstone al", ["align"]],
    ["touchstone r", ["reward", "rm", "rubric", "report", "reproduce"]],
    ["touchstone warm in", ["inspect"]],
    ["touchstone merge in", ["inspect"]],
    ["touchstone sft --ep", ["--epochs"]],
    ["touchstone sft r.yaml --lora", ["--lora-r"]],
    ["touchstone rubric diff --clu", ["--cluster"]],
    ["touchstone score --device w", ["webgpu"]],
    ["touchstone reproduce c", ["cgpo"]],
    ["touchstone align nothing-like-this", [""]],
  ])("bash: %s", async (line, words) => {
    expect(await offered(line)).toEqual(words);
  });

  it.each(SHELLS)("%s accepts the script, where there is that shell", async (shell) => {
    const path = join(root, `completion.${shell}`);
    const { out: script } = await run("completion", shell);
    await writeFile(path, script);
    const missing = await promisify(execFile)(shell, ["-n", path]).then(
      () => false,
      (error: NodeJS.ErrnoException) => {
        if (error.code === "ENOENT") return true;
        throw error;
      },
    );
    expect(script.includes("align") && (shell !== "bash" || !missing)).toBe(true);
  });
});

describe("init", () => {
  const init = async (name: string, rows: object[] | string, ...flags: string[]) => {
    const data = join(root, `${name}.${typeof rows === "string" ? "csv" : "jsonl"}`);
    const text = typeof rows === "string" ? rows : rows.map((row) => `${JSON.stringify(row)}\n`).join("");
    await writeFile(data, text);
    const out = join(root, `${name}.yaml`);
    const argv = ["init", "--model", "org/model", "--data", data, "-o", out, "--yes", "--json", ...flags];
    const { code, out: printed, err } = await run(...argv);
    return { out, code, printed, err };
  };

  it.each([
    ["preferences", [{ prompt: "a", chosen: "b", rejected: "c" }], "reward", []],
    [
      "conversations",
      [
        {
          messages: [
            { role: "user", content: "a" },
            { role: "assistant", content: "b" },
          ],
        },
      ],
      "sft",
      [],
    ],
    [
      "gsm8k",
      [
        { question: "a", answer: "so #### 12" },
        { question: "b", answer: "3" },
      ],
      "align",
      ["math"],
    ],
    [
      "trivia",
      "question,answer\nWho?,Ada Lovelace\nWhere?,London\n",
      "align",
      ["{ kind: exact, match: contains }"],
    ],
    ["mbpp", [{ prompt: "a", test_list: ["assert f(1)"] }], "align", ["{ kind: code, language: python }"]],
    ["js", [{ prompt: "a", unit_tests: [] }], "align", ["code"]],
    ["ifeval", [{ prompt: "a", instruction_id_list: ["x"], kwargs: [{}] }], "align", ["instructions"]],
    ["prompts", [{ prompt: "a" }], "align", []],
  ] as const)("%s", async (name, rows, verb, judges) => {
    const { out, code, printed } = await init(name, rows as object[] | string);
    expect([code, JSON.parse(printed)]).toEqual([0, { recipe: out, verb, suggested: verb, judges }]);
    expect(await readFile(out, "utf8")).toContain("# ");
    const recipe = await loadRecipe(verb, out);
    if ("tasks" in recipe) expect(recipe.tasks).toHaveLength(1);
  });

  it("replaces nothing, and asks for what it needs where nobody can answer", async () => {
    const before = await readFile((await init("twice", [{ prompt: "a" }])).out, "utf8");
    const again = await init("twice", [{ text: "b" }]);
    expect([again.code, again.err]).toEqual([2, expect.stringContaining("exists already")]);
    expect(await readFile(again.out, "utf8")).toBe(before);
    const { code, err } = await run("init", "-o", join(root, "none.yaml"), "--yes");
    expect([code, err, existsSync(join(root, "none.yaml"))]).toEqual([
      2,
      expect.stringContaining("give --data"),
      false,
    ]);
  });
});
