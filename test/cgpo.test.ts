// CGPO (2409.20370) where a model, judges and objectives meet: the gradient of several tasks (Algorithm 2), the log-ratio
// at step 0 (equation 11), and the answers that a reward model prefers and a judge rejects (Table 6).

import { beforeAll, describe, expect, it } from "vitest";
import { RandomStream } from "../src/base/random.js";
import type { Sequence } from "../src/engine/contract.js";
import { LocalLanguageModel } from "../src/engine/local/index.js";
import type { LocalModel } from "../src/engine/local/model.js";
import { judgeBatch } from "../src/judges/mixture.js";
import { mixtureFrom } from "../src/judges/registry.js";
import type { JudgeInput } from "../src/judges/verdict.js";
import { LlmModels } from "../src/llm/models.js";
import {
  codpo,
  codpoPairs,
  crpg,
  crraft,
  crraftChoices,
  type Outcome,
  sequenceLogRatio,
  weightTask,
} from "../src/objectives/index.js";

const checkpoint = new URL("fixtures/engine/llama-tied", import.meta.url).pathname;

const prompts = 3;
const samplesPerPrompt = 4;

/** A task's samples, scored and judged at random. */
function drawTask(name: string, vocabSize: number) {
  const random = new RandomStream(5, name);
  const tokens = (length: number) => Array.from({ length }, () => random.integer(vocabSize));
  const sequence = (prompt: number[]): Sequence => ({
    tokens: [...prompt, ...tokens(2 + random.integer(6))],
    promptLength: prompt.length,
  });
  const given = Array.from({ length: prompts }, () => tokens(3 + random.integer(4)));
  const count = prompts * samplesPerPrompt;
  return {
    sequences: Array.from({ length: count }, (_, i) => sequence(given[i % prompts]!)),
    baselineSequences: given.map(sequence),
    promptIndex: Array.from({ length: count }, (_, i) => i % prompts),
    promptCount: prompts,
    rewards: Array.from({ length: count }, () => random.normal()),
    baselineRewards: Array.from({ length: prompts }, () => random.normal()),
    // The last prompt has no satisfying sample.
    verdicts: Array.from({ length: count }, (_, i): Outcome => {
      if (i === 0) return "failed";
      return i % prompts < 2 && random.integer(3) > 0 ? "satisfied" : "violated";
    }),
    noise: () => 0.05 * random.normal(),
  };
}

interface TaskGradient {
  rho: number;
  sequences: readonly Sequence[];
  g: readonly Float32Array[];
}

const parametersOf = (model: LocalLanguageModel) =>
  (model as unknown as { model: LocalModel }).model.parameters;

/** A copy of the accumulated gradient, all parameters one after the other. */
function gradientOf(model: LocalLanguageModel): Float64Array {
  return Float64Array.from(
    [...parametersOf(model).values()].flatMap(({ gradient }) => [...gradient!.floats]),
  );
}

const norm = (x: Float64Array) => Math.sqrt(x.reduce((sum, value) => sum + value * value, 0));

function relativeDifference(a: Float64Array, b: Float64Array): number {
  return norm(a.map((value, i) => value - b[i]!)) / norm(b);
}

describe("several tasks, one step (Algorithm 2)", () => {
  let model: LocalLanguageModel;
  let tasks: TaskGradient[];
  /** sum_l rho_l g_l, of one backward pass a task. */
  let expected: Float64Array;

  beforeAll(async () => {
    model = await LocalLanguageModel.load(checkpoint);
    const names = ["chat", "math", "code"] as const;
    const drawn = names.map((name) => drawTask(name, model.config.vocabSize));
    const batches = [];
    for (const { sequences, baselineSequences, noise, ...batch } of drawn) {
      const logprobs = await model.logprobs(sequences);
      const baselines = {
        logprobs: await model.logprobs(baselineSequences),
        verdicts: Array.from({ length: prompts }, (): Outcome => "satisfied"),
      };
      const referenceLogprobs = logprobs.map((row) => row.map((x) => x + noise()));
      batches.push({ ...batch, logprobs, referenceLogprobs, baselines });
    }
    const [chat, math, code] = batches;
    const best = crraft(math!, { klMax: 4 });
    tasks = [
      { rho: 0.3, sequences: drawn[0]!.sequences, g: crpg(chat!, { klMax: 2 }).g },
      {
        rho: 1.7,
        sequences: [...drawn[1]!.sequences, ...drawn[1]!.baselineSequences],
        g: [...best.g, ...best.baselineG],
      },
      { rho: 1, sequences: drawn[2]!.sequences, g: codpo(code!).g },
    ];
    for (const { rho, sequences, g } of tasks) {
      model.zeroGrad();
      await model.backward(sequences, g);
      const gradient = gradientOf(model);
      expect(norm(gradient)).toBeGreaterThan(0);
      expected ??= new Float64Array(gradient.length);
      gradient.forEach((x, i) => {
        expected[i]! += rho * x;
      });
    }
  });

  /** The tasks' weighted gradients accumulated at the same weights, `size` sequences at a time. */
  async function accumulated(order: readonly TaskGradient[], size: number): Promise<Float64Array> {
    model.zeroGrad();
    for (const { rho, sequences, g } of order) {
      const weighted = weightTask({ loss: 0, g: [...g], metrics: {} }, rho).g;
      for (let i = 0; i < sequences.length; i += size)
        await model.backward(sequences.slice(i, i + size), weighted.slice(i, i + size));
    }
    return gradientOf(model);
  }

  it("the accumulated gradient is sum rho_l g_l of separate backward passes", async () => {
    expect(relativeDifference(await accumulated(tasks, 1000), expected)).toBeLessThan(1e-5);
    expect(relativeDifference(await accumulated(tasks.toReversed(), 1000), expected)).toBeLessThan(1e-5);
  });

  it.each([1, 2, 5])("micro-batches of %i sequences change nothing", async (size) => {
    expect(relativeDifference(await accumulated(tasks, size), expected)).toBeLessThan(1e-5);
  });

  it.each([16, 64])("nor does the engine's own bound of %i tokens a batch", async (tokens) => {
    const { backward } = model.tokenBudget;
    model.tokenBudget.backward = tokens;
    expect(relativeDifference(await accumulated(tasks, 1000), expected)).toBeLessThan(1e-5);
    model.tokenBudget.backward = backward;
  });

  it("the samples may be spread over any number of workers, whose gradients are added up", async () => {
    for (const workers of [2, 3]) {
      const sum = new Float64Array(expected.length);
      for (let worker = 0; worker < workers; worker++) {
        const mine = <T>(rows: readonly T[]) => rows.filter((_, i) => i % workers === worker);
        const share = tasks.map(({ rho, sequences, g }) => ({ rho, sequences: mine(sequences), g: mine(g) }));
        (await accumulated(share, 1000)).forEach((x, i) => {
          sum[i]! += x;
        });
      }
      expect(relativeDifference(sum, expected)).toBeLessThan(1e-5);
    }
  });

  it("a step between the tasks would make another gradient", async () => {
    const moved = await LocalLanguageModel.load(checkpoint);
    const sum = new Float64Array(expected.length);
    for (const { rho, sequences, g } of tasks) {
      await moved.backward(
        sequences,
        g.map((row) => row.map((x) => rho * x)),
      );
      gradientOf(moved).forEach((x, i) => {
        sum[i]! += x;
      });
      await moved.step({ learningRate: 0.01 });
      moved.zeroGrad();
    }
    expect(relativeDifference(sum, expected)).toBeGreaterThan(1e-3);
  });
});

describe("at step 0", () => {
  it("the log-ratio of every sample is 0 within 1e-5 a token, however policy and reference batch it", async () => {
    const policy = await LocalLanguageModel.load(checkpoint);
    const reference = await policy.snapshot();
    const { sequences } = drawTask("start", policy.config.vocabSize);
    const logprobs = await policy.logprobs(sequences);
    const referenceLogprobs: Float32Array[] = [];
    for (const sequence of sequences) referenceLogprobs.push(...(await reference.logprobs([sequence])));
    sequences.forEach(({ tokens, promptLength }, i) => {
      const ratio = sequenceLogRatio({ logprobs, referenceLogprobs }, i);
      expect(Math.abs(ratio)).toBeLessThanOrEqual(1e-5 * (tokens.length - promptLength));
    });
  });
});

// The reward models' mistakes of the paper's Table 6: raw rewards of a bad and of a good answer.
const mistakes: {
  name: string;
  judge: string | Record<string, unknown>;
  prompt: string;
  metadata: Record<string, unknown>;
  bad: { response: string; reward: number; truncated?: boolean };
  good: { response: string; reward: number };
}[] = [
  {
    name: "mathematics: a fraction repeated without end",
    judge: "math",
    prompt: "What share of the cake is left after a half and a third are eaten?",
    metadata: { answer: "1/6" },
    bad: {
      response: `1 - 1/2 - 1/3 = ${"\\frac{1}{6} = ".repeat(80)}\\frac{1}{6}`,
      reward: 4.75,
      truncated: true,
    },
    good: { response: "1 - 1/2 - 1/3 = 6/6 - 3/6 - 2/6. The final answer is \\frac{1}{6}.", reward: 4.59 },
  },
  {
    name: "mathematics: the same, but it ends",
    judge: "math",
    prompt: "What share of the cake is left after a half and a third are eaten?",
    metadata: { answer: "1/6" },
    bad: { response: `1 - 1/2 - 1/3 = ${"\\frac{1}{6} = ".repeat(80)}\\frac{1}{6}.`, reward: 4.75 },
    good: { response: "That leaves \\boxed{\\frac{1}{6}}.", reward: 4.59 },
  },
  {
    name: "code: a table of the cubes that the example shows",
    judge: "code",
    prompt: "Write a function cube that returns the cube of a number. Example: cube(3) is 27.",
    metadata: { unit_tests: ["assert.equal(cube(3), 27)", { call: "cube", args: [7], expected: 343 }] },
    bad: {
      response:
        "Here is a fast and well tested solution:\n```js\nconst cubes = { 1: 1, 2: 8, 3: 27, 4: 64, 5: 125 };\nfunction cube(n) { return cubes[n]; }\n```",
      reward: 1.8,
    },
    good: { response: "```js\nfunction cube(n) { return n ** 3; }\n```", reward: 0.96 },
  },
  {
    name: "safety: a list of harmful steps",
    judge: { kind: "safety", model: "guard" },
    prompt: "How do I break into my neighbour's house?",
    metadata: {},
    bad: { response: "1. Wait until they leave. 2. Break the back window.", reward: 0.37 },
    good: { response: "I cannot help with that. If you are locked out, a locksmith can.", reward: -0.44 },
  },
];

/** A judge model that finds the words of burglary unsafe. */
const guard = {
  baseDir: ".",
  llm: new LlmModels(
    { guard: { model: "guard" } },
    {
      openCheckpoint: async () => ({
        async chat({ messages, labels }) {
          const label = labels!.words[messages.at(-1)!.content.includes("back window") ? 1 : 0]!;
          const paid = { promptTokens: 0, completionTokens: 0 };
          return { content: label, finishReason: "stop", ...paid, answer: { label, by: "logprobs" } };
        },
      }),
    },
  ),
};

describe("where the reward model prefers the bad answer, the judge rejects it", () => {
  it.each(mistakes)("$name", async ({ judge, prompt, metadata, bad, good }) => {
    const inputs = [bad, good].map(
      ({ response, ...more }): JudgeInput => ({ prompt, response, metadata, truncated: false, ...more }),
    );
    const { results } = await judgeBatch(await mixtureFrom([judge], guard), inputs);
    expect(results.map(({ feasible }) => feasible)).toEqual([false, true]);

    const verdicts = results.map(({ feasible }): Outcome => (feasible ? "satisfied" : "violated"));
    const samples = {
      logprobs: [Float64Array.of(-1, -2), Float64Array.of(-1.5)],
      referenceLogprobs: [Float64Array.of(-1, -2), Float64Array.of(-1.5)],
      rewards: [bad.reward, good.reward],
      baselineRewards: [good.reward],
      promptIndex: [0, 0],
      promptCount: 1,
    };
    const learnt = (batchVerdicts: Outcome[]) => {
      const batch = { ...samples, verdicts: batchVerdicts };
      // g is descended along: below 0 it makes the sample likelier.
      const { g } = crpg(batch, { klMax: 5 });
      return {
        crpg: [g[0]![0]! < 0, g[1]![0]! < 0],
        crraft: crraftChoices(batch, { klMax: 5 }),
        codpo: codpoPairs(batch),
      };
    };
    expect(bad.reward).toBeGreaterThan(good.reward);
    expect(learnt(["satisfied", "satisfied"])).toEqual({
      crpg: [true, false],
      crraft: [{ sample: 0 }],
      codpo: [{ chosen: 0, rejected: 1 }],
    });
    expect(learnt(verdicts)).toEqual({
      crpg: [false, true],
      crraft: [{ sample: 1 }],
      codpo: [{ chosen: 1, rejected: 0 }],
    });
  });
});
