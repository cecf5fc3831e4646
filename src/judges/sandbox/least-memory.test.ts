import { readFileSync } from "node:fs";
import { createRequire } from "node:module";
import { expect, test } from "vitest";
import { javaScriptRunner, type Program } from "./javascript.js";
import { withLeastMemory } from "./least-memory.js";
import { compileQuickJs } from "./pool.js";

const require = createRequire(createRequire(import.meta.url).resolve("quickjs-emscripten"));
const wasm = readFileSync(require.resolve("@jitl/quickjs-wasmfile-release-sync/wasm"));

test("a module needs as much memory as it is told to, and no other byte of it changes", async () => {
  const smaller = withLeastMemory(wasm, 100);
  expect(smaller).toHaveLength(wasm.length);
  expect(smaller.filter((byte, i) => byte !== wasm[i]).length).toBeLessThanOrEqual(2);
  // All imports but the memory are functions.
  const link = (
    WebAssembly as unknown as { instantiate(bytes: Uint8Array, imports: object): Promise<unknown> }
  ).instantiate;
  const imports = (initial: number) => ({
    a: new Proxy(
      {},
      { get: (_, name) => (name === "a" ? new WebAssembly.Memory({ initial, maximum: 32_768 }) : () => 0) },
    ),
  });
  await expect(link(smaller, imports(99))).rejects.toThrow(/memory import .*smaller than .*100/);
  await expect(link(smaller, imports(100))).resolves.toBeDefined();
  expect(withLeastMemory(smaller, 256)).toEqual(new Uint8Array(wasm));
  expect(() => withLeastMemory(wasm, 2 ** 14)).toThrow("16384 pages do not fit");
  expect(() => withLeastMemory(wasm.subarray(0, 8), 1)).toThrow("the module has no memory");
});

test("programs larger than the first memory run, have the same limit, and leave the next one nothing", async () => {
  const run = javaScriptRunner(await compileQuickJs());
  const limits = { fuel: 2000, memoryMb: 32, outputChars: 10_000, seconds: 20 };
  const filled = (mb: number): Program => ({
    source: `const f = () => { const all = []; for (let i = 0; i < ${mb}; i++) all.push(new Uint8Array(2 ** 20).fill(7)); return all.length; };`,
    tests: [`assert.equal(f(), ${mb})`],
  });
  const most = async () => {
    let mb = 1;
    while ((await run(filled(mb), limits)).passed) mb++;
    return mb - 1;
  };
  const first = await most();
  expect(first).toBeGreaterThan(32);
  for (const mb of [1, 6, 20, 1]) expect(await run(filled(mb), limits)).toMatchObject({ passed: true });
  expect(await most()).toBe(first);
});
