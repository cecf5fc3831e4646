// TypeScript and modules as scripts. TypeScript is what its own compiler makes of it, in one file and without checking
// types: of 35 constructs (test/judges-javascript.test.ts) it translates all, sucrase 26 and amaro (swc) 29, which lack
// decorators, merged namespaces or accessors. It is loaded when the first program needs it. Modules become scripts
// through sucrase, which keeps the names of what is exported.

import { createRequire } from "node:module";
import { transform } from "sucrase";
import type * as TypeScript from "typescript-js";

const require = createRequire(import.meta.url);
let compiler: typeof TypeScript | undefined;

/** Parameters that only decorators of the older kind have. */
const legacyDecorators = /\bPropertyDescriptor\b|\bTypedPropertyDescriptor\b|\bparameterIndex\b/;

function withoutTypes(source: string): string {
  compiler ??= require("typescript-js") as typeof TypeScript;
  const { ModuleKind, ScriptTarget, transpileModule } = compiler;
  const { outputText, diagnostics = [] } = transpileModule(source, {
    reportDiagnostics: true,
    compilerOptions: {
      target: ScriptTarget.ES2022,
      module: ModuleKind.ESNext,
      experimentalDecorators: legacyDecorators.test(source),
      removeComments: false,
    },
  });
  // The compiler mends what does not parse; a program has to be right by itself.
  if (diagnostics.length > 0) throw new SyntaxError("not TypeScript");
  return outputText;
}

const moduleSyntax = /\b(?:import|export)\b/;

function attempt(translate: () => string): string | undefined {
  try {
    return translate();
  } catch {
    return undefined;
  }
}

function withoutModules(code: string): string {
  if (!moduleSyntax.test(code)) return code;
  const script = transform(code, { transforms: ["imports"], disableESTransforms: true }).code;
  // What has neither imports nor exports is no module, and need not be strict.
  return script === `"use strict";${code}` ? code : script;
}

const looksLikeModule = /^\s*(?:export|import)\b/m;

/** What a source may mean as a script, the likelier first: as it is, as a module, as TypeScript. */
export function* scripts(source: string): Generator<string> {
  const module = () => withoutModules(source);
  const typed = () => withoutModules(withoutTypes(source));
  const plain = looksLikeModule.test(source) ? [module, () => source] : [() => source, module];
  for (const reading of [...plain, typed]) {
    const script = attempt(reading);
    if (script !== undefined) yield script;
  }
}
