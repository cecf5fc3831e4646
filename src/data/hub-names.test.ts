import { describe, expect, it } from "vitest";
import { parseHubName } from "./hub-names.js";

describe("parseHubName", () => {
  it.each([
    ["openai/gsm8k", { repo: "openai/gsm8k" }],
    ["hub:gsm8k", { repo: "gsm8k" }],
    ["hub:openai/gsm8k:main/train", { repo: "openai/gsm8k", config: "main", split: "train" }],
    ["trl-lib/tldr:validation", { repo: "trl-lib/tldr", split: "validation" }],
    [
      "a/b@refs/convert/parquet:default/train",
      { repo: "a/b", revision: "refs/convert/parquet", config: "default", split: "train" },
    ],
    ["Qwen/Qwen2.5-0.5B@v1.0", { repo: "Qwen/Qwen2.5-0.5B", revision: "v1.0" }],
  ])("%s", (source, expected) => expect(parseHubName(source)).toEqual(expected));

  it.each(["gsm8k", "./a/b", "../a", "/a/b", "a/b/c", "data/train.jsonl", "a/b:", "a/*", "C:\\data"])(
    "%s is none",
    (source) => expect(parseHubName(source)).toBeNull(),
  );
});
