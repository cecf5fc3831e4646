// A prompt cursor: batches of rows, epoch after epoch, each epoch in its own seeded order. Its state is a few
// numbers, and a restored cursor continues the very same sequence.

import { UserError } from "../base/errors.js";
import { type RandomState, RandomStream } from "../base/random.js";

export interface CursorState {
  /** Rows of the data set that the state belongs to. */
  size: number;
  /** Epochs completed. */
  epoch: number;
  /** Rows of the current epoch already given out; always less than `size`. */
  position: number;
  /** The random stream as it was before it shuffled the current epoch. */
  random: RandomState;
}

export interface CursorOptions {
  seed: number;
  /** Names the random stream, so that two tasks with one seed see different orders. Default "prompts". */
  name?: string;
}

export class PromptCursor<Row> {
  /** Stands after the shuffle of the current epoch. */
  private readonly stream: RandomStream;
  private readonly current: CursorState;
  private order: number[] = [];

  private constructor(
    private readonly rows: readonly Row[],
    state: CursorState,
  ) {
    this.stream = RandomStream.restore(state.random);
    this.current = { ...state };
    this.shuffle();
  }

  static start<Row>(rows: readonly Row[], { seed, name = "prompts" }: CursorOptions): PromptCursor<Row> {
    if (rows.length === 0) throw new UserError(`The data set of "${name}" holds no rows.`);
    const random = { seed, name, counter: 0 };
    return new PromptCursor(rows, { size: rows.length, epoch: 0, position: 0, random });
  }

  /** A cursor over the same rows that continues where `state` was taken. */
  static restore<Row>(rows: readonly Row[], state: CursorState): PromptCursor<Row> {
    if (rows.length !== state.size) {
      throw new UserError(
        `The data set of "${state.random.name}" holds ${rows.length} rows but held ${state.size} when the ` +
          "checkpoint was written; resume with the same data, or start a new run.",
      );
    }
    return new PromptCursor(rows, state);
  }

  state(): CursorState {
    return { ...this.current };
  }

  /** The next `count` rows. Where an epoch ends, a batch goes on into the next one, or is smaller (`untilEpochEnd`). */
  next(count: number, { untilEpochEnd = false }: { untilEpochEnd?: boolean } = {}): Row[] {
    const batch: Row[] = [];
    while (batch.length < count) {
      batch.push(this.rows[this.order[this.current.position++]!]!);
      if (this.current.position < this.rows.length) continue;
      this.startEpoch();
      if (untilEpochEnd) break;
    }
    return batch;
  }

  private startEpoch(): void {
    this.current.epoch++;
    this.current.position = 0;
    this.current.random = this.stream.state();
    this.shuffle();
  }

  private shuffle(): void {
    this.order = this.stream.shuffle([...this.rows.keys()]);
  }
}
