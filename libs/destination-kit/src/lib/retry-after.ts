/**
 * Milliseconds that a `Retry-After` asks for: seconds, or an HTTP date. Undefined where there is none or it cannot be
 * read. Source: RFC 9110, section 10.2.3.
 */
export function retryAfterMs(header: string | undefined, now = Date.now()): number | undefined {
  const text = header?.trim() ?? '';
  if (/^\d{1,9}$/.test(text)) return Number(text) * 1_000;
  // Dates have the name of a day; `Date.parse` would read much else as one.
  const at = /^[A-Z][a-z]{2}/.test(text) ? Date.parse(text) : Number.NaN;
  return Number.isNaN(at) ? undefined : Math.max(0, at - now);
}
