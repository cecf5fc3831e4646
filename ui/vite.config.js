// The live page of `touchstone ui`, built into dist/ui/page so that users need no build step.

import { join } from "node:path";
import { defineConfig } from "vite";

export default defineConfig({
  root: import.meta.dirname,
  base: "/",
  logLevel: "warn",
  oxc: { jsx: { runtime: "automatic", importSource: "preact" } },
  build: {
    outDir: join(import.meta.dirname, "../dist/ui/page"),
    emptyOutDir: true,
    target: "es2022",
    modulePreload: false,
  },
});
