// What the server counts, as Prometheus reads it (text format 0.0.4).

type Labels = Readonly<Record<string, string>>;

interface Family {
  help: string;
  type: "counter" | "gauge" | "histogram";
  /** By labels. */
  values: Map<string, number>;
  buckets?: readonly number[];
}

const seconds = [0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10, 30, 60, 120];
const sizes = [1, 2, 4, 8, 16, 32, 64, 128, 256, 512];

const families = {
  requests_total: ["counter", "Requests by dialect and HTTP status."],
  request_seconds: ["histogram", "From the whole body to the reply.", seconds],
  samples_total: ["counter", "Samples answered, by task and outcome."],
  repeated_total: ["counter", "Samples whose equal had been answered or was under way."],
  verdicts_total: ["counter", "Verdicts by task, judge and outcome."],
  failures_total: [
    "counter",
    "Samples that failed, by task and by what failed (judge, reward, baseline, deadline).",
  ],
  retries_total: ["counter", "Attempts made again after a failure."],
  refused_total: ["counter", "Samples refused because the queue was full."],
  batch_size: ["histogram", "Samples scored together by a reward.", sizes],
  waiting: ["gauge", "Samples under way or waiting."],
  remembered: ["gauge", "Answers in memory."],
  updates_total: ["counter", "Updates of the rubric's window."],
  round_errors_total: ["counter", "Updates that ended in an error."],
  rubric_version: ["gauge", "The version of the rubric that scores now."],
  log_errors_total: ["counter", "Lines of the log that could not be written."],
} as const;

export type MetricName = keyof typeof families;

const labelText = (labels: Labels): string =>
  Object.entries(labels)
    .map(([name, value]) => `${name}=${JSON.stringify(value)}`)
    .join(",");

export class Meter {
  private readonly families = new Map<string, Family>(
    Object.entries(families).map(([name, [type, help, buckets]]) => [
      name,
      { type, help, values: new Map(), ...(buckets && { buckets }) },
    ]),
  );

  count(name: MetricName, labels: Labels = {}, by = 1): void {
    const { values } = this.families.get(name)!;
    const key = labelText(labels);
    values.set(key, (values.get(key) ?? 0) + by);
  }

  set(name: MetricName, value: number, labels: Labels = {}): void {
    this.families.get(name)!.values.set(labelText(labels), value);
  }

  observe(name: MetricName, value: number, labels: Labels = {}): void {
    const { values, buckets = [] } = this.families.get(name)!;
    const add = (suffix: string, extra: Labels, by: number) => {
      const key = `${suffix}{${labelText({ ...labels, ...extra })}}`;
      values.set(key, (values.get(key) ?? 0) + by);
    };
    for (const bound of buckets) add("_bucket", { le: String(bound) }, value <= bound ? 1 : 0);
    add("_bucket", { le: "+Inf" }, 1);
    add("_sum", {}, value);
    add("_count", {}, 1);
  }

  get(name: MetricName, labels: Labels = {}): number {
    return this.families.get(name)!.values.get(labelText(labels)) ?? 0;
  }

  text(): string {
    const lines: string[] = [];
    for (const [name, { help, type, values }] of this.families) {
      if (values.size === 0) continue;
      lines.push(`# HELP touchstone_${name} ${help}`, `# TYPE touchstone_${name} ${type}`);
      for (const [key, value] of values) {
        const place = type === "histogram" ? key : key === "" ? "" : `{${key}}`;
        lines.push(`touchstone_${name}${place} ${value}`);
      }
    }
    return `${lines.join("\n")}\n`;
  }
}
