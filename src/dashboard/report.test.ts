import { mkdir, mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { basename, join } from "node:path";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { formatNumber, formatPercent, formatTicks } from "./numbers.js";
import { renderReport, type Section } from "./report.js";
import { reportFromRuns } from "./run-report.js";
import { makeScale } from "./scale.js";

const render = (...sections: Section[]) => renderReport({ title: "t", summary: { headline: "h" }, sections });

describe("renderReport", () => {
  const hostile = `<script>alert("1")</script><img src=x onerror='x'>&\u0000\u202e`;

  it("escapes untrusted text wherever it can appear", () => {
    const page = renderReport({
      title: hostile,
      summary: { headline: hostile, highlights: [{ label: hostile, value: hostile, detail: hostile }] },
      footer: hostile,
      sections: [
        { kind: "text", title: hostile, caption: hostile, text: hostile },
        { kind: "keyValue", entries: [[hostile, hostile]] },
        { kind: "table", columns: [hostile], rows: [[hostile]], note: hostile },
        { kind: "code", text: hostile, title: hostile, folded: true },
        {
          kind: "samples",
          columns: [hostile],
          rows: [
            {
              prompt: hostile,
              task: hostile,
              answers: [
                {
                  text: hostile,
                  facts: [[hostile, hostile]],
                  verdicts: [{ judge: hostile, verdict: "violated", reason: hostile }],
                },
              ],
            },
          ],
        },
        {
          kind: "panels",
          sections: [
            {
              kind: "lineChart",
              x: { label: hostile },
              y: { label: hostile },
              series: [
                { name: hostile, points: [{ x: 0, y: 0 }] },
                { name: "b", points: [{ x: 1, y: 1 }] },
              ],
              references: [{ y: 0, label: hostile }],
            },
            { kind: "barChart", x: { label: hostile }, bars: [{ label: hostile, value: 1 }] },
          ],
        },
      ],
    });
    expect(page).not.toContain("<script");
    expect(page).not.toContain("<img");
    expect(page).not.toContain("\u0000");
    expect(page).not.toContain("\u202e");
    expect(page).toContain("&lt;script&gt;alert(&quot;1&quot;)&lt;/script&gt;");
    expect(page).toContain("␀[U+202E]");
  });

  it("asks nobody for anything and runs nothing", () => {
    const page = render({ kind: "text", text: "x" });
    expect(page).toContain(`content="default-src 'none'; style-src 'unsafe-inline'"`);
    expect(page).not.toMatch(/<(script|link|iframe|object)\b|url\(|@import|https?:/);
  });

  it("puts points where the axes say", () => {
    const page = render({
      kind: "lineChart",
      x: { label: "KL", scale: "sqrt", min: 0, max: 16 },
      y: { label: "reward", min: 0, max: 1 },
      series: [
        {
          name: "a",
          markers: true,
          points: [
            { x: 0, y: 0 },
            { x: 4, y: 1 },
            { x: Number.NaN, y: 3 },
          ],
        },
      ],
    });
    // The curve spans x 0..1000 of a box that is stretched, and y 316..26 pixels; sqrt(4) is half of sqrt(16).
    expect(page).toContain('d="M0 316L500 26"');
    expect(page).toContain('cx="50%" cy="26"');
    expect(page.match(/<circle/g)).toHaveLength(2);
    expect(page).toContain('aria-label="reward against KL. a: from 0 at 0 to 1 at 4."');
  });

  it("draws a band where there are intervals", () => {
    const points = [0, 1].map((x) => ({ x, y: x, low: x - 1, high: x + 1 }));
    const section: Section = {
      kind: "lineChart",
      x: { label: "x" },
      y: { label: "y" },
      series: [{ name: "a", points }],
    };
    expect(render(section)).toMatch(/class="band c0" d="M[^"]+L[^"]+Z"/);
    expect(render({ ...section, series: [] })).toContain("No data yet.");
  });

  it("shows intervals and marks the best in tables", () => {
    const page = render({
      kind: "table",
      columns: ["policy", "win rate"],
      rows: [
        ["a", { value: 0.634, format: "percent", interval: [0.6, 0.66], best: true }],
        ["b", null],
      ],
    });
    expect(page).toContain(
      '<span class="best">63.4\u2009%</span> <span class="interval">60.0\u2009% to 66.0\u2009%</span>',
    );
    expect(page).toContain('<td class="n">–</td>');
  });
});

describe("scales and numbers", () => {
  it("have round ticks", () => {
    expect(makeScale([0, 0.83], [0, 1], { round: true }).ticks).toEqual([0, 0.2, 0.4, 0.6, 0.8, 1]);
    expect(makeScale([0, 30], [0, 1], { kind: "sqrt" }).ticks).toEqual([0, 1, 4, 9, 16, 25]);
    expect(makeScale([0, 2.3], [0, 1], { kind: "sqrt" }).ticks).toEqual([0, 0.06, 0.3, 0.6, 1, 2]);
    expect(makeScale([1, 64], [0, 1], { kind: "log" }).ticks).toEqual([1, 2, 4, 8, 16, 32, 64]);
    expect(makeScale([3, 3], [0, 1]).at(3)).toBe(0.5);
  });

  it("read well", () => {
    expect([0.6234, 12345.6, -0.05, 0, 1e-6, 250].map((value) => formatNumber(value))).toEqual([
      "0.623",
      "12\u2009346",
      "−0.05",
      "0",
      "1.00e−6",
      "250",
    ]);
    expect(formatPercent(0.5)).toBe("50.0\u2009%");
    expect(formatTicks([0, 0.5, 1])).toEqual(["0.0", "0.5", "1.0"]);
    expect(formatTicks([0, 5e-7, 1e-6])).toEqual(["0", "5e−7", "1e−6"]);
  });
});

describe("reportFromRuns", () => {
  let root: string;
  beforeEach(async () => {
    root = await mkdtemp(join(tmpdir(), "touchstone-report-"));
  });
  afterEach(() => rm(root, { recursive: true, force: true }));

  async function run(name: string, slope: number): Promise<string> {
    const dir = join(root, name);
    await mkdir(dir);
    await writeFile(join(dir, "recipe.yaml"), `seed: ${slope}\n`);
    const rows = [1, 2, 3].map((step) => ({
      step,
      "tasks/chat/reward": slope * step,
      "tasks/chat/kl": step,
      "constraints/math/violation_rate": 0.5,
      loss: step === 2 ? null : 1,
    }));
    await writeFile(
      join(dir, "metrics.jsonl"),
      `${rows.map((row) => JSON.stringify(row)).join("\n")}\n{"step":4,"to`,
    );
    const rollouts = ["p1", "p2"].map((prompt) => ({
      step: 3,
      task: "chat",
      prompt,
      response: `${name} says <b>`,
      finish_reason: "length",
      reward: slope,
      verdicts: { math: { verdict: "violated", reason: "wrong & late" } },
    }));
    await writeFile(
      join(dir, "rollouts.jsonl"),
      `${rollouts.map((row) => JSON.stringify(row)).join("\n")}\n`,
    );
    return dir;
  }

  it("compares runs: shared charts, samples side by side, win rates, recipes", async () => {
    const dirs = [await run("first", 1), await run("second", 2)];
    const rate = { policy: "second", against: "first", rate: 0.7, low: 0.6, high: 0.8 };
    await writeFile(join(root, "evaluation.json"), JSON.stringify({ win_rates: [rate] }));
    const page = await reportFromRuns(dirs, { evaluations: [join(root, "evaluation.json")] });
    expect(page).toContain("2 runs of 3 steps.");
    expect(page).toContain("Proxy reward against KL");
    expect(page).toContain('<h3 title="tasks/chat/reward">Proxy reward</h3>');
    expect(page).toContain("Violations: math");
    expect(page).toContain("second against first");
    expect(page).toContain("second says &lt;b&gt;");
    expect(page).toContain("wrong &amp; late");
    expect(page.match(/<div class="sample">/g)).toHaveLength(2);
    expect(page).toContain("Recipe of second");
    expect(page).not.toContain("NaN");
  });

  it("is one page about several reward models, in their order, with where each ended", async () => {
    for (const member of ["member-1", "member-2", "member-10"]) {
      const dir = await run(member, 1);
      const rows = [1, 2].map((step) => ({ step, accuracy: step / 4, learning_rate: 1e-5 }));
      rows.push({ step: 3, "eval/accuracy": 0.75, learning_rate: 1e-6 } as never);
      await writeFile(join(dir, "metrics.jsonl"), rows.map((row) => `${JSON.stringify(row)}\n`).join(""));
    }
    const page = await reportFromRuns([root]);
    expect(page).toContain(`<h1>${basename(root)}: member-1 · member-2 · member-10`);
    expect(page).toContain("Accuracy on held-out pairs");
    const [, table] = /Where they ended.*?<tbody>(.*?)<\/tbody>/s.exec(page)!;
    expect(table!.match(/<tr>/g)).toHaveLength(3);
    expect(table!.match(/75\.0/g)).toHaveLength(3);
    expect(table!.match(/50\.0/g)).toHaveLength(3);
    expect(page).toContain("Recipe of member-10");
  });

  it("is one page about the stages of an alignment, with the samples of those that sample", async () => {
    await writeFile(join(root, "recipe.yaml"), "stages: [{ name: warmup }, { name: cgpo }]\n");
    await rm(join(await run("warmup", 1), "rollouts.jsonl"));
    await run("cgpo", 2);
    const page = await reportFromRuns([root]);
    expect(page).toContain(`<h1>${basename(root)}: warmup · cgpo`);
    expect(page).toContain("cgpo says &lt;b&gt;");
  });

  it("says what is no run directory", async () => {
    await expect(reportFromRuns([root])).rejects.toThrow(/is not a run directory: it has no recipe.yaml/);
    await expect(reportFromRuns([])).rejects.toThrow(/at least one run directory/);
  });
});
