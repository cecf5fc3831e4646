import { describe, expect, it } from "vitest";
import { chooseFiles, splitOf } from "./splits.js";

describe("splitOf", () => {
  it.each([
    ["train.jsonl", "train"],
    ["data/train-00000-of-00004.parquet", "train"],
    ["data/train_prefs-00000-of-00001-0a1b.parquet", "train_prefs"],
    ["default/test_sft/0000.parquet", "test_sft"],
    ["harmless-base/test.jsonl.gz", "test"],
    ["gsm8k_dev.json", "validation"],
    ["valid/part-1.jsonl", "validation"],
    ["eval.jsonl", "test"],
    ["training_2.jsonl", "train"],
    ["trainer.jsonl", null],
    ["part-0001.jsonl", null],
  ])("%s is %s", (path, split) => expect(splitOf(path)).toBe(split));
});

describe("chooseFiles", () => {
  const choose = (paths: string[], choice = {}, readme: string | null = null) =>
    chooseFiles("acme/x", paths, readme, choice);

  it("takes train, or what is asked for under any of its names, or all files when none names a split", () => {
    const paths = [
      "README.md",
      "test.jsonl",
      "train-2.jsonl",
      "train-1.jsonl",
      "dataset_infos.json",
      ".cache/a.json",
    ];
    expect(choose(paths)).toEqual(["train-1.jsonl", "train-2.jsonl"]);
    expect(choose(paths, { split: "eval" })).toEqual(["test.jsonl"]);
    expect(choose(["b.jsonl", "a.parquet", "notes.txt"])).toEqual(["a.parquet", "b.jsonl"]);
    expect(choose(["validation.jsonl"])).toEqual(["validation.jsonl"]);
  });

  it("never mixes splits that it was not asked to mix", () => {
    const paths = ["data/train_sft-00000-of-00001.parquet", "data/train_prefs-00000-of-00001.parquet"];
    expect(() => choose(paths)).toThrow(/acme\/x has no split "train"; it has train_prefs, train_sft/);
    expect(choose(paths, { split: "train_prefs" })).toEqual([paths[1]]);
  });

  it("takes a configuration's folder", () => {
    const paths = ["main/train.jsonl", "socratic/train.jsonl"];
    expect(choose(paths, { config: "socratic" })).toEqual(["socratic/train.jsonl"]);
    expect(() => choose(paths, { config: "soc" })).toThrow(/no data files in a folder "soc"/);
  });

  const card = (configs: string) => `---\nlicense: mit\nconfigs:\n${configs}\n---\n# Card`;

  it("reads every form of data_files", () => {
    const paths = ["a/1.jsonl", "a/2.jsonl", "b/1.jsonl"];
    const forms: [string, string, string[]][] = [
      ["- {config_name: default, data_files: 'a/*'}", "train", ["a/1.jsonl", "a/2.jsonl"]],
      ["- {config_name: default, data_files: [a/1.jsonl, b/1.jsonl]}", "train", ["a/1.jsonl", "b/1.jsonl"]],
      [
        "- {data_files: [{split: train, path: ['a/1*', 'b/*']}, {split: odd, path: a/2.jsonl}]}",
        "odd",
        ["a/2.jsonl"],
      ],
      ["- {config_name: x, data_files: {train: a/2.jsonl, test: b/1.jsonl}}", "test", ["b/1.jsonl"]],
      ["- {config_name: x, data_dir: b}", "train", ["b/1.jsonl"]],
      ["- {config_name: x, data_dir: a, data_files: '2*'}", "train", ["a/2.jsonl"]],
    ];
    for (const [configs, split, expected] of forms) {
      expect(choose(paths, { split }, card(configs))).toEqual(expected);
    }
  });

  it("asks which configuration when several are there and none is the default", () => {
    const readme = card(
      "- {config_name: main, data_files: 'a/*'}\n- {config_name: socratic, data_files: 'b/*'}",
    );
    expect(() => choose(["a/1.jsonl", "b/1.jsonl"], {}, readme)).toThrow(
      /acme\/x has several configurations; choose one of main, socratic/,
    );
    expect(choose(["a/1.jsonl", "b/1.jsonl"], { config: "socratic" }, readme)).toEqual(["b/1.jsonl"]);
  });

  it("says what is there when nothing can be read", () => {
    expect(() => choose(["gsm8k.py"])).toThrow(/built by a script; its revision refs\/convert\/parquet/);
    expect(() => choose(["data-00000-of-00001.arrow", "state.json"])).toThrow(
      /it holds data-00000-of-00001.arrow/,
    );
    expect(() => choose([])).toThrow("acme/x holds no .jsonl, .json, .csv or .parquet files.");
  });
});
