/** Archives that can be asked for studies and series, and that send them. */

/** What of a match was returned: values of an attribute by its keyword, none where it is absent. */
export interface Match {
  values(keyword: string): readonly string[];
}

/** Keyword to what it must match; an empty value asks for the attribute. */
export type Keys = ReadonlyMap<string, string>;

export interface Source {
  readonly name: string;
  /** Series at a time. */
  readonly parallel: number;
  /** What is asked again after `signal` fires is not answered. @throws Error, with `transient` false when asking again will hardly help */
  find(level: 'STUDY' | 'SERIES', keys: Keys, signal?: AbortSignal): Promise<Match[]>;
  /**
   * Has a series sent; resolves when all of it is in our archive, as far as the source can say.
   * @throws Error, with `transient` false when trying again will hardly help
   */
  retrieve(series: { study: string; series: string }, signal: AbortSignal): Promise<void>;
  /** A sentence that says that it answers. @throws Error with a sentence that says why not. */
  echo(): Promise<string>;
}

/** What went wrong here and not at the source. */
export class FetchError extends Error {
  override name = 'FetchError';
  constructor(
    message: string,
    readonly transient: boolean,
  ) {
    super(message);
  }
}
