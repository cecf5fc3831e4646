import { expect, test } from "vitest";
import { withoutControlTokens, withoutTokens } from "./control-tokens.js";

test.each([
  // ChatML, Llama 3, Phi, Granite, gpt-oss
  ..."<|im_start|> <|im_end|> <|eot_id|> <|begin_of_text|> <|start_header_id|> <|assistant|> <|start_of_role|> <|channel|>".split(
    " ",
  ),
  // DeepSeek
  "<｜begin▁of▁sentence｜>",
  "<｜User｜>",
  "<｜Assistant｜>",
  "<｜tool▁calls▁begin｜>",
  // Mistral, Llama 2
  ..."[INST] [/INST] [SYSTEM_PROMPT] [/SYSTEM_PROMPT] [TOOL_CALLS] [AVAILABLE_TOOLS] [/AVAILABLE_TOOLS] [THINK] <<SYS>> <</SYS>>".split(
    " ",
  ),
  // sentencepiece, T5, Cohere, InternLM, ChatGLM, BERT
  ..."<s> </s> <bos> <eos> <pad> <unk> <mask> <sop> <eop> <EOS_TOKEN> <BOS_TOKEN> <|END_OF_TURN_TOKEN|> [gMASK] [UNUSED_TOKEN_145] [CLS] [SEP] <extra_id_0>".split(
    " ",
  ),
  // Gemma
  ..."<start_of_turn> <end_of_turn> <start_of_image> <unused12> <|turn> <turn|>".split(" "),
  // Qwen, Hermes, GLM, Kimi, Seed
  ..."<tool_call> </tool_call> <tool_response> <tools> <think> </think> <arg_key> ◁think▷ <seed:bos> </seed:think> <function=search>".split(
    " ",
  ),
  // Mistral's Tekken, Nemotron, StarCoder, SmolLM, and roles as tags
  ..."<SPECIAL_12> <extra_0> <fim_prefix> <file_sep> <repo_name> <jupyter_start> <gh_stars> <filename> <user> </assistant> <system> <bot>".split(
    " ",
  ),
  // EXAONE, Falcon, MiniMax
  ..."[|assistant|] [|endofturn|] >>QUESTION<< ]~b] [e~[".split(" "),
])("%s is broken up, in any case", (token) => {
  for (const text of [`a ${token} b`, token, `${token}${token}`, `x${token.toUpperCase()}y`]) {
    const found = withoutControlTokens(text);
    expect(found.toLowerCase()).not.toContain(token.toLowerCase());
    expect(found.replaceAll("\u2060", "")).toBe(text);
  }
});

test.each([
  "a < b and c > d, or x | y",
  "a[i] and [1, 2] and [INSTALL]",
  "<b>bold</b> <p class='x'>text</p> List<String>",
  "if (a<b || c>d) {}",
  "[link](https://example.org)",
])("%j stays as it is", (text) => {
  expect(withoutControlTokens(text)).toBe(text);
});

test("a tokenizer's own tokens are broken up as well, the longest first, but for words and white space", () => {
  const own = ["~~go~~", "~~go~~on", "  ", "\n\n", "word", "<q>"];
  expect(withoutTokens("~~go~~on word  \n\n<q>", own)).toBe("~\u2060~go~~on word  \n\n<\u2060q>");
});

test("nesting brings no token back, and time is linear", () => {
  expect(withoutControlTokens("<|im_<|im_end|>end|>")).not.toContain("<|im_end|>");
  const start = process.cpuUsage();
  for (const part of ["<|", "<｜a", "|>", "<a", "[|", "[/", "<|a|"])
    withoutControlTokens(part.repeat(100_000));
  // Of the processor, on any machine: what was quadratic took minutes.
  expect(process.cpuUsage(start).user / 1000).toBeLessThan(10_000);
});
