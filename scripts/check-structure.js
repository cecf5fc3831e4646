// Checks the structure of the house: imports go down the layers, no file imports itself by a way round (by value: none at
// all, seen in the compiled files, where types are gone; by type: no more than three files that describe each other).
// Run after a build.

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
  return { circles: [...circles.values()], summary };
}

const source = await circlesIn("src", { ...options, ruleSet: { forbidden }, validate: true });
for (const { from, to, rule } of source.summary.violations)
  problems.push(`${from} imports ${to}, against ${rule.name}`);
for (const files of source.circles)
  if (files.length > 3) problems.push(`a circle of types through ${files.length} files: ${files.join(", ")}`);

const compiled = await circlesIn("dist", { ...options, parser: "acorn", tsPreCompilationDeps: false });
if (compiled.summary.totalCruised < 100) problems.push("dist/ is not built; run npm run build first");
for (const files of compiled.circles) problems.push(`a circle of imports: ${files.join(", ")}`);

for (const problem of problems) console.error(problem);
console.log(`structure: ${source.summary.totalCruised} files, ${problems.length} problems`);
process.exitCode = problems.length > 0 ? 1 : 0;
