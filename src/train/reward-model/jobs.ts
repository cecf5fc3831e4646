// Reward models side by side, each in a process of its own. They do not depend on each other, so the result is that of
// one after another on as many threads.

import { extname } from "node:path";
import { fileURLToPath } from "node:url";
import { limiter } from "../../base/requests.js";
import { runInChild } from "../../run/child.js";
import { InterruptedError, type Reporter, type RunContext } from "../../run/context.js";
import { headline } from "../../run/headline.js";
import { type Member, memberLabel } from "./reward-model.js";
import type { RewardJob, RewardNews } from "./worker.js";

const worker = fileURLToPath(new URL(`./worker${extname(import.meta.url)}`, import.meta.url));

/**
 * Trains `work`, `processes` members at a time and `steps` steps each; the members come back in their order. When one
 * fails, or on Ctrl-C, the others finish their step and save before this ends.
 */
export async function trainSideBySide(
  work: readonly RewardJob[],
  { processes, steps }: { processes: number; steps: number },
  context: RunContext,
): Promise<Member[]> {
  const failed = new AbortController();
  const signal = AbortSignal.any([failed.signal, ...(context.signal ? [context.signal] : [])]);
  const progress = new JointProgress(context.reporter, steps);
  const members: Member[] = [];
  let failure: unknown;
  const train = async (job: RewardJob): Promise<void> => {
    if (signal.aborted) return;
    const name = memberLabel(job.recipe, job.index);
    const onMessage = progress.follow(job.index, name);
    try {
      members[job.index] = await runInChild<RewardJob, RewardNews, Member>(worker, job, {
        name,
        onMessage,
        signal,
      });
      progress.finish(job.index, name);
    } catch (error) {
      failure ??= error;
      failed.abort();
    }
  };
  const inTurn = limiter(processes);
  context.reporter.begin(`${work.length} reward models, ${processes} at a time`, work.length * steps);
  try {
    await Promise.all(work.map((job) => inTurn(() => train(job))));
  } finally {
    context.reporter.end();
  }
  if (context.signal?.aborted) {
    const finished = members.filter(Boolean).length;
    throw new InterruptedError(
      `stopped with ${finished} of ${work.length} reward models finished; continue with --resume`,
    );
  }
  if (failure) throw failure;
  return members;
}

type StepNews = Extract<RewardNews, { event: "step" }>;

/** The steps of all members as one phase, with the metrics of those that train now. */
class JointProgress {
  private readonly done = new Map<number, number>();
  private readonly latest = new Map<number, NonNullable<StepNews["metrics"]>>();

  constructor(
    private readonly reporter: Reporter,
    private readonly steps: number,
  ) {}

  /** Takes the news of one member. */
  follow(index: number, name: string): (news: RewardNews) => void {
    return (news) => {
      if (news.event === "note") return this.reporter.note(`${name}: ${news.line}`);
      this.done.set(index, news.done);
      if (news.event === "begin") return;
      if (news.metrics) this.latest.set(index, news.metrics);
      this.show();
    };
  }

  finish(index: number, name: string): void {
    const metrics = headline(this.latest.get(index) ?? {}, 4);
    this.reporter.note([`${name}: ${this.steps}/${this.steps}`, ...metrics].join(" · "));
    this.done.set(index, this.steps);
    this.latest.delete(index);
    this.show();
  }

  private show(): void {
    const done = [...this.done.values()].reduce((sum, steps) => sum + steps, 0);
    const metrics = [...this.latest].flatMap(([index, of]) =>
      Object.entries(of).map(([name, value]) => [`tasks/${index + 1}/${name}`, value]),
    );
    this.reporter.step(done, Object.fromEntries(metrics));
  }
}
