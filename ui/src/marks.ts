// Samples that a person marked as good or bad. They stay in this browser until they are exported: the server writes nothing.

import { useState } from "preact/hooks";
import type { Row } from "./api.js";

export type Mark = "good" | "bad";
type Marks = Readonly<
  Record<string, { mark: Mark; sample: Pick<Row, "task" | "prompt" | "response" | "step" | "prompt_id"> }>
>;

const keyOf = (run: string) => `touchstone marks ${run}`;

function read(run: string): Marks {
  try {
    return JSON.parse(localStorage.getItem(keyOf(run)) ?? "{}") as Marks;
  } catch {
    return {};
  }
}

export interface MarkStore {
  all: Marks;
  of(row: Row): Mark | undefined;
  /** Marking a sample as it is marked already takes the mark away. */
  set(row: Row, mark: Mark): void;
  clear(): void;
}

export function useMarks(run: string): MarkStore {
  const [version, setVersion] = useState(0);
  const all = read(run);
  const write = (next: Marks) => {
    localStorage.setItem(keyOf(run), JSON.stringify(next));
    setVersion(version + 1);
  };
  return {
    all,
    of: ({ row }) => all[row]?.mark,
    set({ row, task, prompt, response, step, prompt_id }, mark) {
      const { [row]: before, ...others } = all;
      if (before?.mark === mark) write(others);
      else write({ ...others, [row]: { mark, sample: { task, prompt, response, step, prompt_id } } });
    },
    clear: () => write({}),
  };
}

const jsonl = (rows: readonly object[]) => rows.map((row) => `${JSON.stringify(row)}\n`).join("");

/** Rows for `touchstone rubric test --anchors`: good samples are worth 1, bad ones 0. */
export const anchorsOf = (marks: Marks): string =>
  jsonl(
    Object.values(marks).map(({ mark, sample: { prompt, response } }) => ({
      prompt,
      response,
      label: mark === "good" ? 1 : 0,
    })),
  );

/** Rows for `touchstone reward`: every good sample of a prompt is preferred to every bad one of it. */
export function pairsOf(marks: Marks): string {
  const rows = Object.values(marks);
  return jsonl(
    rows.flatMap(({ mark, sample }) =>
      mark === "bad"
        ? []
        : rows
            .filter(
              (other) =>
                other.mark === "bad" &&
                other.sample.prompt === sample.prompt &&
                other.sample.task === sample.task,
            )
            .map((other) => ({
              prompt: sample.prompt,
              chosen: sample.response,
              rejected: other.sample.response,
            })),
    ),
  );
}
