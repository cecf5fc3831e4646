// The lab's chat format: ChatML, as a template for tokenizer_config.json and as the same text rendered directly.

export const specialTokens = {
  end: "<|endoftext|>",
  pad: "<|pad|>",
  turnStart: "<|im_start|>",
  turnEnd: "<|im_end|>",
} as const;

export const chatTemplate =
  "{% for message in messages %}" +
  "{{ '<|im_start|>' + message['role'] + '\\n' + message['content'] + '<|im_end|>' + '\\n' }}" +
  "{% endfor %}" +
  "{% if add_generation_prompt %}{{ '<|im_start|>assistant\\n' }}{% endif %}";

/** What `chatTemplate` gives for one question and its answer. */
export function renderDialogue(prompt: string, completion: string): string {
  return `<|im_start|>user\n${prompt}<|im_end|>\n<|im_start|>assistant\n${completion}<|im_end|>\n`;
}
