// Assembles every WebAssembly text (src/**/*.wat) into a module beside it (*-binary.ts): npx tsx scripts/kernels.ts

import { readdirSync, readFileSync, writeFileSync } from "node:fs";
import { basename, join } from "node:path";
import { fileURLToPath } from "node:url";
import wabt from "wabt";

const root = fileURLToPath(new URL("../", import.meta.url));

/** The texts, as paths from the root of the repository. */
export const kernelSources = (): string[] =>
  readdirSync(join(root, "src"), { recursive: true, encoding: "utf8" })
    .filter((name) => name.endsWith(".wat"))
    .map((name) => join("src", name))
    .sort();

/** Where the module made from a text stands. */
export const moduleOf = (source: string): string => source.replace(/\.wat$/, "-binary.ts");

/** The TypeScript module that holds what a text compiles to. */
export async function assemble(source: string): Promise<string> {
  const { parseWat } = await wabt();
  const name = basename(source);
  const module = parseWat(name, readFileSync(`${root}${source}`, "utf8"), { simd: true });
  const base64 = Buffer.from(module.toBinary({}).buffer).toString("base64");
  const lines = base64.match(/.{1,96}/g)!.map((line) => `  "${line}",`);
  return `// Made from ${name} by scripts/kernels.ts. Do not edit.\n\nexport const kernelsBase64 = [\n${lines.join("\n")}\n].join("");\n`;
}

if (process.argv[1] === fileURLToPath(import.meta.url))
  for (const source of kernelSources()) writeFileSync(`${root}${moduleOf(source)}`, await assemble(source));
