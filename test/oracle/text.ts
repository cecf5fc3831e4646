// Compares the tokenizers of a file that `text.py` wrote with what is made of them here, and prints what differs.
//     npx tsx test/oracle/text.ts cases.json
import { readFile } from "node:fs/promises";
import { UserError } from "../../src/base/errors.js";
import { compareTokenizer, type TokenizerCase } from "../support/tokenizer-cases.js";

const { cases } = JSON.parse(await readFile(process.argv[2]!, "utf8")) as { cases: TokenizerCase[] };
let [different, refused] = [0, 0];
for (const [i, one] of cases.entries()) {
  try {
    const differences = compareTokenizer(one);
    if (differences.length === 0) continue;
    different++;
    if (different <= 25) console.log(`case ${i}: ${differences.slice(0, 2).join("\n   ")}`);
  } catch (error) {
    if (!(error instanceof UserError)) throw error;
    refused++;
    console.log(`case ${i} is refused: ${error.message}`);
  }
}
console.log(`${cases.length} tokenizers: ${different} differ, ${refused} refused by name`);
