// An index of rollouts.jsonl of any size: for each row where it lies and the columns that are filtered and sorted by, some
// sixty bytes; texts stay in the file. It grows as the file grows, and answers from what it has seen so far.

import { type FileHandle, open } from "node:fs/promises";
import type { Rollout } from "../run/metrics.js";
import type { SpreadSample } from "../run/spread.js";

/** Numbers of a row that can be sorted by and bounded. */
export const NUMBERS = [
  "step",
  "tokens",
  "reward",
  "calibrated_reward",
  "advantage",
  "log_ratio",
  "true_reward",
] as const;
export type NumberColumn = (typeof NUMBERS)[number];

/** Verdicts and outcomes as the columns hold them; 0: there is none. */
export const VERDICTS = ["", "satisfied", "violated", "failed"] as const;
type Verdict = (typeof VERDICTS)[number];

/** What a list of rows is asked for. Every part narrows it. */
export interface RolloutQuery {
  task?: string;
  promptKey?: string;
  stepFrom?: number;
  stepTo?: number;
  outcome?: Exclude<Verdict, "">;
  finish?: "stop" | "length";
  /** With `verdict`: rows that this judge judged so; alone: rows that it judged at all. */
  judge?: string;
  verdict?: Exclude<Verdict, "">;
  rewardFrom?: number;
  rewardTo?: number;
  sort?: NumberColumn;
  descending?: boolean;
}

/** Bytes read at a time. */
const CHUNK = 4 << 20;
const FIRST_CAPACITY = 1024;

/** A typed array that grows by doubling. */
class Column<A extends Float64Array | Uint32Array | Uint16Array | Uint8Array> {
  constructor(public values: A) {}

  set(row: number, value: number): void {
    if (row >= this.values.length) {
      const grown = new (this.values.constructor as new (length: number) => A)(
        Math.max(FIRST_CAPACITY, 2 * row),
      );
      grown.set(this.values as never);
      this.values = grown;
    }
    this.values[row] = value;
  }

  at(row: number): number {
    return this.values[row] ?? 0;
  }
}

/** Texts that repeat, by number. */
class Names {
  readonly list: string[] = [];
  private readonly numbers = new Map<string, number>();

  numberOf(name: string): number {
    let number = this.numbers.get(name);
    if (number === undefined) {
      number = this.list.length;
      this.list.push(name);
      this.numbers.set(name, number);
    }
    return number;
  }

  /** -1: no row has it. */
  find(name: string): number {
    return this.numbers.get(name) ?? -1;
  }
}

/** What names a prompt through all steps: its id where it has one. */
export const promptKeyOf = ({ task, prompt_id: id, prompt }: Rollout): string => `${task}\n${id ?? prompt}`;

export class RolloutIndex {
  readonly tasks = new Names();
  readonly prompts = new Names();
  readonly judges = new Names();
  /** Rows seen. */
  count = 0;
  /** Lines that are no JSON object: counted, never shown. */
  unreadable = 0;
  /** Changes whenever rows that were seen may be others: the file became shorter. */
  generation = 0;
  private seen = 0;
  private size = 0;
  private growing: Promise<void> | undefined;
  private readonly offset = new Column(new Float64Array(0));
  private readonly bytes = new Column(new Uint32Array(0));
  private readonly task = new Column(new Uint16Array(0));
  private readonly prompt = new Column(new Uint32Array(0));
  private readonly outcome = new Column(new Uint8Array(0));
  private readonly finish = new Column(new Uint8Array(0));
  private readonly numbers = new Map(NUMBERS.map((name) => [name, new Column(new Float64Array(0))]));
  private readonly verdicts: Column<Uint8Array<ArrayBuffer>>[] = [];
  private newest: { key: string; rows: Uint32Array } | undefined;

  constructor(readonly path: string) {}

  /** Share of the file that has been seen. */
  get progress(): number {
    return this.size === 0 ? 1 : Math.min(1, this.seen / this.size);
  }

  /** What the means of a step's metrics are made of, of one row. */
  sample(row: number): SpreadSample {
    const number = (name: NumberColumn) => this.numbers.get(name)!.at(row);
    return {
      task: this.tasks.list[this.task.at(row)]!,
      step: number("step"),
      prompt_id: this.prompt.at(row),
      reward: number("reward"),
      calibrated_reward: number("calibrated_reward"),
      log_ratio: number("log_ratio"),
      outcome: VERDICTS[this.outcome.at(row)] || undefined,
    };
  }

  /** Reads what is new; returns after `milliseconds` at the latest, and goes on behind the caller's back. */
  async grow(milliseconds: number): Promise<void> {
    this.growing ??= this.readOn().finally(() => {
      this.growing = undefined;
    });
    let timer: NodeJS.Timeout | undefined;
    const waited = new Promise<void>((resolve) => {
      timer = setTimeout(resolve, milliseconds);
    });
    await Promise.race([this.growing, waited]);
    clearTimeout(timer);
  }

  private async readOn(): Promise<void> {
    const file = await open(this.path, "r").catch(() => undefined);
    if (!file) return;
    try {
      this.size = (await file.stat()).size;
      if (this.size < this.seen) this.forget();
      let buffer = Buffer.allocUnsafe(CHUNK);
      while (this.seen < this.size) {
        const { bytesRead } = await file.read(buffer, 0, buffer.length, this.seen);
        const end = buffer.subarray(0, bytesRead).lastIndexOf(10) + 1;
        if (end === 0) {
          // A line longer than the buffer, or one that is still being written.
          if (bytesRead < buffer.length || buffer.length >= 1 << 30) break;
          buffer = Buffer.allocUnsafe(2 * buffer.length);
          continue;
        }
        for (let start = 0; start < end; ) {
          const stop = buffer.indexOf(10, start);
          this.add(buffer.toString("utf8", start, stop), this.seen + start, stop - start);
          start = stop + 1;
        }
        this.seen += end;
        // Others are served between two chunks.
        await new Promise(setImmediate);
      }
    } finally {
      await file.close();
    }
  }

  private forget(): void {
    this.count = 0;
    this.unreadable = 0;
    this.seen = 0;
    this.generation++;
    this.newest = undefined;
  }

  private add(line: string, offset: number, bytes: number): void {
    let row: Rollout;
    try {
      row = JSON.parse(line) as Rollout;
      if (typeof row !== "object" || row === null || Array.isArray(row)) throw new TypeError("no object");
    } catch {
      this.unreadable++;
      return;
    }
    const i = this.count++;
    this.offset.set(i, offset);
    this.bytes.set(i, bytes);
    this.task.set(i, this.tasks.numberOf(String(row.task)));
    this.prompt.set(i, this.prompts.numberOf(promptKeyOf(row)));
    this.outcome.set(i, Math.max(0, VERDICTS.indexOf(row.outcome ?? "")));
    this.finish.set(i, row.finish_reason === "length" ? 1 : 0);
    for (const [name, column] of this.numbers) {
      const value = row[name];
      column.set(i, typeof value === "number" ? value : Number.NaN);
    }
    for (const column of this.verdicts) column.set(i, 0);
    for (const [judge, said] of Object.entries(row.verdicts ?? {})) {
      const column = this.judges.numberOf(judge);
      this.verdicts[column] ??= new Column(new Uint8Array(FIRST_CAPACITY));
      this.verdicts[column].set(i, Math.max(0, VERDICTS.indexOf(said?.verdict ?? "")));
    }
  }

  /** The numbers of the rows that a query asks for, in its order (that of the file when it names none). */
  select(query: RolloutQuery): Uint32Array {
    const key = JSON.stringify([this.generation, this.count, query]);
    if (this.newest?.key === key) return this.newest.rows;
    const rows = this.sorted(this.filtered(query), query);
    this.newest = { key, rows };
    return rows;
  }

  private filtered(query: RolloutQuery): Uint32Array {
    const task = query.task === undefined ? -2 : this.tasks.find(query.task);
    const prompt = query.promptKey === undefined ? -2 : this.prompts.find(query.promptKey);
    const judge = query.judge === undefined ? -2 : this.judges.find(query.judge);
    const column = judge >= 0 ? this.verdicts[judge] : undefined;
    if (task === -1 || prompt === -1 || judge === -1) return new Uint32Array(0);
    const verdict = query.verdict && VERDICTS.indexOf(query.verdict);
    const outcome = query.outcome && VERDICTS.indexOf(query.outcome);
    const { stepFrom = -Infinity, stepTo = Infinity, rewardFrom, rewardTo, finish } = query;
    const [step, reward] = [this.numbers.get("step")!, this.numbers.get("reward")!];
    const kept = new Uint32Array(this.count);
    let length = 0;
    for (let i = 0; i < this.count; i++) {
      if (task >= 0 && this.task.at(i) !== task) continue;
      if (prompt >= 0 && this.prompt.at(i) !== prompt) continue;
      if (!(step.at(i) >= stepFrom && step.at(i) <= stepTo)) continue;
      if (outcome !== undefined && this.outcome.at(i) !== outcome) continue;
      if (finish !== undefined && this.finish.at(i) !== Number(finish === "length")) continue;
      if (column && (verdict === undefined ? column.at(i) === 0 : column.at(i) !== verdict)) continue;
      if (!column && verdict !== undefined && !this.verdicts.some((other) => other.at(i) === verdict))
        continue;
      // A row without a reward lies in no range.
      if (rewardFrom !== undefined && !(reward.at(i) >= rewardFrom)) continue;
      if (rewardTo !== undefined && !(reward.at(i) <= rewardTo)) continue;
      kept[length++] = i;
    }
    return kept.slice(0, length);
  }

  private sorted(rows: Uint32Array, { sort, descending = false }: RolloutQuery): Uint32Array {
    if (sort === undefined) return descending ? rows.reverse() : rows;
    const values = this.numbers.get(sort)!.values;
    const sign = descending ? -1 : 1;
    // Rows without the value come last either way; equal ones stay in the file's order.
    const key = (i: number) => (Number.isNaN(values[i]!) ? Infinity : sign * values[i]!);
    return rows.sort((a, b) => {
      const [x, y] = [key(a), key(b)];
      return x < y ? -1 : x > y ? 1 : a - b;
    });
  }

  /** How many of `rows` have each verdict of each judge, and each outcome. */
  counts(rows: Uint32Array): Record<string, Record<Exclude<Verdict, "">, number>> {
    const tally = (column: { at(row: number): number }) => {
      const counts = [0, 0, 0, 0];
      for (const i of rows) counts[column.at(i)]!++;
      return { satisfied: counts[1]!, violated: counts[2]!, failed: counts[3]! };
    };
    return Object.fromEntries(this.judges.list.map((judge, j) => [judge, tally(this.verdicts[j]!)]));
  }

  /** How often two judges that both judged a row said different things. */
  disagreements(rows: Uint32Array): { judges: [string, string]; both: number; differ: number }[] {
    const pairs = this.judges.list.flatMap((_, a) =>
      this.judges.list.slice(a + 1).map((__, b) => [a, a + 1 + b]),
    );
    return pairs
      .map(([a, b]) => {
        const [first, second] = [this.verdicts[a!]!, this.verdicts[b!]!];
        let both = 0;
        let differ = 0;
        for (const i of rows) {
          const [x, y] = [first.at(i), second.at(i)];
          if (x === 0 || y === 0 || x === 3 || y === 3) continue;
          both++;
          if (x !== y) differ++;
        }
        return { judges: [this.judges.list[a!]!, this.judges.list[b!]!] as [string, string], both, differ };
      })
      .filter(({ both }) => both > 0);
  }

  /** Reads rows whole, in the order given. */
  async read(rows: ArrayLike<number>): Promise<(Rollout & { row: number })[]> {
    const file = await open(this.path, "r");
    try {
      const found: (Rollout & { row: number })[] = [];
      for (const row of Array.from(rows)) {
        const read = await this.readRow(file, row);
        if (read) found.push({ ...read, row });
      }
      return found;
    } finally {
      await file.close();
    }
  }

  private async readRow(file: FileHandle, row: number): Promise<Rollout | undefined> {
    if (!(row >= 0 && row < this.count)) return undefined;
    const buffer = Buffer.allocUnsafe(this.bytes.at(row));
    const { bytesRead } = await file.read(buffer, 0, buffer.length, this.offset.at(row));
    try {
      return JSON.parse(buffer.toString("utf8", 0, bytesRead)) as Rollout;
    } catch {
      // The file was cut and written anew since the row was seen.
      return undefined;
    }
  }

  /**
   * Looks for rows whose prompt, response or reasons satisfy `matches`, among `rows` from place `from` on, until `limit` are
   * found or `milliseconds` have passed. `needle`, bytes that a matching line is sure to hold, spares reading others closely.
   */
  async search(
    rows: Uint32Array,
    { matches, needle, from, limit, milliseconds }: Search,
  ): Promise<{ found: number[]; next: number }> {
    const file = await open(this.path, "r");
    const end = performance.now() + milliseconds;
    const found: number[] = [];
    try {
      let place = from;
      while (place < rows.length && found.length < limit && (place === from || performance.now() < end)) {
        const block = await this.readBlock(file, rows, place);
        for (const line of block.lines) {
          place++;
          if (needle && line.bytes.indexOf(needle) < 0) continue;
          if (!matchesLine(line.bytes, matches)) continue;
          found.push(line.row);
          if (found.length === limit) break;
        }
      }
      return { found, next: place };
    } finally {
      await file.close();
    }
  }

  /** The lines of the rows from `place` on that lie closely together in the file, one read. */
  private async readBlock(
    file: FileHandle,
    rows: Uint32Array,
    place: number,
  ): Promise<{ lines: { row: number; bytes: Buffer }[] }> {
    const start = this.offset.at(rows[place]!);
    let last = place;
    const endOf = (p: number) => this.offset.at(rows[p]!) + this.bytes.at(rows[p]!);
    while (last + 1 < rows.length && rows[last + 1]! > rows[last]! && endOf(last + 1) - start <= CHUNK)
      last++;
    const buffer = Buffer.allocUnsafe(endOf(last) - start);
    await file.read(buffer, 0, buffer.length, start);
    const lines = [];
    for (let p = place; p <= last; p++) {
      const at = this.offset.at(rows[p]!) - start;
      lines.push({ row: rows[p]!, bytes: buffer.subarray(at, at + this.bytes.at(rows[p]!)) });
    }
    return { lines };
  }
}

/** What `search` looks for. */
export interface Search {
  matches: (text: string) => boolean;
  needle?: Buffer;
  from: number;
  limit: number;
  milliseconds: number;
}

/** Texts of a rollout that a person searches. */
export const textsOf = ({ prompt, response, verdicts = {} }: Rollout): string[] => [
  String(prompt),
  String(response),
  ...Object.values(verdicts).map((said) => String(said?.reason ?? "")),
];

function matchesLine(bytes: Buffer, matches: (text: string) => boolean): boolean {
  try {
    return textsOf(JSON.parse(bytes.toString("utf8")) as Rollout).some(matches);
  } catch {
    return false;
  }
}
