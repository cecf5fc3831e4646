import { readFile } from "node:fs/promises";
import { describe, expect, it } from "vitest";
import {
  bfloat16ToFloat32,
  firstNonFinite,
  float16ToFloat32,
  float32ToBfloat16,
  float32ToFloat16,
} from "./floats.js";

const fixture = new URL("../../test/fixtures/formats/conversions.json", import.meta.url);
const encoded = JSON.parse(await readFile(fixture, "utf8")) as Record<string, string>;
const buffer = (name: string) => Uint8Array.from(Buffer.from(encoded[name]!, "base64")).buffer;
const values = new Float32Array(buffer("F32"));

describe("conversions agree with torch bit for bit (ties, subnormals, overflow, random)", () => {
  it.each([
    ["F16", float32ToFloat16, float16ToFloat32],
    ["BF16", float32ToBfloat16, bfloat16ToFloat32],
  ] as const)("%s", (dtype, narrow, widen) => {
    const expected = new Uint16Array(buffer(dtype));
    const narrowed = new Uint16Array(values.length);
    expect(narrow(values, narrowed)).toBe(true);
    expect(narrowed).toEqual(expected);
    const back = new Float32Array(values.length);
    widen(expected, back);
    expect(new Uint32Array(back.buffer)).toEqual(new Uint32Array(buffer(`${dtype} as F32`)));
  });

  it("every half is itself after a round trip, and NaN stays NaN", () => {
    const halves = Uint16Array.from({ length: 65536 }, (_, i) => i);
    const wide = new Float32Array(65536);
    const back = new Uint16Array(65536);
    float16ToFloat32(halves, wide);
    expect(float32ToFloat16(wide, back)).toBe(false);
    const quieted = halves.map((h) => ((h & 0x7fff) > 0x7c00 ? 0x7e00 : h));
    expect(back.map((h) => ((h & 0x7fff) > 0x7c00 ? h & 0x7fff : h))).toEqual(quieted);
    float32ToBfloat16(Float32Array.of(Number.NaN), back);
    expect(back[0]! & 0x7fff).toBe(0x7fc0);
  });

  it("reports overflow exactly where a finite number became infinite", () => {
    const out = new Uint16Array(1);
    expect(float32ToFloat16(Float32Array.of(65519.99), out)).toBe(false);
    expect(float32ToFloat16(Float32Array.of(65520), out)).toBe(true);
    expect(float32ToFloat16(Float32Array.of(Number.POSITIVE_INFINITY), out)).toBe(false);
    expect(float32ToBfloat16(Float32Array.of(3.3895e38), out)).toBe(false);
    expect(float32ToBfloat16(Float32Array.of(3.4e38), out)).toBe(true);
  });
});

describe("firstNonFinite", () => {
  it("finds NaN and infinities, and nothing else", () => {
    expect(firstNonFinite(Float32Array.of(0, -3.4e38, 1e-45))).toBe(-1);
    expect(firstNonFinite(Float32Array.of(0, 1, Number.NaN))).toBe(2);
    expect(firstNonFinite(Float32Array.of(0, Number.NEGATIVE_INFINITY, Number.NaN))).toBe(1);
  });
});
