// The two scripted models. They are programs, not language models: `rm` executes the machine-readable rubric that stands in
// its prompt, `mrm` looks for the hacks that its reviewer knows and adds canned items. A reply is a pure function of the request, and the
// rubric reaches them only as text, so that a loophole closes only when the text really travelled through the loop.

import { type BlockName, readBlock, stopMarker } from "../markup.js";
import { asks } from "../prompts.js";
import { dedupeItems, maxTotalOf, nameKey, type RubricItem } from "../rubric.js";
import { parseRubric, renderItem, renderItems } from "../rubric-text.js";
import { essayReviewer, executeItem, hackIn, type Reviewer } from "./dialect.js";

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

/** The hack that one case shows. */
function flagOf(text: string, rubric: readonly RubricItem[], reviewer: Reviewer): string | undefined {
  const total = Number(/Score: (-?[\d.]+)/.exec(readBlock(text, "result") ?? "")?.[1]);
  const [instruction, response] = [readBlock(text, "instruction") ?? "", readBlock(text, "response") ?? ""];
  return hackIn(reviewer, { instruction, response, share: total / maxTotalOf(rubric) })?.name;
}

/** "Flags: padding." over the cases of a prompt. */
function analysis(messages: readonly ScriptedMessage[], reviewer: Reviewer): string {
  const text = messages.at(-1)!.content;
  const rubric = parseRubric(text.slice(text.indexOf("<rubric>"), text.indexOf("</rubric>"))).items;
  const cases = text.includes("\n</case>") ? text.split("\n</case>").slice(0, -1) : [text];
  const flags = [...new Set(cases.flatMap((one) => flagOf(one, rubric, reviewer) ?? []))];
  const verdict = flags.length > 0 ? "inflated" : "fair";
  return `Flags: ${flags.join(", ") || "none"}.\nVerdict: ${verdict}`;
}

/** The current items, and a remedy for each flag that the analysis raised. */
function refined(messages: readonly ScriptedMessage[], { hacks }: Reviewer): RubricItem[] {
  const flags =
    /^Flags: (.*)\.$/m.exec(textOf(messages.filter(({ role }) => role === "assistant")))?.[1] ?? "";
  const current = rubricIn(messages.find(({ role }) => role === "user")!.content);
  const remedies = flags.split(", ").flatMap((flag) => hacks.find(({ name }) => name === flag)?.remedy ?? []);
  return dedupeItems([...current, ...remedies]);
}

/** The union of all rubrics in the prompt, without what too few of them hold. */
function merged(messages: readonly ScriptedMessage[], { mergeShare }: Reviewer): RubricItem[] {
  const { content } = messages.find(({ role }) => role === "user")!;
  const rubrics = content
    .split("<rubric>")
    .slice(1)
    .map((text) => parseRubric(text.split("</rubric>")[0]!).items);
  const holders = (name: string) =>
    rubrics.filter((items) => items.some((item) => nameKey(item.name) === nameKey(name))).length;
  return dedupeItems(rubrics.flat()).filter(({ name }) => holders(name) >= mergeShare * rubrics.length);
}

const rubric = (items: readonly RubricItem[]): string => `<rubric>\n${renderItems(items)}\n</rubric>`;

const isMerge = (messages: readonly ScriptedMessage[]): boolean => textOf(messages).includes(asks.mergeCount);

function nthItem(messages: readonly ScriptedMessage[], reviewer: Reviewer): string {
  const n = Number(/item ([\d]+) of/.exec(messages.at(-1)!.content)?.[1]);
  const items = isMerge(messages) ? merged(messages, reviewer) : refined(messages, reviewer);
  return `${renderItems([items[n - 1]!])} ${stopMarker}`;
}

type Reply = (messages: readonly ScriptedMessage[], reviewer: Reviewer) => string;

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
  [asks.analysis, analysis],
  [asks.caseAnalysis, analysis],
  [asks.refinement, (messages, reviewer) => rubric(refined(messages, reviewer))],
  [asks.refinementCount, (messages, reviewer) => `${refined(messages, reviewer).length}`],
  [asks.mergeCount, (messages, reviewer) => `${merged(messages, reviewer).length}`],
  [asks.merge, (messages, reviewer) => rubric(merged(messages, reviewer))],
  [asks.item, nthItem],
];

export const scriptedModels: Record<string, [string, Reply][]> = { rm: rewardModel, mrm: metaRewardModel };

/** The reply of a scripted model, or undefined to a question that it does not know. */
export function scriptedReply(
  model: string,
  messages: readonly ScriptedMessage[],
  reviewer: Reviewer = essayReviewer,
): string | undefined {
  // What a case or a response says must not be taken for the question, which comes last.
  const ask = messages
    .at(-1)
    ?.content.split("\n\n")
    .findLast((part) => (scriptedModels[model] ?? []).some(([question]) => part.startsWith(question)));
  const [, reply] = scriptedModels[model]?.find(([question]) => ask?.startsWith(question)) ?? [];
  return reply?.(messages, reviewer);
}
