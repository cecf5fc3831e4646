// Checks the structure of the house: imports go down the layers, no file imports itself by a way round (by value: none at
// all, seen in the compiled files, where types are gone; by type: no more than three files that describe each other), and
// no function outside tests is longer than a screen. Run after a build.

import { readFileSync } from "node:fs";
import { parseSync } from "@swc/core";
import { cruise } from "dependency-cruiser";
import config from "../.dependency-cruiser.js";

const { forbidden, options } = config;
const problems = [];

/** The circles among the modules of a folder, each once, as sorted lists of files. */
async function circlesIn(folder, cruiseOptions) {
  const { output } = await cruise([folder], { ...cruiseOptions, outputType: "json" });
  const { modules, summary } = JSON.parse(output);
  const circles = new Map();
  for (const { dependencies } of modules)
    for (const { circular, cycle } of dependencies)
      if (circular) {
        const files = cycle.map(({ name }) => name).sort();
        circles.set(files.join(" "), files);
      }
  return { circles: [...circles.values()], summary, modules };
}

const source = await circlesIn("src", { ...options, ruleSet: { forbidden }, validate: true });
for (const { from, to, rule } of source.summary.violations)
  problems.push(`${from} imports ${to}, against ${rule.name}`);
for (const files of source.circles)
  if (files.length > 3) problems.push(`a circle of types through ${files.length} files: ${files.join(", ")}`);

const compiled = await circlesIn("dist", { ...options, parser: "acorn", tsPreCompilationDeps: false });
if (compiled.summary.totalCruised < 100) problems.push("dist/ is not built; run npm run build first");
for (const files of compiled.circles) problems.push(`a circle of imports: ${files.join(", ")}`);

// Functions ----------------------------------------------------------------------------------------------------

const longestFunction = 80;

/** Functions that may be longer, and why. */
const allowed = {
  "src/judges/rules/math/decimals.ts create": "one arithmetic over shared settings",
  "src/lab/cgpo/report.ts sections": "a page",
  "src/lab/mpo/report.ts sections": "a page",
  "src/lab/quickstart-report.ts quickstartReport": "a page",
  "src/model/gguf-tokenizer.ts ggufTokenizer": "one format, key by key",
  "src/model/jinja/lexer.ts tokenize": "one automaton",
  "src/model/tokenization/models.ts unigram": "one algorithm over shared tables",
};

const functionTypes = new Set([
  "FunctionDeclaration",
  "FunctionExpression",
  "ArrowFunctionExpression",
  "ClassMethod",
  "PrivateMethod",
  "Constructor",
  "MethodProperty",
  "GetterProperty",
  "SetterProperty",
]);

/**
 * Every function of a module with its name and its number of lines. swc counts bytes from the module's first token, which
 * the semicolon makes the start of the text.
 */
function functionsIn(file) {
  const source = Buffer.from(`;${readFileSync(file, "utf8")}`);
  const { body, span } = parseSync(source.toString(), { syntax: "typescript", target: "es2022" });
  const linesOf = ({ start, end }) =>
    source
      .subarray(start - span.start, end - span.start)
      .toString()
      .split("\n").length;
  const found = [];
  const visit = (node, name) => {
    if (Array.isArray(node)) for (const item of node) visit(item, name);
    if (typeof node !== "object" || node === null || Array.isArray(node)) return;
    const own = (node.identifier ?? node.key ?? node.id)?.value ?? name;
    const place = node.span ?? node.function?.span;
    if (functionTypes.has(node.type) && place) found.push({ name: own, lines: linesOf(place) });
    for (const [key, child] of Object.entries(node)) if (key !== "span") visit(child, own);
  };
  visit(body, "");
  return found;
}

const stale = new Set(Object.keys(allowed));
for (const { source: file } of source.modules)
  if (/^src\/.*(?<!\.test)\.ts$/.test(file) && !file.endsWith(".d.ts"))
    for (const { name, lines } of functionsIn(file)) {
      if (lines <= longestFunction) continue;
      const place = `${file} ${name}`;
      if (!Object.hasOwn(allowed, place))
        problems.push(`${place} has ${lines} lines, more than ${longestFunction}`);
      stale.delete(place);
    }
for (const place of stale)
  problems.push(`${place} is no longer over ${longestFunction} lines; allow it no more`);

// Packages -----------------------------------------------------------------------------------------------------

// npm 10 runs the install scripts that the lockfile mentions, and this one downloads CUDA libraries from a host of its own;
// npm 11 asks package.json's allowScripts. `npm install` puts the line back when it updates the package.
const { packages } = JSON.parse(readFileSync("package-lock.json", "utf8"));
if (packages["node_modules/onnxruntime-node"].hasInstallScript)
  problems.push("package-lock.json: take hasInstallScript out of node_modules/onnxruntime-node");

for (const problem of problems) console.error(problem);
console.log(`structure: ${source.summary.totalCruised} files, ${problems.length} problems`);
process.exitCode = problems.length > 0 ? 1 : 0;
