// Puts what the compiler does not (prompts, what threads start from) beside the compiled files that read it.

import { cp } from "node:fs/promises";

await cp("src/judges/llm/prompts", "dist/judges/llm/prompts", { recursive: true });
for (const file of ["base/typescript-hooks.js", "base/user-module-worker.js"])
  await cp(`src/${file}`, `dist/${file}`);
