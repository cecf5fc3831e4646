// Puts what the compiler does not (prompts) beside the compiled files that read it.

import { cp } from "node:fs/promises";

await cp("src/judges/llm/prompts", "dist/judges/llm/prompts", { recursive: true });
