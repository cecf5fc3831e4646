// The exact six-answer scenario (src/mpo/scripted/scenario.ts), over real HTTP: a fixed rubric is hacked, an evolving one
// closes two loopholes in turn.

import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { ServerClient } from "../src/llm/index.js";
import { MpoHook, type MpoRound } from "../src/mpo/hook.js";
import { MetaRewardModel } from "../src/mpo/meta-reward-model.js";
import { normalised, type ScoredRollout } from "../src/mpo/rollout.js";
import { createRubric } from "../src/mpo/rubric.js";
import { RubricReward } from "../src/mpo/rubric-reward.js";
import { flawedItems } from "../src/mpo/scripted/dialect.js";
import { CannedPolicy, cannedAnswers, cannedInstruction, expectation } from "../src/mpo/scripted/scenario.js";
import { type ScriptedServer, startScriptedServer } from "../src/mpo/scripted/server.js";

const task = {
  description: "Explain natural phenomena in short essays.",
  scorerPersona: "You grade essays.",
  refinerPersona: "You improve rubrics for essays.",
};
const gold = cannedAnswers.map((answer) => answer.gold);
const indexOf = (name: string) => cannedAnswers.findIndex((answer) => answer.name === name);
const updates = 80;

interface Point {
  update: number;
  p: number[];
  gold: number;
  /** E_p of the normalised reward by the version that scored this update. */
  reward: number;
}

interface Run {
  points: Point[];
  rounds: MpoRound[];
}

async function train(baseUrl: string, interval: number): Promise<Run> {
  const client = new ServerClient({ baseUrl });
  const reward = new RubricReward({ client, model: "rm", task, mode: "item-reply" });
  const meta = new MetaRewardModel({
    client,
    model: "mrm",
    task,
    samples: 4,
    refinement: "single-shot",
    scorer: (sample, rubric) => reward.scoreByRubric(sample, rubric),
  });
  const hook = new MpoHook(createRubric(flawedItems), 1, { meta, interval });
  const policy = new CannedPolicy(cannedAnswers.length);
  const points: Point[] = [];
  const rounds: MpoRound[] = [];
  for (let update = 1; update <= updates; update++) {
    const samples = cannedAnswers.map(({ text }) => ({
      promptId: "tides",
      prompt: cannedInstruction,
      response: text,
    }));
    const scores = await reward.scoreAll(samples, hook.rubricFor(), update);
    const rollouts = samples.map((sample, i): ScoredRollout => {
      const score = scores[i]!;
      if (score.status === "failed") throw new Error(score.reason);
      expect(score.rubricVersion).toBe(hook.rubricFor().version);
      return { ...sample, step: update, score };
    });
    const rewards = rollouts.map(({ score }) => normalised(score));
    policy.update(rewards);
    const p = policy.probabilities();
    points.push({ update, p, gold: expectation(p, gold), reward: expectation(p, rewards) });
    // The meta reward model sees the four likeliest answers, once a round.
    const likeliest = p.map((_, a) => a).sort((a, b) => p[b]! - p[a]!);
    const seen = update % 10 === 0 ? likeliest.slice(0, 4).map((a) => rollouts[a]!) : [];
    const round = await hook.onRollouts(update, seen);
    if (round) rounds.push(round);
  }
  return { points, rounds };
}

describe("six canned answers", () => {
  let server: ScriptedServer;
  let fixed: Run;
  let evolving: Run;

  beforeAll(async () => {
    server = await startScriptedServer();
    fixed = await train(server.baseUrl, Number.POSITIVE_INFINITY);
    evolving = await train(server.baseUrl, 10);
  });
  afterAll(() => server.close());

  const last = ({ points }: Run) => points.at(-1)!;
  const at = ({ points }: Run, update: number) => points[update - 1]!;

  it("a fixed rubric is hacked", () => {
    expect(fixed.rounds).toEqual([]);
    expect(last(fixed).p[indexOf("padding")]).toBeGreaterThan(0.99);
    expect(last(fixed).gold).toBeLessThan(0.01);
    // The reward says that all is well.
    expect(last(fixed).reward).toBeGreaterThan(0.99);
  });

  it("the evolving rubric ends with the honest answer", () => {
    const { p, gold } = last(evolving);
    expect(p[indexOf("padding")]! + p[indexOf("word dump")]!).toBeLessThan(0.01);
    expect(gold).toBeGreaterThan(0.95);
  });

  it("publishes exactly two versions, after updates 10 and 20; later rounds change nothing", () => {
    const published = evolving.rounds.flatMap(({ step, revisions }) =>
      revisions.flatMap(({ revision }) =>
        revision.status === "published"
          ? [{ step, version: revision.rubric.version, maxTotal: revision.rubric.maxTotal }]
          : [],
      ),
    );
    expect(published).toEqual([
      { step: 10, version: 1, maxTotal: 26 },
      { step: 20, version: 2, maxTotal: 36 },
    ]);
    expect(evolving.rounds.map(({ step }) => step)).toEqual([10, 20, 30, 40, 50, 60, 70, 80]);
    for (const { revisions } of evolving.rounds.slice(2))
      expect(revisions[0]!.revision).toMatchObject({ status: "kept", unchanged: true });
  });

  it("runs like the fixed rubric up to the first round, and is hacked a second time before the second", () => {
    expect(at(evolving, 10).p).toEqual(at(fixed, 10).p);
    expect(at(evolving, 10).p[indexOf("padding")]).toBeGreaterThan(0.7);
    expect(at(evolving, 20).p[indexOf("padding")]).toBeLessThan(0.05);
    expect(at(evolving, 20).p[indexOf("word dump")]).toBeGreaterThan(0.85);
  });

  it("dips in normalised reward at each swap while the true reward rises later", () => {
    for (const update of [10, 20])
      expect(at(evolving, update + 1).reward).toBeLessThan(at(evolving, update).reward - 0.2);
    expect(last(evolving).gold).toBeGreaterThan(at(evolving, 20).gold);
  });

  it("takes 126 HTTP calls: 6 + 6 + 18 + 24 items scored and 8 rounds of 4 x 2 + 1", () => {
    expect(server.requests).toHaveLength(126);
    expect(server.requests.filter(({ model }) => model === "mrm")).toHaveLength(72);
  });
});
