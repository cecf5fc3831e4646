// The model directories that both sides read: random weights in one of the shapes, made once and kept.

import { execFile } from "node:child_process";
import { existsSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import { UserError } from "../src/base/errors.js";
import { commonConfig, shapes } from "./workload.js";

const makeCheckpoint = fileURLToPath(new URL("./make_checkpoint.py", import.meta.url));

/**
 * The directory of a shape's model under `root`, or of its reward model. Made where it is missing. With `words` every token
 * of the model has a text that reads back as the token.
 */
export async function checkpoint(
  root: string,
  shape: string,
  head: "language" | "scalar",
  python: string | undefined,
  words = false,
): Promise<string> {
  const dir = join(root, `${shape}${words ? "-words" : ""}${head === "scalar" ? "-reward" : ""}`);
  if (existsSync(join(dir, "model.safetensors"))) return dir;
  if (python === undefined && words)
    throw new UserError(`${dir} is missing, and without a Python with transformers it cannot be made`);
  if (python === undefined) await makeHere(dir, shape, head);
  else {
    const flags = [...(head === "scalar" ? ["--classifier"] : []), ...(words ? ["--words"] : [])];
    await promisify(execFile)(python, [makeCheckpoint, "--shape", shape, "--out", dir, ...flags]);
  }
  return dir;
}

async function makeHere(dir: string, shape: string, head: "language" | "scalar"): Promise<void> {
  const { writeRandomModel } = await import("../src/lab/base.js");
  const architecture = head === "language" ? "LlamaForCausalLM" : "LlamaForSequenceClassification";
  const labels = head === "scalar" ? { num_labels: 1 } : {};
  const config = { model_type: "llama", architectures: [architecture], ...commonConfig, ...shapes[shape] };
  await writeRandomModel(dir, { ...config, ...labels }, 0);
}
