// Chat completions from one OpenAI-compatible server: retries, and the ways of asking for JSON or for a label that it knows.
// What a run adds (concurrency, counting, budget, replay) is recorder.ts.

import { brief } from "../base/brief.js";
import { UserError } from "../base/errors.js";
import { HttpError, postJson } from "../base/http.js";
import { apiKeyFor, isOpenAI } from "../base/requests.js";
import { type Failure, type RetryOptions, retrying } from "../base/retry.js";
import { keepSecret, redact } from "../base/secrets.js";
import { type Completion, completionBody, MalformedError, readCompletion, readUsage } from "./completion.js";
import { type JsonForm, jsonForms, responseFormat } from "./formats.js";
import { type Label, ways } from "./labels.js";
import { Ladder } from "./ladder.js";
import { type ChatClient, ChatError, type ChatReply, type ChatRequest, type Paid } from "./types.js";

export interface ServerOptions {
  /** Up to and including `/v1`. */
  baseUrl: string;
  /** Environment variable with the key. Default: OPENAI_API_KEY for OpenAI's own service, none for any other. */
  apiKeyEnv?: string | undefined;
  /** Of one attempt, to the last byte of the reply. Default 120. */
  timeoutSeconds?: number | undefined;
  /** Further attempts after a failed one. Default 4. */
  maxRetries?: number | undefined;
  /** Pause before the first retry; doubles each time, with jitter. Default 0.5. */
  retrySeconds?: number | undefined;
  /** Upper bound on any pause, a server's Retry-After included. Default 60. */
  maxPauseSeconds?: number | undefined;
  /** Of a decoded reply; a larger one is a failure. Default 1,000,000. */
  maxReplyBytes?: number | undefined;
  /** Sleeps; tests give their own. */
  pause?: RetryOptions["pause"];
}

/** The address for completions under a base_url, whose query (`?api-version=...`) stays. */
function completionsUrl(baseUrl: string): URL {
  const url = URL.canParse(baseUrl) ? new URL(baseUrl) : undefined;
  if (!url || !["http:", "https:"].includes(url.protocol))
    throw new UserError(`base_url must be an http or https address up to /v1, not "${brief(baseUrl, 80)}"`);
  if (url.username || url.password)
    throw new UserError(
      `the base_url of ${url.host} holds a user name or password; put the key into an environment variable and name it as api_key_env`,
    );
  url.pathname = `${url.pathname.replace(/\/+$/, "")}/chat/completions`;
  return url;
}

function keyFor(baseUrl: string, variable: string | undefined): string | undefined {
  const key = apiKeyFor(baseUrl, variable);
  if (!key && (variable !== undefined || isOpenAI(baseUrl)))
    throw new UserError(`${variable ?? "OPENAI_API_KEY"} holds no key for ${new URL(baseUrl).host}`);
  if (key && !/^[\x21-\x7e]+$/.test(key))
    throw new UserError(
      `${variable ?? "OPENAI_API_KEY"} holds characters that no key has, such as a line break`,
    );
  if (key) keepSecret(key);
  return key;
}

const isRefusal = (error: unknown) =>
  error instanceof HttpError && (error.status === 400 || error.status === 422);

function failureOf(error: unknown): Failure {
  if (error instanceof HttpError) return error;
  return { isTransient: error instanceof MalformedError };
}

/** What one question costs, and in how many attempts. */
interface Bill {
  paid: Paid;
  attempts: number;
}

export class ServerClient implements ChatClient {
  private readonly url: URL;
  private readonly apiKey: string | undefined;
  private sent = 0;
  /** Per model, the first entry of `jsonForms` that its server has not refused. */
  private readonly jsonForm = new Map<string, number>();
  private readonly ladders = new Map<string, Ladder>();

  constructor(private readonly options: ServerOptions) {
    this.url = completionsUrl(options.baseUrl);
    this.apiKey = keyFor(options.baseUrl, options.apiKeyEnv);
  }

  /** HTTP requests so far, retries included. */
  get attempts(): number {
    return this.sent;
  }

  /** How JSON is asked for from this model: the strictest form that its server has not refused. */
  jsonFormOf(model: string): JsonForm {
    return jsonForms[this.jsonForm.get(model) ?? 0]!;
  }

  learn({ model, labels }: Pick<ChatRequest, "model" | "labels">, { answer }: ChatReply): void {
    if (labels && answer) this.ladderOf(model).learn(answer);
  }

  async chat(request: ChatRequest, signal?: AbortSignal): Promise<ChatReply> {
    const bill: Bill = { paid: { promptTokens: 0, completionTokens: 0 }, attempts: 0 };
    try {
      if (request.labels) {
        const ladder = this.ladderOf(request.model);
        return await ladder.ask(() => this.askForLabel(request, ladder, bill, signal));
      }
      if (request.json) return await this.askForJson(request, bill, signal);
      return replyOf(await this.attempt(request, {}, bill, signal), bill);
    } catch (error) {
      signal?.throwIfAborted();
      const isNamed = error instanceof HttpError || error instanceof MalformedError;
      throw isNamed ? chatError(error, request.model, bill) : error;
    }
  }

  private ladderOf(model: string): Ladder {
    let ladder = this.ladders.get(model);
    if (!ladder) this.ladders.set(model, (ladder = new Ladder()));
    return ladder;
  }

  /** Asks in the strictest form that is not refused; what is refused is known once another form is answered. */
  private async askForJson(request: ChatRequest, bill: Bill, signal?: AbortSignal): Promise<ChatReply> {
    const first = this.jsonForm.get(request.model) ?? 0;
    for (let form = first; ; form++) {
      try {
        const extra = responseFormat(jsonForms[form]!, request.json!);
        const reply = replyOf(await this.attempt(request, extra, bill, signal), bill);
        this.jsonForm.set(request.model, Math.max(form, this.jsonForm.get(request.model) ?? 0));
        return reply;
      } catch (error) {
        if (!isRefusal(error) || form === jsonForms.length - 1) throw error;
      }
    }
  }

  /** Asks in each way that the model knows, until a reply holds a label. Throws when none does. */
  private async askForLabel(
    request: ChatRequest,
    ladder: Ladder,
    bill: Bill,
    signal?: AbortSignal,
  ): Promise<ChatReply> {
    const { labels, messages, model } = request;
    const { words } = labels!;
    const refused: string[] = [];
    const missed: string[] = [];
    let said = "";
    let refusal: unknown;
    for (const name of ladder.open()) {
      const way = ways.find((known) => known.name === name)!;
      try {
        const asked = { ...request, messages: way.messages(messages, words) };
        const completion = await this.attempt(asked, way.parameters(labels!), bill, signal);
        const label = way.read(completion, labels!);
        if (label) {
          const answer = answerOf(label, name, { refused, missed });
          ladder.learn(answer);
          return { ...replyOf({ ...completion, content: completion.content ?? "" }, bill), answer };
        }
        missed.push(name);
        said = completion.content ?? "";
      } catch (error) {
        if (!isRefusal(error)) throw error;
        refused.push(name);
        refusal = error;
      }
    }
    if (missed.length === 0) throw refusal;
    throw new ChatError(
      `the model "${model}" answers neither ${words.join(" nor ")}: ${JSON.stringify(brief(said, 100))}`,
      bill.paid,
    );
  }

  /** One way of asking, with its retries; what every attempt costs is added to the bill. */
  private attempt(
    request: ChatRequest,
    extra: object,
    bill: Bill,
    signal: AbortSignal | undefined,
  ): Promise<Completion> {
    const { timeoutSeconds = 120, maxRetries = 4, retrySeconds = 0.5, maxReplyBytes = 1e6 } = this.options;
    const { maxPauseSeconds = 60, pause } = this.options;
    const body = { ...completionBody(request), ...extra };
    bill.attempts = 0;
    const once = async (): Promise<Completion> => {
      this.sent++;
      bill.attempts++;
      const { apiKey } = this;
      const reply = await postJson(this.url, body, { apiKey, timeoutSeconds, maxReplyBytes, signal });
      let completion: Completion | undefined;
      try {
        completion = readCompletion(reply);
        if (completion.content === null && !request.labels)
          throw new MalformedError("the reply holds no message");
        return completion;
      } finally {
        addPaid(bill.paid, readUsage(reply, body, completion?.content ?? ""));
      }
    };
    return retrying(once, failureOf, {
      retries: maxRetries,
      backoffSeconds: retrySeconds,
      maxPauseSeconds,
      ...(pause && { pause }),
      signal,
    });
  }
}

function addPaid(sum: Paid, { promptTokens, completionTokens, isEstimated }: Paid): void {
  sum.promptTokens += promptTokens;
  sum.completionTokens += completionTokens;
  if (isEstimated) sum.isEstimated = true;
}

const replyOf = ({ content, finishReason }: Completion, { paid }: Bill): ChatReply => ({
  content: content!,
  finishReason,
  ...paid,
});

const answerOf = (
  label: Label,
  by: string,
  { refused, missed }: { refused: string[]; missed: string[] },
) => ({
  ...label,
  by,
  ...(refused.length > 0 && { refused }),
  ...(missed.length > 0 && { missed }),
});

function chatError(error: HttpError | MalformedError, model: string, { attempts, paid }: Bill): ChatError {
  const detail = redact(brief(error.message, 400));
  return new ChatError(
    attempts > 1 && failureOf(error).isTransient
      ? `the model "${model}" did not answer in ${attempts} attempts; the last: ${detail}`
      : `the model "${model}": ${detail}`,
    paid,
  );
}
