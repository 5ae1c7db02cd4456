/**
 * Works on some items at a time and gives the results in the items' order; what is ahead is bounded by `atATime`.
 * Leaving early starts nothing more.
 */
export async function* readAhead<Item, Result>(
  items: Iterable<Item> | AsyncIterable<Item>,
  atATime: number,
  work: (item: Item) => Promise<Result>,
): AsyncGenerator<Result, void> {
  const ahead: Promise<Result>[] = [];
  for await (const item of items) {
    const result = work(item);
    result.catch(() => {}); // thrown where its turn comes, or never asked for
    ahead.push(result);
    if (ahead.length >= atATime) yield await ahead.shift()!;
  }
  while (ahead.length > 0) yield await ahead.shift()!;
}
