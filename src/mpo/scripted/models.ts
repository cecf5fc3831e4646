// The two scripted models. They are programs, not language models: `rm` executes the machine-readable rubric that stands in
// its prompt, `mrm` looks for two known hacks and adds canned items. A reply is a pure function of the request, and the
// rubric reaches them only as text, so that a loophole closes only when the text really travelled through the loop.

import { type BlockName, readBlock, stopMarker } from "../markup.js";
import { asks } from "../prompts.js";
import { dedupeItems, maxTotalOf, type RubricItem } from "../rubric.js";
import { parseRubric, renderItem, renderItems } from "../rubric-text.js";
import { executeItem, hacksIn, remedies } from "./dialect.js";

export interface ScriptedMessage {
  role: string;
  content: string;
}

/** The last block of that name in the user's turns. */
function read(messages: readonly ScriptedMessage[], name: BlockName): string {
  const turns = messages.filter(({ role }) => role === "user").reverse();
  return turns.map(({ content }) => readBlock(content, name)).find((text) => text !== undefined) ?? "";
}

const textOf = (messages: readonly ScriptedMessage[]): string =>
  messages.map(({ content }) => content).join("\n");

const rubricIn = (text: string): RubricItem[] => parseRubric(readBlock(text, "rubric") ?? "").items;

function points(item: RubricItem, messages: readonly ScriptedMessage[]): number {
  return executeItem(item, read(messages, "response"), read(messages, "instruction"));
}

/** The item that a turn of an item conversation asks about. */
const itemAsked = (messages: readonly ScriptedMessage[]): RubricItem =>
  parseRubric(read(messages, "item")).items[0]!;

function oneReply(messages: readonly ScriptedMessage[]): string {
  const items = rubricIn(messages.at(-1)!.content).map((item, i) => ({
    item: i + 1,
    rationale: `By the levels of ${item.name}.`,
    score: points(item, messages),
  }));
  return JSON.stringify({ items });
}

function planScore(messages: readonly ScriptedMessage[]): string {
  const { items } = parseRubric(read(messages, "plan"));
  const total = items.reduce((sum, item) => sum + points(item, messages), 0);
  const maximum = Number(/from 0 to ([\d.]+)/.exec(messages.at(-1)!.content)?.[1]);
  return `${Math.round((maximum * total) / maxTotalOf(items))}`;
}

/** "Flags: padding" for the response of one case. */
function flagsOf(text: string, rubric: readonly RubricItem[]): string[] {
  const total = Number(/Score: (-?[\d.]+)/.exec(readBlock(text, "result") ?? "")?.[1]);
  return hacksIn(readBlock(text, "response") ?? "", total / maxTotalOf(rubric));
}

function analysis(text: string): string {
  const rubric = parseRubric(text.slice(text.indexOf("<rubric>"), text.indexOf("</rubric>"))).items;
  const cases = text.includes("\n</case>") ? text.split("\n</case>").slice(0, -1) : [text];
  const flags = [...new Set(cases.flatMap((one) => flagsOf(one, rubric)))];
  const verdict = flags.length > 0 ? "inflated" : "fair";
  return `Flags: ${flags.join(", ") || "none"}.\nVerdict: ${verdict}`;
}

/** The current items, and a remedy for each flag that the analysis raised. */
function refined(messages: readonly ScriptedMessage[]): RubricItem[] {
  const flags =
    /^Flags: (.*)\.$/m.exec(textOf(messages.filter(({ role }) => role === "assistant")))?.[1] ?? "";
  const current = rubricIn(messages.find(({ role }) => role === "user")!.content);
  return dedupeItems([...current, ...flags.split(", ").flatMap((flag) => remedies[flag] ?? [])]);
}

/** The union of all rubrics in the prompt. */
function merged(messages: readonly ScriptedMessage[]): RubricItem[] {
  const { content } = messages.find(({ role }) => role === "user")!;
  return dedupeItems(
    content.split("<rubric>").flatMap((text) => parseRubric(text.split("</rubric>")[0]!).items),
  );
}

const rubric = (items: readonly RubricItem[]): string => `<rubric>\n${renderItems(items)}\n</rubric>`;

const isMerge = (messages: readonly ScriptedMessage[]): boolean => textOf(messages).includes(asks.mergeCount);

function nthItem(messages: readonly ScriptedMessage[]): string {
  const n = Number(/item ([\d]+) of/.exec(messages.at(-1)!.content)?.[1]);
  const items = isMerge(messages) ? merged(messages) : refined(messages);
  return `${renderItems([items[n - 1]!])} ${stopMarker}`;
}

type Reply = (messages: readonly ScriptedMessage[]) => string;

const rewardModel: [string, Reply][] = [
  [asks.oneReply, oneReply],
  [asks.itemReply, (messages) => `By its levels.\n<score>${points(itemAsked(messages), messages)}</score>`],
  [asks.itemRationale, () => `By its levels. ${stopMarker}`],
  [asks.itemScore, (messages) => `${points(itemAsked(messages), messages)}`],
  [asks.plan, (messages) => rubricIn(messages.at(-1)!.content).map(renderItem).join("\n")],
  [asks.execute, () => "Every step was gone through."],
  [asks.planScore, planScore],
];

const metaRewardModel: [string, Reply][] = [
  [asks.analysis, (messages) => analysis(messages.at(-1)!.content)],
  [asks.caseAnalysis, (messages) => analysis(messages.at(-1)!.content)],
  [asks.refinement, (messages) => rubric(refined(messages))],
  [asks.refinementCount, (messages) => `${refined(messages).length}`],
  [asks.mergeCount, (messages) => `${merged(messages).length}`],
  [asks.merge, (messages) => rubric(merged(messages))],
  [asks.item, nthItem],
];

export const scriptedModels: Record<string, [string, Reply][]> = { rm: rewardModel, mrm: metaRewardModel };

/** The reply of a scripted model, or undefined to a question that it does not know. */
export function scriptedReply(model: string, messages: readonly ScriptedMessage[]): string | undefined {
  // What a case or a response says must not be taken for the question, which comes last.
  const ask = messages
    .at(-1)
    ?.content.split("\n\n")
    .findLast((part) => (scriptedModels[model] ?? []).some(([question]) => part.startsWith(question)));
  const [, reply] = scriptedModels[model]?.find(([question]) => ask?.startsWith(question)) ?? [];
  return reply?.(messages);
}
