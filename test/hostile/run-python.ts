// Runs generated hostile Python programs: node --expose-gc --import tsx test/hostile/run-python.ts [count] [seed]. No
// program may pass; after every hundred, both interpreters must be what they were, byte for byte, and an innocent program
// must pass.

import { checkPython } from "./check-python.js";
import { hostileCases } from "./families.js";
import { pythonFamilies, pythonForms } from "./python.js";
import { printed } from "./report.js";

const [count = 3000, seed = 1] = process.argv.slice(2).map(Number);
process.exit(
  await printed((onProgress) =>
    checkPython(hostileCases(pythonFamilies, pythonForms, count, seed), onProgress),
  ),
);
