import { describe, expect, it } from "vitest";
import { RandomStream } from "../base/random.js";
import {
  BudgetError,
  type ChatClient,
  ChatError,
  type ChatReply,
  type ChatRequest,
  ReplayError,
} from "../llm/types.js";
import { groupByWords, MetaRewardModel, type MetaRewardModelOptions } from "./meta-reward-model.js";
import { asks } from "./prompts.js";
import { normalised, type ScoredRollout } from "./rollout.js";
import { createRubric, type Rubric, type RubricItem } from "./rubric.js";
import type { RubricScore } from "./rubric-reward.js";
import { renderItem } from "./rubric-text.js";

const grade = (name: string, max = 5, text = "good"): RubricItem => ({
  name,
  kind: "grade",
  levels: [
    { points: 0, text: "bad" },
    { points: max, text },
  ],
});
const gate: RubricItem = {
  name: "Safe",
  kind: "gate",
  levels: [
    { points: 0, text: "harmful" },
    { points: 1, text: "harmless" },
  ],
};
const current = createRubric([grade("Effort")]);
const task = { description: "Write an essay.", scorerPersona: "You grade.", refinerPersona: "You improve." };

const rollout = (i: number, points = 5, response = `response number ${i}`): ScoredRollout => ({
  promptId: `p${i}`,
  prompt: `prompt ${i}`,
  response,
  step: 1,
  score: {
    status: "scored",
    rubricVersion: 0,
    rubricHash: current.hash,
    items: [{ name: "Effort", kind: "grade", points, rationale: "long" }],
    total: points,
    maxTotal: 5,
    feasible: true,
    reward: points / 5,
    source: "rubric",
  },
});
const rollouts = [0, 1, 2].map((i) => rollout(i));

const written = (items: readonly RubricItem[]) =>
  `<rubric>\n${items.map((i) => `<item>\n${renderItem(i)}\n</item>`).join("\n")}\n</rubric>`;

type Answer = (request: ChatRequest, ask: string) => string | Partial<ChatReply> | Error | undefined;

/** A meta reward model that analyses, and refines and merges into `items`, unless `answer` says otherwise. */
function fake(items: readonly RubricItem[], answer: Answer = () => undefined) {
  const requests: { stage: string; request: ChatRequest }[] = [];
  const client: ChatClient = {
    async chat(request) {
      const content = request.messages.at(-1)!.content;
      const paragraphs = content.split("\n\n");
      const [stage, ask] = Object.entries(asks).find(([, ask]) => paragraphs.some((p) => p.startsWith(ask)))!;
      requests.push({ stage, request });
      const number = Number(/item (\d+) of/.exec(content)?.[1]);
      const standard: Record<string, () => string> = {
        analysis: () => "Too kind.\nVerdict: inflated",
        caseAnalysis: () => "Too kind.",
        refinement: () => written(items),
        merge: () => written(items),
        refinementCount: () => `${items.length}`,
        mergeCount: () => `${items.length} items`,
        item: () => `<item>\n${renderItem(items[number - 1]!)}\n</item> <EOE>`,
      };
      const given = answer(request, ask) ?? standard[stage]!();
      if (given instanceof Error) throw given;
      const reply = typeof given === "string" ? { content: given } : given;
      return { content: "", finishReason: "stop", promptTokens: 1, completionTokens: 1, ...reply };
    },
  };
  return { client, requests, stages: () => requests.map(({ stage }) => stage) };
}

const revise = (
  client: ChatClient,
  options: Partial<MetaRewardModelOptions> = {},
  rubric: Rubric = current,
  samples: readonly ScoredRollout[] = rollouts,
) =>
  new MetaRewardModel({ client, model: "mrm", task, refinement: "single-shot", ...options }).revise(
    rubric,
    samples,
    new RandomStream(1, "test"),
    10,
  );

const better = [grade("Effort"), grade("Variety", 10)];
const count = (stages: string[]) =>
  Object.fromEntries([...new Set(stages)].map((s) => [s, stages.filter((t) => t === s).length]));

describe("a round", () => {
  it("single shot: 2 calls for each sample and one merge", async () => {
    const { client, stages } = fake(better);
    const revision = await revise(client);
    expect(revision).toMatchObject({
      status: "published",
      rubric: { version: 1, parent: current.hash, maxTotal: 15 },
      report: { sampled: 3, flagged: 3, refinements: 3, problems: [] },
    });
    expect(count(stages())).toEqual({ analysis: 3, refinement: 3, merge: 1 });
  });

  it("count first: sum over samples of 2 + N, then 1 + N merged", async () => {
    const { client, stages, requests } = fake(better);
    const revision = await revise(client, { refinement: "count-first" });
    expect(revision).toMatchObject({ status: "published", rubric: { items: better } });
    expect(count(stages())).toEqual({ analysis: 3, refinementCount: 3, mergeCount: 1, item: 8 });
    expect(stages()).toHaveLength(3 * (2 + 2) + 1 + 2);
    // Refinement continues the conversation of its analysis.
    const refining = requests.find(({ stage }) => stage === "refinementCount")!.request.messages;
    expect(refining.some(({ role, content }) => role === "assistant" && content.includes("Too kind."))).toBe(
      true,
    );
  });

  it("one sample needs no merge", async () => {
    const { client, stages } = fake(better);
    await revise(client, {}, current, rollouts.slice(0, 1));
    expect(count(stages())).toEqual({ analysis: 1, refinement: 1 });
  });

  it("depth: one analysis of cases from every tertile, one refinement, no merge", async () => {
    const { client, stages, requests } = fake(better);
    const samples = Array.from({ length: 9 }, (_, i) => rollout(i, i / 2));
    expect(await revise(client, { mode: "depth" }, current, samples)).toMatchObject({
      status: "published",
      report: { sampled: 6 },
    });
    expect(stages()).toEqual(["caseAnalysis", "refinement"]);
    expect(requests[0]!.request.messages[1]!.content.match(/\n<\/case>/g)).toHaveLength(6);
  });

  it("shows what it is told to show", async () => {
    const samples = [{ ...rollout(0), reference: "the solution", verdicts: { length: "violated" } }];
    const shown = async (shows: MetaRewardModelOptions["shows"]) => {
      const { client, requests } = fake(better);
      await revise(client, shows ? { shows } : {}, current, samples);
      return requests[0]!.request.messages[1]!.content;
    };
    const all = await shown(undefined);
    for (const text of ["Score: 5 of 5", "Effort: 5. long", "length violated", "the solution"])
      expect(all).toContain(text);
    const paper = await shown({});
    for (const text of ["of 5\n", "Effort: 5. long", "violated", "the solution"])
      expect(paper).not.toContain(text);
    expect(paper).toContain("Score: 5");
  });

  it("clamps the number of items to 12, and to what fits into the conversation", async () => {
    const { client, stages } = fake(better, (_, ask) =>
      ask === asks.refinementCount
        ? "500"
        : ask === asks.item
          ? `<item>\n${renderItem(grade("A"))}\n</item>`
          : undefined,
    );
    await revise(client, { refinement: "count-first" }, current, rollouts.slice(0, 1));
    expect(count(stages()).item).toBe(12);
    const short = fake(better);
    const revision = await revise(
      short.client,
      { refinement: "count-first", conversationWords: 10 },
      current,
      rollouts.slice(0, 1),
    );
    expect(revision).toMatchObject({
      status: "kept",
      reason: expect.stringMatching(/none of its 2 items/),
      report: { problems: [expect.stringMatching(/conversation is full/), expect.any(String)] },
    });
  });
});

describe("merging in groups", () => {
  const sizes = (groups: number[][]) => groups.map((group) => group.length);

  it("keeps whole refinements within the budget, in order", () => {
    expect(groupByWords([3, 3, 3, 3], (n) => n, 6)).toEqual([
      [3, 3],
      [3, 3],
    ]);
    expect(sizes(groupByWords([5, 2, 4, 1, 9, 1], (n) => n, 6))).toEqual([1, 2, 1, 1, 1]);
    expect(groupByWords([], (n: number) => n, 6)).toEqual([]);
  });

  it("merges hierarchically, or leaves the rest out as the paper does", async () => {
    const samples = Array.from({ length: 4 }, (_, i) => rollout(i));
    const words = 80;
    const hierarchical = fake(better);
    expect(await revise(hierarchical.client, { mergeWords: words }, current, samples)).toMatchObject({
      status: "published",
    });
    expect(count(hierarchical.stages()).merge).toBe(3);
    const truncated = fake(better);
    await revise(truncated.client, { mergeWords: words, mergeOverflow: "truncate" }, current, samples);
    expect(count(truncated.stages()).merge).toBe(1);
  });

  it("refinements of which no two fit together leave the rubric as it is", async () => {
    expect(await revise(fake(better).client, { mergeWords: 5 })).toMatchObject({
      status: "kept",
      reason: expect.stringMatching(/no two of 3/),
    });
  });
});

describe("what goes wrong", () => {
  const kept = (reason: RegExp) => ({ status: "kept", reason: expect.stringMatching(reason) });

  it("costs one refinement, not the round", async () => {
    let failures = 0;
    const { client } = fake(better, (_, ask) =>
      ask === asks.analysis && failures++ === 0 ? new ChatError("down") : undefined,
    );
    expect(await revise(client)).toMatchObject({
      status: "published",
      report: { refinements: 2, problems: [expect.stringMatching(/sample \d: down/)] },
    });
  });

  it.each<[string, Answer, RegExp]>([
    ["server down", () => new ChatError("no answer from the server"), /no refinement came out: .*no answer/],
    ["budget used up", () => new BudgetError("the budget is used up"), /budget/],
    ["merge down", (_, ask) => (ask === asks.merge ? new ChatError("down") : undefined), /down/],
    [
      "merge without items",
      (_, ask) => (ask === asks.merge ? "<rubric></rubric>" : undefined),
      /holds no items/,
    ],
    [
      "merge cut off",
      (_, ask) => (ask === asks.merge ? { content: written(better), finishReason: "length" } : undefined),
      /cut off/,
    ],
    ["empty replies", () => "", /holds no items/],
  ])("%s: the old version stays, with the reason", async (_, answer, reason) => {
    expect(await revise(fake(better, answer).client)).toMatchObject(kept(reason));
  });

  it("count first: no number, or 0, is no rubric", async () => {
    for (const text of ["none", "0"]) {
      const { client } = fake(better, (_, ask) => (ask === asks.mergeCount ? text : undefined));
      expect(await revise(client, { refinement: "count-first" })).toMatchObject(kept(/number of items/));
    }
  });

  it("no rollouts", async () => {
    expect(await revise(fake(better).client, {}, current, [])).toMatchObject(kept(/no scored rollouts/));
  });

  it("a log that does not fit and an abort are thrown", async () => {
    await expect(revise(fake(better, () => new ReplayError("no reply in the log")).client)).rejects.toThrow(
      ReplayError,
    );
  });
});

describe("validation", () => {
  const scored = (share: number, rubric: Rubric): RubricScore => ({
    ...rollout(0).score,
    rubricVersion: rubric.version,
    total: share * rubric.maxTotal,
    maxTotal: rubric.maxTotal,
  });
  /** Scores by response and version. */
  const scorer =
    (shares: Record<string, [number, number]>): MetaRewardModelOptions["scorer"] =>
    async ({ response }, rubric) =>
      scored((shares[response] ?? [1, 0.5])[rubric.version] ?? 0, rubric);
  const reasonOf = async (
    items: readonly RubricItem[],
    options: Partial<MetaRewardModelOptions> = {},
    samples = rollouts,
    rubric = current,
  ) => {
    const revision = await revise(fake(items).client, options, rubric, samples);
    return revision.status === "kept" ? revision.reason : "published";
  };

  it("identical items, in any order, are no new version", async () => {
    const two = createRubric(better);
    const revision = await revise(fake([...better].reverse()).client, {}, two);
    expect(revision).toMatchObject({ status: "kept", unchanged: true });
  });

  it("limits of size", async () => {
    expect(await reasonOf([grade("A", 1, "word ".repeat(400))])).toMatch(/longer than 300 words/);
    expect(await reasonOf([grade("A", 5000)])).toMatch(/beyond 1000/);
    const many = Array.from({ length: 13 }, (_, i) => grade(`Item ${"abcdefghijklm"[i]}`));
    expect(await reasonOf(many)).toMatch(/13 items/);
  });

  it("no run of words from a sample, but wording of the task or shared by prompts is free", async () => {
    const text = "the quick brown fox jumps over the lazy dog today";
    const copies = [grade("Effort"), grade("Variety", 5, `mentions that ${text}`)];
    expect(await reasonOf(copies, {}, [rollout(0, 5, `Well, ${text}!`)])).toBe(
      'it copies "the quick brown fox jumps over the lazy" from a sample',
    );
    expect(await reasonOf(copies, { validation: { copiedWords: 12 } }, [rollout(0, 5, text)])).toBe(
      "published",
    );
    expect(await reasonOf(copies, { task: { ...task, description: text } }, [rollout(0, 5, text)])).toBe(
      "published",
    );
    const shared = [0, 1].map((i) => ({ ...rollout(i), prompt: `${i}. ${text}` }));
    expect(await reasonOf(copies, {}, shared)).toBe("published");
  });

  it("anchors that were in order stay in order", async () => {
    const anchors = [{ prompt: "p", good: "g", bad: "b" }];
    const validation = { anchors };
    expect(await reasonOf(better, { validation, scorer: scorer({ g: [0.9, 0.4], b: [0.2, 0.3] }) })).toBe(
      "published",
    );
    expect(await reasonOf(better, { validation, scorer: scorer({ g: [0.9, 0.3], b: [0.2, 0.3] }) })).toMatch(
      /no longer ranks anchor 1/,
    );
    expect(await reasonOf(better, { validation, scorer: scorer({ g: [0.2, 0.2], b: [0.9, 0.3] }) })).toBe(
      "published",
    );
  });

  it("samples that were called inflated score lower", async () => {
    const stays = scorer(Object.fromEntries(rollouts.map(({ response }) => [response, [1, 1]])));
    expect(normalised(rollouts[0]!.score)).toBe(1);
    expect(await reasonOf(better, { scorer: stays })).toMatch(/do not score lower/);
    expect(await reasonOf(better, { scorer: stays, validation: { flaggedScoreLower: false } })).toBe(
      "published",
    );
    expect(await reasonOf(better, { scorer: scorer({}) })).toBe("published");
    const failing: MetaRewardModelOptions["scorer"] = async () => ({
      status: "failed",
      reason: "?",
      rubricVersion: 1,
      rubricHash: "",
    });
    expect(await reasonOf(better, { scorer: failing })).toMatch(
      /none of the inflated samples could be scored/,
    );
  });

  it("gates only tighten unless a person allows more", async () => {
    const gated = createRubric([gate, grade("Effort")]);
    const revision = await revise(fake([...better, { ...gate, name: "Polite" }]).client, {}, gated);
    expect(revision.status === "published" && revision.rubric.items.map(({ name }) => name)).toEqual([
      "Safe",
      "Effort",
      "Variety",
      "Polite",
    ]);
    const looser = await revise(fake(better).client, { validation: { allowLooserGates: true } }, gated);
    expect(looser).toMatchObject({ status: "published", rubric: { items: better } });
  });
});
