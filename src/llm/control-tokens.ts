// Control tokens of chat templates. In a text that is judged some servers would honour them, and the text could speak as the
// system or end its turn; a word joiner after their first character leaves them to read and takes their power.

/** Bars as ASCII has them and as DeepSeek does. */
const bar = "[|｜]";
const inner = "[^<>|｜\\n]{1,64}";

/** Families of control tokens that look alike. */
const families: readonly string[] = [
  // <|im_start|>, <｜User｜>, <|turn>, <turn|>, [|assistant|]
  `<${bar}${inner}(?:${bar}>|>)`,
  `<${inner}${bar}>`,
  `\\[${bar}[^[\\]|｜\\n]{1,64}${bar}\\]`,
  // Llama 2, Mistral, ChatGLM
  "<</?SYS>>",
  "\\[/?(?:INST|SYSTEM_PROMPT|AVAILABLE_TOOLS|TOOL_CALLS|TOOL_RESULTS|TOOL_CONTENT|MODEL_SETTINGS|ARGS|CALL_ID|THINK|IMG|IMG_BREAK|IMG_END|AUDIO|BEGIN_AUDIO|PREFIX|MIDDLE|SUFFIX)\\]",
  "\\[(?:[gs]?MASK|CLS|SEP|PAD|UNK|BOS|EOS|UNUSED_TOKEN_\\d+)\\]",
  // sentencepiece and its relatives
  "</?s>|<(?:bos|eos|pad|unk|mask|cls|sep|sop|eop|eot|eod|eoh|eoa|eom|endoftext)>",
  "<(?:BOS|EOS|PAD|UNK|MASK|CLS|SEP|EOP|EOD)_TOKEN>",
  "</?(?:seed|longcat|minimax)[:_][a-z_]+>",
  "<(?:unused|reserved|reserved_special_token|special|extra|extra_id|TOKENS_UNUSED)_?\\d+>",
  // Roles, and the marks of code models
  "</?(?:user|human|assistant|bot|system|developer|environment)>",
  "<(?:fim|file|repo|gh|issue|jupyter|commit|pr|empty)_[a-z_]{1,32}>|<filename>",
  // Gemma, and image marks
  "<(?:start|end)_of_(?:turn|image|audio|speech|text|role)>|</?(?:image|img|video|audio|box|quad|ref)(?:_soft_token)?>",
  // Tools and thoughts of Qwen, Hermes, GLM, DeepSeek
  "</?(?:think(?:ing)?|tools?|tool_\\w{1,32}|function_calls?|functions?|function=[\\w.]{1,64}|arg_(?:key|value)|parameter=[\\w.]{1,64}|documents?|observation)>",
  "◁/?[a-z_]{1,32}▷",
  // Falcon, MiniMax
  ">>(?:QUESTION|ANSWER|INTRODUCTION|SUMMARY|TITLE|ABSTRACT|COMMENT|PREFIX|SUFFIX|MIDDLE)<<",
  "\\]~!?b\\[|\\]~b\\]|\\[e~\\[",
];

const known = new RegExp(families.join("|"), "giu");

const joiner = "\u2060";

const broken = (token: string) => {
  const [first = ""] = token;
  return `${first}${joiner}${token.slice(first.length)}`;
};

const escaped = (text: string) => text.replace(/[\\^$.*+?()[\]{}|/-]/g, "\\$&");

const patterns = new WeakMap<readonly string[], RegExp>();

/** One pattern for a tokenizer's own tokens, the longest first; white space and plain words among them are no control tokens. */
function patternOf(tokens: readonly string[]): RegExp | undefined {
  const marked = tokens.filter((token) => token.length > 1 && /[^\p{L}\p{N}\s]/u.test(token));
  if (marked.length === 0) return undefined;
  let pattern = patterns.get(tokens);
  if (!pattern) {
    const sources = marked.toSorted((a, b) => b.length - a.length).map(escaped);
    patterns.set(tokens, (pattern = new RegExp(sources.join("|"), "gu")));
  }
  return pattern;
}

/** The same text for a reader, but no control token for a tokenizer of any family. */
export const withoutControlTokens = (text: string): string => text.replace(known, broken);

/** The same for one tokenizer, by the list of its added tokens. */
export function withoutTokens(text: string, tokens: readonly string[]): string {
  const pattern = patternOf(tokens);
  return pattern ? text.replace(pattern, broken) : text;
}
