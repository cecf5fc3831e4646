import { readFile } from "node:fs/promises";
import { describe, expect, it } from "vitest";
import { parseJson } from "../base/json.js";
import { JinjaTemplate, TemplateError } from "./jinja/index.js";

const render = (template: string, variables: Record<string, unknown> = {}, now?: Date) =>
  JinjaTemplate.parse(template).render(variables, now && { now });

describe("prints what jinja2 prints (test/oracle/jinja.py)", async () => {
  const text = await readFile(new URL("../../test/fixtures/formats/jinja.json", import.meta.url), "utf8");
  const { variables, cases } = parseJson(text, { wholeFloats: true }) as {
    variables: Record<string, unknown>[];
    cases: [template: string, variables: number, output: string | null][];
  };
  const outputs = cases.map(([template, index]) => {
    try {
      return render(template, variables[index]);
    } catch (error) {
      if (!(error instanceof TemplateError)) throw error;
      return null;
    }
  });

  it("in every case that it does not refuse", () => {
    const different = cases.filter(([, , expected], i) => outputs[i] !== null && outputs[i] !== expected);
    expect(different).toEqual([]);
    expect(cases.length).toBeGreaterThan(1000);
  });

  it("and refuses what jinja2 refuses; beyond that, slices of constants and character names", () => {
    const refused = cases.filter(([, , expected], i) => outputs[i] === null && expected !== null);
    for (const [template] of refused) expect(template).toMatch(/\[:?[12:-]|\\N\{/);
    expect(refused.length).toBeLessThan(8);
  });
});

describe("strftime_now", () => {
  it.each([
    ["%Y-%m-%d %H:%M:%S", "2024-07-06 05:04:03"],
    ["%d %b %Y", "06 Jul 2024"],
    ["%A, %B %-d, %Y", "Saturday, July 6, 2024"],
    ["%a %j %U %W %V %G %u %w %y %I%p %%", "Sat 188 26 27 27 2024 6 6 24 05AM %"],
  ])("%s", (format, expected) => {
    const now = new Date(2024, 6, 6, 5, 4, 3);
    expect(render(`{{ strftime_now('${format}') }}`, {}, now)).toBe(expected);
  });
});

describe("bounds", () => {
  const fails = (template: string, variables: Record<string, unknown> = {}) => {
    const used = process.cpuUsage();
    let message = "";
    try {
      render(template, variables);
    } catch (error) {
      expect(error).toBeInstanceOf(TemplateError);
      message = (error as Error).message;
    }
    const { user, system } = process.cpuUsage(used);
    expect((user + system) / 1e6).toBeLessThan(10);
    return message;
  };

  it.each([
    ["{{ range(10**9) }}", /Range too big/],
    ["{% for i in range(100000) %}{% for j in range(100000) %}{% endfor %}{% endfor %}", /steps/],
    ["{% macro m(n) %}{{ m(n + 1) }}{% endmacro %}{{ m(0) }}", /330 times deep/],
    ["{% macro a() %}{{ b() }}{% endmacro %}{% macro b() %}{{ a() }}{% endmacro %}{{ a() }}", /times deep/],
    ["{{ 'a' * 10**9 }}", /64,000,000 characters/],
    ["{{ [0] * 10**9 }}", /64,000,000 characters/],
    ["{{ 'a'|center(10**9) }}", /64,000,000 characters/],
    ["{{ '%1000000000d' % 5 }}", /64,000,000 characters/],
    ["{{ '{:1000000000}'.format('a') }}", /64,000,000 characters/],
    ["{{ 'a'.zfill(10**9) }}", /64,000,000 characters/],
    ["{{ ('a\n' * 1000)|indent(10**9) }}", /64,000,000 characters/],
    ["{{ 9**(9**9) }}", /bits/],
    [
      "{% set ns = namespace(x='a') %}{% for i in range(99) %}{% set ns.x = ns.x + ns.x %}{% endfor %}",
      /64,000,000/,
    ],
    ["{% set ns = namespace(x=9) %}{% for i in range(99) %}{% set ns.x = ns.x * ns.x %}{% endfor %}", /bits/],
    [
      "{% set ns = namespace(x=[]) %}{% for i in range(999) %}{% set ns.x = [ns.x, ns.x] %}{% endfor %}{{ ns.x }}",
      /deep/,
    ],
    // Sixty values that hold the one before twice are as many texts as 2^60.
    ...(
      [
        ["{{ ns.x }}", /steps/],
        ["{{ ns.x|tojson }}", /steps/],
        ["{{ ns.x|string }}", /steps/],
        ["{{ '%s' % [ns.x] }}", /steps/],
        ["{{ ns.x == ns.y }}", /steps/],
        ["{{ ns.x in [ns.y] }}", /steps/],
        ["{{ [ns.x, ns.y]|sort }}", /steps/],
        ["{{ [ns.x].count(ns.y) }}", /steps/],
        ["{{ [ns.x].index(ns.y) }}", /steps/],
        ["{{ ns.x is eq ns.y }}", /steps/],
      ] as [string, RegExp][]
    ).map(([use, expected]): [string, RegExp] => [
      `{% set ns = namespace(x=[1], y=[1]) %}{% for i in range(60) %}{% set ns.x = [ns.x, ns.x] %}{% set ns.y = [ns.y, ns.y] %}{% endfor %}${use}`,
      expected,
    ]),
    ["{% set x = ('a' * 10**5,) * 10**4 %}{{ x }}", /64,000,000 characters/],
    ["{% set x = ('é\\n' * 10**5,) * 10**4 %}{{ x }}", /64,000,000 characters/],
    [
      "{% set x = ['a' * 10**6] * 10**5 %}{% set y = ['a' * 10**6] * 10**5 %}{{ x == y }}",
      /steps|characters/,
    ],
  ])("%s", (template, expected) => {
    expect(fails(template)).toMatch(expected);
  });

  it("ranges are equal by what they hold, without being listed", () => {
    expect(
      render(
        "{{ range(99999) == range(99999) }} {{ range(3) == range(0, 3, 1) }} {{ range(0) == range(5, 2) }}",
      ),
    ).toBe("True True True");
    expect(
      render(
        "{{ range(0, 1, 5) == range(1) }} {{ range(0, 4, 2) == range(0, 3, 2) }} {{ range(2) == range(1, 3) }}",
      ),
    ).toBe("True True False");
  });

  it("blanks by the megabyte, and expressions that nest", () => {
    const blanks = " ".repeat(4_000_000);
    expect(render(`${blanks}{%- if true %}x{% endif %}`)).toBe("x");
    expect(render(`a{{ ${blanks} 1 ${blanks} }}${blanks}`).length).toBe(blanks.length + 2);
    expect(fails(`{{ ${"(".repeat(100_000)}1${")".repeat(100_000)} }}`)).toMatch(/deep/);
    expect(fails(`{{ ${"not ".repeat(100_000)}1 }}`)).toMatch(/deep/);
    expect(fails("{% if 1 %}".repeat(100_000))).not.toBe("");
    expect(fails("{{ ".repeat(500_000))).not.toBe("");
  });

  it("names of the host are out of reach", () => {
    for (const name of ["constructor", "__proto__", "toString", "prototype"]) {
      expect(render(`{{ x.${name} }}|{{ x['${name}'] }}|{{ ''.${name} }}|{{ ${name} }}`, { x: {} })).toBe(
        "|||",
      );
      expect(fails(`{{ x.${name}.${name} }}`, { x: {} })).not.toBe("");
    }
  });
});
