// Against a real service, where one is named: TOUCHSTONE_TINKER_URL, TOUCHSTONE_TINKER_MODEL (a local directory whose name
// the service knows), TOUCHSTONE_TINKER_KEY where it wants one. docs/tinker.md says how to start SkyRL's and TuFT's.

import { mkdtemp, readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, afterEach, beforeAll, describe, expect, it } from "vitest";
import { openTinker, type TinkerModel } from "../src/engine/tinker/index.js";
import { distance, tensorsOf, trainedHere } from "./support/adapters.js";
import { objectiveNamed, samples, updates } from "./support/tinker-parity.js";

const {
  TOUCHSTONE_TINKER_URL: url,
  TOUCHSTONE_TINKER_MODEL: base = "",
  TOUCHSTONE_TINKER_KEY: apiKey,
} = process.env;
/** TuFT's processor back end is a toy without gradients of a language model. */
const isToy = process.env.TOUCHSTONE_TINKER_TOY === "1";

let folder: string;
let vocabSize: number;
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), "tinker-live-"));
  if (url) vocabSize = JSON.parse(await readFile(join(base, "config.json"), "utf8")).vocab_size;
});
afterAll(() => rm(folder, { recursive: true, force: true }));

let model: TinkerModel | undefined;
// Services have few places.
afterEach(() => model?.dispose());

const notes: string[] = [];
const open = (): Promise<TinkerModel> =>
  openTinker({
    baseUrl: url!,
    apiKey,
    baseModel: base,
    rank: 4,
    seed: 7,
    limits: { vocabSize, maxTokens: 256 },
    endIds: [3],
    savedBase: base,
    tokenizerDir: base,
    note: (sentence) => notes.push(sentence),
    ...(isToy && { reduction: "sum" as const }),
  });

const minutes = 60_000;

describe.skipIf(!url)("a real service", () => {
  it(
    "samples, steps, saves and goes on",
    async () => {
      model = await open();
      console.info(notes.at(-1), model.clips ? "it clips" : "it does not clip");
      const prompts = [
        [5, 6, 7],
        [9, 10, 11],
      ];
      const completions = await model.sample(prompts, { n: 2, maxNewTokens: 8, seeds: [1, 2, 3, 4] });
      expect(completions).toHaveLength(4);
      const sequences = completions.map(({ promptIndex, tokens }) => ({
        tokens: [...prompts[promptIndex]!, ...tokens],
        promptLength: 3,
      }));
      const before = await model.logprobs(sequences);
      await model.backward(
        sequences,
        before.map((row) => row.map(() => -0.1)),
      );
      await model.step({ learningRate: 1e-3 });
      const after = await model.logprobs(sequences);
      if (!isToy) expect(total(after)).toBeGreaterThan(total(before));
      await model.saveState(join(folder, "state"));
      await model.loadState(join(folder, "state"));
      const again = await model.logprobs(sequences);
      close(again, (i, t) => after[i]![t]!, 4);
    },
    30 * minutes,
  );

  it.skipIf(isToy).each(["crpg", "crraft", "codpo", "grpo", "ppo"])(
    "five updates of %s are those of the local engine",
    async (name) => {
      model = await open();
      const dir = join(folder, name);
      await model.save(join(dir, "start"));
      const local = await trainedHere(base, join(dir, "start"));
      const objective = objectiveNamed(name);
      const sequences = samples(vocabSize);
      const there = await updates(model, await model.snapshot(), objective, sequences);
      const here = await updates(local, await local.snapshot(), objective, sequences);
      await model.save(join(dir, "there"));
      await local.save(join(dir, "here"));
      const { all, worst } = distance(
        await tensorsOf(join(dir, "there")),
        await tensorsOf(join(dir, "here")),
      );
      console.info(
        `${name}: weights ${all.toExponential(2)} apart, the worst tensor ${worst.toExponential(2)}; norms ${there.map((x, i) => (x / here[i]! - 1).toExponential(1))}`,
      );
      expect(all).toBeLessThan(1e-4);
    },
    30 * minutes,
  );
});

const total = (rows: readonly Float32Array[]) => rows.flatMap((row) => [...row]).reduce((a, b) => a + b, 0);

/** Each number is as near to its twin as `digits` decimal places. */
function close(rows: readonly Float32Array[], twin: (i: number, t: number) => number, digits: number): void {
  for (const [i, row] of rows.entries())
    for (const [t, x] of row.entries()) expect(x).toBeCloseTo(twin(i, t), digits);
}
