import { trainingCommand } from "../training.js";

export const sftCommand = () =>
  trainingCommand("sft", {
    summary: "fine-tune a language model on completions",
    description:
      "Fine-tunes a language model on texts, prompts with completions, or conversations (JSONL, JSON or Parquet). " +
      "The trained model is a Hugging Face directory, or a PEFT adapter with --lora-r.",
    examples: [
      "touchstone sft --model ./smollm2-135m --data chats.jsonl -o runs/sft",
      "touchstone sft recipe.yaml --learning-rate 2e-5 --lora-r 16",
      "touchstone sft recipe.yaml --resume",
    ],
    run: async (recipe, context) => (await import("../../train/sft.js")).runSft(recipe, context),
    report: ({ model, evalLoss, remarks }) => [
      ...remarks,
      ...(evalLoss === undefined ? [] : [`evaluation loss ${evalLoss.toFixed(4)}`]),
      `model: ${model}`,
    ],
  });
