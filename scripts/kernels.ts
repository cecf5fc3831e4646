// Assembles src/tensor/kernels.wat into src/tensor/kernels-binary.ts: npx tsx scripts/kernels.ts

import { readFileSync, writeFileSync } from "node:fs";
import wabt from "wabt";

export async function assembleKernels(): Promise<string> {
  const { parseWat } = await wabt();
  const source = readFileSync(new URL("../src/tensor/kernels.wat", import.meta.url), "utf8");
  const module = parseWat("kernels.wat", source, { simd: true });
  const base64 = Buffer.from(module.toBinary({}).buffer).toString("base64");
  const lines = base64.match(/.{1,96}/g)!.map((line) => `  "${line}",`);
  return `// Made from kernels.wat by scripts/kernels.ts. Do not edit.\n\nexport const kernelsBase64 = [\n${lines.join("\n")}\n].join("");\n`;
}

if (import.meta.filename === process.argv[1])
  writeFileSync(new URL("../src/tensor/kernels-binary.ts", import.meta.url), await assembleKernels());
