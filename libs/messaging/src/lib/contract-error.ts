import type { z } from 'zod';

/** Why a message cannot be read. */
export const CONTRACT_CODES = [
  'NO_KEY',
  'NO_TYPE',
  'UNKNOWN_TYPE',
  'NO_HEADER',
  'NOT_JSON',
  'CONTRACT',
] as const;
export type ContractCode = (typeof CONTRACT_CODES)[number];

/** A message breaks its contract. The words name fields of the contract, never what the message says. */
export class ContractError extends Error {
  override readonly name = 'ContractError';

  constructor(
    readonly code: ContractCode,
    readonly words: string,
  ) {
    super(`reading a message: ${words}`);
  }
}

const MAX_ISSUES = 10;

/** `items.0.quantity: invalid_type`: places and kinds only, as zod's own sentences can quote what was sent. */
export function wordsOf(error: z.ZodError, schema: z.ZodType): string {
  const issues = error.issues
    .slice(0, MAX_ISSUES)
    .map((issue) => `${pathOf(issue.path, schema)}: ${issue.code}`);
  const more = error.issues.length - issues.length;
  return [...issues, ...(more > 0 ? [`and ${String(more)} more`] : [])].join('; ');
}

interface SchemaShape {
  readonly shape?: Readonly<Record<string, unknown>>;
  readonly element?: unknown;
  readonly def?: { readonly innerType?: unknown };
}

/** Keeps what the contract names; a key that only the message has (of a record, for example) becomes `*`. */
function pathOf(path: readonly PropertyKey[], schema: unknown): string {
  let at: SchemaShape | undefined = schema as SchemaShape;
  const parts = path.map((part) => {
    while (at?.def?.innerType !== undefined) at = at.def.innerType as SchemaShape;
    if (typeof part === 'number') {
      at = at?.element as SchemaShape | undefined;
      return String(part);
    }
    const field = typeof part === 'string' && at?.shape && Object.hasOwn(at.shape, part) ? part : undefined;
    at = field === undefined ? undefined : (at?.shape?.[field] as SchemaShape);
    return field ?? '*';
  });
  return parts.length === 0 ? 'value' : parts.join('.');
}
