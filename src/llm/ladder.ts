// Which ways of asking for a label a model knows, learned from its answers: a way that the server refused, or that never
// brought a label in three questions, is given up once another way has answered. What is learned depends on the answers
// and their order alone, so that a resumed run, which learns from its log, asks as the interrupted one did.

import { limiter } from "../base/requests.js";
import { ways } from "./labels.js";
import type { LabelAnswer } from "./types.js";

/** A way of asking that never brought a label in so many questions is given up. */
const maxMisses = 3;

const order = ways.map(({ name }) => name);

export class Ladder {
  /** Questions without a label, by way. */
  private readonly misses = new Map<string, number>();
  private readonly proven = new Set<string>();
  private readonly oneAtATime = limiter(1);
  /** The server did not answer the last question: nothing is gained by asking one by one. */
  private isSilent = false;

  /** The ways worth a request, in their order. */
  open(): string[] {
    return order.filter((way) => this.proven.has(way) || (this.misses.get(way) ?? 0) < maxMisses);
  }

  learn({ by, refused = [], missed = [] }: Pick<LabelAnswer, "by" | "refused" | "missed">): void {
    this.isSilent = false;
    this.proven.add(by);
    for (const way of refused) this.misses.set(way, maxMisses);
    for (const way of missed) this.misses.set(way, (this.misses.get(way) ?? 0) + 1);
  }

  /** Asks a question; one after the other until the first open way has brought a label. */
  async ask<T>(question: () => Promise<T>): Promise<T> {
    if (this.isSettled()) return question();
    return this.oneAtATime(async () => {
      if (this.isSettled()) return { later: question() };
      try {
        return { later: Promise.resolve(await question()) };
      } catch (error) {
        this.isSilent = true;
        throw error;
      }
    }).then(({ later }) => later);
  }

  private isSettled(): boolean {
    return this.isSilent || this.proven.has(this.open()[0]!);
  }
}
