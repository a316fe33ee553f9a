import { z } from 'zod';

/** Most associations of one request. Source: wire/drive.md 1.2. */
export const MAX_ASSOCIATIONS = 1_000;

/** A full recipe link is reduced to its id: the last path segment without `.json` or `.pdf`. */
export function recipeIdOf(idOrLink: string): string {
  if (!idOrLink.includes('/')) return idOrLink;
  const path = idOrLink.replace(/[?#].*$/s, '').replace(/\/+$/, '');
  return path.slice(path.lastIndexOf('/') + 1).replace(/\.(?:json|pdf)$/i, '');
}

/**
 * Text, or an integer in the safe range, which becomes its decimal string. Outer spaces go; a control character is
 * refused wherever it stands.
 */
const foreignId = (name: string) =>
  z
    .union(
      [
        z.string().regex(/^[^\p{Cc}]*$/u, `${name} must not contain control characters`),
        z.int(`${name} must be a string or an integer in the safe range`),
      ],
      `${name} must be a string or an integer`,
    )
    .transform((value) => (typeof value === 'number' ? String(value) : value.trim()))
    .pipe(
      z
        .string()
        .min(1, `${name} must have 1 to 128 characters`)
        .max(128, `${name} must have 1 to 128 characters`),
    )
    .describe(
      '1 to 128 characters without control characters, or an integer, which becomes its decimal text.',
    );

const optionalForeignId = (name: string) =>
  z.preprocess(
    (value) => (value === null || (typeof value === 'string' && /^ *$/.test(value)) ? undefined : value),
    foreignId(name).optional(),
  );

export const OrderIdInput = optionalForeignId('orderId');
export const OrderNumberInput = foreignId('orderNumber');

/** One descriptor of `POST /api/v2/recipe/order`. What it does not name is dropped: the schema is the allow-list. */
export const AssociationInput = z.object({
  recipeId: z
    .string('recipeId must be a string')
    .max(2_048, 'recipeId must be an id of at most 128 characters or a recipe link')
    .transform((value) => recipeIdOf(value.trim()))
    .pipe(
      z
        .string()
        .regex(
          /^(?!\.)[A-Za-z0-9._-]{1,128}$/,
          'recipeId must have 1 to 128 characters of A-Z a-z 0-9 . _ - and not start with a dot',
        ),
    ),
  orderNumber: OrderNumberInput,
  orderId: OrderIdInput,
  itemId: foreignId('itemId'),
  itemQuantity: z
    .int('itemQuantity must be an integer from 0 to 1000000')
    .min(0, 'itemQuantity must be an integer from 0 to 1000000')
    .max(1_000_000, 'itemQuantity must be an integer from 0 to 1000000'),
});
export type AssociationInput = z.infer<typeof AssociationInput>;

export const AssociationsRequest = z
  .array(AssociationInput, 'the body must be an array of associations')
  .min(1, 'the array must have 1 to 1000 members')
  .max(MAX_ASSOCIATIONS, 'the array must have 1 to 1000 members');

export const Accepted = z.object({ accepted: z.int() });
