// Sessions of protocols that have them: bounded in number and in idle time, so that clients that leave cost nothing.

export interface SessionLimits {
  /** The least recently used go first. */
  most?: number;
  idleSeconds?: number;
}

export class Sessions<State> {
  private readonly known = new Map<string, { state: State; used: number }>();
  private readonly most: number;
  private readonly idleMs: number;

  constructor({ most = 10_000, idleSeconds = 3600 }: SessionLimits = {}) {
    this.most = most;
    this.idleMs = 1000 * idleSeconds;
  }

  get(id: string): State | undefined {
    const found = this.known.get(id);
    if (!found) return undefined;
    this.known.delete(id);
    if (Date.now() - found.used > this.idleMs) return undefined;
    this.set(id, found.state);
    return found.state;
  }

  set(id: string, state: State): void {
    this.known.delete(id);
    this.known.set(id, { state, used: Date.now() });
    if (this.known.size > this.most) this.known.delete(this.known.keys().next().value!);
  }

  delete(id: string): void {
    this.known.delete(id);
  }
}
