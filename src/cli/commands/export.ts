import { Command, Option } from "commander";
import { UserError } from "../../base/errors.js";
import { type ContextFlags, printResult, withContext } from "../context.js";

interface ExportFlags extends ContextFlags {
  to: "gguf" | "onnx";
  dtype?: keyof typeof types;
  adapterOnly?: boolean;
}

const types = { float32: "F32", float16: "F16", bfloat16: "BF16", q8_0: "Q8_0" } as const;

export const exportCommand = () =>
  new Command("export")
    .summary("write a model for llama.cpp (GGUF) or ONNX Runtime and transformers.js (ONNX)")
    .description(
      "Writes a policy as a GGUF file with its tokenizer and chat template, or a policy or a reward model as an ONNX " +
        "directory. A LoRA adapter is merged into its base first; --adapter-only writes it alone, as a GGUF adapter. What " +
        "the other program would compute otherwise is refused by name, or told as a note.",
    )
    .argument("<model>", "a model directory, an adapter, a .gguf file or a Hub name")
    .argument("<out>", "the .gguf file or the ONNX directory to write; it must not exist")
    .addOption(new Option("--to <format>", "the format").choices(["gguf", "onnx"]).makeOptionMandatory())
    .addOption(
      new Option(
        "--dtype <type>",
        "the type of the matrices (default: float16 for GGUF, float32 for ONNX, which has no other)",
      ).choices(Object.keys(types)),
    )
    .option("--adapter-only", "write a LoRA adapter alone (GGUF)")
    .option("--json", "what was written as one JSON object on stdout; no progress")
    .option("--quiet", "no progress")
    .addHelpText(
      "after",
      "\nExamples:\n  $ touchstone export runs/bot/final bot.gguf --to gguf --dtype q8_0\n" +
        "  $ touchstone export runs/bot/final bot-lora.gguf --to gguf --adapter-only\n" +
        "  $ touchstone export runs/rm/final rm-onnx --to onnx",
    )
    .action(async (model: string, out: string, flags: ExportFlags) => {
      const result = await withContext(flags, (context) => exportModel({ model, out, ...flags }, context));
      const { notes, kind, dtype, architecture, ...facts } = result;
      const what = `${kind} ${architecture}, ${facts.tensors} tensors, ${facts.parameters} parameters, ${dtype}`;
      printResult(result, [`${out}: ${what}`, ...notes.map((note) => `note: ${note}`)], flags);
    });

async function exportModel(
  { model, out, to, dtype, adapterOnly }: ExportFlags & { model: string; out: string },
  context: Parameters<Parameters<typeof withContext>[1]>[0],
) {
  if (to === "gguf") {
    const { exportGguf } = await import("../../train/export/gguf.js");
    return exportGguf({ model, out, adapterOnly, type: types[dtype ?? "float16"] }, context);
  }
  if (adapterOnly) throw new UserError("--adapter-only needs --to gguf: ONNX has no adapters");
  if (dtype !== undefined && dtype !== "float32")
    throw new UserError(`--dtype ${dtype} is not available for ONNX (only float32)`);
  const { exportOnnx } = await import("../../train/export/onnx.js");
  return exportOnnx({ model, out }, context);
}
