import { type MediaType, parseMediaType } from './media-type.js';

/** One representation that the client takes. PS3.18 8.3.3, 8.7.4, 8.7.5 */
export interface Acceptable {
  /** Of the body, or of the parts when multipart; may be a wildcard: any type, `image/*`. */
  type: string;
  /** undefined: the client does not mind. */
  multipart: boolean | undefined;
  /** A transfer syntax UID, or `*` for whatever is stored. */
  transferSyntax: string | undefined;
  quality: number;
}

/** What an answer would be, for the comparison with what the client takes. */
export interface Offer {
  type: string;
  multipart: boolean;
}

/** An offer as an Accept header asks for it. */
export function written({ type, multipart }: Offer): string {
  return multipart ? `multipart/related; type="${type}"` : type;
}

function splitList(value: string): string[] {
  return value.match(/(?:[^,"]|"(?:[^"\\]|\\.)*"?)+/g) ?? [];
}

function acceptable(media: MediaType): Acceptable | undefined {
  const { type, parameters } = media;
  const q = parameters.get('q');
  const quality = q === undefined ? 1 : Number(q);
  if (!(quality >= 0 && quality <= 1)) return undefined;
  const transferSyntax = parameters.get('transfer-syntax');
  if (type === '*/*') return { type, multipart: undefined, transferSyntax, quality };
  if (!type.startsWith('multipart/')) return { type, multipart: false, transferSyntax, quality };
  const part = parseMediaType(parameters.get('type') ?? '*/*');
  if (part === undefined || (type !== 'multipart/related' && type !== 'multipart/*')) return undefined;
  const syntax = transferSyntax ?? part.parameters.get('transfer-syntax');
  return { type: part.type, multipart: true, transferSyntax: syntax, quality };
}

function wildcards(type: string): number {
  return type === '*/*' ? 2 : type.endsWith('/*') ? 1 : 0;
}

/**
 * Reads an Accept header or `accept` query parameter (RFC 9110 12.5.1): the best first, those with quality 0 last.
 * Members that are no media range are passed over; nothing at all means everything.
 */
export function parseAccept(value: string | undefined): Acceptable[] {
  if (value === undefined || value.trim() === '') {
    return [{ type: '*/*', multipart: undefined, transferSyntax: undefined, quality: 1 }];
  }
  return splitList(value)
    .map((member) => parseMediaType(member))
    .flatMap((media) => (media === undefined ? [] : (acceptable(media) ?? [])))
    .sort((a, b) => b.quality - a.quality || wildcards(a.type) - wildcards(b.type));
}

/** Whether a media range, `image/*` for instance, takes this type. */
export function takes(range: string, type: string): boolean {
  return range === '*/*' || range === type || (range.endsWith('/*') && type.startsWith(range.slice(0, -1)));
}

/**
 * The answer for the best of what the client takes; undefined when there is none (406).
 * @param offer what this server would answer to it
 */
export function choose<T extends Offer>(
  accepted: readonly Acceptable[],
  offer: (wanted: Acceptable) => T | undefined,
): T | undefined {
  const excluded = accepted.filter(({ quality }) => quality === 0);
  for (const wanted of accepted) {
    if (wanted.quality === 0) continue;
    const made = offer(wanted);
    if (made === undefined || !takes(wanted.type, made.type)) continue;
    if (wanted.multipart !== undefined && wanted.multipart !== made.multipart) continue;
    if (excluded.some(({ type, multipart }) => type === made.type && multipart === made.multipart)) continue;
    return made;
  }
  return undefined;
}

/** Chooses among offers that do not depend on what is asked for; the first is the one for any type. */
export function chooseType<T extends Offer>(
  accepted: readonly Acceptable[],
  offers: readonly T[],
): T | undefined {
  return choose(accepted, (wanted) =>
    offers.find(
      ({ type, multipart }) =>
        takes(wanted.type, type) && (wanted.multipart === undefined || wanted.multipart === multipart),
    ),
  );
}
