// Runs generated hostile Python programs: npx tsx test/hostile/run-python.ts [count] [seed]. No program may pass; after
// every hundred, both interpreters must be what they were, byte for byte, and an innocent program must pass.

import { checkPython } from "./check-python.js";
import { hostileCases } from "./families.js";
import { pythonFamilies, pythonForms } from "./python.js";

const [count = 3000, seed = 1] = process.argv.slice(2).map(Number);
const report = await checkPython(
  hostileCases(pythonFamilies, pythonForms, count, seed),
  (done, { forged, broken, lasting }) => {
    if (done % 100 !== 0) return;
    console.log(
      `${done} of ${count}: ${forged.length} forged, ${broken.length} broken, ${lasting.length} lasting`,
    );
    for (const found of [...forged, ...broken, ...lasting]) console.log(found);
  },
);
console.log(JSON.stringify(report, null, 1));
process.exit(report.forged.length + report.broken.length + report.lasting.length === 0 ? 0 : 1);
