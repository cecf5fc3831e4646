// Makes the model that lab/model ships, from nothing, with this repository's own commands (some hours on two cores):
//
//     npx tsx scripts/lab-model.ts --out runs/lab-model [--resume] [--steps PRETRAIN,SFT]
//
// The result stands in OUT/sft; `--steps` cuts both stages short, to try out that they run. Ctrl-C saves a checkpoint.

import { parseArgs } from "node:util";
import { makeBaseModel } from "../src/lab/base.js";
import { silent } from "../src/run/context.js";

const { values } = parseArgs({
  options: {
    out: { type: "string" },
    resume: { type: "boolean", default: false },
    steps: { type: "string" },
  },
});
if (values.out === undefined) throw new Error("say where: --out DIR");
const [pretrain, sft] = (values.steps ?? "").split(",").map((n) => Number(n) || undefined);

const interrupted = new AbortController();
process.once("SIGINT", () => interrupted.abort());
const reporter = {
  ...silent,
  note: (line: string) => console.log(line),
  step: (done: number) => {
    if (done % 50 === 0) console.log(`step ${done}`);
  },
};
const { model, evalLoss } = await makeBaseModel(
  values.out,
  { reporter, resume: values.resume, signal: interrupted.signal },
  { pretrain, sft },
);
console.log(evalLoss === undefined ? model : `${model} (loss ${evalLoss.toFixed(4)})`);
