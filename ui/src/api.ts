// What the server answers, with its own types, and how it is followed.

import { useEffect, useRef, useState } from "preact/hooks";
import type { Alarm } from "../../src/monitor/watch.js";
import type { MetricsRow, Rollout } from "../../src/run/metrics.js";
import { type MetricsTable, metricsTable } from "../../src/ui/metrics-table.js";
import type { RubricTimeline } from "../../src/ui/rubrics.js";
import type { RunSummary } from "../../src/ui/run-list.js";

export type { Alarm, MetricsTable, Rollout, RubricTimeline, RunSummary };

/** A sample with its place in the file. */
export type Row = Rollout & { row: number };

export interface RolloutPage {
  rows: Row[];
  matching: number;
  next: number | null;
  count: number;
  unreadable: number;
  progress: number;
  tasks: string[];
  judges: string[];
}

export interface JudgeFigures {
  judge: string;
  satisfied: number;
  violated: number;
  failed: number;
  reasons: Record<"violated" | "failed", { reason: string; count: number }[]>;
  /** The mean latency in seconds, and sums over the run; of a judge that is no language model the first alone. */
  expense: Partial<
    Record<"latency" | "cache_hits" | "calls" | "prompt_tokens" | "completion_tokens" | "cost", number>
  >;
}

export interface JudgePage {
  judges: JudgeFigures[];
  disagreements: { judges: [string, string]; both: number; differ: number }[];
  tasks: string[];
  progress: number;
}

/** Asks the server; an Error has its sentence. */
export async function ask<T>(path: string, params: URLSearchParams | Record<string, string>): Promise<T> {
  const response = await fetch(`/api/${path}?${new URLSearchParams(params)}`);
  if (response.ok) return (await response.json()) as T;
  const text = await response.text();
  let said = text;
  try {
    said = (JSON.parse(text) as { error: string }).error;
  } catch {}
  throw new Error(said);
}

export type Answer<T> = { data?: T; error?: string; isLoading: boolean };

/** What the server says to a question, asked again when the question changes or every `seconds`. */
export function useAnswer<T>(path: string, params: Record<string, string>, seconds?: number): Answer<T> {
  const key = `${path}?${new URLSearchParams(params)}`;
  const [answer, setAnswer] = useState<Answer<T> & { key: string }>({ key, isLoading: true });
  useEffect(() => {
    let isCurrent = true;
    const load = async () => {
      try {
        const data = await ask<T>(path, params);
        if (isCurrent) setAnswer({ key, data, isLoading: false });
      } catch (error) {
        if (isCurrent) setAnswer({ key, error: (error as Error).message, isLoading: false });
      }
    };
    setAnswer((before) => ({ ...(before.key === key ? before : {}), key, isLoading: true }));
    void load();
    const timer = seconds === undefined ? undefined : setInterval(load, 1000 * seconds);
    return () => {
      isCurrent = false;
      clearInterval(timer);
    };
  }, [key]);
  return answer.key === key ? answer : { isLoading: true };
}

export interface Following {
  root: string;
  runs: RunSummary[] | undefined;
  metrics: ReadonlyMap<string, MetricsTable>;
  isConnected: boolean;
}

/** The list of runs and the metrics of the runs named, as they grow. */
export function useFollowed(ids: readonly string[]): Following {
  const [list, setList] = useState<{ root: string; runs: RunSummary[] }>();
  const [isConnected, setConnected] = useState(true);
  const [version, setVersion] = useState(0);
  const rows = useRef(new Map<string, MetricsRow[]>());
  const key = ids.join("\n");
  useEffect(() => {
    rows.current = new Map();
    const query = new URLSearchParams(ids.map((id) => ["run", id]));
    const source = new EventSource(`/api/events?${query}`);
    source.onopen = () => {
      rows.current = new Map();
      setConnected(true);
    };
    source.onerror = () => setConnected(false);
    source.addEventListener("runs", (event) => setList(JSON.parse((event as MessageEvent<string>).data)));
    source.addEventListener("metrics", (event) => {
      const {
        run,
        rows: more,
        restarted,
      } = JSON.parse((event as MessageEvent<string>).data) as {
        run: string;
        rows: MetricsRow[];
        restarted: boolean;
      };
      rows.current.set(run, [...(restarted ? [] : (rows.current.get(run) ?? [])), ...more]);
      setVersion((n) => n + 1);
    });
    return () => source.close();
  }, [key]);
  const [metrics, setMetrics] = useState<ReadonlyMap<string, MetricsTable>>(new Map());
  useEffect(
    () => setMetrics(new Map([...rows.current].map(([id, of]) => [id, metricsTable(of)]))),
    [version, key],
  );
  return { root: list?.root ?? "", runs: list?.runs, metrics, isConnected };
}
