/**
 * Milliseconds that a `Retry-After` asks for: seconds, or a date. Anything else asks for nothing. Source: RFC 9110,
 * section 10.2.3.
 */
export function readRetryAfter(text: string | undefined, now = Date.now()): number | undefined {
  if (text === undefined) return undefined;
  const trimmed = text.trim();
  if (/^\d{1,10}$/.test(trimmed)) return Number(trimmed) * 1_000;
  // `Date.parse` also takes `2026` or `-5` for dates: HTTP's own form begins with the day of the week.
  const at = /^[A-Z][a-z]{2,8},? /.test(trimmed) ? Date.parse(trimmed) : Number.NaN;
  return Number.isNaN(at) ? undefined : Math.max(0, at - now);
}
