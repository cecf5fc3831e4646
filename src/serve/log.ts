// The log of a server: a line for every sample that was answered, as in rollouts.jsonl of a run, written some at a time.

import { join } from "node:path";
import { makeDirectory } from "../base/files.js";
import { promptText } from "../data/rows.js";
import { JsonlWriter } from "../run/metrics.js";
import type { Answered, ServedSample } from "./sample.js";

/** Where a request came from. */
export interface RequestNote {
  /** Of the request; the lines of its samples share it. */
  request: string;
  dialect: string;
}

/** Milliseconds that a line may wait, and lines that may. */
const patience = { milliseconds: 200, lines: 512 };

export class RequestLog {
  private lines: object[] = [];
  private timer: NodeJS.Timeout | undefined;

  private constructor(
    private readonly writer: JsonlWriter,
    private readonly onError: (error: unknown) => void,
  ) {}

  static async open(dir: string, onError: (error: unknown) => void): Promise<RequestLog> {
    await makeDirectory(dir);
    return new RequestLog(new JsonlWriter(join(dir, "rollouts.jsonl")), onError);
  }

  add(note: RequestNote, sample: ServedSample, { result, isRepeated }: Answered): void {
    this.lines.push({
      time: new Date().toISOString(),
      ...note,
      task: result.task,
      prompt_id: result.promptId,
      prompt: promptText(sample.prompt),
      response: sample.response,
      ...(sample.truncated !== undefined && { finish_reason: sample.truncated ? "length" : "stop" }),
      value: result.value,
      reward: result.reward,
      baseline_reward: result.baselineReward,
      calibrated_reward: result.calibratedReward,
      regularised_reward: result.regularisedReward,
      outcome: result.outcome,
      ...(result.reason !== undefined && { reason: result.reason }),
      verdicts: Object.fromEntries(
        Object.entries(result.verdicts).filter(([, verdict]) => typeof verdict !== "string"),
      ),
      ...result.notes,
      ...(isRepeated && { repeated: true }),
    });
    if (this.lines.length >= patience.lines) this.flush();
    else this.timer ??= setTimeout(() => this.flush(), patience.milliseconds).unref();
  }

  flush(): void {
    clearTimeout(this.timer);
    this.timer = undefined;
    const lines = this.lines;
    this.lines = [];
    if (lines.length === 0) return;
    try {
      this.writer.append(lines);
    } catch (error) {
      this.onError(error);
    }
  }

  close(): void {
    this.flush();
    this.writer.close();
  }
}
