/** A media type as RFC 9110 8.3.1 writes it, names in lower case, parameter values without quotes. */
export interface MediaType {
  type: string;
  parameters: ReadonlyMap<string, string>;
}

const TOKEN = "[!#$%&'*+.^_`|~0-9A-Za-z-]+";
const TYPE = new RegExp(`^\\s*(${TOKEN}/${TOKEN})\\s*`);
const PARAMETER = new RegExp(`;\\s*(?:(${TOKEN})=(?:"((?:[^"\\\\]|\\\\.)*)"|([^\\s;"]*))\\s*)?`, 'y');

/** Reads a Content-Type value, with quoted parameters; undefined when it is none. */
export function parseMediaType(value: string | undefined): MediaType | undefined {
  const start = TYPE.exec(value ?? '');
  if (!start || value === undefined) return undefined;
  const parameters = new Map<string, string>();
  PARAMETER.lastIndex = start[0].length;
  while (PARAMETER.lastIndex < value.length) {
    const match = PARAMETER.exec(value);
    if (!match) return undefined;
    const [, name, quoted, plain] = match;
    if (name !== undefined)
      parameters.set(name.toLowerCase(), quoted?.replaceAll(/\\(.)/g, '$1') ?? plain ?? '');
  }
  return { type: start[1]!.toLowerCase(), parameters };
}
