import { Command, Option } from "commander";
import { UserError } from "../../base/errors.js";
import { printResult } from "../context.js";

export const convertCommand = () =>
  new Command("convert")
    .summary("write a model as a Hugging Face directory: from GGUF, or in another number type")
    .description(
      "Reads a GGUF file or a model directory and writes a directory that transformers loads: config.json, tokenizer, " +
        "chat template and safetensors. Quantised weights are dequantised; float32 keeps their values exactly.",
    )
    .argument("<in>", "a .gguf file, a model directory or a Hub name")
    .argument("<out>", "the directory to write; it must not exist")
    .addOption(
      new Option(
        "--dtype <type>",
        "the type in the file (default: the type of the weights; float32 from GGUF)",
      ).choices(["float32", "float16", "bfloat16"]),
    )
    .option("--json", "the result as one JSON object on stdout")
    .addHelpText(
      "after",
      "\nExamples:\n  $ touchstone convert SmolLM2-135M-Instruct.Q4_1.gguf models/smollm2\n" +
        "  $ touchstone convert models/smollm2 models/smollm2-bf16 --dtype bfloat16",
    )
    .action(
      async (
        from: string,
        out: string,
        { dtype, json }: { dtype?: "float32" | "float16" | "bfloat16"; json?: boolean },
      ) => {
        const { existsSync } = await import("node:fs");
        if (existsSync(out)) throw new UserError(`${out} exists already; name a directory that does not`);
        const { resolveModel } = await import("../../data/index.js");
        const { hasTokenizer, OpenCheckpoint, saveCheckpoint } = await import("../../model/checkpoint.js");
        const source = await resolveModel(from);
        const open = await OpenCheckpoint.open(source);
        try {
          await saveCheckpoint(out, {
            config: open.config,
            read: (spec) => open.read(spec),
            dtype: dtype && ({ float32: "F32", float16: "F16", bfloat16: "BF16" } as const)[dtype],
            tokenizerFrom: hasTokenizer(source) ? source : undefined,
          });
        } finally {
          await open.close();
        }
        printResult({ out }, [out], { json });
      },
    );
