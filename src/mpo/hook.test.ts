import { describe, expect, it } from "vitest";
import type { RandomStream } from "../base/random.js";
import { MpoHook, type MpoOptions } from "./hook.js";
import type { Revision } from "./meta-reward-model.js";
import type { MpoRollout, ScoredRollout } from "./rollout.js";
import { createRubric, nextVersion, type Rubric } from "./rubric.js";

const levels = (max: number) => [
  { points: 0, text: "no" },
  { points: max, text: "yes" },
];
const rubric = createRubric([{ name: "A", kind: "grade", levels: levels(5) }]);

const rollout = (step: number, i: number, points = 3, cluster?: string): ScoredRollout => ({
  promptId: `p${i}`,
  prompt: "prompt",
  response: `response ${step}.${i}`,
  step,
  ...(cluster === undefined ? {} : { cluster }),
  score: {
    status: "scored",
    rubricVersion: 0,
    rubricHash: rubric.hash,
    items: [],
    total: points,
    maxTotal: 5,
    feasible: true,
    reward: points / 5,
    source: "rubric",
  },
});
const failedRollout = (step: number): MpoRollout => ({
  ...rollout(step, 9),
  score: { status: "failed", reason: "?", rubricVersion: 0, rubricHash: "" },
});

const report = { sampled: 0, flagged: 0, refinements: 0, problems: [] };

/** A meta reward model that publishes a longer rubric each time, and keeps what it saw. */
function publishing() {
  const seen: { responses: string[]; draw: number; version: number }[] = [];
  const revise = async (
    current: Rubric,
    rollouts: readonly ScoredRollout[],
    random: RandomStream,
  ): Promise<Revision> => {
    seen.push({
      responses: rollouts.map(({ response }) => response),
      draw: random.uniform(),
      version: current.version,
    });
    const item = { name: `Item ${"abcdefgh"[current.version]}`, kind: "grade" as const, levels: levels(5) };
    return { status: "published", rubric: nextVersion(current, [...current.items, item]), report };
  };
  return { seen, revise };
}
const keeping = (unchanged: boolean) => ({
  revise: async (): Promise<Revision> => ({ status: "kept", reason: "no", unchanged, report }),
});

const hookOf = (options: MpoOptions, seed = 1) => new MpoHook(rubric, seed, options);

async function run(hook: MpoHook, from: number, to: number): Promise<number[]> {
  const versions: number[] = [];
  for (let step = from; step <= to; step++) {
    versions.push(hook.rubricFor().version);
    await hook.onRollouts(step, [rollout(step, 0), failedRollout(step), rollout(step, 1)]);
  }
  return versions;
}

describe("every k updates", () => {
  it("a round follows update k and takes effect with update k + 1; the buffer holds updates 1..k and is cleared", async () => {
    const meta = publishing();
    const hook = hookOf({ meta, interval: 3 });
    expect(await run(hook, 1, 7)).toEqual([0, 0, 0, 1, 1, 1, 2]);
    expect(meta.seen.map(({ responses }) => responses)).toEqual([
      ["response 1.0", "response 1.1", "response 2.0", "response 2.1", "response 3.0", "response 3.1"],
      ["response 4.0", "response 4.1", "response 5.0", "response 5.1", "response 6.0", "response 6.1"],
    ]);
    expect({ ...hook.rubricMetrics(), ...hook.roundMetrics() }).toMatchObject({
      "rubric/version": 2,
      "mpo/rounds": 2,
      "mpo/buffer": 2,
      "rubric/items": 3,
    });
  });

  it("the buffer is cleared after a round that changed nothing, too", async () => {
    const hook = hookOf({ meta: keeping(false), interval: 2 });
    await run(hook, 1, 2);
    expect(hook.state()).toMatchObject({ buffer: [], round: 1, rubrics: { "": { version: 0 } } });
  });

  it("an interval of infinity gathers nothing, asks nothing and draws nothing", async () => {
    const meta = publishing();
    const hook = hookOf({ meta, interval: Number.POSITIVE_INFINITY });
    const before = hook.state();
    expect(await run(hook, 1, 50)).toEqual(new Array(50).fill(0));
    expect(hook.state()).toEqual(before);
    expect(meta.seen).toEqual([]);
  });

  it("stops after so many unchanged rounds in a row", async () => {
    const hook = hookOf({ meta: keeping(true), interval: 1, stopAfterUnchanged: 2 });
    await run(hook, 1, 6);
    expect(hook.state().round).toBe(2);
    const other = hookOf({ meta: keeping(false), interval: 1, stopAfterUnchanged: 2 });
    await run(other, 1, 6);
    expect(other.state().round).toBe(6);
  });

  it("the oldest rollouts leave a full buffer", async () => {
    const meta = publishing();
    await run(hookOf({ meta, interval: 3, maxBuffer: 3 }), 1, 3);
    expect(meta.seen[0]!.responses).toEqual(["response 2.1", "response 3.0", "response 3.1"]);
  });
});

describe("checkpoints", () => {
  it("a run that is killed in the middle of a round continues with the same version, buffer and random draws", async () => {
    const whole = publishing();
    const wholeHook = hookOf({ meta: whole, interval: 4 });
    const wholeVersions = await run(wholeHook, 1, 12);

    const [before, after] = [publishing(), publishing()];
    const killed = hookOf({ meta: before, interval: 4 });
    const versions = await run(killed, 1, 6);
    const saved = JSON.parse(JSON.stringify(killed.state()));
    // What happens between the checkpoint and the kill is lost.
    await run(killed, 7, 9);
    const resumed = hookOf({ meta: after, interval: 4 }, 99);
    resumed.restore(saved);
    expect([...versions, ...(await run(resumed, 7, 12))]).toEqual(wholeVersions);
    expect([before.seen[0], ...after.seen]).toEqual(whole.seen);
    expect(resumed.state()).toEqual(wholeHook.state());
    expect(resumed.rubricFor().hash).toBe(wholeHook.rubricFor().hash);
  });
});

describe("clusters", () => {
  it("only clusters with new rollouts change", async () => {
    const hook = new MpoHook({ algebra: rubric, geometry: rubric }, 1, { meta: publishing(), interval: 2 });
    await hook.onRollouts(1, [rollout(1, 0, 3, "algebra")]);
    const round = await hook.onRollouts(2, [rollout(2, 0, 3, "algebra")]);
    expect(round!.revisions.map(({ cluster }) => cluster)).toEqual(["algebra"]);
    expect([hook.rubricFor("algebra").version, hook.rubricFor("geometry").version]).toEqual([1, 0]);
    expect(() => hook.rubricFor("topology")).toThrow('cluster "topology"');
  });
});

describe("triggers", () => {
  const fired = async (options: MpoOptions["triggers"], steps: (readonly [ScoredRollout[], number?])[]) => {
    const hook = hookOf({
      meta: keeping(false),
      interval: Number.POSITIVE_INFINITY,
      triggers: options!,
      cooldown: 1,
    });
    const rounds = [];
    for (const [i, [rollouts, kl]] of steps.entries()) {
      const round = await hook.onRollouts(i + 1, rollouts, kl === undefined ? {} : { kl });
      rounds.push(round?.trigger);
    }
    return rounds;
  };
  const at = (...points: number[]) => points.map((p, i) => rollout(1, i, p));
  const long = (words: number) => [{ ...rollout(1, 0), response: "word ".repeat(words) }];

  it("saturation, collapse of the deviation, flat groups", async () => {
    expect(await fired({ saturation: 0.9 }, [[at(3, 4)], [at(5, 5)]])).toEqual([undefined, "saturation"]);
    expect(await fired({ minDeviation: 0.05 }, [[at(1, 5)], [at(3, 3)]])).toEqual([
      undefined,
      "score-deviation",
    ]);
    const group = (...points: number[]) => points.map((p) => rollout(1, 0, p));
    expect(await fired({ zeroDeviationGroups: 0.5 }, [[group(1, 2)], [group(2, 2)]])).toEqual([
      undefined,
      "zero-deviation-groups",
    ]);
  });

  it("jumps of length and KL against the steps since the last round", async () => {
    const lengths = [long(10), long(11), long(10), long(30), long(30)].map((r) => [r] as const);
    expect(await fired({ lengthFactor: 2 }, lengths)).toEqual([
      undefined,
      undefined,
      undefined,
      "response-length",
      undefined,
    ]);
    const kls = [1, 1, 1, 5].map((kl) => [at(3), kl] as const);
    expect(await fired({ klFactor: 2 }, kls)).toEqual([undefined, undefined, undefined, "kl"]);
  });

  it("respect the cool-down, which the interval does not", async () => {
    const hook = hookOf({ meta: keeping(false), interval: 4, triggers: { saturation: 0.9 }, cooldown: 3 });
    const rounds = [];
    for (let step = 1; step <= 8; step++) rounds.push((await hook.onRollouts(step, at(5, 5)))?.trigger);
    expect(rounds).toEqual([
      undefined,
      undefined,
      "saturation",
      "interval",
      undefined,
      undefined,
      "saturation",
      "interval",
    ]);
  });
});
