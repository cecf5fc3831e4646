// The library as its users see it: the programs of docs/library.md are the files in examples/, they type-check against the
// built package, and they run. `npm test` builds first.

import { execFile } from "node:child_process";
import { mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { promisify } from "node:util";
import { afterAll, beforeAll, describe, expect, it } from "vitest";

const run = promisify(execFile);
const root = join(import.meta.dirname, "..");
const programs = ["own-reward", "judge-file", "own-objective"];

let dir: string;
beforeAll(async () => {
  dir = await mkdtemp(join(tmpdir(), "touchstone-library-"));
});
afterAll(() => rm(dir, { recursive: true, force: true }));

const example = async (name: string, ...args: string[]): Promise<string> => {
  const { stdout } = await run("npx", ["tsx", join("examples", `${name}.ts`), ...args], { cwd: root });
  return stdout;
};

describe("the programs of docs/library.md", () => {
  it.each(programs)("%s is quoted whole", async (name) => {
    const page = await readFile(join(root, "docs/library.md"), "utf8");
    expect(page).toContain(`\`\`\`ts\n${await readFile(join(root, "examples", `${name}.ts`), "utf8")}\`\`\``);
  });

  it("type-check against the package", async () => {
    await run("npx", ["tsc", "-p", "examples"], { cwd: root });
  });

  it("own-reward aligns the lab's model, and rollouts say what the judge said", async () => {
    const out = join(dir, "own-reward");
    expect(await example("own-reward", "lab/model", out)).toBe(`aligned model: ${join(out, "final")}\n`);
    const rows = (await readFile(join(out, "rollouts.jsonl"), "utf8"))
      .trim()
      .split("\n")
      .map((line) => JSON.parse(line));
    expect(rows).toHaveLength(48);
    for (const { response, verdicts, outcome } of rows) {
      const words = response.split(/\s+/).length;
      expect(outcome).toBe(words <= 12 ? "satisfied" : "violated");
      expect(verdicts.brief.reason).toMatch(new RegExp(`^has ${words} words`));
    }
  });

  it("judge-file tells three outcomes apart", async () => {
    const rows = [
      { prompt: "1/2 + 1/4?", response: "It is \\boxed{3/4}.", answer: "0.75" },
      { prompt: "1 + 1?", response: "\\boxed{3}", answer: "2" },
      { prompt: "Greet me.", response: "Hello!" },
    ];
    const file = join(dir, "answers.jsonl");
    await writeFile(file, rows.map((row) => JSON.stringify(row)).join("\n"));
    const lines = (await example("judge-file", file)).trim().split("\n");
    expect(lines.map((line) => line.split(" ")[1])).toEqual([
      "feasible",
      "infeasible",
      "feasible",
      "0.6666666666666666",
    ]);
  });

  it("own-objective is checked by finite differences and trains", async () => {
    const out = join(dir, "own-objective");
    const said = await example("own-objective", "lab/model", out);
    expect(Number(/differences: (\S+)/.exec(said)![1])).toBeLessThan(1e-6);
    expect(said).toContain(`aligned model: ${join(out, "final")}`);
  });
});

describe("what an import costs", () => {
  it("touchstone/judges loads neither ONNX Runtime, nor Pyodide, nor QuickJS, nor a language detector", async () => {
    const script = `
      import { registerHooks } from "node:module";
      await import("touchstone/judges");
      console.log(JSON.stringify(process.moduleLoadList ?? []));
    `;
    const loaded = await run(
      "node",
      [
        "--input-type=module",
        "--experimental-loader",
        join(root, "test/support/loaded.mjs"),
        "-e",
        script.replace(/.*registerHooks.*\n/, ""),
      ],
      { cwd: root, env: { ...process.env, NODE_NO_WARNINGS: "1" } },
    );
    expect(loaded.stderr).toContain("/dist/judges/mixture.js");
    // What a judge needs comes with the judge: no sandbox, no engine, not even the checker of its options.
    expect(loaded.stderr).not.toContain("/node_modules/");
  });
});
