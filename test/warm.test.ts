// The verb `warm`: averages, greedy soups, moving averages, what `inspect` and `check` say, on real tiny reward models.

import { cp, mkdir, readdir, readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { RandomStream } from "../src/base/random.js";
import { loadPreferences } from "../src/data/index.js";
import { LocalScalarModel } from "../src/engine/local/index.js";
import { loadCheckpoint, saveCheckpoint } from "../src/model/checkpoint.js";
import { rewardBench2 } from "../src/reward/reward-bench-2.js";
import { rmBench } from "../src/reward/rm-bench.js";
import { openCodec } from "../src/train/models.js";
import { chatServer } from "./support/chat-server.js";
import { run } from "./support/in-process.js";
import { openWorkshop, type Workshop } from "./support/workshop.js";

let shop: Workshop;
let members: string[];
let pairs: string;
beforeAll(async () => {
  shop = await openWorkshop();
  pairs = shop.data("preferences.jsonl");
  members = [];
  const { config, tensors } = await loadCheckpoint(shop.reward);
  for (let i = 0; i < 3; i++) {
    const stream = new RandomStream(i, "member");
    members.push(shop.path(`member-${i}`));
    await saveCheckpoint(members[i]!, {
      config,
      read: ({ name }) => tensors.get(name)!.map((x) => x + 0.05 * stream.normal()),
      tokenizerFrom: shop.reward,
    });
  }
});
afterAll(() => shop.remove());

const quick = ["--threads", "1", "--json"];

async function json(...argv: string[]) {
  const { code, out, err } = await run(...argv);
  expect(err).toBe("");
  expect(code).toBe(0);
  return JSON.parse(out);
}

/** Accuracy of a model directory, by the engine alone. */
async function accuracyOf(model: string, data: string): Promise<number> {
  const codec = await openCodec(model);
  const { rows } = await loadPreferences(data);
  const engine = await LocalScalarModel.load(model, { frozen: true });
  const scores = async (side: "chosen" | "rejected") =>
    engine.values(
      rows.map((row) => codec.scored(row.prompt, row[side])),
      "last",
    );
  const [chosen, rejected] = [await scores("chosen"), await scores("rejected")];
  engine.dispose();
  return chosen.filter((r, i) => r[0]! > rejected[i]![0]!).length / rows.length;
}

describe("warm", () => {
  it("averages with and without naming the subcommand", async () => {
    const [plain, named] = [shop.path("plain"), shop.path("named")];
    await json("warm", ...members, "-o", plain, "--json");
    const result = await json("merge", "average", ...members, "-o", named, "--json");
    expect(result).toEqual({ model: named, members: members.map((model) => ({ model, weight: 1 })) });
    const weights = (dir: string) => readFile(join(dir, "model.safetensors"));
    expect(Buffer.compare(await weights(plain), await weights(named))).toBe(0);
  });

  it("takes checkpoints by their steps for a moving average", async () => {
    const checkpoints: string[] = [];
    for (const [i, step] of [8, 10, 120].entries()) {
      checkpoints.push(shop.path(`run/checkpoints/step-${step}/model`));
      await mkdir(join(checkpoints[i]!, ".."), { recursive: true });
      await cp(members[i]!, checkpoints[i]!, { recursive: true });
    }
    const sorted = checkpoints.toSorted();
    expect(sorted).not.toEqual(checkpoints);
    const { members: used } = await json("warm", ...sorted, "-o", shop.path("ema"), "--ema", "0.5", "--json");
    expect(used).toEqual([
      { model: checkpoints[0], weight: 0.25 },
      { model: checkpoints[1], weight: 0.25 },
      { model: checkpoints[2], weight: 0.5 },
    ]);
  });

  it("says on the card how good members and average are on held-out pairs", async () => {
    const out = shop.path("evaluated");
    const { evaluation } = await json("warm", ...members, "-o", out, "--eval", pairs, ...quick);
    for (const [i, member] of members.entries()) {
      expect(evaluation.members[i].estimate).toBeCloseTo(await accuracyOf(member, pairs), 12);
      expect(evaluation.members[i].kept).toBe(true);
    }
    expect(evaluation.average.estimate).toBeCloseTo(await accuracyOf(out, pairs), 12);
    const card = await readFile(join(out, "README.md"), "utf8");
    expect(card).toContain("## Diagnostics");
    expect(card).toContain(`- ${members[2]}: ${(100 * evaluation.members[2].estimate).toFixed(1)}`);
  });

  it("makes a greedy soup that is at least as accurate as its best member", async () => {
    const out = shop.path("soup");
    const { members: kept, evaluation } = await json(
      "warm",
      ...members,
      "-o",
      out,
      "--greedy",
      "--eval",
      pairs,
      ...quick,
    );
    const best = Math.max(...evaluation.members.map(({ estimate }: { estimate: number }) => estimate));
    expect(evaluation.average.estimate).toBeGreaterThanOrEqual(best);
    expect(evaluation.average.estimate).toBeCloseTo(await accuracyOf(out, pairs), 12);
    const flagged = members.filter((_, i) => evaluation.members[i].kept);
    expect(kept.map(({ model }: { model: string }) => model)).toEqual(flagged);
  });

  it.each([
    [["--greedy"], "--greedy needs held-out pairs"],
    [["--ema", "0.9", "--weights", "1,1,1"], "--ema and --weights do not go together"],
    [["--ema", "2"], "--ema must be a number between 0 and 1"],
    [["--as-adapters", "--greedy", "--eval", "x"], "--as-adapters and --greedy do not go together"],
    [["--eval", "nowhere.jsonl"], "nowhere.jsonl"],
    [["--as-adapters"], "adapter_config.json does not exist"],
  ])("refuses %j and writes nothing", async (flags, sentence) => {
    const { code, err } = await run("warm", ...members, "-o", shop.path("refused"), ...flags);
    expect(code).toBe(2);
    expect(err).toContain(sentence);
    expect(await readdir(shop.root)).not.toContain("refused");
  });
});

it.each([
  [["warm", "a", "b"], "required option '-o, --out <dir>' not specified"],
  [["warm", "a", "b", "-o", "c", "--wieghts", "1"], "Did you mean --weights?"],
  [["warm", "inspect", "a", "b"], "required option '--data <file or Hub name>' not specified"],
  [["warm", "check", "--data", "x"], "check needs a reward model or --judge"],
])("answers %j with one sentence and exit code 2", async (argv, sentence) => {
  const { code, err } = await run(...argv);
  expect(code).toBe(2);
  expect(err).toContain(sentence);
});

describe("warm inspect", () => {
  it("agrees with the models themselves, writes JSON and a page", async () => {
    const out = shop.path("inspection");
    const report = await json(
      "warm",
      "inspect",
      ...members,
      "--data",
      pairs,
      "--split",
      `shifted=${shop.data("shifted.jsonl")}`,
      "--init",
      shop.policy,
      "--path",
      "1,3",
      "-o",
      out,
      ...quick,
    );
    const names = report.splits.map(({ split }: { split: string }) => split);
    // A quarter of the world's training labels are flipped, and the rows say which.
    expect(names).toEqual(["held-out (clean)", "held-out (corrupted)", "shifted"]);
    expect(report.splits[1].corrupted).toBe(true);
    expect(report.selected_on).toBe("held-out (clean)");
    const shifted = async (model: string) => accuracyOf(model, shop.data("shifted.jsonl"));
    expect(report.members[0].splits[2].accuracy.estimate).toBeCloseTo(await shifted(members[0]!), 12);
    await json("warm", ...members, "-o", shop.path("merged"), "--json");
    expect(report.average.splits[2].accuracy.estimate).toBeCloseTo(await shifted(shop.path("merged")), 12);

    expect(report.paths.map(({ first, second }: Record<string, number>) => [first, second])).toEqual([
      [0, 2],
    ]);
    expect(report.paths[0].splits[0].points).toHaveLength(11);
    expect(report.curves.map(({ order }: { order: string }) => order)).toEqual([
      "best first",
      "random",
      "worst first",
    ]);
    const contained = report.members.flatMap(
      ({ splits }: { splits: { accuracy: Record<string, number> }[] }, i: number) =>
        splits[0]!.accuracy.low! <= 0.5 ? [i] : [],
    );
    expect(report.at_chance.map(({ member }: { member: number }) => member)).toEqual(contained);
    expect(report.leave_one_out).toHaveLength(3);
    // All members began at one model and moved by independent noise.
    expect(report.deltas[0].group).toBe("all");
    expect(report.average.splits[0].leanings[0].feature).toBe("tokens");
    for (const arm of [report.average, report.ensemble, ...report.members])
      for (const { edit_sensitivity } of arm.splits) expect(edit_sensitivity).toBeGreaterThan(0);
    expect(JSON.parse(await readFile(join(out, "inspect.json"), "utf8"))).toEqual(report);
    const page = await readFile(join(out, "inspect.html"), "utf8");
    for (const heading of [
      "Accuracy",
      "From member",
      "What each member adds",
      "Smoothness",
      "Calibration",
      "Weight deltas",
    ])
      expect(page).toContain(heading);
    expect(page).not.toContain("NaN");
  });

  it.each([
    [["--split", "x"], "write it as name=file"],
    [["--path", "1,4"], "there is no member 4, only 3"],
    [["--path", "2,2"], "names two different members"],
    [["--select", "held"], "there is no clean split of that name"],
    [["--init", "a", "--init", "b"], "--init is given 2 times for 3 members"],
  ])("refuses %j", async (flags, sentence) => {
    const { code, err } = await run("warm", "inspect", ...members, "--data", pairs, "--quiet", ...flags);
    expect(code).toBe(2);
    expect(err).toContain(sentence);
  });
});

describe("warm check", () => {
  it("scores RewardBench's format by subset and section", async () => {
    const { rows } = await loadPreferences(pairs);
    const subsets = ["mt-bench-easy", "mt-bench-hard", "hep-js", "own"];
    const data = shop.path("rewardbench.jsonl");
    const text = (value: unknown) => (value as { content: string }[])[0]!.content;
    await writeFile(
      data,
      rows
        .map(({ prompt, chosen, rejected }, i) => ({
          prompt: text(prompt),
          chosen: text(chosen),
          rejected: text(rejected),
          subset: subsets[i % 4],
          id: i,
        }))
        .map((row) => `${JSON.stringify(row)}\n`)
        .join(""),
    );
    const result = await json("warm", "check", members[0]!, "--data", data, ...quick);
    expect(
      result.subsets.map(({ subset, pairs: n }: { subset: string; pairs: number }) => [subset, n]),
    ).toEqual(subsets.map((subset) => [subset, rows.length / 4]));
    // Strings are turns of a conversation, so the figures are those of the messages.
    expect(result.overall.estimate).toBeCloseTo(await accuracyOf(members[0]!, pairs), 12);
    expect(result.sections.map(({ section }: { section: string }) => section)).toEqual([
      "Chat",
      "Chat Hard",
      "Reasoning",
    ]);
    const without = await run("warm", "check", members[0]!, "--data", pairs, "--quiet");
    expect(without.code).toBe(2);
    expect(without.err).toContain('"subset" must name the subset of the pair');
  });

  /** Rewards of responses to one-turn prompts, by the engine alone. */
  async function rewardsOf(model: string, turns: readonly (readonly [prompt: string, response: string])[]) {
    const codec = await openCodec(model);
    const engine = await LocalScalarModel.load(model, { frozen: true });
    const sequences = turns.map(([prompt, response]) =>
      codec.scored([{ role: "user", content: prompt }], [{ role: "assistant", content: response }]),
    );
    const values = await engine.values(sequences, "last");
    engine.dispose();
    return values.map(([reward]) => reward!);
  }

  const words = ["red", "blue", "green", "seven", "a long answer", "no", "yes indeed", "tea"];
  const lines = (rows: readonly object[]) =>
    rows
      .map(
        (row) => `${JSON.stringify(row)}
`,
      )
      .join("");
  const file = async (name: string, rows: readonly object[]) => {
    await writeFile(shop.path(name), lines(rows));
    return shop.path(name);
  };

  it("scores RewardBench 2's best of four and Ties, and RM-Bench's matrix", async () => {
    const choice = (i: number, correct: number, count: number) => {
      const texts = Array.from({ length: count }, (_, j) => words[(i + 3 * j) % words.length]!);
      return { chosen: texts.slice(0, correct), rejected: texts.slice(correct) };
    };
    const rows = [
      ...Array.from({ length: 8 }, (_, i) => ({
        id: `${i}`,
        subset: "Focus",
        num_correct: 1,
        ...choice(i, 1, 4),
      })),
      ...[1, 2, 3].flatMap((n) => [
        { id: `ref:${n}`, subset: "Ties", num_correct: 1, ...choice(n, 1, 4) },
        { id: `tied:${n}`, subset: "Ties", num_correct: 3, ...choice(n + 1, 3, 6) },
      ]),
    ].map((row) => ({ prompt: `Which ${row.id}?`, ...row }));
    const data = await file("rewardbench2.jsonl", rows);
    const result = await json("warm", "check", members[0]!, "--data", data, ...quick);
    const rewards = await rewardsOf(
      members[0]!,
      rows.flatMap(({ prompt, chosen, rejected }) =>
        [...chosen, ...rejected].map((text) => [prompt, text] as const),
      ),
    );
    let at = 0;
    const choices = rows.map(({ id, subset, num_correct: correct, chosen, rejected }) => {
      const own = rewards.slice(at, (at += chosen.length + rejected.length));
      return { id, subset, correct, rewards: own };
    });
    expect(result).toEqual(JSON.parse(JSON.stringify(rewardBench2(choices))));

    const styles = rows.slice(0, 6).map(({ prompt }, i) => ({
      id: i,
      prompt,
      domain: ["chat", "safety-refuse", "safety-response"][i % 3]!,
      chosen: words.slice(0, 3),
      rejected: words.slice(i % 3, (i % 3) + 3).reverse(),
    }));
    const matrix = await json(
      "warm",
      "check",
      members[0]!,
      "--data",
      await file("rmbench.jsonl", styles),
      ...quick,
    );
    expect(
      matrix.domains.map(({ domain, rows: n }: { domain: string; rows: number }) => [domain, n]),
    ).toEqual([
      ["chat", 2],
      ["safety", 4],
    ]);
    const styled = await rewardsOf(
      members[0]!,
      styles.flatMap(({ prompt, chosen, rejected }) =>
        [...chosen, ...rejected].map((text) => [prompt, text] as const),
      ),
    );
    const scored = styles.map(({ domain }, i) => ({
      domain,
      chosen: styled.slice(6 * i, 6 * i + 3),
      rejected: styled.slice(6 * i + 3, 6 * i + 6),
    }));
    expect(matrix).toEqual(JSON.parse(JSON.stringify(rmBench(scored))));
  });

  const judged = Array.from({ length: 6 }, (_, i) => ({
    pair_id: `${i}`,
    source: ["mmlu-pro-law", "livebench-math", "livecodebench"][i % 3]!,
    question: `Which word is number ${i}?`,
    response_A: i % 2 === 0 ? "right" : "wrong",
    response_B: i % 2 === 0 ? "wrong" : "right",
    label: i % 2 === 0 ? "A>B" : "B>A",
  }));

  it("scores JudgeBench by a reward model once, by a judge in both orders", async () => {
    const data = await file("judgebench.jsonl", judged);
    const byReward = await json("warm", "check", members[0]!, "--data", data, ...quick);
    const rewards = await rewardsOf(
      members[0]!,
      judged.flatMap(
        ({ question, response_A: a, response_B: b }) =>
          [
            [question, a],
            [question, b],
          ] as const,
      ),
    );
    const right = judged.filter(
      ({ label }, i) => rewards[2 * i]! > rewards[2 * i + 1]! === (label === "A>B"),
    );
    expect(byReward.score).toBeCloseTo(right.length / 6, 12);
    expect(byReward).not.toHaveProperty("orders");

    const seen: string[] = [];
    const server = await chatServer(({ messages }) => {
      const { content } = messages.at(-1)!;
      const number = Number(/number (\d)/.exec(content)![1]);
      const isRightFirst = content.indexOf("right") < content.indexOf("wrong");
      seen.push(`${number} ${isRightFirst}`);
      // 0 and 1 are decided for the right one, 2 by place, 3 once and with a tie, 4 wrongly, 5 once and with no answer.
      if (number === 2) return "A";
      if (number === 3 && isRightFirst) return "T";
      if (number === 5 && isRightFirst) return "Both are fine.";
      return isRightFirst === (number !== 4) ? "A" : "B";
    });
    try {
      const flags = ["--judge", server.baseUrl, "--judge-model", "m", "--data", data];
      const { code, out } = await run("warm", "check", ...flags, "--json");
      expect(code).toBe(0);
      const result = JSON.parse(out);
      expect(new Set(seen).size).toBe(12);
      expect(result.score).toBeCloseTo(4 / 6, 12);
      expect(result.orders).toEqual({ both_right: 2 / 6, inconsistent: 3 / 6, undecided: 1 });
      const text = await run("warm", "check", ...flags, "--quiet");
      expect(text.out).toMatch(
        /right in both orders: 33.3\s%; orders that disagree: 50.0\s%; without a decision in an order: 1 pairs/,
      );
    } finally {
      await server.close();
    }
  });

  it.each<[object[], string[], string]>([
    [
      [{ prompt: "p", chosen: ["a"], rejected: ["b"], domain: "chat" }],
      [],
      "RM-Bench has three styles of each",
    ],
    [
      [{ prompt: "p", chosen: ["a"], rejected: ["b"], subset: "Ties", id: "x" }],
      [],
      "it must be ref:N or tied:N",
    ],
    [[{ prompt: "p", chosen: ["a"], rejected: ["b"], subset: "Ties", id: "tied:1" }], [], "at least two"],
    [
      [{ prompt: "p", chosen: ["a"], rejected: ["b"], subset: "x", num_correct: 2 }],
      [],
      '"num_correct" is 2',
    ],
    [[{ ...judged[0]!, label: "A" }], [], '"label" must be "A>B" or "B>A", not "A"'],
    [
      [{ prompt: "p", chosen: ["a"], rejected: ["b"], subset: "x" }],
      ["--judge", "http://127.0.0.1:9/v1", "--judge-model", "m"],
      "a judge model compares",
    ],
    [judged, ["--judge", "http://127.0.0.1:9/v1"], "--judge needs --judge-model"],
  ])("refuses %j %j", async (rows, flags, sentence) => {
    const data = await file("bad.jsonl", rows);
    const model = flags.length === 0 ? [members[0]!] : [];
    const { code, err } = await run("warm", "check", ...model, "--data", data, "--quiet", ...flags);
    expect(code).toBe(2);
    expect(err).toContain(sentence);
  });
});
