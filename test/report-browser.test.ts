// Reports in a real browser (Debian's chromium, driven by playwright-core): how they look at every width.

import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { createRequire } from "node:module";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { type Browser, chromium, type Page } from "playwright-core";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { renderReport } from "../src/dashboard/report.js";
import { reportFromRuns } from "../src/dashboard/run-report.js";
import { writeFakeRun } from "./support/fake-runs.js";

const executablePath = ["/usr/bin/chromium", "/usr/bin/chromium-browser", "/usr/bin/google-chrome"].find(
  (path) => existsSync(path),
);
if (!executablePath) console.log("skipped: no chromium is installed (apt-get install chromium)");

const axe = readFileSync(createRequire(import.meta.url).resolve("axe-core/axe.min.js"), "utf8");

/** Everything that a page can hold, with labels that are hard to place. */
const made = renderReport({
  title: "Made up",
  summary: {
    headline: "A page.",
    highlights: [{ label: "figure", value: "0.5", detail: "0.4 to 0.6", tone: "good" }],
  },
  sections: [
    {
      kind: "panels",
      title: "One panel alone",
      sections: [
        {
          kind: "barChart",
          title: "Members",
          x: { label: "difference in accuracy", format: "percent" },
          bars: Array.from({ length: 5 }, (_, i) => ({
            label: `member ${i + 1} of a run with a very long name indeed`,
            value: i / 40 - 0.03,
            low: i / 40 - 0.06,
            high: i / 40,
          })),
          reference: { x: 0, label: "no difference" },
        },
      ],
    },
    {
      kind: "lineChart",
      title: "Long numbers",
      x: { label: "step" },
      y: { label: "tokens" },
      series: [{ name: "a", points: [0, 1, 2, 3].map((x) => ({ x: 100_000 * x, y: 1_000_000 * x })) }],
    },
    {
      kind: "table",
      title: "A wide table",
      columns: ["name", ...Array.from({ length: 14 }, (_, i) => `column ${i}`)],
      rows: [
        [
          "row",
          ...Array.from({ length: 14 }, (_, i) => ({ value: i, interval: [i - 0.1, i + 0.1] as const })),
        ],
      ],
      note: "A note.",
    },
  ],
  footer: "footer",
});

describe.skipIf(!executablePath)("a report in a browser", { timeout: 60_000 }, () => {
  let root: string;
  let browser: Browser;
  let page: Page;
  const paths: string[] = [];

  beforeAll(async () => {
    root = mkdtempSync(join(tmpdir(), "touchstone-report-"));
    const runs = [writeFakeRun(root, "first"), writeFakeRun(root, "second", { seed: 2 })];
    for (const [name, text] of [
      ["one", await reportFromRuns([runs[0]!])],
      ["two", await reportFromRuns(runs)],
      ["made", made],
    ] as const) {
      paths.push(join(root, `${name}.html`));
      writeFileSync(paths.at(-1)!, text);
    }
    browser = await chromium.launch({ executablePath, args: ["--no-sandbox"] });
    page = await browser.newPage();
  }, 60_000);
  afterAll(async () => {
    await browser?.close();
    rmSync(root, { recursive: true });
  });

  const open = async (path: string, width: number) => {
    await page.setViewportSize({ width, height: 900 });
    await page.goto(`file://${path}`);
  };

  /** Sizes of the charts' texts on the screen, pixels. */
  const textSizes = () =>
    page.evaluate<number[]>(`[...new Set([...document.querySelectorAll("svg text")].map(
      (text) => Math.round(10 * parseFloat(getComputedStyle(text).fontSize) * text.getScreenCTM().a) / 10))]`);

  /** Pairs of labels of one x axis that touch. */
  const collisions = () =>
    page.evaluate<string[]>(`[...document.querySelectorAll("svg .ticks")].flatMap((axis) => {
      const boxes = [...axis.querySelectorAll("text.x")].map((text) => [text, text.getBoundingClientRect()])
        .filter(([, box]) => box.width > 0).sort((a, b) => a[1].left - b[1].left);
      return boxes.slice(1).flatMap(([text, box], i) => box.left < boxes[i][1].right ? [text.textContent] : []);
    })`);

  it.each([390, 768, 1280, 2000])(
    "has text of one size and no label over another at %i pixels",
    async (width) => {
      for (const path of paths) {
        await open(path, width);
        expect([path, await textSizes()]).toEqual([path, [12]]);
        expect([path, await collisions()]).toEqual([path, []]);
        const [content, seen] = await page.evaluate<number[]>(
          "[document.documentElement.scrollWidth, innerWidth]",
        );
        expect([path, content! <= seen!]).toEqual([path, true]);
      }
    },
  );

  it("cuts no label of a bar", async () => {
    await open(paths[2]!, 390);
    const cut = await page.evaluate<number>(
      `[...document.querySelectorAll(".bars .name")].filter((name) => name.scrollWidth > name.clientWidth || name.getBoundingClientRect().left < 0).length`,
    );
    expect(cut).toBe(0);
  });

  it("says that a table goes on, and lets it be reached by keyboard", async () => {
    await open(paths[2]!, 390);
    const [scrolls, shadows, index] = await page.evaluate<[boolean, number, number]>(`(() => {
      const table = document.querySelector(".scroll");
      const { backgroundImage } = getComputedStyle(table);
      return [table.scrollWidth > table.clientWidth, backgroundImage.match(/linear-gradient/g).length, table.tabIndex];
    })()`);
    expect([scrolls, shadows, index]).toEqual([true, 4, 0]);
  });

  it.each(["light", "dark"] as const)(
    "has nothing that axe-core finds fault with, %s",
    async (colorScheme) => {
      await page.emulateMedia({ colorScheme });
      for (const path of paths) {
        await open(path, 1280);
        // The page's policy forbids scripts of its own; this one is put in from outside.
        await page.evaluate(axe);
        const violations = await page.evaluate(async () => {
          const { violations: found } = await (globalThis as any).axe.run();
          return found.map(({ id, nodes }: any) => `${id}: ${nodes[0].html.slice(0, 200)}`);
        });
        expect([path, violations]).toEqual([path, []]);
      }
    },
  );
});
