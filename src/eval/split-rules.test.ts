import { describe, expect, it } from "vitest";
import { parseSplitRules } from "./split-rules.js";

const rules = (text: string) => parseSplitRules(text, "rules.yaml");

describe("the rules of a split", () => {
  const { claim, tasks } = rules(`
tasks:
  math:
    keywords: [solve, square root, C++]
    regex: '\\d+ *[-+*/] *\\d+'
    not: { keywords: essay }
  safety: { columns: { source: [red-team, 7] } }
  chat: { regex: '^hello' }
`);

  it.each([
    ["Solve this.", {}, "math"],
    ["What is the square root of 2?", {}, "math"],
    ["Is C++ hard?", {}, "math"],
    ["Dissolve this.", {}, undefined],
    ["resolve", {}, undefined],
    ["3 + 4", {}, "math"],
    ["An essay on how to solve it", {}, undefined],
    ["hello", { source: "red-team" }, "safety"],
    ["hello", { source: 7 }, "safety"],
    ["hello, solve 1", { source: "red-team" }, "math"],
    ["HELLO", {}, "chat"],
    ["löse é solve", {}, "math"],
  ])("%j %j goes to %s", (prompt, columns, task) => {
    expect(claim(prompt, columns)).toBe(task);
  });

  it("keeps the order of the file", () => {
    expect(tasks).toEqual(["math", "safety", "chat"]);
  });

  it.each([
    ["tasks: {}", "tasks: there is no task in it"],
    ["tasks: { a: { keyword: x } }", 'tasks.a.keyword is not a known key (did you mean "keywords"?)'],
    ["tasks: { a: {} }", 'task "a" needs keywords, regex or columns'],
    ["tasks: { a: { regex: '(?=x)' } }", "is not valid RE2 syntax"],
    ["tasks: { a: { regex: x } }\ndefault: b", 'default names no task "b"'],
    ["tasks: { failed: { regex: x } }", 'a task cannot be called "failed"'],
    ["tasks: { 'a/b': { regex: x } }", 'task "a/b" becomes a file name'],
    ["tasks: [", "rules.yaml:1: not valid YAML"],
  ])("%j is a mistake", (text, sentence) => {
    expect(() => rules(text)).toThrow(sentence);
  });
});
