// Answers by their questions, the most recently used ones only: equal questions are answered once.

export class Memo<Value> {
  /** The least recently used first. */
  private readonly known = new Map<string, Promise<Value>>();

  constructor(
    private readonly size: number,
    /** Whether a value may answer later questions too; one that is not kept still answers those that wait for it. */
    private readonly isKept: (value: Value) => boolean = () => true,
  ) {}

  get count(): number {
    return this.known.size;
  }

  /** The answer, and whether the question was known (answered, or being answered). */
  get(key: string, answer: () => Promise<Value>): { value: Promise<Value>; isKnown: boolean } {
    const known = this.known.get(key);
    if (known) {
      this.known.delete(key);
      this.known.set(key, known);
      return { value: known, isKnown: true };
    }
    const value = answer();
    this.known.set(key, value);
    const forget = () => {
      if (this.known.get(key) === value) this.known.delete(key);
    };
    value.then((given) => {
      if (!this.isKept(given) || this.size === 0) forget();
    }, forget);
    while (this.known.size > Math.max(this.size, 1)) this.known.delete(this.known.keys().next().value!);
    return { value, isKnown: false };
  }
}
