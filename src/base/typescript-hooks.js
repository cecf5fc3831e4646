// Module hooks that translate TypeScript without checking types. `./other`, and `./other.js` where there is none, stand for
// `./other.ts`. Plain JavaScript, because Node starts it in a thread of its own, from compiled files and from sources.

import { existsSync, readFileSync } from "node:fs";
import { createRequire } from "node:module";
import { fileURLToPath } from "node:url";

const ts = createRequire(import.meta.url)("typescript-js");

const isTypeScript = /\.m?ts$/;
const isOwn = (url) => url.startsWith("file:") && !url.includes("/node_modules/");

export async function resolve(specifier, context, next) {
  if (/^\.{1,2}\//.test(specifier) && isOwn(context.parentURL ?? "")) {
    const { href } = new URL(specifier, context.parentURL);
    const names = [href, `${href}.ts`, href.replace(/\.js$/, ".ts"), href.replace(/\.mjs$/, ".mts")];
    const found = names.find((url) => /\.\w+$/.test(url) && existsSync(fileURLToPath(url)));
    if (found && isTypeScript.test(found)) return { url: found, format: "module", shortCircuit: true };
  }
  return next(specifier, context);
}

export async function load(url, context, next) {
  if (!isOwn(url) || !isTypeScript.test(url)) return next(url, context);
  const fileName = fileURLToPath(url);
  const { outputText, diagnostics = [] } = ts.transpileModule(readFileSync(fileName, "utf8"), {
    fileName,
    reportDiagnostics: true,
    compilerOptions: { target: ts.ScriptTarget.ES2022, module: ts.ModuleKind.ESNext },
  });
  const [wrong] = diagnostics;
  if (wrong) {
    const line = wrong.file ? ts.getLineAndCharacterOfPosition(wrong.file, wrong.start).line + 1 : 1;
    const sentence = ts.flattenDiagnosticMessageText(wrong.messageText, " ");
    throw new SyntaxError(`${fileName}:${line}: ${sentence}`);
  }
  return { format: "module", source: outputText, shortCircuit: true };
}
