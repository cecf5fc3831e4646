import { mkdtempSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect, test } from "vitest";
import { UserError } from "../base/errors.js";
import { createMember, mixtureFrom } from "./registry.js";
import { verdictFrom } from "./verdict.js";

const context = { baseDir: "." };

const input = (response: string, truncated = false, metadata = {}) => ({
  prompt: "p",
  response,
  truncated,
  metadata,
});

test("a name alone takes the defaults; the name and the policy can be set", async () => {
  const plain = await createMember("math", context);
  expect(plain).toMatchObject({ onFailed: "drop", judge: { name: "math", kind: "rule" } });
  const entry = { kind: "length", name: "short", max_words: 3, on_failed: "stop", max_failed_rate: 0.3 };
  expect(await createMember(entry, context)).toMatchObject({
    onFailed: "stop",
    maxFailedRate: 0.3,
    judge: { name: "short" },
  });
});

test.each([
  ["mth", 'there is no judge "mth" (did you mean "math"?)'],
  ["toString", 'there is no judge "toString"'],
  [{ max_words: 3 }, 'there is no judge "undefined"'],
  [{ kind: "length", max_word: 3 }, 'judge "length" has no option "max_word" (did you mean "max_words"?)'],
  [{ kind: "length", max_words: "3" }, 'judge "length", option "max_words": '],
  [{ kind: "math", on_failed: "ignore" }, 'judge "math", option "on_failed": '],
  [{ kind: "regex", must_match: "(a" }, 'regular expression "(a" is not valid RE2 syntax'],
  [{ kind: "regex", must_match: "(?=a)" }, "no look-around"],
  [{ kind: "regex" }, "needs `must_match` or `must_not_match`"],
  [{ kind: "format" }, "nothing to check"],
  [{ kind: "format", json_schema: { type: "foo" } }, 'option "json_schema" cannot be used'],
  [{ module: "./nowhere.js" }, "cannot be loaded"],
])("%j is refused with a sentence", async (entry, message) => {
  const attempt = createMember(entry as string, context);
  await expect(attempt).rejects.toThrow(UserError);
  await expect(attempt).rejects.toThrow(message);
});

test("a response cut at the token limit violates math, code and, when asked to, any other judge", async () => {
  const cut = input("The final answer is 4.", true, { answer: 4 });
  const { judge } = await createMember("math", context);
  expect(await verdictFrom(judge, cut)).toMatchObject({ verdict: "violated" });
  const lenient = await createMember({ kind: "math", truncated: "judge" }, context);
  expect(await verdictFrom(lenient.judge, cut)).toMatchObject({ verdict: "satisfied" });
  const strict = await createMember({ kind: "length", max_words: 9, truncated: "violated" }, context);
  expect(await verdictFrom(strict.judge, cut)).toMatchObject({ verdict: "violated" });
});

test("a judge of the user's own is one function in a module", async () => {
  const baseDir = mkdtempSync(join(tmpdir(), "judge-"));
  writeFileSync(
    join(baseDir, "mine.mjs"),
    `export default ({ response }) => ({ verdict: response === "hi" ? "satisfied" : "violated", reason: "greeting" });
     export const broken = () => { throw new Error("no idea"); };`,
  );
  const { members } = await mixtureFrom(
    [{ module: "./mine.mjs" }, { module: "./mine.mjs", export: "broken", name: "b" }],
    { baseDir },
  );
  expect(members.map(({ judge }) => judge.name)).toEqual(["./mine.mjs", "b"]);
  expect(await verdictFrom(members[0]!.judge, input("hi"))).toEqual({
    verdict: "satisfied",
    reason: "greeting",
  });
  expect(await verdictFrom(members[1]!.judge, input("hi"))).toEqual({ verdict: "failed", reason: "no idea" });
  const missing = createMember({ module: "./mine.mjs", export: "other" }, { baseDir });
  await expect(missing).rejects.toThrow('has no function as its export "other"');
});
