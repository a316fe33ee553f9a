import { z } from 'zod';

/** Query members of every list. */
export const paging = {
  limit: z.coerce.number().int().min(1).max(200).default(50),
  cursor: z.string().min(1).max(2_048).optional(),
};

/** `true` or `false` as text of a query. */
export const QueryFlag = z.enum(['true', 'false']).transform((text) => text === 'true');

export function pageOf<T extends z.ZodType>(
  item: T,
): z.ZodObject<{ items: z.ZodArray<T>; nextCursor: z.ZodNullable<z.ZodString> }> {
  return z.object({ items: z.array(item), nextCursor: z.string().nullable() });
}
