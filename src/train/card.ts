// The model card of what a run has made, from what the run has written: how it was trained, what came of it, whose methods
// it used. Nothing in it is read by a program, and nothing that says where its author works: paths lose all but their last
// names, addresses and commands are left out.

import { existsSync } from "node:fs";
import { basename, dirname, join, resolve } from "node:path";
import { UserError } from "../base/errors.js";

import { parseYaml } from "../base/yaml.js";
import { parseHubName } from "../data/hub-names.js";
import { frontMatter, modelCard } from "../model/checkpoint.js";
import { readTextIfPresent } from "../model/json.js";
import { writeDocument } from "../recipe/file.js";
import { type MetricsRow, readMetrics } from "../run/metrics.js";

export interface Card {
  text: string;
  /** `own`: the model's README.md as it stands; `run`: made of its run; `bare`: nothing is known but the files. */
  from: "own" | "run" | "bare";
}

export interface CardOptions {
  /** Title. Default: the name of the run's directory. */
  title?: string;
  /** Identifier of a licence of the Hub. Default: what the card of the base model names, if there is one here. */
  license?: string;
}

type Tree = { [key: string]: unknown };

/** Papers by what of a recipe stands for them. */
const papers = [
  {
    key: "warm",
    tag: "warm",
    title: "WARM: On the Benefits of Weight Averaged Reward Models",
    eprint: "2401.12187",
    year: 2024,
  },
  {
    key: "crpg|crraft|codpo",
    tag: "cgpo",
    title: "The Perfect Blend: Redefining RLHF with Mixture of Judges",
    eprint: "2409.20370",
    year: 2024,
  },
  {
    key: "rubric",
    tag: "mpo",
    title: "Toward Evaluative Thinking: Meta Policy Optimization with Evolving Reward Models",
    eprint: "2504.20157",
    year: 2025,
  },
  {
    key: "grpo",
    tag: "grpo",
    title: "DeepSeekMath: Pushing the Limits of Mathematical Reasoning in Open Language Models",
    eprint: "2402.03300",
    year: 2024,
  },
  {
    key: "rloo",
    tag: "rloo",
    title: "Back to Basics: Revisiting REINFORCE Style Optimization for Learning from Human Feedback in LLMs",
    eprint: "2402.14740",
    year: 2024,
  },
  {
    key: "ppo",
    tag: "ppo",
    title: "Proximal Policy Optimization Algorithms",
    eprint: "1707.06347",
    year: 2017,
  },
  {
    key: "dpo|online_dpo",
    tag: "dpo",
    title: "Direct Preference Optimization: Your Language Model is Secretly a Reward Model",
    eprint: "2305.18290",
    year: 2023,
  },
  {
    key: "raft",
    tag: "raft",
    title: "RAFT: Reward rAnked FineTuning for Generative Foundation Model Alignment",
    eprint: "2304.06767",
    year: 2023,
  },
] as const;

/** The card of the model in `dir`: its own, or one made of the run that it lies in (`final`, or a checkpoint's `model`). */
export async function cardOf(dir: string, options: CardOptions = {}): Promise<Card> {
  const own = await readTextIfPresent(join(dir, "README.md"));
  if (own !== undefined) return { text: own, from: "own" };
  const isAdapter = existsSync(join(dir, "adapter_config.json"));
  const run = runOf(dir);
  if (run === undefined) {
    const title = options.title ?? basename(resolve(dir));
    const front = {
      ...(options.license && { license: options.license }),
      library_name: isAdapter ? "peft" : "transformers",
    };
    return { text: modelCard(front, `# ${plain(title)}`), from: "bare" };
  }
  const path = join(run, "recipe.yaml");
  const recipe = parseYaml((await readTextIfPresent(path)) ?? "", path);
  if (typeof recipe !== "object" || recipe === null) throw new UserError(`${path} is no recipe of a run`);
  const rows = await readMetrics(join(run, "metrics.jsonl"));
  return {
    text: await runCard(recipe as Tree, rows, { isAdapter, title: basename(resolve(run)), ...options }),
    from: "run",
  };
}

/** The run directory that a model lies in. */
function runOf(dir: string): string | undefined {
  const path = resolve(dir);
  return [dirname(path), dirname(dirname(dirname(path)))].find(
    (parent) => existsSync(join(parent, "recipe.yaml")) && existsSync(join(parent, "metrics.jsonl")),
  );
}

async function runCard(
  recipe: Tree,
  rows: readonly MetricsRow[],
  { isAdapter, title, license }: CardOptions & { isAdapter: boolean; title: string },
): Promise<string> {
  const verb = "tasks" in recipe ? "align" : isReward(recipe) ? "reward" : "sft";
  const base = baseOf(recipe);
  const words = JSON.stringify(recipe);
  const used = papers.filter(({ key }) => new RegExp(`"(?:${key})"`).test(words));
  const data = pathsOf(recipe).flatMap((name) => hubName(name) ?? []);
  const licence = license ?? (base === undefined ? undefined : await licenceOf(base));
  const front = {
    ...(licence && { license: licence }),
    ...(base !== undefined && hubName(base) && { base_model: hubName(base) }),
    ...(data.length > 0 && { datasets: [...new Set(data)] }),
    library_name: isAdapter ? "peft" : "transformers",
    pipeline_tag: verb === "reward" ? "text-classification" : "text-generation",
    tags: ["touchstone", ...(verb === "reward" ? ["reward-model"] : []), ...used.map(({ tag }) => tag)],
  };
  const from = base === undefined ? "" : ` from \`${shortPath(base)}\``;
  const made = {
    align: `A language model aligned${from} with rewards, judges and constrained optimizers`,
    reward: `A Bradley-Terry reward model trained${from} on preferences`,
    sft: `A language model fine-tuned${from} on completions`,
  }[verb];
  const results = resultsOf(rows);
  const parts = [
    `# ${plain(title)}`,
    `${made}, by \`touchstone ${verb}\`${isAdapter ? " (a LoRA adapter)" : ""}.`,
    ...(results.length > 0
      ? [
          "## Results",
          `Of the last of ${rows.at(-1)!.step} steps, on what was trained on unless the name says \`eval\` or \`measures\`.`,
          results.join("\n"),
        ]
      : []),
    "## Recipe",
    `\`\`\`yaml\n${writeDocument(shown(recipe) as Tree).trimEnd()}\n\`\`\``,
    ...(used.length > 0 ? ["## Citation", `\`\`\`bibtex\n${used.map(bibtex).join("\n")}\n\`\`\``] : []),
  ];
  return modelCard(front, parts.join("\n\n"));
}

const isReward = (recipe: Tree) => "runs" in recipe || "head" in recipe;

function baseOf({ policy, model }: Tree): string | undefined {
  const given = (policy as Tree | undefined)?.model ?? (Array.isArray(model) ? model[0] : model);
  return typeof given === "string" ? given : undefined;
}

/** Where a recipe's rows come from. */
function pathsOf({ data, eval_data, tasks }: Tree): string[] {
  const prompts = Array.isArray(tasks) ? tasks : Object.values((tasks as Tree | undefined) ?? {});
  return [data, eval_data, ...prompts.map((task) => (task as Tree | null)?.prompts)].flatMap((source) => {
    const path = typeof source === "object" && source !== null ? (source as Tree).path : source;
    return typeof path === "string" ? [path] : [];
  });
}

/** `owner/name` where a name is one of the Hub and no path here. */
function hubName(name: string): string | undefined {
  if (/^[./~]|\\/.test(name) || existsSync(name)) return undefined;
  return parseHubName(name)?.repo;
}

/** The licence that the card of a model directory names. */
async function licenceOf(base: string): Promise<string | undefined> {
  const { license } = await frontMatter(base);
  return typeof license === "string" && /^[\w.-]{1,60}$/.test(license) ? license : undefined;
}

const isResult =
  /(?:^|\/)(?:rewards\/mean|kl|constraints\/satisfied_rate|measures\/[^/]+|accuracy|loss|mean_token_accuracy|margin)$|^eval\//;
const mostResults = 30;

/** A table of the figures that say what came of a run. */
function resultsOf(rows: readonly MetricsRow[]): string[] {
  const last: Record<string, number> = {};
  for (const row of rows)
    for (const [key, value] of Object.entries(row))
      if (typeof value === "number" && isResult.test(key)) last[key] = value;
  const lines = Object.entries(last)
    .sort(([a], [b]) => (a < b ? -1 : 1))
    .slice(0, mostResults)
    .map(([key, value]) => `| \`${key.replace(/[`|]/g, "")}\` | ${Number(value.toPrecision(4))} |`);
  return lines.length === 0 ? [] : ["| figure | |", "| --- | --- |", ...lines];
}

/** Keys whose values say where something runs. */
const unshown = /^(?:base_url|url|webhook|command|api_key_env|output_dir|lock|report_to)$/;

/** A recipe without what is nobody else's business. */
function shown(value: unknown): unknown {
  if (typeof value === "string") return shortPath(value);
  if (Array.isArray(value)) return value.map(shown);
  if (typeof value !== "object" || value === null) return value;
  return Object.fromEntries(
    Object.entries(value).flatMap(([key, entry]) => (unshown.test(key) ? [] : [[key, shown(entry)]])),
  );
}

/** The last two names of a path from a root or a home. */
const shortPath = (text: string): string =>
  /^(?:\/|~\/|[A-Za-z]:[\\/])/.test(text)
    ? `.../${text.split(/[\\/]/).filter(Boolean).slice(-2).join("/")}`
    : text;

/** A title on one line, in which nothing is markup. */
const plain = (text: string) =>
  text
    .replace(/\s+/g, " ")
    .replace(/[`*_#[\]<>|]/g, "")
    .slice(0, 100) || "model";

const bibtex = ({ tag, title, eprint, year }: (typeof papers)[number]): string =>
  `@misc{${tag}, title = {${title}}, year = {${year}}, eprint = {${eprint}}, archivePrefix = {arXiv}}`;
