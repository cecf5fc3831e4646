import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import { UserError } from "../base/errors.js";
import { formatMergekit, type LinearMerge, mergeCard, parseMergekit, readMergekit } from "./mergekit.js";

const yaml = `models:
  - model: runs/rm-1
    parameters:
      weight: 1
  - model: runs/rm-2
    parameters:
      weight: 0.5
merge_method: linear
base_model: runs/sft
parameters:
  normalize: false
dtype: bfloat16
tokenizer_source: base
`;
const merge: LinearMerge = {
  models: [
    { model: "runs/rm-1", weight: 1 },
    { model: "runs/rm-2", weight: 0.5 },
  ],
  normalize: false,
  dtype: "BF16",
  baseModel: "runs/sft",
  tokenizerSource: "base",
};

describe("MergeKit's linear YAML", () => {
  it("is read and written unchanged", () => {
    expect(parseMergekit(yaml)).toEqual(merge);
    expect(formatMergekit(merge)).toBe(yaml);
  });

  it("normalises by default, and takes a weight for all models", () => {
    const text = "merge_method: linear\nmodels: [{model: a}, {model: b, parameters: {weight: 3}}]\n";
    expect(parseMergekit(text)).toEqual({
      models: [
        { model: "a", weight: 1 },
        { model: "b", weight: 3 },
      ],
      normalize: true,
    });
    expect(parseMergekit(`${text}parameters: {weight: 2}\n`).models[0]!.weight).toBe(2);
    expect(parseMergekit(`${text}dtype: float32\nout_dtype: float16\n`).dtype).toBe("F16");
  });

  const refusals: [string, RegExp][] = [
    ["merge_method: slerp\nmodels: [{model: a}]", /merge_method "slerp" is not supported/],
    ["models: [{model: a}]", /merge_method undefined is not supported/],
    ["merge_method: linear\nmodels: []", /models must name at least one model/],
    ["merge_method: linear\nslices: []\nmodels: [{model: a}]", /x.yaml: slices is not supported/],
    [
      "merge_method: linear\nmodels: [{model: a, parameters: {density: 1}}]",
      /models.0.parameters.density is not supported/,
    ],
    ["merge_method: linear\nmodels: [{model: a, parameters: {weight: [0, 1]}}]", /weight must be one number/],
    ["merge_method: linear\nmodels: [{model: a}]\ndtype: int8", /dtype must be float32/],
    ["{", /not valid YAML/],
  ];
  it.each(refusals)("refuses %j", (text, message) => {
    expect(() => parseMergekit(text, "x.yaml")).toThrow(UserError);
    expect(() => parseMergekit(text, "x.yaml")).toThrow(message);
  });

  it("reads a file", async () => {
    const dir = await mkdtemp(join(tmpdir(), "touchstone-mergekit-"));
    await writeFile(join(dir, "m.yaml"), yaml);
    expect(await readMergekit(join(dir, "m.yaml"))).toEqual(merge);
    await expect(readMergekit(join(dir, "none.yaml"))).rejects.toThrow(/none.yaml does not exist/);
    await rm(dir, { recursive: true });
  });
});

describe("mergeCard", () => {
  it("lists the members and embeds a configuration that reads back", () => {
    const card = mergeCard(merge, true);
    expect(card).toMatch(/^---\nlibrary_name: transformers\ntags:\n/);
    expect(card).toContain("- `runs/rm-2` (weight 0.5)");
    const embedded = /```yaml\n([\s\S]*?)```/.exec(card)![1]!;
    expect(parseMergekit(embedded)).toEqual(merge);
    expect(card).toContain("weighted mean");
    expect(mergeCard({ models: [{ model: "a", weight: 1 }] }, false)).toContain("uniform mean");
  });
});
