const QUOTE = 0x22;
const BACKSLASH = 0x5c;
const COMMA = 0x2c;
const OPENING = new Set([0x5b, 0x7b]);
const CLOSING = new Set([0x5d, 0x7d]);

/**
 * The source text of each member of a JSON array, exactly as it stands there, without the white space around it.
 * A parser would give the values; the texts are what is kept.
 *
 * @param text of an array; valid JSON, as a parser has read it.
 */
export function memberTexts(text: string): readonly string[] {
  const members: string[] = [];
  const start = text.indexOf('[') + 1;
  let memberStart = start;
  let depth = 1;
  for (let at = start; at < text.length && depth > 0; at += 1) {
    const unit = text.charCodeAt(at);
    if (unit === QUOTE) at = endOfString(text, at);
    else if (OPENING.has(unit)) depth += 1;
    else if (CLOSING.has(unit)) depth -= 1;
    if (depth === 0 || (depth === 1 && unit === COMMA)) {
      const member = text.slice(memberStart, at).trim();
      // Only an empty array has an empty member.
      if (member !== '') members.push(member);
      memberStart = at + 1;
    }
  }
  return members;
}

/** @returns the place of the closing quote. */
function endOfString(text: string, openingQuote: number): number {
  let at = text.indexOf('"', openingQuote + 1);
  while (isEscaped(text, at)) at = text.indexOf('"', at + 1);
  return at;
}

function isEscaped(text: string, at: number): boolean {
  let backslashes = 0;
  while (text.charCodeAt(at - 1 - backslashes) === BACKSLASH) backslashes += 1;
  return backslashes % 2 === 1;
}
