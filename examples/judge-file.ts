// Judges the answers in a JSONL file (prompt, response, answer, ...) with a mixture of judges.
//   npx tsx examples/judge-file.ts answers.jsonl

import { readFile } from "node:fs/promises";
import { judgeBatch, mixtureFrom } from "touchstone/judges";

const [file] = process.argv.slice(2);
if (file === undefined) throw new Error("name a JSONL file");

const rows = (await readFile(file, "utf8"))
  .split("\n")
  .filter((line) => line.trim() !== "")
  .map((line) => JSON.parse(line) as { prompt: string; response: string } & Record<string, unknown>);

// What a recipe writes under `judges:`.
const mixture = await mixtureFrom(["math", { kind: "length", max_words: 50 }], { baseDir: "." });
const { results, metrics } = await judgeBatch(
  mixture,
  rows.map(({ prompt, response, ...metadata }) => ({ prompt, response, truncated: false, metadata })),
);

for (const [i, { feasible, verdicts }] of results.entries()) {
  const said = Object.entries(verdicts).map(([judge, verdict]) =>
    typeof verdict === "string" ? `${judge}: ${verdict}` : `${judge}: ${verdict.verdict} (${verdict.reason})`,
  );
  // Three outcomes: a sample that could not be judged is neither good nor bad.
  const outcome = feasible === undefined ? "undecided" : feasible ? "feasible" : "infeasible";
  console.log(`${i + 1} ${outcome} · ${said.join(" · ")}`);
}
console.log(`satisfied: ${metrics["constraints/satisfied_rate"]}`);
