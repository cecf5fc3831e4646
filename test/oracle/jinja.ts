// Compares the template engine with the cases of a file that `jinja.py` wrote, and prints those that differ.
//     npx tsx test/oracle/jinja.ts cases.json
import { readFile } from "node:fs/promises";
import { parseJson } from "../../src/base/json.js";
import { JinjaTemplate } from "../../src/model/jinja/index.js";

const { variables, cases } = parseJson(await readFile(process.argv[2]!, "utf8"), { wholeFloats: true }) as {
  variables: Record<string, unknown>[];
  cases: [string, number, string | null][];
};
let [different, refused] = [0, 0];
for (const [template, index, expected] of cases) {
  let output: string | null = null;
  let reason = "";
  try {
    output = JinjaTemplate.parse(template).render(variables[index]!);
  } catch (error) {
    reason = error instanceof Error ? `${error.constructor.name}: ${error.message}` : String(error);
    if (!reason.startsWith("TemplateError")) console.log("CRASH", template, reason, (error as Error).stack);
  }
  if (output === expected) continue;
  if (output === null) refused++;
  else different++;
  if (refused + different < 120)
    console.log(
      `${JSON.stringify(template)}\n   jinja2 ${JSON.stringify(expected)?.slice(0, 400)}\n   here   ${JSON.stringify(output)?.slice(0, 400)} ${reason}`,
    );
}
console.log(`${cases.length} cases: ${different} differ, ${refused} refused here only`);
