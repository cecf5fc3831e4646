// What an alarm of the monitor does: it is said, a program or an address gets it, and the run pauses or ends.

import { spawn } from "node:child_process";
import { join } from "node:path";
import { request } from "../../base/http.js";
import { errorMessage } from "../../judges/verdict.js";
import { tellingSamples } from "../../monitor/signals.js";
import { type Alarm, Watch } from "../../monitor/watch.js";
import type { MonitorRecipe } from "../../recipe/recipe.js";
import type { Reporter } from "../../run/context.js";
import { type Metrics, type Rollout, readMetrics } from "../../run/metrics.js";

/** Of a text that leaves the run. */
const LONGEST = 2000;
/** For a program or an address to take an alarm. */
const SECONDS = 30;

/** The monitor of a run on its way. */
export class Alarms {
  private raised: { alarm: Alarm; samples: Rollout[] }[] = [];

  private constructor(
    private readonly watch: Watch,
    private readonly settings: Partial<MonitorRecipe>,
    private readonly outputDir: string,
    private readonly reporter: Pick<Reporter, "note">,
  ) {}

  /** Begins where the run's metrics.jsonl ends. */
  static async begin(
    settings: Partial<MonitorRecipe>,
    outputDir: string,
    reporter: Pick<Reporter, "note">,
  ): Promise<Alarms> {
    const watch = new Watch(settings);
    for (const { step, ...metrics } of await readMetrics(join(outputDir, "metrics.jsonl")))
      watch.observe(step, metrics);
    return new Alarms(watch, settings, outputDir, reporter);
  }

  /** Takes what a step measured and sampled. */
  observe(step: number, metrics: Metrics, rollouts: readonly Rollout[]): void {
    this.raised = this.watch
      .observe(step, metrics)
      .map((alarm) => ({ alarm, samples: tellingSamples(alarm, rollouts) }));
  }

  /** Says what the last step raised and does what the recipe asks for. */
  async act(): Promise<"pause" | "stop" | undefined> {
    const { raised, reporter, settings, outputDir } = this;
    if (raised.length === 0) return undefined;
    this.raised = [];
    for (const { alarm, samples } of raised) {
      reporter.note(`alarm at step ${alarm.step}: ${alarm.sentence}`);
      const body = JSON.stringify({ run: outputDir, ...alarm, samples: samples.map(shortened) });
      const tell = async (what: string, work: () => Promise<unknown>) =>
        work().catch((error) => reporter.note(`alarm: the ${what} did not take it: ${errorMessage(error)}`));
      if (settings.command) await tell("command", () => give(settings.command!, body));
      if (settings.webhook)
        await tell("webhook", () =>
          request(new URL(settings.webhook!), { body }, { timeoutSeconds: SECONDS, maxReplyBytes: 100_000 }),
        );
    }
    reporter.note(`its most telling samples: touchstone monitor ${outputDir}`);
    return settings.action === "note" ? undefined : settings.action;
  }
}

const cut = (text: string) => (text.length > LONGEST ? `${text.slice(0, LONGEST)}...` : text);

const shortened = ({ step, prompt_id, prompt, response, reward, log_ratio, outcome, verdicts }: Rollout) => ({
  step,
  prompt_id,
  prompt: cut(prompt),
  response: cut(response),
  reward,
  log_ratio,
  outcome,
  verdicts,
});

/** Starts a program, without a shell, with `body` on its standard input; it must end well, and soon. */
function give([program, ...args]: readonly string[], body: string): Promise<void> {
  return new Promise((resolve, reject) => {
    const child = spawn(program!, args, {
      stdio: ["pipe", "ignore", "ignore"],
      timeout: 1000 * SECONDS,
      windowsHide: true,
    });
    child.on("error", reject);
    child.on("close", (code, signal) =>
      code === 0 ? resolve() : reject(new Error(`it ended with ${signal ?? `code ${code}`}`)),
    );
    // A program that does not read is no error.
    child.stdin.on("error", () => {});
    child.stdin.end(body);
  });
}
