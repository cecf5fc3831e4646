import { cp, mkdtemp, readdir, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { UserError } from "../base/errors.js";
import { type Adapter, loraScale, readAdapter, saveAdapter } from "../model/adapter.js";
import { readJson } from "../model/json.js";
import { averageAdapters } from "./average-adapters.js";

const source = fileURLToPath(new URL("../../test/fixtures/formats/lora-list", import.meta.url));

let root: string;
let out: string;
let other: string;
beforeEach(async () => {
  root = await mkdtemp(join(tmpdir(), "touchstone-adapters-"));
  [out, other] = [join(root, "out"), join(root, "other")];
  const adapter = await readAdapter(source);
  const bend = (values: Float32Array, by: number) => values.map((x, i) => x + by * Math.sin(1 + 7 * i));
  await saveAdapter(other, {
    ...adapter,
    pairs: new Map(
      [...adapter.pairs].map(([name, { a, b }]) => [name, { a: bend(a, 0.1), b: bend(b, -0.2) }]),
    ),
    saved: new Map(
      [...adapter.saved].map(([name, own]) => [name, { ...own, values: bend(own.values, 0.5) }]),
    ),
  });
});
afterEach(() => rm(root, { recursive: true, force: true }));

const member = (model: string, weight = 1) => ({ model, weight });

/** scale * B A, [out][in]. */
function product({ lora }: Adapter, { a, b }: { a: Float32Array; b: Float32Array }): number[] {
  const width = a.length / lora.r;
  return Array.from({ length: (b.length / lora.r) * width }, (_, k) => {
    const [row, column] = [Math.floor(k / width), k % width];
    let sum = 0;
    for (let r = 0; r < lora.r; r++) sum += b[row * lora.r + r]! * a[r * width + column]!;
    return loraScale(lora) * sum;
  });
}

describe("averaging adapters as adapters", () => {
  it("averages A, B and the head, and measures how far that is from the average of the products", async () => {
    const difference = await averageAdapters({ members: [member(source, 3), member(other, 1)], out });
    const [first, second, average] = await Promise.all([source, other, out].map((dir) => readAdapter(dir)));
    let error = 0;
    let size = 0;
    for (const [name, pair] of average!.pairs) {
      const [p, q] = [first!.pairs.get(name)!, second!.pairs.get(name)!];
      for (const [k, x] of pair.a.entries()) expect(x).toBeCloseTo(0.75 * p.a[k]! + 0.25 * q.a[k]!, 6);
      for (const [k, x] of pair.b.entries()) expect(x).toBeCloseTo(0.75 * p.b[k]! + 0.25 * q.b[k]!, 6);
      const own = product(average!, pair);
      const exact = product(first!, p).map((x, k) => 0.75 * x + 0.25 * product(second!, q)[k]!);
      error += own.reduce((sum, x, k) => sum + (x - exact[k]!) ** 2, 0);
      size += exact.reduce((sum, x) => sum + x ** 2, 0);
    }
    expect(difference.relative).toBeCloseTo(Math.sqrt(error / size), 5);
    expect(difference.relative).toBeGreaterThan(0.001);
    expect(difference.worst.relative).toBeGreaterThanOrEqual(difference.relative);
    for (const [name, { values }] of average!.saved)
      for (const [k, x] of values.entries())
        expect(x).toBeCloseTo(
          0.75 * first!.saved.get(name)!.values[k]! + 0.25 * second!.saved.get(name)!.values[k]!,
          6,
        );
    expect(await readFile(join(out, "README.md"), "utf8")).toContain(
      `${(100 * difference.relative).toFixed(2)} % away`,
    );
  });

  it("gives a member that is averaged with itself back", async () => {
    const difference = await averageAdapters({ members: [member(source), member(source)], out });
    expect(difference.relative).toBeLessThan(1e-6);
    const [own, average] = await Promise.all([source, out].map((dir) => readAdapter(dir)));
    expect(average!.pairs).toEqual(own!.pairs);
    expect(average!.saved).toEqual(own!.saved);
  });

  it("refuses adapters of another scale, base or target, and a model without adapter", async () => {
    const file = join(other, "adapter_config.json");
    const refused = async (change: object, message: RegExp) => {
      const config = await readJson(file, "");
      await writeFile(file, JSON.stringify({ ...config, ...change }));
      const averaging = averageAdapters({ members: [member(source), member(other)], out });
      await expect(averaging).rejects.toThrow(UserError);
      await expect(averaging).rejects.toThrow(message);
      await writeFile(file, JSON.stringify(config));
      expect(await readdir(root)).not.toContain("out");
    };
    await refused(
      { lora_alpha: 16 },
      /other cannot be averaged with .*lora-list as adapters: its scale is 8, not 4/,
    );
    await refused({ base_model_name_or_path: "elsewhere" }, /its base is "elsewhere", not "lora-base"/);
    const regex = fileURLToPath(new URL("../../test/fixtures/formats/lora-regex", import.meta.url));
    await rm(other, { recursive: true });
    await cp(regex, other, { recursive: true });
    await refused({ r: (await readAdapter(regex)).lora.r }, /cannot be averaged/);
    const model = fileURLToPath(new URL("../../test/fixtures/formats/member-a", import.meta.url));
    await expect(averageAdapters({ members: [member(model)], out })).rejects.toThrow(
      /a LoRA adapter is a directory written by PEFT/,
    );
  });
});
