// Assembles the WebAssembly kernels (*.wat) into modules beside them (*-binary.ts): npx tsx scripts/kernels.ts

import { readFileSync, writeFileSync } from "node:fs";
import { basename } from "node:path";
import wabt from "wabt";

const sources = ["../src/tensor/kernels", "../src/reward/weighted-sum"];

async function assemble(source: string): Promise<string> {
  const { parseWat } = await wabt();
  const name = `${basename(source)}.wat`;
  const text = readFileSync(new URL(`${source}.wat`, import.meta.url), "utf8");
  const module = parseWat(name, text, { simd: true });
  const base64 = Buffer.from(module.toBinary({}).buffer).toString("base64");
  const lines = base64.match(/.{1,96}/g)!.map((line) => `  "${line}",`);
  return `// Made from ${name} by scripts/kernels.ts. Do not edit.\n\nexport const kernelsBase64 = [\n${lines.join("\n")}\n].join("");\n`;
}

for (const source of sources)
  writeFileSync(new URL(`${source}-binary.ts`, import.meta.url), await assemble(source));
