/** Who sees which case when, and on which side: random, different for every reader, and the same again after a break. */
import { createHmac } from 'node:crypto';

export type Side = 'left' | 'right';

export interface Turn {
  /** Of the case, from 0. */
  number: number;
  /** What the reader's browser calls the case. It tells nothing about it. */
  token: string;
  correctedSide: Side;
}

function draw(secret: string, ...what: (string | number)[]): string {
  return createHmac('sha256', secret).update(JSON.stringify(what)).digest('base64url');
}

/** The cases in a reader's order. The corrected image is on the left in half of them. */
export function turnsOf(secret: string, reader: string, cases: readonly number[]): Turn[] {
  const by = (name: string) => {
    const keys = new Map(cases.map((number) => [number, draw(secret, name, reader, number)]));
    return [...cases].sort((a, b) => (keys.get(a)! < keys.get(b)! ? -1 : 1));
  };
  // With an odd number of cases a draw decides which side has one more.
  const begin = draw(secret, 'first side', reader) < 'V' ? 0 : 1;
  const sides = new Map(
    by('side').map((number, at): [number, Side] => [number, (at + begin) % 2 === 0 ? 'left' : 'right']),
  );
  return by('order').map((number) => ({
    number,
    token: draw(secret, 'token', reader, number).slice(0, 22),
    correctedSide: sides.get(number)!,
  }));
}
