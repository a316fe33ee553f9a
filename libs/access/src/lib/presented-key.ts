export interface KeyCarrier {
  readonly headers: Readonly<Record<string, string | readonly string[] | undefined>>;
  readonly query?: unknown;
}

/**
 * The key of a request: `Authorization: Bearer K`, `Authentication: Bearer K` or `?apikey=K`, the first one that
 * is there. Source: wire/drive.md 1.1.
 */
export function presentedKey({ headers, query }: KeyCarrier): string | undefined {
  return bearer(headers['authorization']) ?? bearer(headers['authentication']) ?? apikey(query);
}

export function bearer(header: string | readonly string[] | undefined): string | undefined {
  const [text] = [header].flat();
  return /^bearer +(\S+) *$/i.exec(text ?? '')?.[1];
}

function apikey(query: unknown): string | undefined {
  if (typeof query !== 'object' || query === null || !('apikey' in query)) return undefined;
  const [value] = [query.apikey].flat();
  return typeof value === 'string' && value !== '' ? value : undefined;
}
