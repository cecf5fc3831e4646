import { describe, expect, it } from "vitest";
import { parse } from "yaml";
import { UserError } from "./errors.js";
import { parseYaml, readYaml } from "./yaml.js";

const pairs = (count: number, value: (i: number) => string) =>
  Array.from({ length: count }, (_, i) => `k${i}: ${value(i)}`).join("\n");

describe("readYaml", () => {
  it("reads what the yaml library reads", () => {
    const text = [
      "a: 1",
      "b: &x [1, two, 3.5, null, ~, true, 0x1f, 1e3, '1', \"\\u00e9\"]",
      "c: *x",
      "d: {e: f, 2: g, ? h : i}",
      "k: |",
      "  text",
      "   more",
      "l: >-",
      "  folded",
      "  text",
      "m:",
      "  - n: o",
      "    p: q",
      "  -",
      "r: # nothing",
      "<<: {s: t}",
    ].join("\n");
    expect(parseYaml(text, "x")).toEqual(parse(text));
    for (const small of ["", "# nothing", "3", "word", "[]", "{}", "- 1\n- - 2\n", "---\na: b\n"])
      expect(parseYaml(small, "x")).toEqual(parse(small));
  });

  it("knows the line of a key and of an item, whether it is there or not", () => {
    const { lineOf } = readYaml("a:\n  b:\n    - c\n    - d: e\nf: {g: h,\n  i: j}\n", "x");
    const lines = [["a"], ["a", "b"], ["a", "b", 0], ["a", "b", 1, "d"], ["f"], ["f", "i"]].map(lineOf);
    expect(lines).toEqual([1, 2, 3, 4, 5, 6]);
    expect([lineOf(["z"]), lineOf(["a", "b", 7]), lineOf(["a", "b", 0, "c"])]).toEqual([
      undefined,
      undefined,
      undefined,
    ]);
  });

  it("writes every alias out, so that changing one place changes no other", () => {
    const value = parseYaml("a: &x {n: 1}\nb: *x\n", "x") as Record<string, { n: number }>;
    value.a!.n = 2;
    expect(value.b!.n).toBe(1);
  });

  it("takes __proto__ for a key like any other", () => {
    const value = parseYaml("__proto__: {isAdmin: true}\n", "x") as Record<string, unknown>;
    expect([value.isAdmin, Object.keys(value)]).toEqual([undefined, ["__proto__"]]);
  });

  const bomb = [
    "a0: &a0 [x, x, x, x, x, x, x, x, x, x]",
    ...Array.from({ length: 9 }, (_, i) => `a${i + 1}: &a${i + 1} [${Array(10).fill(`*a${i}`).join(", ")}]`),
  ];
  it.each<[string, string, RegExp]>([
    ["ten levels of aliases", bomb.join("\n"), /^x:\d+: aliases make more than/],
    ["an alias inside of what it names", "a: 1\nb: &b [1, *b]", /^x:2: \*b stands inside of what it names$/],
    ["the same, further down", "a: &a {b: {c: [*a]}}", /^x:1: \*a stands inside/],
    ["an alias of nothing", "a: 1\nb:\n  - *c\n", /^x:3: \*c names nothing that stands before it/],
    ["an alias before its anchor", "a: *b\nb: &b 1", /^x:1: \*b names nothing/],
    ["a key twice", "a: 1\nb: 2\na: 3", /^x:3: the key a is there twice$/],
    ["a key that is a list", "a: 1\n[b, c]: 2", /^x:2: a key must be text or a number$/],
    ["a broken line", "a: 1\nb: [2", /^x:\d: not valid YAML: /],
    ["two documents", "a: 1\n---\nb: 2", /^x:\d: not valid YAML: /],
    ["60,000 keys", pairs(60_000, String), /^x:\d+: this is more YAML than is read/],
    ["40,000 anchors", pairs(40_000, (i) => `&a${i} x`), /^x:\d+: this is more YAML than is read/],
    ["lists in lists", "[".repeat(100_000), /^x:1: .*nested more than 64 deep/],
    ["lists in lines", `\n${"- ".repeat(20_000)}`, /^x:\d+: .*nested more than 64 deep/],
    ["mappings in mappings", "{a: ".repeat(50_000), /^x:1: .*nested more than 64 deep/],
    ["anchors in anchors", "&a [".repeat(20_000), /^x:\d: /],
    ["runs of anchors", `${"&a ".repeat(50_000)}x`, /^x:\d+: /],
    ["nested blocks", Array.from({ length: 900 }, (_, i) => `${" ".repeat(i)}a:`).join("\n"), /deep/],
    ["two megabytes", `a: ${"x".repeat(2 ** 21)}`, /^x: more than a megabyte of YAML is not read$/],
  ])("answers %s in one sentence, within seconds", (_, text, sentence) => {
    const started = performance.now();
    const read = () => parseYaml(text, "x");
    expect(read).toThrow(UserError);
    expect(read).toThrow(sentence);
    // Twice, on a machine that may be busy.
    expect(performance.now() - started).toBeLessThan(8000);
  });
});
