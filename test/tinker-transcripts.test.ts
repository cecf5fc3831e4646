// What real services said (SkyRL's JAX back end, TuFT's processor back end), said again: the client asks the same, and
// makes the same of the replies. Written by test/oracle/tinker-transcript.ts.

import { mkdtemp, readdir, readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { replayer, session, type Transcript } from "./support/tinker-transcript.js";

const fixtures = "test/fixtures/tinker";

let folder: string;
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), "tinker-transcripts-"));
});
afterAll(() => rm(folder, { recursive: true, force: true }));

describe("transcripts of real services", async () => {
  const names = (await readdir(fixtures)).sort();
  it("there is one of each kind of wire", () => expect(names).toEqual(["skyrl-jax.json", "tuft.json"]));

  it.each(names)("%s", async (name) => {
    const { exchanges, results } = JSON.parse(await readFile(join(fixtures, name), "utf8")) as Transcript;
    const replay = await replayer(exchanges);
    try {
      const again = await session(replay.url, {
        baseModel: "lab/model",
        tokenizerDir: "lab/model",
        vocabSize: 768,
        folder,
        ...(name === "tuft.json" && { apiKey: "any" }),
      });
      expect(replay.unknown).toEqual([]);
      expect(again).toEqual(results);
      // Both go on from a checkpoint exactly as they were.
      expect(results.again).toEqual(results.after);
    } finally {
      replay.close();
    }
  });
});
