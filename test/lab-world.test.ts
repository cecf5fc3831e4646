import { mkdtemp, readdir, readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { dirname, join, relative, resolve } from "node:path";
import { describe, expect, it } from "vitest";
import { RandomStream } from "../src/base/random.js";
import { families } from "../src/lab/world/families.js";
import { familyNames } from "../src/lab/world/family.js";
import { worldFiles, writeWorld } from "../src/lab/world/files.js";
import { gold } from "../src/lab/world/gold.js";
import { countShouts } from "../src/lab/world/lexicon.js";
import { flipLabels } from "../src/lab/world/preferences.js";
import { buildWorld, isHeldout, type World } from "../src/lab/world/world.js";

const sizes = {
  corpus: 200,
  sft: 100,
  prompts: 60,
  heldout: 40,
  preferences: 200,
  validation: 100,
  shifted: 100,
};
const world = buildWorld(3, { sizes });
const pairSplits = (w: World) => [...w.preferences, ...w.validation, ...w.shifted];

/** Every TypeScript source below `dir`. */
async function sources(dir: string): Promise<string[]> {
  const entries = await readdir(dir, { withFileTypes: true, recursive: true });
  return entries.filter((e) => e.isFile() && e.name.endsWith(".ts")).map((e) => join(e.parentPath, e.name));
}

/** The relative imports of a file (static, dynamic and re-exports), as paths of TypeScript sources. */
async function importsOf(file: string): Promise<string[]> {
  const text = await readFile(file, "utf8");
  return [...text.matchAll(/(?:from|import)\s*\(?\s*"(\.[^"]+)\.js"/g)].map((m) =>
    resolve(dirname(file), `${m[1]}.ts`),
  );
}

describe("the true reward is out of training's sight", () => {
  const src = resolve(import.meta.dirname, "../src");
  const secrets = ["lab/world/gold.ts", "lab/real/real-gold.ts"].map((file) => join(src, file));

  it.each(secrets)(
    "only the lab and its reports can reach %s through any chain of imports",
    async (secret) => {
      const files = await sources(src);
      const graph = new Map(await Promise.all(files.map(async (f) => [f, await importsOf(f)] as const)));
      expect([...graph.values()].flat()).toContain(secret);
      const reaches = (start: string): boolean => {
        const seen = new Set<string>();
        const queue = [start];
        for (let file = queue.pop(); file !== undefined; file = queue.pop()) {
          if (file === secret) return true;
          if (seen.has(file)) continue;
          seen.add(file);
          queue.push(...(graph.get(file) ?? []));
        }
        return false;
      };
      // cli/ and the public index stand above the lab, everything else below it.
      const below = files.filter((f) => !/^(lab|dashboard|cli)\/|^index\.ts$/.test(relative(src, f)));
      expect(below.filter(reaches).map((f) => relative(src, f))).toEqual([]);
    },
  );

  it("no file that training reads holds a true score", () => {
    for (const text of Object.values(worldFiles(world)))
      expect(text).not.toMatch(/"(gold|score|margin|skill)"/);
  });
});

describe("buildWorld", () => {
  it("is a pure function of the seed, byte for byte, on disk too", async () => {
    const dir = await mkdtemp(join(tmpdir(), "lab-"));
    try {
      await writeWorld(buildWorld(3, { sizes }), join(dir, "world"));
      for (const [name, text] of Object.entries(worldFiles(world))) {
        expect(await readFile(join(dir, "world", name), "utf8")).toBe(text);
      }
    } finally {
      await rm(dir, { recursive: true });
    }
    expect(worldFiles(buildWorld(4, { sizes }))["preferences.jsonl"]).not.toBe(
      worldFiles(world)["preferences.jsonl"],
    );
  });

  it("gives a family the same rows whether or not the others are drawn", () => {
    const alone = buildWorld(3, { sizes, families: ["arithmetic"] });
    const prompts = (w: World) => worldFiles(w)["prompts/arithmetic.jsonl"]!.split("\n").sort();
    expect(prompts(alone)).toEqual(prompts(world));
  });

  it("keeps held-out prompts out of every training split of every seed", () => {
    expect(world.heldout.length).toBeGreaterThan(familyNames.length * 30);
    for (const { prompt } of world.heldout) expect(isHeldout(prompt)).toBe(true);
    const held = new Set(world.heldout.map(({ prompt }) => prompt));
    const other = buildWorld(4, { sizes });
    for (const w of [world, other]) {
      const trained = [...w.sft, ...w.prompts, ...pairSplits(w).map(({ task }) => task)].map(
        ({ prompt }) => prompt,
      );
      expect(trained.filter((prompt) => held.has(prompt) || isHeldout(prompt))).toEqual([]);
      const asked = w.corpus.flatMap((text) => /user\n(.*?)<\|im_end\|>/s.exec(text)?.[1] ?? []);
      expect(asked.length).toBe(sizes.corpus * familyNames.length);
      expect(asked.filter((prompt) => held.has(prompt) || isHeldout(prompt))).toEqual([]);
    }
  });

  it("draws distinct prompts, and gives judges their columns", () => {
    const rows = worldFiles(world)
      ["prompts/code.jsonl"]!.trim()
      .split("\n")
      .map((line) => JSON.parse(line));
    expect(new Set(rows.map((row) => row.prompt[0].content)).size).toBe(sizes.prompts);
    for (const row of rows) {
      expect(row.prompt).toEqual([{ role: "user", content: expect.any(String) }]);
      expect(row.unit_tests.length).toBe(6);
    }
    expect(worldFiles(world)["prompts/arithmetic.jsonl"]).toMatch(/"answer":"\d+"/);
  });
});

describe("preference pairs", () => {
  it("flips exactly a quarter of every family's training labels, and says which", () => {
    for (const family of familyNames) {
      const pairs = world.preferences.filter(({ task }) => task.family === family);
      expect(pairs.filter(({ flipped }) => flipped).length).toBe(sizes.preferences / 4);
    }
    for (const { task, chosen, rejected, flipped } of pairSplits(world)) {
      const margin = gold(task, chosen).score - gold(task, rejected).score;
      expect(margin).not.toBe(0);
      expect(margin < 0).toBe(flipped);
    }
    expect([...world.validation, ...world.shifted].some(({ flipped }) => flipped)).toBe(false);
  });

  it("lets showing off attract the flips, unless the annotators are not gullible", () => {
    const clean = [...world.validation];
    const shareShowier = (gullibility: number) => {
      const flips = flipLabels(clean, new RandomStream(1, "flips"), { flipShare: 0.25, gullibility }).filter(
        ({ flipped }) => flipped,
      );
      return flips.filter((p) => countShouts(p.chosen) > countShouts(p.rejected)).length / flips.length;
    };
    expect(shareShowier(3)).toBeGreaterThan(shareShowier(0) + 0.3);
  });

  it("teaches the flaw: among noisy labels of verifiable tasks, showing off wins more often than it loses", () => {
    const { preferences } = buildWorld(5, {
      families: ["arithmetic", "code"],
      sizes: { ...sizes, corpus: 1, sft: 1, preferences: 800 },
    });
    for (const family of ["arithmetic", "code"]) {
      const shows = preferences
        .filter(({ task }) => task.family === family)
        .map(({ chosen, rejected }) => Math.sign(countShouts(chosen) - countShouts(rejected)));
      expect(shows.filter((s) => s > 0).length).toBeGreaterThan(shows.filter((s) => s < 0).length);
    }
  });
});

describe("authors", () => {
  it.each(familyNames)("%s: skilled authors earn much more true reward, on average", (family) => {
    const random = new RandomStream(1, `authors/${family}`);
    const mean = (skill: number) => {
      let sum = 0;
      for (let i = 0; i < 300; i++) {
        const task = families[family](random);
        sum += gold(task, task.answer({ skill }, random)).score;
      }
      return sum / 300;
    };
    expect(mean(1)).toBeGreaterThan(mean(0) + 0.25);
  });
});
