/** What a cache holds: something that takes memory until it is released. */
export interface Releasable {
  release(): Promise<void>;
}

/**
 * Keeps the sessions used last and releases the others: a data set of many matrices would otherwise hold the
 * memory of a session for each of them.
 */
export class SessionCache<Session extends Releasable> {
  private readonly sessions = new Map<string, Promise<Session>>();

  constructor(private readonly limit: number) {}

  /** The session of this key, made when it is not there. Do not keep it beyond its use. */
  async get(key: string, create: () => Promise<Session>): Promise<Session> {
    const known = this.sessions.get(key);
    this.sessions.delete(key);
    while (known === undefined && this.sessions.size >= this.limit) await this.releaseOldest();
    const session = known ?? create();
    this.sessions.set(key, session);
    try {
      return await session;
    } catch (error) {
      this.sessions.delete(key);
      throw error;
    }
  }

  get size(): number {
    return this.sessions.size;
  }

  async releaseAll(): Promise<void> {
    while (this.sessions.size > 0) await this.releaseOldest();
  }

  private async releaseOldest(): Promise<void> {
    const [key, session] = this.sessions.entries().next().value!;
    this.sessions.delete(key);
    await (await session).release();
  }
}
