// rows.jsonl of an evaluation: every graded row is appended as soon as it is there, and a restart takes up what it finds.
// Beside it lies settings.json, so that rows of another model or other settings are never mixed in.

import { existsSync } from "node:fs";
import { appendFile, readdir, readFile, stat, truncate } from "node:fs/promises";
import { join } from "node:path";
import { isDeepStrictEqual } from "node:util";
import { explainDiskError, writeFileAtomic } from "../base/atomic.js";
import { UserError } from "../base/errors.js";
import { makeDirectory } from "../base/files.js";
import { jsonl } from "../base/jsonl.js";
import { resolveModel } from "../data/index.js";
import { InterruptedError } from "../run/context.js";
import { Lock } from "../run/lock.js";

/** What must be the same for rows to belong together; written as JSON. */
export type Settings = Readonly<Record<string, unknown>>;

export interface Keyed {
  key: string;
}

const settingsFile = "settings.json";
const rowsFile = "rows.jsonl";

export class RowLog<Row extends Keyed> {
  private constructor(
    private readonly path: string | undefined,
    /** The rows by key; of two with the same key the later one. */
    readonly rows: Map<string, Row>,
    private readonly lock: Lock | undefined,
  ) {}

  /** Opens the log of an output directory, or one in memory where there is none. */
  static async open<Row extends Keyed>(dir: string | undefined, settings: Settings): Promise<RowLog<Row>> {
    if (dir === undefined) return new RowLog<Row>(undefined, new Map(), undefined);
    try {
      await makeDirectory(dir);
    } catch (error) {
      throw explainDiskError(error, dir);
    }
    const lock = await Lock.take(join(dir, "lock"), dir);
    try {
      await checkSettings(dir, settings);
      const path = join(dir, rowsFile);
      return new RowLog<Row>(path, await readRows<Row>(path), lock);
    } catch (error) {
      await lock.release();
      throw error;
    }
  }

  async append(rows: readonly Row[]): Promise<void> {
    for (const row of rows) this.rows.set(row.key, row);
    if (this.path === undefined || rows.length === 0) return;
    try {
      await appendFile(this.path, jsonl(rows));
    } catch (error) {
      throw explainDiskError(error, this.path);
    }
  }

  async close(): Promise<void> {
    await this.lock?.release();
  }
}

async function checkSettings(dir: string, settings: Settings): Promise<void> {
  const path = join(dir, settingsFile);
  const now = JSON.parse(JSON.stringify(settings)) as Record<string, unknown>;
  if (!existsSync(path)) {
    const stranger = (await readdir(dir)).find((name) => name !== "lock");
    if (stranger !== undefined)
      throw new UserError(`${dir} already holds files (${stranger}); choose another --out`);
    await writeFileAtomic(path, `${JSON.stringify(now, null, 2)}\n`);
    return;
  }
  const before = JSON.parse(await readFile(path, "utf8")) as Record<string, unknown>;
  const changed = Object.keys({ ...before, ...now }).find((key) => !isDeepStrictEqual(before[key], now[key]));
  if (changed === undefined) return;
  const show = (value: unknown) => (value === undefined ? "absent" : JSON.stringify(value));
  throw new UserError(
    `${dir} holds an evaluation with other settings (${changed} was ${show(before[changed])}, and is ${show(now[changed])} now); choose another --out`,
  );
}

/** A last line that a kill cut short is cut off the file. */
async function readRows<Row extends Keyed>(path: string): Promise<Map<string, Row>> {
  if (!existsSync(path)) return new Map();
  const text = await readFile(path, "utf8");
  const whole = text.slice(0, text.lastIndexOf("\n") + 1);
  if (whole.length < text.length) await truncate(path, Buffer.byteLength(whole));
  const rows = whole
    .split("\n")
    .slice(0, -1)
    .map((line, i) => {
      try {
        return JSON.parse(line) as Row;
      } catch {
        throw new UserError(`${path}, line ${i + 1}: this is not a row of an evaluation`);
      }
    });
  return new Map(rows.map((row) => [row.key, row]));
}

/** What tells a model's weights from those that were in the same place before: size and time of each file. */
export async function weightsOf(model: string): Promise<string[]> {
  const dir = await resolveModel(model);
  const names = (await readdir(dir)).filter((name) => name.endsWith(".safetensors")).sort();
  return Promise.all(
    names.map(async (name) => {
      const { size, mtimeMs } = await stat(join(dir, name));
      return `${name}, ${size} bytes, ${new Date(mtimeMs).toISOString()}`;
    }),
  );
}

/** What Ctrl-C ends an evaluation with. */
export const interrupted = (done: number, total: number, what: string, out: string | undefined) =>
  new InterruptedError(
    out === undefined
      ? `stopped after ${done} of ${total} ${what}; nothing was kept (give --out to keep rows)`
      : `stopped after ${done} of ${total} ${what}; the same command continues`,
  );
