// Asks a served recipe with the trainers' own clients, those of them that are installed (setup.sh), and says what each gave.
//   sh test/clients/setup.sh && npx tsx test/clients/run.ts [name...]

import { spawn } from "node:child_process";
import { existsSync } from "node:fs";
import { mkdir } from "node:fs/promises";
import { join, resolve } from "node:path";
import { gradeItem } from "../../src/mpo/scripted/dialect.js";
import { startScriptedServer } from "../../src/mpo/scripted/server.js";
import { serveRecipe } from "../support/reward-server.js";
import { openWorkshop } from "../support/workshop.js";

const here = import.meta.dirname;
const python = process.env.CLIENTS_PYTHON ?? join(here, ".venv/bin/python");
const gymPython = process.env.CLIENTS_GYM_PYTHON ?? join(here, ".gym/bin/python");
const verlPython = process.env.CLIENTS_VERL_PYTHON ?? join(here, ".verl/bin/python");
const token = "clients-token";

/** Scripts by name, and the interpreter of each. */
const clients: Record<string, string> = {
  openai: python,
  hf: python,
  lm_eval: python,
  openrlhf: python,
  slime: python,
  openenv: python,
  ors: python,
  nemo_gym: gymPython,
  verl: verlPython,
  trl_grpo: python,
};

function run(interpreter: string, script: string, env: Record<string, string>) {
  const child = spawn(interpreter, [script], { cwd: here, env: { ...process.env, ...env } });
  let output = "";
  const keep = (chunk: Buffer) => {
    output += chunk.toString();
  };
  child.stdout.on("data", keep);
  child.stderr.on("data", keep);
  return new Promise<{ code: number | null; output: string }>((done) => {
    child.on("error", (error) => done({ code: 1, output: String(error) }));
    child.on("close", (code) => done({ code, output }));
  });
}

const shop = await openWorkshop();
const effort = gradeItem("Effort", [6, "at least 4 words"], [5, "at least 3 words"], [0, "otherwise"]);
const remedy = gradeItem("Variety", [1, "distinct-word ratio at least 0.99"], [0, "otherwise"]);
const models = await startScriptedServer({
  reviewer: { hacks: [{ name: "Variety", shows: () => true, remedy: [remedy] }], mergeShare: 0 },
});
await shop.recipe("rubric.yaml", { items: [effort] });
const llm = (model: string) => ({ model, base_url: models.baseUrl, max_retries: 0, retry_seconds: 0 });
const prompts = shop.data("prompts/writing.jsonl");
const grpo = { name: "grpo", generations: 4, batch_prompts: 2, max_new_tokens: 8 };
const meta = {
  model: "mrm",
  interval: 1,
  samples: 4,
  refinement: "single-shot",
  sampling: "uniform",
  flagged_score_lower: false,
};
const recipe = {
  output_dir: shop.path("out"),
  policy: shop.policy,
  steps: 1,
  llm: { rm: llm("rm"), mrm: llm("mrm") },
  tasks: [
    {
      name: "gate",
      prompts,
      reward: { warm: shop.reward },
      judges: [{ kind: "length", max_words: 20 }],
      optimizer: { ...grpo, name: "crpg" },
    },
    {
      name: "rubric",
      prompts,
      reward: { rubric: shop.path("rubric.yaml"), judge_model: "rm", meta },
      optimizer: grpo,
    },
  ],
};
const server = await serveRecipe(recipe, shop.path("recipe.yaml"), { token });
/** NeMo Gym's client knows host and port of a server, and no token. */
const open = await serveRecipe({ ...recipe, output_dir: shop.path("open") }, shop.path("recipe.yaml"));
const chosen = process.argv.slice(2);
let failures = 0;
for (const [name, interpreter] of Object.entries(clients)) {
  if (chosen.length > 0 && !chosen.includes(name)) continue;
  const script = join(
    here,
    [`${name}_client.py`, `${name}.py`].find((file) => existsSync(join(here, file)))!,
  );
  if (!existsSync(interpreter)) {
    console.log(`${name}: not installed (${interpreter})`);
    continue;
  }
  const out = shop.path("clients", name);
  await mkdir(out, { recursive: true });
  const { code, output } = await run(interpreter, script, {
    URL: (name === "nemo_gym" ? open : server).url,
    TOKEN: token,
    MODEL: shop.policy,
    OUT: out,
    SHIM: resolve(here, "../../python"),
    SLIME: process.env.SLIME ?? join(here, ".slime"),
    GYM_FOLDER: resolve(here, "../../python/nemo_gym/resources_servers/touchstone"),
    TOUCHSTONE_COMMAND: `${process.execPath} ${resolve(here, "../../bin/touchstone.js")}`,
  });
  const lines = output.trim().split("\n");
  for (const line of lines.filter((one) => one.startsWith("ok "))) console.log(line);
  if (code !== 0) {
    failures++;
    console.log(`${name}: FAILED\n${lines.slice(-25).join("\n")}`);
  } else if (name === "trl_grpo") {
    const { rubrics, updates } = server.service.rubricStatus("rubric");
    console.log(`the rubric: version ${rubrics[0]!.version} after ${updates} updates`);
  }
}
await server.close();
await open.close();
await models.close();
await shop.remove();
process.exitCode = failures > 0 ? 1 : 0;
