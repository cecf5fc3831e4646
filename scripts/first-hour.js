// The first hour of somebody who has the tarball, a model and a few files: docs/first-hour.md, played in an empty
// directory with an empty home and nothing of this checkout on the path. Ends with 1 at the first command that does not
// do what the page says. Needs a build; the tarball that it makes holds the libraries of this system only.
//
//   node scripts/first-hour.js [--tarball touchstone-0.1.0.tgz] [--keep]

import { execFileSync, spawn, spawnSync } from "node:child_process";
import {
  cpSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { delimiter, dirname, join, resolve } from "node:path";
import { fileURLToPath } from "node:url";
import { parseArgs } from "node:util";

const checkout = dirname(dirname(fileURLToPath(import.meta.url)));
const { values: flags } = parseArgs({ options: { tarball: { type: "string" }, keep: { type: "boolean" } } });

const root = mkdtempSync(join(tmpdir(), "first-hour-"));
const [home, prefix, work] = ["home", "npm", "work"].map((name) => join(root, name));
for (const dir of [home, prefix, work]) mkdirSync(dir);

// What npm needs to reach its registry, and its cache, is the machine's; everything else is new.
const fromOutside = /^(https?_proxy|no_proxy|npm_config_(registry|cafile)|node_extra_ca_certs)$/i;
const environment = {
  ...Object.fromEntries(Object.entries(process.env).filter(([name]) => fromOutside.test(name))),
  HOME: home,
  PATH: [join(prefix, "bin"), dirname(process.execPath), "/usr/bin", "/bin"].join(delimiter),
  npm_config_cache: execFileSync("npm", ["config", "get", "cache"], { encoding: "utf8" }).trim(),
};

// Playing ------------------------------------------------------------------------------------------------------

const places = { cwd: work, env: environment };
const began = Date.now();

/** What is wrong ends the hour; the directory stays. */
function expect(isRight, problem) {
  if (isRight) return;
  console.error(`\nfirst hour: ${problem}\nleft as it was: ${root}`);
  process.exit(1);
}

function tell(line, started, code) {
  const seconds = ((Date.now() - started) / 1000).toFixed(1).padStart(6);
  console.log(`${seconds} s  ${line}${code === 0 ? "" : `   # ends with ${code}`}`);
}

/** Runs a command line of the page to its end; returns what it printed. */
function play(line, { code: wanted = 0, input = "" } = {}) {
  const started = Date.now();
  const { status, signal, stdout, stderr } = spawnSync("sh", ["-c", line], {
    ...places,
    input,
    encoding: "utf8",
  });
  const code = status ?? signal;
  expect(code === wanted, `\`${line}\` ended with ${code}, not ${wanted}:\n${stdout}${stderr}`);
  tell(line, started, code);
  return { stdout, stderr };
}

/** Runs a command line, sends `signal` to it, as a terminal does, once `isTime` holds, and waits for the end. */
function playUntil(line, isTime, signal, wanted) {
  const started = Date.now();
  const child = spawn(`exec ${line}`, {
    ...places,
    shell: true,
    detached: true,
    stdio: ["ignore", "pipe", "pipe"],
  });
  let output = "";
  for (const stream of [child.stdout, child.stderr]) stream.on("data", (chunk) => (output += chunk));
  const watch = setInterval(() => {
    if (!isTime()) return;
    clearInterval(watch);
    process.kill(-child.pid, signal);
  }, 20);
  return new Promise((done) =>
    child.on("close", (status, endedBy) => {
      clearInterval(watch);
      const code = status ?? endedBy;
      expect(code === wanted, `\`${line}\` ended with ${code} after ${signal}, not ${wanted}:\n${output}`);
      tell(line, started, code);
      done();
    }),
  );
}

const at = (...parts) => join(work, ...parts);
const linesOf = (path) => (existsSync(at(path)) ? readFileSync(at(path), "utf8").trim().split("\n") : []);
const holds = (...paths) => {
  for (const path of paths) expect(existsSync(at(path)), `${path} is missing`);
};

// What the person has --------------------------------------------------------------------------------------------

const jsonl = (rows) => rows.map((row) => `${JSON.stringify(row)}\n`).join("");
const csv = (rows) =>
  rows.map((row) => `${row.map((value) => `"${value.replaceAll('"', '""')}"`).join(",")}\n`).join("");
const range = (count) => Array.from({ length: count }, (_, i) => i);

function writeFiles() {
  const names = ["Ada", "Ben", "Cleo", "Dan", "Eve", "Finn"];
  const things = ["river", "garden", "winter", "market", "harbour", "bridge"];
  const writing = range(36).map((i) => ({ name: names[i % 6], thing: things[Math.floor(i / 6)] }));
  const sums = range(36).map((i) => [1 + (i % 6), 1 + Math.floor(i / 6)]);
  const user = (content) => ({ role: "user", content });
  const assistant = (content) => ({ role: "assistant", content });
  const about = (thing) => `Write a sentence about the ${thing}.`;
  const praise = ({ name, thing }) => `${name} likes the ${thing}, and says so.`;

  writeFileSync(
    at("chats.jsonl"),
    jsonl([
      ...writing.map((it) => ({ messages: [user(about(it.thing)), assistant(praise(it))] })),
      ...sums.map(([a, b]) => ({
        messages: [
          user(`What is ${a} plus ${b}?`),
          assistant(`${a} plus ${b} is ${a + b}. The final answer is ${a + b}.`),
        ],
      })),
    ]),
  );
  const preferences = (rows) =>
    csv([
      ["prompt", "chosen", "rejected"],
      ...rows.map((it) => [about(it.thing), praise(it), `I am very sure! The ${it.thing}! I am very sure!`]),
    ]);
  writeFileSync(at("preferences.csv"), preferences(writing.filter((_, i) => i % 4 !== 0)));
  writeFileSync(at("heldout.csv"), preferences(writing.filter((_, i) => i % 4 === 0)));
  writeFileSync(at("prompts.jsonl"), jsonl(things.map((thing) => ({ prompt: [user(about(thing))] }))));
  writeFileSync(
    at("sums.jsonl"),
    jsonl(sums.map(([a, b]) => ({ prompt: [user(`What is ${a} plus ${b}?`)], answer: String(a + b) }))),
  );
  writeFileSync(
    at("gsm8k-mine.csv"),
    csv([
      ["question", "answer"],
      ...sums.slice(0, 8).map(([a, b]) => [`What is ${a} plus ${b}?`, `#### ${a + b}`]),
    ]),
  );
  const optimizer = "{ name: crpg, generations: 4, batch_prompts: 4, max_new_tokens: 32 }";
  writeFileSync(
    at("align.yaml"),
    `output_dir: runs/bot
policy: { model: runs/sft/final }
steps: 12
save_steps: 2
tasks:
  - name: writing
    prompts: prompts.jsonl
    reward: { warm: runs/rm/merged }
    judges: [{ kind: length, max_words: 40 }]
    optimizer: ${optimizer}
  - name: sums
    prompts: sums.jsonl
    reward: { warm: runs/rm/merged }
    judges: [math]
    optimizer: ${optimizer}
`,
  );
}

// The tarball ----------------------------------------------------------------------------------------------------

function pack() {
  const inCheckout = { cwd: checkout, stdio: ["ignore", "pipe", "inherit"], encoding: "utf8" };
  execFileSync(process.execPath, ["scripts/pack-runtime.js", "--here"], inCheckout);
  try {
    const name = execFileSync(
      "npm",
      ["pack", "--silent", "--ignore-scripts", "--pack-destination", root],
      inCheckout,
    );
    return join(root, name.trim());
  } finally {
    execFileSync(process.execPath, ["scripts/pack-runtime.js", "--remove"], inCheckout);
  }
}

// The hour -------------------------------------------------------------------------------------------------------

const tarball = flags.tarball ? resolve(flags.tarball) : pack();
tell("npm pack", began, 0);
writeFiles();

play(`npm i -g --prefix ${prefix} --prefer-offline --no-audit --no-fund ${tarball}`);
const installed = join(prefix, "lib/node_modules/touchstone");
play("touchstone doctor");
// The person's own model: the miniature that is in the package stands for it.
cpSync(join(installed, "lab/model"), at("my-model"), { recursive: true });

play("touchstone init --model my-model --data chats.jsonl -o sft.yaml --output-dir runs/sft --yes");
expect(readFileSync(at("sft.yaml"), "utf8").includes("chats.jsonl"), "init wrote a recipe without the data");
play("touchstone sft sft.yaml --epochs 2 --batch-size 8 --learning-rate 2e-4");
holds("runs/sft/final/model.safetensors", "runs/sft/final/tokenizer.json", "runs/sft/recipe.yaml");

play(
  "touchstone reward --model runs/sft/final --data preferences.csv --runs 4 --jobs 2 -o runs/rm --set batch_size=8 --set data.apply_chat_template=true",
);
holds(...range(4).map((i) => `runs/rm/member-${i + 1}/final/model.safetensors`));
const inspection = play("touchstone warm inspect runs/rm/member-*/final --data heldout.csv --chat");
expect(/average \d/.test(inspection.stdout), "warm inspect printed no accuracy of the average");
play("touchstone warm runs/rm/member-*/final -o runs/rm/merged");
holds("runs/rm/merged/model.safetensors");

const found = play("touchstone align align.yaml --check");
expect(found.stdout.endsWith("the run would start\n"), `align --check found something:\n${found.stdout}`);
expect(!existsSync(at("runs/bot")), "align --check wrote runs/bot");

const steps = () => linesOf("runs/bot/metrics.jsonl").filter(Boolean).length;
await playUntil("touchstone align align.yaml", () => steps() >= 3, "SIGINT", 130);
const interrupted = steps();
expect(
  existsSync(at(`runs/bot/checkpoints/step-${interrupted}`)),
  "Ctrl-C left no checkpoint of the last step",
);
expect(interrupted < 12 && !existsSync(at("runs/bot/final")), "Ctrl-C came too late to show anything");
play("touchstone doctor runs/bot");
const refused = play("touchstone align align.yaml", { code: 2 });
expect(refused.stderr.includes("--resume"), "a second start does not name --resume");
await playUntil(
  "touchstone align align.yaml --resume",
  () => steps() >= interrupted + 3,
  "SIGKILL",
  "SIGKILL",
);
play("touchstone align align.yaml --resume");
expect(steps() === 12, `metrics.jsonl holds ${steps()} steps, not 12`);
holds("runs/bot/final/model.safetensors");
const numbers = linesOf("runs/bot/metrics.jsonl").map((line) => JSON.parse(line).step);
expect(
  numbers.join() ===
    range(12)
      .map((i) => i + 1)
      .join(),
  `the steps are ${numbers}`,
);
play("touchstone doctor runs/bot");

play("touchstone report runs/bot");
expect(readFileSync(at("runs/bot/report.html"), "utf8").includes("sums"), "the report lacks a task");
const graded = play("touchstone eval --model runs/bot/final --task gsm8k=gsm8k-mine.csv --max-new-tokens 32");
expect(/strict_match: [\d.]+ %/.test(graded.stdout), "eval printed no grade");
const answers = play(
  "touchstone sample prompts.jsonl --model runs/bot/final -n 2 --max-new-tokens 32 -o answers.jsonl",
);
expect(linesOf("answers.jsonl").length === 12, `answers.jsonl lacks rows: ${answers.stderr}`);
play("touchstone score answers.jsonl --model runs/rm/merged -o scored.jsonl");
expect(
  linesOf("scored.jsonl").every((line) => Number.isFinite(JSON.parse(line).reward)),
  "a row has no reward",
);
const talk = play("touchstone chat --model runs/bot/final --max-new-tokens 32", {
  input: "What is 2 plus 3?\n",
});
expect(talk.stdout.trim() !== "", "chat said nothing");

const left = readdirSync(home);
console.log(
  `first hour: ${((Date.now() - began) / 1000).toFixed(0)} s; in the home: ${left.join(", ") || "nothing"}`,
);
if (!flags.keep) rmSync(root, { recursive: true, force: true });
