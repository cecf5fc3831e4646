// The live page in a real browser (Debian's chromium, driven by playwright-core): what a person does with it.

import { appendFileSync, existsSync, mkdtempSync, readFileSync, rmSync } from "node:fs";
import { createRequire } from "node:module";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { type Browser, chromium, type Page } from "playwright-core";
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from "vitest";
import { startUi, type UiServer } from "../src/ui/server.js";
import { writeFakeRun } from "./support/fake-runs.js";

const executablePath = ["/usr/bin/chromium", "/usr/bin/chromium-browser", "/usr/bin/google-chrome"].find(
  (path) => existsSync(path),
);
if (!executablePath) console.log("skipped: no chromium is installed (apt-get install chromium)");

const axe = readFileSync(createRequire(import.meta.url).resolve("axe-core/axe.min.js"), "utf8");

describe.skipIf(!executablePath)("the live page", { timeout: 60_000 }, () => {
  let root: string;
  let server: UiServer;
  let browser: Browser;
  let page: Page;
  const problems: string[] = [];

  beforeAll(async () => {
    root = mkdtempSync(join(tmpdir(), "touchstone-page-"));
    writeFakeRun(root, "first");
    writeFakeRun(root, "second", { seed: 2 });
    server = await startUi({ root, page: join(import.meta.dirname, "../dist/ui/page") });
    browser = await chromium.launch({ executablePath, args: ["--no-sandbox"] });
  }, 60_000);
  afterAll(async () => {
    await browser?.close();
    await server?.close();
    rmSync(root, { recursive: true });
  });
  beforeEach(async () => {
    problems.length = 0;
    page = await browser.newPage({ viewport: { width: 1280, height: 900 } });
    page.on("dialog", (dialog) => {
      problems.push(`dialog: ${dialog.message()}`);
      void dialog.dismiss();
    });
    page.on("pageerror", (error) => problems.push(`error: ${error.message}`));
    page.on("request", (request) => {
      const { protocol, hostname } = new URL(request.url());
      if (protocol.startsWith("http") && hostname !== "127.0.0.1") problems.push(`request to ${hostname}`);
    });
    await page.goto(server.url);
    await page.getByRole("heading", { name: "Runs" }).waitFor();
  });
  afterEach(async () => {
    await page.close();
    expect(problems).toEqual([]);
  });

  /** Goes to a view of the page that is open. */
  const open = (link: string) => page.evaluate(`location.hash = ${JSON.stringify(link)}`);

  const violations = async (): Promise<string[]> => {
    await page.evaluate(axe);
    return await page.evaluate(async () => {
      const { violations: found } = await (globalThis as any).axe.run();
      return found.map(({ id, nodes }: any) => `${id}: ${nodes[0].html}`);
    });
  };

  it("draws a step that arrives while it is open", async () => {
    await page.getByRole("link", { name: "first" }).click();
    const heading = page.getByRole("heading", { name: "Proxy reward", exact: true });
    const chart = page.getByRole("figure").filter({ has: heading });
    await chart.locator("svg[role=img]").waitFor();
    expect(await chart.locator("svg[role=img]").getAttribute("aria-label")).toContain("at 40");
    appendFileSync(
      join(root, "first/metrics.jsonl"),
      `${JSON.stringify({ step: 41, "tasks/chat/reward": 0.25 })}\n`,
    );
    await chart.locator('svg[role=img][aria-label*="0.25 at 41"]').waitFor();
  });

  it("compares two runs, and joins seeds into one curve with an interval", async () => {
    await page.getByLabel("choose first").check();
    await page.getByLabel("choose second").check();
    await page.getByRole("button", { name: "compare 2" }).click();
    await page.getByRole("heading", { name: "2 runs" }).waitFor();
    const chart = page.getByRole("figure").filter({ hasText: "Proxy reward: chat" });
    await chart.locator(".legend li").nth(1).waitFor();
    await page.getByLabel("seeds as one curve").check();
    await chart.locator(".band[d^=M]").first().waitFor({ state: "attached" });
    expect(page.url()).toContain("seeds=1");
  });

  it("shows a chart as a table, and gives it as CSV, SVG and PNG", async () => {
    await page.getByRole("link", { name: "second" }).click();
    await page.getByRole("button", { name: "Proxy reward as a table" }).click();
    await page.getByRole("region", { name: "Proxy reward, table" }).getByRole("row").nth(40).waitFor();
    for (const [kind, start] of [
      ["CSV", "step,"],
      ["SVG", "<svg"],
      ["PNG", "\x89PNG"],
    ] as const) {
      const [file] = await Promise.all([
        page.waitForEvent("download"),
        page.getByRole("button", { name: `Proxy reward as ${kind}` }).click(),
      ]);
      expect(readFileSync(await file.path(), "latin1").startsWith(start)).toBe(true);
    }
  });

  it("filters and searches samples, opens one, follows its prompt, marks it and exports the marks", async () => {
    await open("#/rollouts?run=first");
    await page.getByText("filters leave 320 of 320").waitFor();
    await page.getByLabel("task").selectOption("math");
    await page.getByText("filters leave 160 of 320").waitFor();
    await page.getByLabel("text").fill("of step 12");
    await page.getByText("4 shown").waitFor();
    await page.getByRole("button", { name: "Answer 1 of step 12" }).click();
    const sample = page.getByRole("article");
    await sample.getByText("brief: satisfied").waitFor();
    await sample.getByRole("button", { name: "good" }).click();
    await page.keyboard.press("j");
    await sample.getByText("Answer 3 of step 12").waitFor();
    await page.keyboard.press("b");
    const [file] = await Promise.all([
      page.waitForEvent("download"),
      page.getByRole("button", { name: "export as anchors" }).click(),
    ]);
    const anchors = readFileSync(await file.path(), "utf8")
      .trimEnd()
      .split("\n")
      .map((line) => JSON.parse(line));
    expect(anchors.map(({ label }) => label)).toEqual([1, 0]);
    await sample.getByRole("link", { name: "this prompt through all steps" }).click();
    await page.getByText("80 samples").waitFor();
    await page.locator("ins").first().waitFor();
  });

  it("colours the tokens of a sample by their log-ratio, with the figures as a table", async () => {
    await open("#/rollouts?run=first&row=1");
    const tokens = page.getByRole("article").locator(".tokens span");
    await tokens.nth(2).waitFor();
    const colours = await tokens.evaluateAll((all: any[]) =>
      all.map((one) => (globalThis as any).getComputedStyle(one).backgroundColor),
    );
    expect(new Set(colours).size).toBe(3);
    expect(await tokens.nth(1).getAttribute("title")).toBe("−2.50");
    await page.getByText("tokens as a table").click();
    await page.getByRole("cell", { name: "−2.50" }).waitFor();
  });

  it("shows what a model wrote as text", async () => {
    await open("#/rollouts?run=first&text=script");
    await page.getByRole("button", { name: "<script>alert(2)" }).first().click();
    await page.getByRole("article").getByText("<script>alert(2)</script>").waitFor();
    expect(await page.locator("img").count()).toBe(0);
  });

  it("judges: rates and reasons", async () => {
    await open("#/judges?run=first");
    await page.getByRole("heading", { name: "polite" }).waitFor();
    await page.getByText("40× the server said 500").waitFor();
    await page.getByText("mean latency 750 ms").waitFor();
  });

  it.each(["light", "dark"] as const)(
    "has nothing that axe-core finds fault with, %s",
    async (colorScheme) => {
      await page.emulateMedia({ colorScheme });
      expect(await violations()).toEqual([]);
      for (const [link, sign] of [
        ["#/run?run=first", "Further metrics"],
        ["#/run?run=first&run=second", "2 runs"],
        ["#/rollouts?run=first&row=3", "a person"],
        ["#/rollouts?run=first&row=1", "likelier under the policy"],
        ["#/judges?run=first", "polite"],
        ["#/rubric?run=first", "No task"],
        ["#/recipe?run=first", "kl_max"],
        ["#/prompt?run=first&prompt=chat%0Ap0", "80 samples"],
      ] as const) {
        await open(link);
        await page
          .getByText(sign === "a person" ? "Prompt" : sign, { exact: false })
          .first()
          .waitFor();
        expect([link, await violations()]).toEqual([link, []]);
      }
    },
  );

  it("fits a phone", async () => {
    await page.setViewportSize({ width: 390, height: 800 });
    for (const link of ["#/runs", "#/run?run=first", "#/rollouts?run=first&row=3", "#/judges?run=first"]) {
      await open(link);
      await page.waitForTimeout(500);
      const [content, width] = await page.evaluate<number[]>(
        "[document.documentElement.scrollWidth, innerWidth]",
      );
      expect([link, content! <= width!]).toEqual([link, true]);
    }
  });
});
