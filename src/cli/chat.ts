// A conversation in the terminal: a line in, an answer out, token by token.

import { createInterface } from "node:readline";
import { UserError } from "../base/errors.js";
import { RandomStream } from "../base/random.js";
import type { ModelChoice } from "../eval/inference.js";
import { StreamDecoder } from "../model/tokenizer.js";
import { openPolicy } from "../train/models.js";

export interface ChatRequest extends ModelChoice {
  system?: string;
  maxNewTokens: number;
  temperature: number;
  topP: number;
  seed: number;
  input: NodeJS.ReadableStream & { isTTY?: boolean };
  /** Absent: nothing is shown while it is said. */
  output?: NodeJS.WritableStream | undefined;
}

interface Message {
  role: string;
  content: string;
}

/** Talks until the input ends or says /exit; returns every conversation, the system message included. */
export async function chat({ input, output, system, seed, ...request }: ChatRequest): Promise<Message[][]> {
  const { policy, codec } = await openPolicy(request.model, { ...request, frozen: true });
  const start: Message[] = system === undefined ? [] : [{ role: "system", content: system }];
  const random = new RandomStream(seed, "chat");
  const isPerson = input.isTTY === true;
  const lines = createInterface({ input, terminal: false });
  const ask = () => isPerson && output?.write("> ");
  try {
    const conversations: Message[][] = [];
    let messages = [...start];
    ask();
    for await (const line of lines) {
      const text = line.trim();
      if (text === "/exit") break;
      if (text === "/new") messages = [...start];
      else if (text !== "") {
        if (messages.length === start.length) conversations.push(messages);
        messages.push({ role: "user", content: text });
        messages.push({ role: "assistant", content: await answer(messages) });
      }
      ask();
    }
    return conversations;
  } finally {
    lines.close();
    policy.dispose();
  }

  async function answer(messages: readonly Message[]): Promise<string> {
    const prompt = codec.prompt([...messages]);
    const { maxNewTokens, temperature, topP } = request;
    const room = policy.limits.maxTokens - prompt.length;
    if (room < 1)
      throw new UserError(
        `the conversation has grown to ${prompt.length} tokens, more than the ${policy.limits.maxTokens} that the model reads; begin anew`,
      );
    const decoder = new StreamDecoder(codec.tokenizer, { skipSpecialTokens: true });
    const [completion] = await policy.sample([prompt], {
      maxNewTokens: Math.min(maxNewTokens, room),
      temperature,
      topP,
      stopIds: codec.stopIds,
      seeds: [random.nextSeed()],
      onToken: (_, token) => output?.write(decoder.push(token)),
    });
    output?.write("\n");
    return codec.decode(completion!.tokens);
  }
}
