// Judges that are language models: false refusal, factuality and safety of CGPO (section 4.1.4, appendix B.2), a style
// rubric, and any yes/no question. Whatever is not a clear label is a failure, never a verdict.

import { resolve } from "node:path";
import { z } from "zod";
import { UserError } from "../../base/errors.js";
import { didYouMean } from "../../base/suggest.js";
import { type ChatModel, LlmModels } from "../../llm/models.js";
import { hasColumn, type JudgeContext, type JudgeKind, judgeKind } from "../kind.js";
import { satisfied, type Verdict, violated } from "../verdict.js";
import { type Decision, decide } from "./decide.js";
import { hash, type Labels, readTemplate, render, shippedPrompt } from "./template.js";

const modelOptions = {
  /** A name under `llm:` in the recipe, or with `base_url` the name that the server knows. */
  model: z.string().min(1),
  baseUrl: z.url().optional(),
  apiKeyEnv: z.string().min(1).optional(),
  concurrency: z.number().int().positive().optional(),
  timeoutSeconds: z.number().positive().optional(),
  maxRetries: z.number().int().min(0).optional(),
  retrySeconds: z.number().min(0).optional(),
  maxReplyBytes: z.number().int().positive().optional(),
  /** YAML file, instead of the one that ships with the judge. */
  prompt: z.string().min(1).optional(),
  /** The labels must hold more of the probability than this, where probabilities decide. */
  minLabelShare: z.number().min(0).lt(1).default(0.5),
};

type ModelOptions = z.output<z.ZodObject<typeof modelOptions>>;

/** The models that judges name by an address of their own, where no run records them. */
const unrecorded = new LlmModels();

function openModel(
  { prompt: _, minLabelShare: __, ...options }: ModelOptions,
  { llm = unrecorded }: JudgeContext,
): Promise<ChatModel> {
  const { model, ...changes } = options;
  if (llm.has(model)) return llm.open(model, "a judge", changes);
  if (options.baseUrl !== undefined) return llm.openEndpoint(options);
  throw new UserError(
    `there is no model "${model}" under llm${didYouMean(model, llm.names)}; ` +
      "name one that is listed there, or give the judge a base_url",
  );
}

/** Changes with the way in which replies are read. */
const readingVersion = "2";

function asVerdict(
  { isViolated, by, probability, explanation }: Decision,
  labels: Labels,
  model: string,
): Verdict {
  const label = isViolated ? labels.violated : labels.satisfied;
  const share = probability === undefined ? "" : ` (probability ${probability.toFixed(3)})`;
  const reason = `${model} says ${label}${share}${explanation === undefined ? "" : `: ${explanation}`}`;
  const evidence = { label, by, ...(probability === undefined ? {} : { probability }) };
  return isViolated ? violated(reason, evidence) : satisfied(reason, evidence);
}

function llmJudge<Extra extends Record<string, z.ZodType>>(
  name: string,
  extra: Extra,
  variablesOf: (options: Record<string, unknown>) => Record<string, string> = () => ({}),
): JudgeKind {
  return judgeKind({
    version: readingVersion,
    kind: "llm",
    isCostly: true,
    truncated: "judge",
    options: z.strictObject({ ...modelOptions, ...extra }),
    async create(given, context) {
      const options = given as ModelOptions & Record<string, unknown>;
      const { prompt, model, minLabelShare } = options;
      const template = readTemplate(
        prompt === undefined ? shippedPrompt(name) : resolve(context.baseDir, prompt),
      );
      const variables = variablesOf(options);
      const judgeModel = await openModel(pickModel(options), context);
      const client = judgeModel.client.meter();
      return {
        version: [
          readingVersion,
          minLabelShare,
          template.version,
          judgeModel.model,
          ...Object.values(variables).map((v) => hash(v, 8)),
        ].join("-"),
        concurrency: judgeModel.client.concurrency,
        applies: (metadata) => template.needs.every((column) => hasColumn(column)(metadata)),
        async judge(input, signal) {
          const messages = render(template, input, variables);
          const { labels, answerTokens } = template;
          const decision = await decide(
            { client, model: judgeModel.model },
            { messages, labels, answerTokens, minLabelShare },
            signal,
          );
          return asVerdict(decision, labels, model);
        },
        usage: () => client.usage(),
      };
    },
  });
}

const pickModel = (options: ModelOptions): ModelOptions =>
  Object.fromEntries(
    Object.keys(modelOptions).map((key) => [key, options[key as keyof ModelOptions]]),
  ) as ModelOptions;

export const falseRefusal = llmJudge("false_refusal", {});
export const factuality = llmJudge("factuality", {});
export const safety = llmJudge("safety", {});
export const style = llmJudge("style", {});

/** A question of the user's own; Yes satisfies. */
export const yesNo = llmJudge("yes_no", { question: z.string().min(1) }, ({ question }) => ({
  question: String(question),
}));
