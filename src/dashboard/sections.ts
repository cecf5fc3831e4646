// What a report is made of.

import type { NumberFormat } from "./numbers.js";
import type { ScaleKind } from "./scale.js";

interface Titled {
  title?: string;
  /** One or two sentences under the title: what to see here. */
  caption?: string;
}

/** Plain text; a blank line starts a new paragraph. */
export interface TextSection extends Titled {
  kind: "text";
  text: string;
}

export interface KeyValueSection extends Titled {
  kind: "keyValue";
  entries: readonly (readonly [key: string, value: string | number])[];
}

export interface NumberCell {
  value: number;
  format?: NumberFormat;
  /** Ends of the interval, in the unit of `value`. */
  interval?: readonly [low: number, high: number];
  /** Mark as the best of its column. */
  best?: boolean;
}

export type Cell = string | number | null | NumberCell;

export interface TableSection extends Titled {
  kind: "table";
  columns: readonly string[];
  rows: readonly (readonly Cell[])[];
  /** Below the table: how the numbers were made. */
  note?: string;
  /** Figures of one column are of several quantities: each has digits of its own. */
  mixed?: boolean;
}

export interface Point {
  x: number;
  y: number;
  /** Ends of the interval at x. */
  low?: number;
  high?: number;
}

export interface Series {
  name: string;
  points: readonly Point[];
  /** Series of the same colour belong together; default: the series' place. */
  color?: number;
  style?: "solid" | "dashed" | "dotted";
  /** The unsmoothed points, drawn faintly behind. */
  raw?: readonly Point[];
  /** The points follow each other in time, not along the x axis: arrows show the way, and `raw` is drawn as points. */
  directed?: boolean;
  /** Draw a mark at every point. */
  markers?: boolean;
}

export interface Axis {
  label: string;
  /** Default `linear`; `sqrt` for KL, `log` for the N of best-of-N. */
  scale?: ScaleKind;
  format?: NumberFormat;
  min?: number;
  max?: number;
  /** Steps, members, tokens: there is nothing between 2 and 3. Default: where every value is whole. */
  whole?: boolean;
  /** Charts of the same quantity side by side have the same scale. Default: the label. */
  quantity?: string;
  /** Values that the axis shows beside its own. */
  holds?: readonly number[];
}

export interface LineChartSection extends Titled {
  kind: "lineChart";
  /** What it is called in the files: shown where somebody points at the title. */
  rawName?: string;
  x: Axis;
  y: Axis;
  series: readonly Series[];
  /** Horizontal reference lines. */
  references?: readonly { y: number; label: string }[];
}

export interface Bar {
  label: string;
  value: number;
  low?: number;
  high?: number;
  color?: number;
}

/** Horizontal bars with intervals. With a `reference`, bars are points on a line beside it (a forest plot). */
export interface BarChartSection extends Titled {
  kind: "barChart";
  x: Axis;
  bars: readonly Bar[];
  reference?: { x: number; label: string };
}

export interface SampleVerdict {
  judge: string;
  verdict: "satisfied" | "violated" | "failed";
  reason?: string;
}

export interface SampleAnswer {
  text: string;
  /** Small facts beside the answer: rewards, lengths. */
  facts?: readonly (readonly [key: string, value: string | number])[];
  verdicts?: readonly SampleVerdict[];
  truncated?: boolean;
}

/** Answers to the same prompts, side by side. */
export interface SamplesSection extends Titled {
  kind: "samples";
  /** One heading for each answer of a row. */
  columns: readonly string[];
  rows: readonly { prompt: string; task?: string; answers: readonly SampleAnswer[] }[];
}

/** A file, such as the recipe. */
export interface CodeSection extends Titled {
  kind: "code";
  text: string;
  /** Folded until somebody wants it. */
  folded?: boolean;
}

/** Sections next to each other where the page is wide enough. */
export interface PanelsSection extends Titled {
  kind: "panels";
  sections: readonly Exclude<Section, PanelsSection>[];
}

export type Section =
  | TextSection
  | KeyValueSection
  | TableSection
  | LineChartSection
  | BarChartSection
  | SamplesSection
  | CodeSection
  | PanelsSection;

/** A figure at the top of the page. */
export interface Highlight {
  label: string;
  value: string;
  detail?: string;
  /** `good` and `bad` colour the value. */
  tone?: "good" | "bad" | "neutral";
}

export interface Summary {
  /** One sentence: what came out. */
  headline: string;
  highlights?: readonly Highlight[];
}

export interface Report {
  title: string;
  summary: Summary;
  sections: readonly Section[];
  /** The last line of the page: versions, seeds, date. */
  footer?: string;
}
